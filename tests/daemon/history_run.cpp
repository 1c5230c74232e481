#include "daemon/history_run.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace vigil::test {
namespace {

// A number that follows from the place alone.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t place) : state_(seed * 0x9E3779B97F4A7C15ULL + place * 0xD1B54A32D192ED03ULL) {}

  std::uint64_t word() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  double unit() { return static_cast<double>(word() >> 11) * 0x1p-53; }
  // Of any size.
  double real() {
    constexpr double kStrange[] = {std::numeric_limits<double>::quiet_NaN(),
                                   -std::numeric_limits<double>::quiet_NaN(),
                                   std::numeric_limits<double>::infinity(),
                                   -std::numeric_limits<double>::infinity(),
                                   -0.0,
                                   0.0,
                                   std::numeric_limits<double>::denorm_min(),
                                   std::numeric_limits<double>::max()};
    const std::uint64_t which = word();
    if (which % 16 == 0) return kStrange[which / 16 % std::size(kStrange)];
    if (which % 16 < 8) return static_cast<double>(static_cast<float>(unit() - 0.5));
    return std::ldexp(unit() - 0.5, static_cast<int>(which / 16 % 400) - 200);
  }

 private:
  std::uint64_t state_;
};

}  // namespace

RingId ring_id(std::uint64_t number) {
  RingId id{};
  std::memcpy(id.data(), &number, sizeof number);
  return id;
}

Schema make_history_schema(const std::string& run, std::size_t tensors, std::int64_t start_time_ns) {
  Schema schema;
  schema.identity = {run, 1, 4, "Net", "1.13.1", "host-\"a\"", 4711, 2, start_time_ns};
  schema.is_continued = true;
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
    for (std::size_t i = 0; i < tensors; ++i) {
      RowSchema row;
      row.kind = kind;
      row.layer = "layer" + std::to_string(i);
      row.name = row.layer + ".weight";
      row.shape = "[4, 3]";
      row.element_count = 12 + i;
      row.dtype = i % 2 == 0 ? DType::float32 : DType::bfloat16;
      if (i == 0) row.histogram = static_cast<std::int32_t>(schema.histograms++);
      row.has_update = row.has_distance = kind == TensorKind::parameter;
      row.has_cosine = kind == TensorKind::gradient;
      if (kind == TensorKind::parameter) {
        row.learning_rate = 1;
        row.optimizer_state = {"exp_avg", "exp_avg_sq"};
        schema.parameters.push_back(row.name);
      }
      schema.rows.push_back(row);
    }
  }
  schema.learning_rates = 2;
  schema.groups = {"generator/0", "critic/0"};
  schema.activations = 3;
  schema.peak_flops = 1.5e12;
  schema.trainable = {1000, 4000};
  schema.frozen = {3, 12};
  schema.buffers = {5, 20};
  schema.layers = tensors;
  return schema;
}

MadeStep make_step(std::uint64_t seed, std::uint64_t step) {
  Draw draw(seed, step);
  MadeStep made;
  std::array<std::uint64_t, sizeof(StepRecord) / 8> words{};
  // Counters go up by little, as most do, or are anything.
  for (std::uint64_t& word : words) word = draw.word() % 8 == 0 ? draw.word() : step * 1000 + draw.word() % 1000;
  std::memcpy(static_cast<void*>(&made.record), words.data(), sizeof made.record);
  made.record.step = step;
  made.record.wall_time_ns = kNow + static_cast<std::int64_t>(step) * 10'000'000 + static_cast<std::int64_t>(draw.word() % 1'000'000);
  made.record.flags = draw.word() & 2047 & ~std::uint64_t{StepRecord::again};
  for (double* value : {&made.record.loss, &made.record.gradient_norm, &made.record.parameter_norm, &made.record.clip_ratio})
    *value = draw.real();
  made.record.user_scalars = step < 10 ? 0 : 3;
  for (std::size_t i = 0; i < 2 + made.record.user_scalars; ++i) made.scalars.push_back(draw.real());
  return made;
}

MadeStep make_plausible_step(std::uint64_t seed, std::uint64_t step, std::uint64_t every_nonfinite) {
  Draw draw(seed, step);
  MadeStep made;
  StepRecord& record = made.record;
  record.step = step;
  const auto noise_ns = [&draw](double scale) { return static_cast<std::uint64_t>(1e7 * scale * (1 + 0.1 * draw.unit())); };
  record.wall_time_ns = kNow + static_cast<std::int64_t>(step) * 10'000'000 + static_cast<std::int64_t>(draw.word() % 1'000'000);
  record.flags = StepRecord::has_loss | StepRecord::has_gradient_norm | StepRecord::has_parameter_norm | StepRecord::has_optimizer_time |
                 StepRecord::has_total_time | StepRecord::has_data_time;
  record.loss = static_cast<float>(2.5 * std::exp(-1e-5 * static_cast<double>(step)) + 0.2 * draw.unit());
  record.gradient_norm = 1 + draw.unit();
  record.parameter_norm = 30 + 1e-4 * static_cast<double>(step / 10);
  record.forward_backward_ns = noise_ns(0.6);
  record.data_ns = noise_ns(0.1);
  record.optimizer_ns = noise_ns(0.2);
  record.total_ns = noise_ns(1);
  record.vigil_ns = noise_ns(0.01);
  record.examples = 64;
  record.multiply_accumulates = 123'456'789;
  record.totals.examples = 64 * step;
  record.totals.samples = step / 10;
  record.totals.overhead_ns = step * 100'000 + draw.word() % 1000;
  record.totals.loop_overhead_ns = record.totals.overhead_ns - 1000;
  record.totals.loop_ns = step * 10'000'000 + draw.word() % 100'000;
  if (every_nonfinite > 0 && step % every_nonfinite == 0) {
    record.flags |= StepRecord::nonfinite;
    record.gradient_norm = std::numeric_limits<double>::quiet_NaN();
  }
  record.user_scalars = 1;
  made.scalars = {0.1 / static_cast<double>(1 + step / 1000), 0.01, 0.9};
  return made;
}

