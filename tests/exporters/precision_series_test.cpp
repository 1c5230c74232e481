// What is exported of number formats and of sparsity, against a rounding of each element in long double.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "vigil/exporters/exposition.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

using namespace test;
using Values = std::vector<float>;

const std::string kTold = R"(run="shares",rank="0",parameter="fc.weight",layer="fc")";

// A tensor of each kind with these elements and magnitudes, and a parameter "plain" without.
std::shared_ptr<Snapshot> snapshot_of(const Values& values, const Values& plain = {1}) {
  Schema schema;
  schema.identity.run = "shares";
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient, TensorKind::buffer}) {
    RowSchema& row = schema.rows.emplace_back();
    row.kind = kind;
    row.name = "fc.weight";
    row.layer = "fc";
    row.element_count = values.size();
    row.histogram = static_cast<std::int32_t>(schema.histograms++);
  }
  RowSchema& bare = schema.rows.emplace_back();
  bare.name = "plain";
  bare.element_count = plain.size();
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->layers = std::make_shared<const std::vector<LayerLabel>>();
  snapshot->has_frame = true;
  snapshot->histograms.resize(schema.histograms);
  snapshot->rows.resize(schema.rows.size());
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    const Values& of = i < schema.histograms ? values : plain;
    MagnitudeHistogram* const histogram = i < schema.histograms ? &snapshot->histograms[i] : nullptr;
    snapshot->rows[i].moments = compute_moments(DType::float32, of.data(), of.size(), histogram);
    snapshot->rows[i].state = TensorRow::present;
  }
  snapshot->schema = std::make_shared<const Schema>(std::move(schema));
  return snapshot;
}

PrometheusConfig with_precision() {
  PrometheusConfig config;
  config.precision = true;
  return config;
}

std::optional<double> find_share(const std::vector<Family>& families, const std::string& name, const std::string& labels) {
  const Family* const family = find_family(families, name);
  if (family == nullptr) return std::nullopt;
  for (const Sample& sample : family->samples) {
    if (sample.labels->text() == labels) return sample.value;
  }
  return std::nullopt;
}

std::optional<double> find_share(const std::vector<Family>& families, const std::string& share, const std::string& format,
                                 const std::string& kind) {
  return find_share(families, "vigil_" + kind + "_format_" + share + "_ratio", kTold + ",format=\"" + format + "\"");
}

struct Shares {
  long double overflow = 0, underflow = 0, subnormal = 0;
};

// A binary format by its definition: `fraction` stored bits, normal numbers from 2^lowest on, finite ones up to `largest`.
struct Definition {
  const char* name;
  int fraction, lowest;
  long double largest;
};
constexpr Definition kDefinitions[]{
    {"float16", 10, -14, 65504}, {"bfloat16", 7, -126, 0x1.fep127L}, {"float8_e4m3", 3, -6, 448}, {"float8_e5m2", 2, -14, 57344}};

Shares shares_of(const Values& values, const Definition& format) {
  long double all = 0;
  Shares shares;
  for (const float value : values) {
    const long double magnitude = std::fabs(static_cast<long double>(value));
    if (!std::isfinite(value) || magnitude == 0) continue;
    ++all;
    const int exponent = std::max(std::ilogb(magnitude), format.lowest);
    const long double rounded = std::ldexp(std::nearbyint(std::ldexp(magnitude, format.fraction - exponent)), exponent - format.fraction);
    shares.overflow += rounded > format.largest ? 1 : 0;
    shares.underflow += rounded == 0 ? 1 : 0;
    shares.subnormal += rounded != 0 && magnitude <= std::ldexp(1.0L, format.lowest) ? 1 : 0;
  }
  for (long double Shares::*share : {&Shares::overflow, &Shares::underflow, &Shares::subnormal}) shares.*share /= std::max(all, 1.0L);
  return shares;
}

Values normal_values(std::size_t count, double scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Values values(count);
  for (float& value : values) value = static_cast<float>(scale * normal(random));
  return values;
}

