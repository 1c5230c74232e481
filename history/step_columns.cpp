#include "vigil/history/step_columns.h"

#include <algorithm>
#include <cstring>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

constexpr double kNanosecond = 1e-9;

#define VIGIL_WORD(member) (offsetof(StepRecord, member) / 8)

constexpr std::size_t kTotals = VIGIL_WORD(totals);
#define VIGIL_TOTAL(member) (kTotals + offsetof(RunTotals, member) / 8)

constexpr std::size_t kNamedColumns = 30;
constexpr std::array<StepColumn, kNamedColumns> kNamed{{
    {0, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(step)},
    {1, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(wall_time_ns)},
    {2, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(flags)},
    {3, "loss", "", 1, StepRecord::has_loss, ColumnKind::real, VIGIL_WORD(loss)},
    {4, "gradient_norm", "", 1, StepRecord::has_gradient_norm, ColumnKind::real, VIGIL_WORD(gradient_norm)},
    {5, "parameter_norm", "", 1, StepRecord::has_parameter_norm, ColumnKind::real, VIGIL_WORD(parameter_norm)},
    {6, "forward_backward_seconds", "seconds", kNanosecond, StepRecord::has_total_time, ColumnKind::integer,
     VIGIL_WORD(forward_backward_ns)},
    {7, "data_seconds", "seconds", kNanosecond, StepRecord::has_data_time, ColumnKind::integer, VIGIL_WORD(data_ns)},
    {8, "optimizer_seconds", "seconds", kNanosecond, StepRecord::has_optimizer_time, ColumnKind::integer, VIGIL_WORD(optimizer_ns)},
    {9, "step_seconds", "seconds", kNanosecond, StepRecord::has_total_time, ColumnKind::integer, VIGIL_WORD(total_ns)},
    {10, "vigil_seconds", "seconds", kNanosecond, StepRecord::has_total_time, ColumnKind::integer, VIGIL_WORD(vigil_ns)},
    {11, "clip_ratio", "", 1, StepRecord::has_clip_ratio, ColumnKind::real, VIGIL_WORD(clip_ratio)},
    {12, "examples", "", 1, 0, ColumnKind::integer, VIGIL_WORD(examples)},
    {13, "multiply_accumulates", "", 1, 0, ColumnKind::integer, VIGIL_WORD(multiply_accumulates)},
    {14, "device_allocated_bytes", "bytes", 1, StepRecord::has_device_memory, ColumnKind::integer, VIGIL_WORD(device_allocated)},
    {15, "device_reserved_bytes", "bytes", 1, StepRecord::has_device_memory, ColumnKind::integer, VIGIL_WORD(device_reserved)},
    {16, "device_peak_bytes", "bytes", 1, StepRecord::has_device_memory, ColumnKind::integer, VIGIL_WORD(device_peak)},
    {17, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(device_retries)},
    {18, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(device_out_of_memory)},
    {19, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(origin)},
    {20, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(origin_step)},
    {21, "", "", 1, 0, ColumnKind::integer, VIGIL_WORD(user_scalars)},
    {22, "nonfinite_steps_total", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(nonfinite_steps)},
    {23, "skipped_steps_total", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(skipped_steps)},
    {24, "rollbacks_total", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(rollbacks)},
    {25, "", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(micro_batches)},
    {26, "examples_total", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(examples)},
    {27, "", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(layers_dropped)},
    {28, "", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(samples)},
    {29, "", "", 1, 0, ColumnKind::integer, VIGIL_TOTAL(overhead_ns)},
}};
// Behind them the times of the loop, the counts of hooks' errors and of non-finite values, with room for more of each.
constexpr std::uint16_t kLoopOverheadColumn = 30, kLoopColumn = 31, kHookErrorColumns = 64, kNonfiniteColumns = 96;
constexpr std::size_t kNonfiniteWords = 2 * kNonfiniteInNames.size();
static_assert(kHookErrorColumns + kHookNames.size() <= kNonfiniteColumns && kNonfiniteColumns + kNonfiniteWords <= kFirstScalarColumn);
static_assert(kNamedColumns + 2 + kHookNames.size() + kNonfiniteWords == kStepWords, "every word of a record is a column");