const ScalarNames& made_scalar_names() {
  static const ScalarNames& names = [] {
    auto* made = new ScalarNames;
    for (const char* name : {"validation/accuracy", "entropy", "temperature"}) made->find_or_append(name);
    return std::ref(*made);
  }();
  return names;
}

bool is_same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }
bool is_same(const StepRecord& a, const StepRecord& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

MadeFrame make_frame(const Schema& schema, std::uint64_t seed, std::uint64_t step, bool is_finite) {
  Draw draw(seed + 77, step);
  MadeFrame frame;
  frame.header = {step, kNow + static_cast<std::int64_t>(step) * 10'000'000, 3};
  const auto fill = [&draw](Moments& moments, std::uint64_t count) {
    moments.count = count;
    moments.zero_count = draw.word() % (count + 1);
    // Of a float32 tensor: the extremes are floats, the sums are not.
    moments.min = static_cast<double>(static_cast<float>(-draw.unit()));
    moments.max = static_cast<double>(static_cast<float>(draw.unit()));
    moments.mean = 0.01 * (draw.unit() - 0.5);
    moments.l1 = draw.unit() * static_cast<double>(count);
    moments.m2 = draw.unit() * static_cast<double>(count);
    moments.sum_squares = moments.m2 + 1e-3;
  };
  for (const RowSchema& schema_row : schema.rows) {
    TensorRow& row = frame.rows.emplace_back();
    if (schema_row.kind == TensorKind::gradient && draw.word() % 16 == 0 && step > 1) {
      row.state = TensorRow::frozen;
      continue;
    }
    row.state = TensorRow::present;
    fill(row.moments, schema_row.element_count);
    if (schema_row.has_update) row.update_norm = 1e-4 * draw.unit();
    if (schema_row.has_cosine) row.cosine = 2 * draw.unit() - 1;
    if (!schema_row.optimizer_state.empty()) {
      row.states = 3;
      row.state_norms[0] = draw.unit();
      row.state_norms[1] = 1e-3 * draw.unit();
    }
  }
  if (!is_finite) {
    TensorRow& row = frame.rows.back();
    row.state = TensorRow::present;
    row.moments.count = schema.rows.back().element_count;
    row.moments.nan_count = 2;
    row.moments.inf_count = 1;
  }
  for (std::size_t i = 0; i < schema.histograms; ++i) {
    MagnitudeHistogram& histogram = frame.histograms.emplace_back();
    histogram.underflow = draw.word() % 3;
    for (std::size_t bucket = 8; bucket < 24; ++bucket) histogram.buckets[bucket] = draw.word() % 1000;
    histogram.overflow = draw.word() % 2;
  }
  frame.layers = {{"layer0", "train"}, {"layer0/relu", "train"}, {"layer1", "validation"}};
  for (std::size_t i = 0; i < frame.layers.size(); ++i) {
    ActivationRow& row = frame.activations.emplace_back();
    fill(row.moments, 64);
    if (i == 1) row.dead_ratio = 0.25;
    row.step = step - step % 100;
  }
  return frame;
}

NonfiniteEvent make_event(std::uint64_t step) {
  NonfiniteEvent event;
  event.step = step;
  event.wall_time_ns = kNow + static_cast<std::int64_t>(step) * 10'000'000;
  event.found_by = FoundBy::replay;
  event.nonfinite_parameters = 3;
  event.layer.assign("layer0");
  event.operation.assign("aten::log");
  event.parameter.assign("layer0.weight");
  event.message.assign("aten::log in \"layer0\" made 6 NaN");
  event.operand_count = 1;
  event.operands[0].description.assign("float32 [64, 128]");
  event.operands[0].moments.count = 8192;
  event.operands[0].moments.min = -0.125;
  event.operands[0].moments.max = std::numeric_limits<double>::infinity();
  return event;
}

void write_steps(HistoryWriter& writer, RingKey key, std::uint64_t seed, std::uint64_t first, std::uint64_t last, std::size_t batch,
                 MadeStep (*make)(std::uint64_t, std::uint64_t)) {
  for (std::uint64_t step = first; step <= last;) {
    writer.begin(kNow + static_cast<std::int64_t>(step) * 10'000'000);
    for (std::size_t i = 0; i < batch && step <= last; ++i, ++step) {
      const MadeStep made = make(seed, step);
      writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
    }
    HistoryCursors cursors = writer.cursors(key);
    cursors.steps = step - 1;
    writer.set_cursors(key, cursors);
    const HistoryOutcome outcome = writer.commit();
    ASSERT_TRUE(outcome.ok()) << outcome.reason;
  }
}

SeriesRequest series_of(const RunSelector& run, const std::vector<std::string>& names) {
  SeriesRequest request;
  request.run = run;
  request.names = names;
  return request;
}

TensorSeriesRequest tensor_series_of(const RunSelector& run, TensorKind kind, const std::string& tensor, const std::string& statistic) {
  TensorSeriesRequest request;
  request.run = run;
  request.kind = kind;
  request.tensor = tensor;
  request.statistic = statistic;
  return request;
}

std::int64_t count_of(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  sqlite3_stmt* statement = nullptr;
  std::int64_t count = -1;
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
      sqlite3_prepare_v2(database, sql.c_str(), -1, &statement, nullptr) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
    count = sqlite3_column_int64(statement, 0);
  } else {
    ADD_FAILURE() << sql << ": " << sqlite3_errmsg(database);
  }
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return count;
}

}  // namespace vigil::test