TEST(PrecisionSeries, AreTheSharesThatRoundingEachElementLoses) {
  for (const double scale : {1.0, 0.02, 1e-3, 1e-5, 1e-7}) {
    Values values = normal_values(20'000, scale, 1);
    // Ties and bounds, and what counts in no share.
    for (int power = -27; power <= 4; ++power) values.push_back(std::ldexp(1.0F, power));
    for (int i = 0; i < 50; ++i) values.push_back(i % 2 == 0 ? 0.0F : -0.0F);
    for (const float value : {std::nanf(""), INFINITY, -INFINITY}) values.push_back(value);
    const std::vector<Family> families = families_of(*snapshot_of(values), with_precision());
    for (const char* kind : {"parameter", "gradient", "buffer"}) {
      for (const Definition& format : kDefinitions) {
        const Shares expected = shares_of(values, format);
        EXPECT_EQ(find_share(families, "overflow", format.name, kind), static_cast<double>(expected.overflow));
        if (format.lowest < MagnitudeHistogram::kLowestExponent) {
          EXPECT_FALSE(find_share(families, "underflow", format.name, kind)) << "not counted so far down, and so not 0";
          EXPECT_FALSE(find_share(families, "subnormal", format.name, kind));
          continue;
        }
        EXPECT_NEAR(find_share(families, "underflow", format.name, kind).value(), static_cast<double>(expected.underflow), 1e-12)
            << format.name << ' ' << scale;
        EXPECT_NEAR(find_share(families, "subnormal", format.name, kind).value(), static_cast<double>(expected.subnormal), 1e-12)
            << format.name << ' ' << scale;
      }
    }
  }
}

TEST(PrecisionSeries, OfOverflowAreAnUpperBoundThatIsZeroOnlyWhereNothingOverflows) {
  for (const double scale : {20.0, 200.0, 1e4, 1e5, 1e39}) {
    const Values values = normal_values(5000, scale, 2);  // of 1e39, infinities among them
    const auto snapshot = snapshot_of(values);
    auto measured = std::make_shared<Snapshot>(*snapshot);
    Schema schema = *snapshot->schema;
    schema.activations = 1;
    measured->schema = std::make_shared<const Schema>(schema);
    measured->activations.resize(1);
    measured->activations[0].moments = snapshot->rows[0].moments;
    measured->activations[0].step = 1;
    measured->layers = std::make_shared<const std::vector<LayerLabel>>(std::vector<LayerLabel>{{"fc", "train"}});
    const std::vector<Family> families = families_of(*measured, with_precision());
    for (const Definition& format : kDefinitions) {
      const double expected = static_cast<double>(shares_of(values, format).overflow);
      const double of_tensor = find_share(families, "overflow", format.name, "gradient").value();
      const double of_layer = value_of(families, "vigil_activation_format_overflow_ratio",
                                       R"(run="shares",rank="0",layer="fc",phase="train",format=")" + std::string(format.name) + "\"");
      for (const double share : {of_tensor, of_layer}) {
        EXPECT_EQ(share == 0, expected == 0) << format.name << ' ' << scale;
        EXPECT_GE(share, expected * (1 - 1e-12)) << format.name << ' ' << scale;
        EXPECT_LE(share, 1);
      }
      long double squares = 0, all = 0;
      for (const float value : values) {
        if (!std::isfinite(value) || value == 0) continue;
        squares += static_cast<long double>(value) * value;
        ++all;
      }
      // The last value that rounds to the largest: half a step above it.
      const long double step = std::ldexp(1.0L, std::ilogb(format.largest) - format.fraction);
      const long double border = format.largest + step / 2;
      const auto bound = expected > 0 ? static_cast<double>(std::min(1.0L, squares / (all * border * border))) : 0;
      EXPECT_NEAR(of_layer, bound, 1e-6 * bound);
    }
    EXPECT_FALSE(find_share(families, "overflow", "int8", "gradient")) << "it could not be but 0";
  }
}