std::array<StepColumn, kStepWords> make_columns() noexcept {
  std::array<StepColumn, kStepWords> columns{};
  std::size_t count = 0;
  for (const StepColumn& column : kNamed) columns[count++] = column;
  const auto add = [&](std::size_t number, std::size_t word) {
    columns[count].number = static_cast<std::uint16_t>(number);
    columns[count++].word = word;
  };
  add(kLoopOverheadColumn, VIGIL_TOTAL(loop_overhead_ns));
  add(kLoopColumn, VIGIL_TOTAL(loop_ns));
  for (std::size_t i = 0; i < kHookNames.size(); ++i) add(kHookErrorColumns + i, VIGIL_TOTAL(hook_errors) + i);
  for (std::size_t i = 0; i < kNonfiniteWords; ++i) add(kNonfiniteColumns + i, VIGIL_TOTAL(nonfinite_values) + i);
  return columns;
}

constexpr std::size_t kStepWord = VIGIL_WORD(step), kTimeWord = VIGIL_WORD(wall_time_ns), kFlagsWord = VIGIL_WORD(flags),
                      kUserScalarsWord = VIGIL_WORD(user_scalars);

// Folds the values of one column into its summary.
class SummaryMaker {
 public:
  explicit SummaryMaker(std::size_t number) { summary_.number = static_cast<std::uint16_t>(number); }

  void add(std::size_t place, std::uint64_t word, double value) noexcept {
    if (!is_finite_bits(value)) {
      if (summary_.nonfinite++ == 0) set(ColumnSummary::first_nonfinite, place, word);
      return;
    }
    const bool is_first = summary_.places[ColumnSummary::first] == ColumnSummary::kNone;
    if (is_first) set(ColumnSummary::first, place, word);
    if (is_first || value < min_) {
      set(ColumnSummary::smallest, place, word);
      min_ = value;
    }
    if (is_first || value > max_) {
      set(ColumnSummary::largest, place, word);
      max_ = value;
    }
    set(ColumnSummary::last, place, word);
  }

  void append_to(std::string& out) const {
    const auto is_none = [](std::uint16_t place) { return place == ColumnSummary::kNone; };
    if (std::all_of(summary_.places.begin(), summary_.places.end(), is_none)) return;
    append_varint(out, summary_.number);
    append_varint(out, summary_.nonfinite);
    for (std::size_t i = 0; i < summary_.places.size(); ++i) {
      // One more, so that 0 says that there is none.
      append_varint(out, is_none(summary_.places[i]) ? 0 : std::uint64_t{summary_.places[i]} + 1);
      if (!is_none(summary_.places[i])) append_word(out, summary_.words[i]);
    }
  }

 private:
  void set(ColumnSummary::Which which, std::size_t place, std::uint64_t word) noexcept {
    summary_.places[which] = static_cast<std::uint16_t>(place);
    summary_.words[which] = word;
  }

  ColumnSummary summary_;
  double min_ = 0, max_ = 0;
};

void gather(const StepRows& rows, std::size_t word, std::vector<std::uint64_t>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = rows.row(i)[word];
}

// Number of the column of the k-th of a row's scalars: learning rates, then user scalars.
std::size_t scalar_column(const StepRows& rows, std::size_t k) noexcept {
  return k < rows.rates() ? kFirstRateColumn + k : kFirstScalarColumn + k - rows.rates();
}

}  // namespace

const std::array<StepColumn, kStepWords>& step_columns() noexcept {
  static const std::array<StepColumn, kStepWords> columns = make_columns();
  return columns;
}

