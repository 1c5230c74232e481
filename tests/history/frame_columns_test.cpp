#include "vigil/history/frame_columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "daemon/history_run.h"
#include "vigil/history/column_codec.h"

namespace vigil {
namespace {

using test::make_frame;
using test::make_history_schema;

std::vector<std::uint64_t> elements(const Schema& schema) {
  std::vector<std::uint64_t> counts;
  for (const RowSchema& row : schema.rows) counts.push_back(row.element_count);
  return counts;
}

void expect_near(double read, double written) {
  if (std::isnan(written)) {
    EXPECT_TRUE(std::isnan(read));
  } else {
    EXPECT_EQ(read, static_cast<double>(static_cast<float>(written)));
  }
}

void expect_same(const Moments& read, const Moments& written) {
  EXPECT_EQ(read.count, written.count);
  EXPECT_EQ(read.nan_count, written.nan_count);
  EXPECT_EQ(read.inf_count, written.inf_count);
  EXPECT_EQ(read.zero_count, written.zero_count);
  EXPECT_EQ(read.min, written.min) << "of a float32 tensor it is a float";
  EXPECT_EQ(read.max, written.max);
  for (const auto member : {&Moments::mean, &Moments::l1, &Moments::m2, &Moments::sum_squares}) expect_near(read.*member, written.*member);
  EXPECT_EQ(read.scale_exponent, written.scale_exponent);
}

TEST(FrameColumns, CountsAreExactAndNumbersTheNearestFloat) {
  const Schema schema = make_history_schema("a", 50);
  const auto frame = make_frame(schema, 1, 300, false);
  const auto rows = read_rows(pack_rows(frame.rows, elements(schema)), elements(schema));
  ASSERT_EQ(rows.size(), frame.rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TensorRow &read = rows[i], &written = frame.rows[i];
    expect_same(read.moments, written.moments);
    EXPECT_EQ(read.state, written.state);
    EXPECT_EQ(read.states, written.states);
    for (const auto member : {&TensorRow::update_norm, &TensorRow::distance, &TensorRow::cosine})
      expect_near(read.*member, written.*member);
    for (std::size_t k = 0; k < 3; ++k) expect_near(read.state_norms[k], written.state_norms[k]);
    const TensorRow alone = read_row(pack_rows(frame.rows, elements(schema)), elements(schema), i);
    EXPECT_EQ(std::memcmp(&alone, &read, sizeof read), 0);
  }
}

TEST(FrameColumns, StatisticsOfHugeValuesAreNotRoundedToInfinity) {
  const Schema schema = make_history_schema("a", 2);
  auto frame = make_frame(schema, 1, 300);
  frame.rows[1].moments.max = 1e200;
  frame.rows[1].moments.sum_squares = 1.5;
  frame.rows[1].moments.scale_exponent = 665;
  const auto rows = read_rows(pack_rows(frame.rows, elements(schema)), elements(schema));
  EXPECT_EQ(rows[1].moments.max, 1e200);
  EXPECT_EQ(rows[1].moments.scale_exponent, 665);
}

TEST(FrameColumns, HistogramsAndActivationsComeBack) {
  const Schema schema = make_history_schema("a", 4);
  const auto frame = make_frame(schema, 5, 777);
  const std::string histograms = pack_histograms(frame.histograms);
  for (std::size_t i = 0; i < frame.histograms.size(); ++i) {
    const MagnitudeHistogram read = read_histogram(histograms, i);
    EXPECT_EQ(std::memcmp(&read, &frame.histograms[i], sizeof read), 0);
  }
  const auto activations = read_activations(pack_activations(frame.activations), frame.activations.size());
  for (std::size_t i = 0; i < activations.size(); ++i) {
    expect_same(activations[i].moments, frame.activations[i].moments);
    EXPECT_EQ(activations[i].step, 700u);
    expect_near(activations[i].dead_ratio, frame.activations[i].dead_ratio);
    expect_near(activations[i].saturated_ratio, frame.activations[i].saturated_ratio);
  }
}

TEST(FrameColumns, AFrameOfSixHundredTensorsTakesLessThanAQuarter) {
  const Schema schema = make_history_schema("a", 300);
  const auto frame = make_frame(schema, 5, 777);
  const std::size_t bytes = pack_rows(frame.rows, elements(schema)).size();
  RecordProperty("bytes", static_cast<int>(bytes));
  EXPECT_LT(bytes, frame.rows.size() * sizeof(TensorRow) / 4);
}

TEST(FrameColumns, BytesOfAnotherSchemaOrDamagedOnesAreTold) {
  const Schema schema = make_history_schema("a", 4), other = make_history_schema("a", 5);
  const auto frame = make_frame(schema, 5, 777);
  std::string bytes = pack_rows(frame.rows, elements(schema));
  EXPECT_THROW(read_rows(bytes, elements(other)), DamagedData);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  EXPECT_THROW(read_rows(bytes, elements(schema)), DamagedData);
  EXPECT_THROW(read_rows("", elements(schema)), DamagedData);
}

}  // namespace
}  // namespace vigil
