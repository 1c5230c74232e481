#include "vigil/history/frame_columns.h"

#include <array>
#include <cstring>

#include "vigil/history/column_codec.h"

namespace vigil {
namespace {

constexpr ColumnKind kInteger = ColumnKind::integer, kRounded = ColumnKind::rounded;

// The words of rows in order; a column's number is its place here, which stands in databases.
constexpr std::array<ColumnKind, sizeof(TensorRow) / 8> kTensorColumns{
    // Moments: four counts, min, max, mean, l1, m2, sum_squares, scale_exponent
    kInteger, kInteger, kInteger, kInteger, kRounded, kRounded, kRounded, kRounded, kRounded, kRounded, kInteger,
    // state, update_norm, distance, cosine, state_norms, states
    kInteger, kRounded, kRounded, kRounded, kRounded, kRounded, kRounded, kInteger};
constexpr std::array<ColumnKind, sizeof(ActivationRow) / 8> kActivationColumns{kInteger, kInteger, kInteger, kInteger, kRounded, kRounded,
                                                                               kRounded, kRounded, kRounded, kRounded, kInteger,
                                                                               // saturated_ratio, dead_ratio, step
                                                                               kRounded, kRounded, kInteger};
static_assert(sizeof(Moments) == 11 * 8 && offsetof(TensorRow, states) == 18 * 8 && offsetof(ActivationRow, step) == 13 * 8,
              "the columns follow the members");
constexpr std::size_t kCountColumn = 0;
constexpr std::size_t kHistogramWords = sizeof(MagnitudeHistogram) / 8;

template <class Row, std::size_t kWords>
std::string pack(const std::vector<Row>& rows, const std::array<ColumnKind, kWords>& columns, const std::vector<std::uint64_t>* elements) {
  static_assert(sizeof(Row) == 8 * kWords);
  std::vector<std::uint64_t> words(rows.size());
  ColumnSetWriter set(rows.size());
  for (std::size_t k = 0; k < kWords; ++k) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(&words[i], reinterpret_cast<const char*>(&rows[i]) + 8 * k, 8);
      // What is as the schema says takes no room.
      if (k == kCountColumn && elements != nullptr) words[i] -= (*elements)[i];
    }
    set.add(k, words.data(), columns[k]);
  }
  return set.finish();
}

template <class Row, std::size_t kWords>
std::vector<Row> read(std::string_view bytes, const std::array<ColumnKind, kWords>&, std::size_t count,
                      const std::vector<std::uint64_t>* elements) {
  const ColumnSetReader set(bytes, count);
  std::vector<std::uint64_t> words(count);
  std::vector<Row> rows(count);
  for (std::size_t k = 0; k < kWords; ++k) {
    set.read(k, words.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (k == kCountColumn && elements != nullptr) words[i] += (*elements)[i];
      std::memcpy(reinterpret_cast<char*>(&rows[i]) + 8 * k, &words[i], 8);
    }
  }
  return rows;
}

}  // namespace

bool is_finite(const Frame& frame, const std::vector<std::uint64_t>& infinite) noexcept {
  for (std::size_t i = 0; i < frame.rows.size(); ++i) {
    const TensorRow& row = frame.rows[i];
    if (row.state == TensorRow::present && (row.moments.nan_count > 0 || row.moments.inf_count > infinite[i])) return false;
  }
  return true;
}

std::string pack_rows(const std::vector<TensorRow>& rows, const std::vector<std::uint64_t>& elements) {
  return pack(rows, kTensorColumns, &elements);
}

std::vector<TensorRow> read_rows(std::string_view bytes, const std::vector<std::uint64_t>& elements) {
  return read<TensorRow>(bytes, kTensorColumns, elements.size(), &elements);
}

TensorRow read_row(std::string_view bytes, const std::vector<std::uint64_t>& elements, std::size_t index) {
  const ColumnSetReader set(bytes, elements.size());
  std::vector<std::uint64_t> words(elements.size());
  TensorRow row;
  for (std::size_t k = 0; k < kTensorColumns.size(); ++k) {
    set.read(k, words.data());
    if (k == kCountColumn) words[index] += elements[index];
    std::memcpy(reinterpret_cast<char*>(&row) + 8 * k, &words[index], 8);
  }
  return row;
}

// A histogram is a column: its neighbouring counts are near each other, and one can be read alone.
std::string pack_histograms(const std::vector<MagnitudeHistogram>& histograms) {
  ColumnSetWriter set(kHistogramWords);
  std::array<std::uint64_t, kHistogramWords> words{};
  for (std::size_t i = 0; i < histograms.size(); ++i) {
    std::memcpy(words.data(), &histograms[i], sizeof words);
    set.add(i, words.data(), ColumnKind::integer);
  }
  return set.finish();
}

namespace {

MagnitudeHistogram read_histogram(const ColumnSetReader& set, std::size_t index) {
  std::array<std::uint64_t, kHistogramWords> words{};
  set.read(index, words.data());
  MagnitudeHistogram histogram;
  std::memcpy(static_cast<void*>(&histogram), words.data(), sizeof words);
  return histogram;
}

}  // namespace

MagnitudeHistogram read_histogram(std::string_view bytes, std::size_t index) {
  return read_histogram(ColumnSetReader(bytes, kHistogramWords), index);
}

std::vector<MagnitudeHistogram> read_histograms(std::string_view bytes, std::size_t count) {
  const ColumnSetReader set(bytes, kHistogramWords);
  std::vector<MagnitudeHistogram> histograms;
  for (std::size_t i = 0; i < count; ++i) histograms.push_back(read_histogram(set, i));
  return histograms;
}

std::string pack_activations(const std::vector<ActivationRow>& activations) { return pack(activations, kActivationColumns, nullptr); }

std::vector<ActivationRow> read_activations(std::string_view bytes, std::size_t count) {
  return read<ActivationRow>(bytes, kActivationColumns, count, nullptr);
}

}  // namespace vigil