const StepColumn* find_step_column(std::string_view name) noexcept {
  if (name.empty()) return nullptr;
  const auto& columns = step_columns();
  const auto found = std::find_if(columns.begin(), columns.end(), [name](const StepColumn& column) { return column.series == name; });
  return found == columns.end() ? nullptr : &*found;
}

const StepColumn* find_step_column(std::size_t number) noexcept {
  const auto& columns = step_columns();
  const auto found = std::find_if(columns.begin(), columns.end(), [number](const StepColumn& column) { return column.number == number; });
  return found == columns.end() ? nullptr : &*found;
}

StepRecord StepRows::record(std::size_t i) const noexcept {
  StepRecord record;
  std::memcpy(static_cast<void*>(&record), row(i), sizeof record);
  return record;
}

std::uint64_t StepRows::step(std::size_t i) const noexcept { return row(i)[kStepWord]; }

void StepRows::widen(std::size_t scalars) {
  if (scalars <= scalars_) return;
  const std::size_t old_width = width();
  scalars_ = scalars;
  if (rows_ == 0) return;
  std::vector<std::uint64_t> words(rows_ * width());
  for (std::size_t i = 0; i < rows_; ++i) std::copy_n(&words_[i * old_width], old_width, &words[i * width()]);
  words_ = std::move(words);
}

void StepRows::put_scalars(const StepRecord& record, const double* rates, const double* scalars, std::size_t known) {
  const std::size_t count = std::min<std::size_t>(record.user_scalars, known);
  std::uint64_t* const words = &words_[(rows_ - 1) * width()];
  words[kUserScalarsWord] = count;
  if (rates_ > 0) std::memcpy(words + kStepWords, rates, rates_ * 8);
  if (count > 0) std::memcpy(words + kStepWords + rates_, scalars, count * 8);
  std::fill_n(words + kStepWords + rates_ + count, scalars_ - count, 0);
}

void StepRows::add(const StepRecord& record, const double* rates, const double* scalars, std::size_t known) {
  widen(std::min<std::size_t>(record.user_scalars, known));
  words_.resize(++rows_ * width());
  std::memcpy(&words_[(rows_ - 1) * width()], &record, sizeof record);
  put_scalars(record, rates, scalars, known);
}

void StepRows::set_scalars(const StepRecord& record, const double* rates, const double* scalars, std::size_t known) {
  widen(std::min<std::size_t>(record.user_scalars, known));
  put_scalars(record, rates, scalars, known);
}

void StepRows::add(const StepRows& other) {
  if (other.rates_ != rates_) throw DamagedData("steps have another number of learning rates than their run");
  widen(other.scalars_);
  words_.resize((rows_ + other.rows_) * width());
  for (std::size_t i = 0; i < other.rows_; ++i) std::copy_n(other.row(i), other.width(), &words_[rows_++ * width()]);
}

void StepRows::remove_front(std::size_t count) {
  words_.erase(words_.begin(), words_.begin() + static_cast<std::ptrdiff_t>(count * width()));
  rows_ -= count;
}

void StepRows::truncate(std::size_t count) {
  rows_ = std::min(rows_, count);
  words_.resize(rows_ * width());
}

void StepRows::clear() noexcept {
  words_.clear();
  rows_ = scalars_ = 0;
}

std::string StepRows::pack() const {
  std::vector<std::uint64_t> words(rows_);
  ColumnSetWriter set(rows_);
  for (const StepColumn& column : step_columns()) {
    gather(*this, column.word, words);
    set.add(column.number, words.data(), column.kind);
  }
  for (std::size_t k = 0; k < rates_ + scalars_; ++k) {
    gather(*this, kStepWords + k, words);
    set.add(scalar_column(*this, k), words.data(), ColumnKind::real);
  }
  return set.finish();
}

