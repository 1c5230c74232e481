// The exposition that is written straight from a snapshot's rows, against the families it has to agree with to the byte.
#include "vigil/exporters/exposition.h"

#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "http/http_client.h"
#include "vigil/exporters/gzip_stream.h"
#include "vigil/exporters/process_metrics.h"
#include "vigil/exporters/text_writer.h"

namespace vigil {
namespace {

using namespace test;

// Both ways and both forms, in both formats; returns the text of the first.
std::string expect_same_under(const Snapshot& snapshot, const PrometheusConfig& config) {
  const SeriesPlan plan(*snapshot.schema, config);
  for (const std::vector<Family>& more : {std::vector<Family>{}, make_process_families()}) {
    std::vector<Family> families = make_families(snapshot, plan);
    families.insert(families.end(), more.begin(), more.end());
    for (const TextFormat format : {TextFormat::prometheus, TextFormat::openmetrics}) {
      const std::string expected = render_text(families, format);
      EXPECT_EQ(render_exposition(snapshot, plan, format, more), expected);
      EXPECT_EQ(gunzip(render_gzip_exposition(snapshot, plan, format, more)), expected);
    }
  }
  return render_exposition(snapshot, plan, TextFormat::prometheus);
}

// Likewise, also with what formats lose; returns the text without.
std::string expect_same(const Snapshot& snapshot, PrometheusConfig config = {}) {
  config.precision = true;
  expect_same_under(snapshot, config);
  config.precision = false;
  return expect_same_under(snapshot, config);
}

TEST(Exposition, IsWhatTheFamiliesOfARunAre) {
  expect_same(*make_first_snapshot());
  const std::string text = expect_same(*make_running_snapshot());
  EXPECT_NE(text.find("\nvigil_parameter_magnitude_bucket{run=\"mnist \\\"a\\\\b\\\"\",rank=\"0\",parameter=\"conv.weight\",layer=\"conv\","
                      "le=\"3.725290298461914e-09\"} 1\n"),
            std::string::npos)
      << text;
}

TEST(Exposition, IsTheSameWithTensorsThatAreAbsentOrUnreadable) {
  for (std::size_t i = 0; i < make_schema().rows.size(); ++i) {
    for (const TensorRow::State state : {TensorRow::absent, TensorRow::unreadable}) {
      auto snapshot = std::make_shared<Snapshot>(*make_running_snapshot());
      snapshot->rows[i].state = state;
      expect_same(*snapshot);
    }
  }
}

TEST(Exposition, HasNoTensorFamilyWithoutATensor) {
  auto snapshot = std::make_shared<Snapshot>(*make_running_snapshot());
  for (TensorRow& row : snapshot->rows) row.state = TensorRow::absent;
  EXPECT_EQ(expect_same(*snapshot).find("vigil_parameter_mean"), std::string::npos);
  snapshot->has_frame = false;
  expect_same(*snapshot);
}

TEST(Exposition, IsTheSameWithValuesThatAreNotFinite) {
  auto snapshot = std::make_shared<Snapshot>(*make_running_snapshot());
  double values[] = {kNan, -kNan, kInf, -kInf, -0.0, std::numeric_limits<double>::denorm_min(), -std::numeric_limits<double>::max()};
  for (const double value : values) {
    for (TensorRow& row : snapshot->rows) {
      row.moments.mean = row.moments.min = row.moments.max = row.moments.l1 = value;
      row.moments.sum_squares = row.moments.m2 = std::fabs(value);
      row.update_norm = value;
    }
    expect_same(*snapshot);
  }
}

TEST(Exposition, IsTheSameUnderEveryBoundOfSeries) {
  TestRun large(make_large_schema(4));
  large.publish_frame(1);
  auto holes = std::make_shared<Snapshot>(*large.snapshot());
  holes->rows[8].state = TensorRow::absent;
  holes->rows[11].state = TensorRow::unreadable;
  for (std::int64_t bound = 0; bound <= 200; bound += 5) {
    PrometheusConfig config;
    config.max_series = bound;
    expect_same(*holes, config);
    expect_same(*make_running_snapshot(), config);
  }
}

TEST(Exposition, IsTheSameWhereARowHasNoHistogramInTheFrame) {
  auto snapshot = std::make_shared<Snapshot>(*make_running_snapshot());
  snapshot->histograms.resize(1);
  EXPECT_EQ(expect_same(*snapshot).find("vigil_gradient_magnitude"), std::string::npos);
}

TEST(Exposition, HoldsLabelsOfAnyLength) {
  Schema schema = make_schema();
  schema.rows[0].name = std::string(100'000, 'x') + ".weight";
  schema.rows[3].name = std::string(20'000, 'y') + "\xff\"\n";
  TestRun run(schema);
  run.publish_frame(1);
  expect_same(*run.snapshot());
}

TEST(Exposition, CountsItsTensorSeries) {
  for (const std::int64_t bound : {0, 40, 63, 70, 90, 110, 10000, -10000}) {
    PrometheusConfig config;
    config.max_series = std::abs(bound);
    config.precision = bound < 10000;
    const ParsedText parsed = parse_prometheus_text(expect_same_under(*make_running_snapshot(), config));
    double series = 0;
    for (const auto& [key, value] : parsed.values) {
      const bool of_a_tensor = key.find("layer=\"") != std::string::npos || key.find("parameter=\"") != std::string::npos;
      const bool is_bounded_elsewhere = key.rfind("vigil_nonfinite_origin_info", 0) == 0 || key.rfind("vigil_alert_active", 0) == 0;
      if (of_a_tensor && !is_bounded_elsewhere) ++series;
    }
    EXPECT_EQ(parsed.values.at(series_key("vigil_series", {{"run", "mnist \"a\\b\""}, {"rank", "0"}})), series) << bound;
    EXPECT_LE(series, static_cast<double>(config.max_series));
  }
}

std::string by_the_library(double value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

TEST(WriteNumber, SpellsCountsAsToCharsDoes) {
  char text[kNumberBytes];
  for (std::int64_t i = -100'010; i <= 100'010; ++i) {
    for (const double value : {static_cast<double>(i), static_cast<double>(i) + 0.5}) {
      ASSERT_EQ(std::string(text, write_number(text, value)), by_the_library(value));
    }
  }
  for (const double value : {-0.0, 1e15, 123456789.0, 9007199254740993.0, 1e22, 99999.99999999999}) {
    EXPECT_EQ(std::string(text, write_number(text, value)), by_the_library(value));
  }
}

TEST(GzipStream, GivesBackWhatWasWrittenPieceByPiece) {
  std::string text;
  std::uint32_t random = 1;
  for (int i = 0; i < 1'000'000; ++i) text += static_cast<char>((random = random * 1664525u + 1013904223u) >> 24);  // does not shrink
  text += std::string(1'000'000, 'a');
  for (const std::size_t piece : {std::size_t{1000}, std::size_t{65536}, text.size()}) {
    GzipStream gzip;
    for (std::size_t i = 0; i < text.size(); i += piece) gzip.write(std::string_view(text).substr(i, piece));
    const std::string compressed = gzip.finish();
    EXPECT_TRUE(gunzip(compressed) == text) << piece;
    EXPECT_LT(compressed.size(), 1'020'000u) << piece;
  }
  EXPECT_EQ(gunzip(GzipStream().finish()), "");
}

}  // namespace
}  // namespace vigil