TEST(PrecisionSeries, OfInt8AreWithinTheBucketOfTheBorder) {
  for (const double scale : {1.0, 0.01, 1e-4}) {
    Values values = normal_values(20'000, scale, 3);
    values[7] = static_cast<float>(30 * scale);
    long double largest = 0, zeros = 0, unsure = 0;
    for (const float value : values) largest = std::max(largest, std::fabs(static_cast<long double>(value)));
    const long double step = largest / 127;
    for (const float value : values) {
      zeros += std::nearbyint(std::fabs(static_cast<long double>(value)) / step) == 0 ? 1 : 0;
      unsure += std::ilogb(value) == std::ilogb(step / 2) ? 1 : 0;
    }
    const std::vector<Family> families = families_of(*snapshot_of(values), with_precision());
    const double share = find_share(families, "underflow", "int8", "parameter").value();
    EXPECT_NEAR(share, static_cast<double>(zeros / 20'000), static_cast<double>(unsure / 20'000)) << scale;
    EXPECT_NEAR(share, static_cast<double>(zeros / 20'000), 0.005) << "a normal density is nearly flat there";
    EXPECT_FALSE(find_share(families, "subnormal", "int8", "parameter"));
  }
  // 1/254 of the largest is below what is counted.
  EXPECT_FALSE(find_share(families_of(*snapshot_of(normal_values(100, 1e-8, 4)), with_precision()), "underflow", "int8", "parameter"));
}

TEST(PrecisionSeries, AreAbsentWhereNothingIsKnownAndZeroWhereNothingIsLost) {
  const auto has_any = [](const std::vector<Family>& families) {
    for (const Family& family : families) {
      if (family.name.find("_format_") != std::string_view::npos) return true;
    }
    return false;
  };
  const auto told = snapshot_of({1, 2});
  EXPECT_FALSE(has_any(families_of(*told))) << "not asked for";
  EXPECT_TRUE(has_any(families_of(*told, with_precision())));
  EXPECT_FALSE(has_any(families_of(*snapshot_of({std::nanf(""), INFINITY}), with_precision()))) << "no finite element";
  auto without = std::make_shared<Snapshot>(*told);
  without->histograms.clear();
  EXPECT_FALSE(has_any(families_of(*without, with_precision())));
  auto gone = std::make_shared<Snapshot>(*told);
  for (TensorRow& row : gone->rows) row.state = TensorRow::unreadable;
  EXPECT_FALSE(has_any(families_of(*gone, with_precision())));

  const std::vector<Family> zeros = families_of(*snapshot_of({0, -0.0F, 0}), with_precision());
  for (const char* share : {"overflow", "underflow", "subnormal"}) EXPECT_EQ(find_share(zeros, share, "float8_e4m3", "parameter"), 0);
  for (const Sample& sample : find_family(zeros, "vigil_parameter_format_underflow_ratio")->samples)
    EXPECT_EQ(sample.labels->text().find("plain"), std::string::npos) << "has no magnitudes";
}

TEST(PrecisionSeries, OfATensorAreElevenAndComeBeforeItsMagnitudes) {
  const auto snapshot = snapshot_of(normal_values(1000, 0.1, 5));
  const auto series = [&](std::int64_t room) {
    PrometheusConfig config = with_precision();
    config.max_series = static_cast<std::int64_t>(4 * kStatistics.size()) + room;
    const SeriesPlan plan(*snapshot->schema, config);
    const ParsedText text = parse_prometheus_text(render_exposition(*snapshot, plan, TextFormat::prometheus));
    std::pair<std::size_t, std::size_t> counts;
    for (const auto& [key, value] : text.values) {
      if (key.find("_format_") != std::string::npos) ++counts.first;
      if (key.find("_magnitude") != std::string::npos) ++counts.second;
    }
    EXPECT_EQ(static_cast<std::uint64_t>(text.values.at(series_key("vigil_series_dropped_total", {{"run", "shares"}, {"rank", "0"}}))),
              3u * (11 + 38) - counts.first - counts.second);
    return counts;
  };
  EXPECT_EQ(series(10), (std::pair<std::size_t, std::size_t>{0, 0}));
  EXPECT_EQ(series(11 + 10), (std::pair<std::size_t, std::size_t>{11, 0}));
  EXPECT_EQ(series(3 * 11 + 37), (std::pair<std::size_t, std::size_t>{33, 0}));
  EXPECT_EQ(series(3 * 11 + 38), (std::pair<std::size_t, std::size_t>{33, 38}));
}

TEST(PrecisionSeries, OfLayersTakeTheirRoomToo) {
  TestRun run;
  run.publish_frame(4);
  run.publish_step(4);
  const auto snapshot = run.snapshot();
  PrometheusConfig config = with_precision();
  const std::int64_t tensors = static_cast<std::int64_t>(7 * kStatistics.size()) + 2 * 3 + 5 + 2 * (11 + 38);
  for (const std::int64_t layers : {0, 1, 2}) {
    config.max_series = tensors + 13 * layers + 12;
    const Family* const family = find_family(families_of(*snapshot, config), "vigil_activation_format_overflow_ratio");
    EXPECT_EQ(family == nullptr, layers == 0);
    const auto families = families_of(*snapshot, config);
    if (layers > 0) {
      EXPECT_EQ(find_family(families, "vigil_activation_format_overflow_ratio")->samples.size(), static_cast<std::size_t>(4 * layers));
    }
  }
}

TEST(PrecisionSeries, OfNamesThatNeedEscapingAreReadBack) {
  Schema schema = make_schema();
  schema.rows[0].name = "a\"\\\n\xff{}=,.weight";
  TestRun run(schema);
  run.publish_frame(1);
  const SeriesPlan plan(schema, with_precision());
  for (const TextFormat format : {TextFormat::prometheus, TextFormat::openmetrics}) {
    const std::string text = render_exposition(*run.snapshot(), plan, format);
    const ParsedText parsed = format == TextFormat::prometheus ? parse_prometheus_text(text) : parse_openmetrics_text(text);
    EXPECT_EQ(parsed.families.at("vigil_parameter_format_overflow_ratio").series.size(), 4u);
    EXPECT_EQ(parsed.families.at("vigil_parameter_format_overflow_ratio").type, "gauge");
  }
}

// "<tensor> <format> <verdict>": number, of those that are not 0.
std::map<std::string, double> advised(const Snapshot& snapshot) {
  std::map<std::string, double> counts;
  const std::vector<Family> families = families_of(snapshot);
  const Family* const family = find_family(families, "vigil_precision_advice_tensors");
  if (family == nullptr) return counts;
  for (const Sample& sample : family->samples) {
    const std::vector<Label>& labels = sample.labels->labels();
    if (sample.value > 0) counts[labels.at(2).value + ' ' + labels.at(3).value + ' ' + labels.at(4).value] = sample.value;
  }
  return counts;
}

TEST(PrecisionAdviceCounts, AreOfEachKindByFormatAndVerdict) {
  // About 0.02: safe in float16, wants scaling in E4M3.
  auto snapshot = snapshot_of(normal_values(50'000, 0.02, 6));
  snapshot->activations.resize(3);
  for (const std::size_t i : {0, 1}) {
    snapshot->activations[i].step = 1;
    snapshot->activations[i].moments = snapshot->rows[0].moments;
  }
  snapshot->activations[1].moments.max = 1000;
  const Values nothing{std::nanf("")};
  snapshot->rows[2].moments = compute_moments(DType::float32, nothing.data(), 1, &snapshot->histograms[2]);
  std::map<std::string, double> expected;
  for (const char* kind : {"parameter ", "gradient "}) {  // the buffer has no finite element, "plain" no magnitudes
    for (const char* advice : {"float16 safe", "bfloat16 safe", "float8_e4m3 safe_scaled", "int8 safe"})
      expected[kind + std::string(advice)] = 1;
    expected[kind + std::string("float8_e5m2 safe")] = 1;
  }
  for (const char* format : {"float16", "bfloat16", "float8_e5m2"}) expected["activation " + std::string(format) + " out_of_sight"] = 2;
  expected["activation float8_e4m3 out_of_sight"] = expected["activation float8_e4m3 unsafe"] = 1;
  EXPECT_EQ(advised(*snapshot), expected);
}

TEST(PrecisionAdviceCounts, AddUpToTheTensorsAndAreAbsentWithoutOne) {
  const auto snapshot = make_running_snapshot();
  std::map<std::string, double> sums;
  const std::vector<Family> families = families_of(*snapshot);
  for (const Sample& sample : find_family(families, "vigil_precision_advice_tensors")->samples)
    sums[sample.labels->labels().at(2).value + ' ' + sample.labels->labels().at(3).value] += sample.value;
  EXPECT_EQ(sums.size(), 3u * kNumberFormats.size() - 1);
  EXPECT_EQ(find_family(families, "vigil_precision_advice_tensors")->samples.size(), 2u * (5 * 4 - 2) + 4 * 2)
      << "no verdict that cannot be";
  for (const NumberFormat& format : kNumberFormats) {
    EXPECT_EQ(sums["parameter " + std::string(format.name)], 1);
    EXPECT_EQ(sums["gradient " + std::string(format.name)], 1);
    EXPECT_EQ(sums["activation " + std::string(format.name)], format.is_uniform ? 0 : 2) << "one was not measured";
  }
  EXPECT_TRUE(advised(*make_first_snapshot()).empty());
}

TEST(Sparsity, IsTheShareOfZerosOverAllElementsOfAllParameters) {
  Values half = normal_values(1000, 1, 7), tenth = normal_values(30, 1, 8);
  for (std::size_t i = 0; i < 500; ++i) half[2 * i] = i % 2 == 0 ? 0.0F : -0.0F;
  for (std::size_t i = 0; i < 3; ++i) tenth[i] = 0;
  tenth[5] = std::nanf("");
  tenth[6] = INFINITY;
  tenth[7] = std::numeric_limits<float>::denorm_min();  // is not zero
  const auto snapshot = snapshot_of(half, tenth);
  const auto share = [](const Snapshot& of) {
    return find_share(families_of(of), "vigil_model_sparsity_ratio", R"(run="shares",rank="0")");
  };
  EXPECT_DOUBLE_EQ(share(*snapshot).value(), static_cast<double>(503.0L / 1030.0L)) << "of parameters, each element counting the same";
  snapshot->rows[0].state = TensorRow::unreadable;
  EXPECT_DOUBLE_EQ(share(*snapshot).value(), static_cast<double>(3.0L / 30.0L));
  snapshot->rows[3].state = TensorRow::absent;
  EXPECT_FALSE(share(*snapshot)) << "of gradients and buffers there are some";
  EXPECT_FALSE(share(*make_first_snapshot()));
  PrometheusConfig none;
  none.per_parameter = PerParameter::none;
  EXPECT_NE(find_family(families_of(*make_running_snapshot(), none), "vigil_model_sparsity_ratio"), nullptr)
      << "needs no series of tensors";
}

}  // namespace
}  // namespace vigil