StepRows StepRows::read(std::string_view axis, std::string_view data, std::size_t steps, std::size_t rates) {
  if (steps == 0 || steps > kMaxBlockSteps || rates > kMaxLearningRates) throw DamagedData("a block has a size that there is not");
  const ColumnSetReader axis_set(axis, steps), data_set(data, steps);
  StepRows rows(rates);
  std::vector<std::uint64_t> words(steps);
  data_set.read(kUserScalarsNumber, words.data());
  const std::uint64_t scalars = *std::max_element(words.begin(), words.end());
  if (scalars > ScalarNames::kCapacity) throw DamagedData("a step has more user scalars than there can be");
  rows.scalars_ = static_cast<std::size_t>(scalars);
  rows.rows_ = steps;
  rows.words_.resize(steps * rows.width());
  const auto read_column = [&](const ColumnSetReader& set, std::size_t number, std::size_t word) {
    set.read(number, words.data());
    for (std::size_t i = 0; i < steps; ++i) rows.words_[i * rows.width() + word] = words[i];
  };
  for (const StepColumn& column : step_columns()) {
    read_column(column.number <= kTimeNumber ? axis_set : data_set, column.number, column.word);
  }
  for (std::size_t k = 0; k < rates + rows.scalars_; ++k) read_column(data_set, scalar_column(rows, k), kStepWords + k);
  return rows;
}

StepBlock make_block(const StepRows& rows, std::size_t count) {
  StepBlock block;
  block.steps = count;
  block.first_step = rows.row(0)[kStepWord];
  block.last_step = rows.row(count - 1)[kStepWord];
  block.first_time_ns = static_cast<std::int64_t>(rows.row(0)[kTimeWord]);
  block.last_time_ns = static_cast<std::int64_t>(rows.row(count - 1)[kTimeWord]);
  for (std::size_t i = 0; i < count; ++i) {
    if ((rows.row(i)[kFlagsWord] & StepRecord::nonfinite) == 0) continue;
    block.last_nonfinite = rows.row(i)[kStepWord];
    if (block.nonfinite++ == 0) block.first_nonfinite = block.last_nonfinite;
  }

  std::vector<std::uint64_t> words(count);
  ColumnSetWriter axis(count), data(count);
  for (const StepColumn& column : step_columns()) {
    gather(rows, column.word, words);
    (column.number <= kTimeNumber ? axis : data).add(column.number, words.data(), column.kind);
    if (column.series.empty()) continue;
    SummaryMaker summary(column.number);
    for (std::size_t i = 0; i < count; ++i) {
      if (has_value(column, rows.row(i)[kFlagsWord])) summary.add(i, words[i], value_of(column, words[i]));
    }
    summary.append_to(block.summary);
  }
  for (std::size_t k = 0; k < rows.rates() + rows.scalars(); ++k) {
    gather(rows, kStepWords + k, words);
    data.add(scalar_column(rows, k), words.data(), ColumnKind::real);
    SummaryMaker summary(scalar_column(rows, k));
    for (std::size_t i = 0; i < count; ++i) {
      // A row may have fewer user scalars than another.
      if (k < rows.rates() + rows.row(i)[kUserScalarsWord]) summary.add(i, words[i], double_of(words[i]));
    }
    summary.append_to(block.summary);
  }
  block.axis = axis.finish();
  block.data = data.finish();
  seal(block.summary);
  return block;
}

std::vector<ColumnSummary> read_summaries(std::string_view sealed, std::size_t steps) {
  ByteReader bytes(open_sealed(sealed));
  std::vector<ColumnSummary> summaries;
  while (!bytes.is_at_end()) {
    ColumnSummary& summary = summaries.emplace_back();
    summary.number = static_cast<std::uint16_t>(bytes.count(ColumnSummary::kNone));
    summary.nonfinite = static_cast<std::uint16_t>(bytes.count(std::min(steps, kMaxBlockSteps)));
    for (std::size_t i = 0; i < summary.places.size(); ++i) {
      const std::size_t place = bytes.count(std::min(steps, kMaxBlockSteps));
      if (place == 0) continue;
      summary.places[i] = static_cast<std::uint16_t>(place - 1);
      summary.words[i] = bytes.word();
    }
  }
  return summaries;
}

}  // namespace vigil
