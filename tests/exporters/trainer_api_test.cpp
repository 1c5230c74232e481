// What a trainer's own endpoint answers below /api/v1/, for its page.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "http/http_client.h"
#include "vigil/exporters/export_thread.h"
#include "vigil/monitor/number_format.h"

namespace vigil {
namespace {

using namespace test;

class TrainerApi : public testing::Test {
 protected:
  static Config config(std::int64_t history_bytes = 1 << 20) {
    Config config;
    config.exporters.interval_ms = 60'000;
    config.exporters.prometheus.port = 0;
    config.exporters.prometheus.history_bytes = history_bytes;
    config.exporters.report.enabled = false;
    return config;
  }
  struct Answer {
    long status = 0;
    nlohmann::json body;
  };
  static Answer ask(const ExportThread& exporting, const std::string& path) {
    const HttpAnswer answer = request(exporting.endpoint(), "/api/v1" + path);
    EXPECT_EQ(answer.headers.at("content-type"), "application/json");
    return {answer.status, nlohmann::json::parse(answer.body)};
  }

  // As a query has it: run is mnist "a\b".
  const std::string kRun = "run=mnist%20%22a%5Cb%22";
  CapturedLog captured_;
  TestRun run_;
};

TEST_F(TrainerApi, TellsItsOneRun) {
  ExportThread exporting(run_.channel(), config());
  run_.publish_step(1);
  run_.publish_step(2);
  exporting.refresh();
  const nlohmann::json runs = ask(exporting, "/runs").body.at("runs");
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].at("run"), "mnist \"a\\b\"");
  EXPECT_EQ(runs[0].at("step"), 2);
  ASSERT_EQ(runs[0].at("attempts").size(), 1u);
  EXPECT_EQ(runs[0].at("attempts")[0].at("attempt"), 1);
  EXPECT_EQ(runs[0].at("attempts")[0].at("steps"), 2);
  const nlohmann::json info = ask(exporting, "/info").body;
  EXPECT_EQ(info.at("program"), "trainer");
  EXPECT_EQ(info.at("history"), true);
}

TEST_F(TrainerApi, FollowsItsSteps) {
  ExportThread exporting(run_.channel(), config());
  for (std::uint64_t step = 1; step <= 20; ++step) run_.publish_step(step);
  exporting.refresh();
  const nlohmann::json first = ask(exporting, "/series?" + kRun + "&name=examples").body;
  EXPECT_EQ(first.at("series")[0].at("steps").size(), 20u);
  run_.publish_step(21);
  exporting.refresh();
  const nlohmann::json more = ask(exporting, "/series?" + kRun + "&name=examples&since=" + first.at("next").get<std::string>()).body;
  ASSERT_EQ(more.at("series")[0].at("steps").size(), 1u);
  EXPECT_EQ(more.at("series")[0].at("steps")[0], 21);
  EXPECT_EQ(ask(exporting, "/series?run=other&name=loss").status, 404);
  EXPECT_EQ(ask(exporting, "/series?" + kRun + "&name=no").status, 400);
}

TEST_F(TrainerApi, TellsWhatMetricsTellBesideTensors) {
  ExportThread exporting(run_.channel(), config());
  run_.publish_step(3);
  exporting.refresh();
  const nlohmann::json answer = ask(exporting, "/metrics?" + kRun).body;
  const ParsedText text = parse_prometheus_text(request(exporting.endpoint(), "/metrics").body);
  std::size_t compared = 0;
  for (const nlohmann::json& metric : answer.at("metrics")) {
    for (const nlohmann::json& sample : metric.at("samples")) {
      const nlohmann::json& labels = sample.at("labels");
      if (labels.size() != 2 || !labels.contains("run") || !sample.at("value").is_number()) continue;
      const auto found = text.values.find(series_key(metric.at("name"), {{"run", labels.at("run")}, {"rank", labels.at("rank")}}));
      ASSERT_NE(found, text.values.end()) << metric.at("name");
      EXPECT_EQ(found->second, sample.at("value").get<double>()) << metric.at("name");
      ++compared;
    }
  }
  EXPECT_GT(compared, 15u);
  const nlohmann::json own = ask(exporting, "/metrics").body.at("metrics");
  EXPECT_TRUE(
      std::any_of(own.begin(), own.end(), [](const nlohmann::json& one) { return one.at("name") == "process_resident_memory_bytes"; }));
}

TEST_F(TrainerApi, TellsWhatFormatsLoseOfEachTensorAndWhatIsAdvised) {
  ExportThread exporting(run_.channel(), config());
  run_.publish_frame(1);
  run_.publish_step(1);
  exporting.refresh();
  const nlohmann::json answer = ask(exporting, "/tensors?" + kRun).body;
  std::size_t counted = 0;
  for (const nlohmann::json& tensor : answer.at("tensors")) {
    EXPECT_EQ(tensor.contains("precision"), tensor.at("tensor") == "conv.weight") << "magnitudes of no other are counted";
    if (!tensor.contains("precision")) continue;
    const std::size_t row = tensor.at("kind") == "parameter" ? 0 : 3;
    const PrecisionAdvice advice = advise(make_histogram(row), make_moments(row), tensor.at("dtype").get<std::string>());
    for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
      const nlohmann::json& told = tensor.at("precision").at(std::string(kNumberFormats[i].name));
      const FormatLoss& loss = advice[i].loss;
      EXPECT_EQ(told.at("overflow"), loss.overflow);
      EXPECT_EQ(told.contains("underflow"), loss.underflow.has_value());
      EXPECT_EQ(told.value("underflow", 0.0), loss.underflow.value_or(0));
      EXPECT_EQ(told.contains("subnormal"), loss.subnormal.has_value());
      EXPECT_EQ(told.at("verdict"), kFormatVerdictNames[static_cast<std::size_t>(advice[i].verdict)]);
      EXPECT_EQ(told.value("scale", 0), advice[i].scale);
      ++counted;
    }
  }
  EXPECT_EQ(counted, 2 * kNumberFormats.size());
  const nlohmann::json& of_layer = answer.at("activations").at(0).at("precision");
  EXPECT_EQ(of_layer.size(), 4u) << of_layer;
  EXPECT_EQ(of_layer.at("float8_e4m3").at("overflow"), 0);
}

TEST_F(TrainerApi, TellsNothingOfFormatsWhereNoElementIsFinite) {
  ExportThread exporting(run_.channel(), config());
  const Schema& schema = run_.channel()->schema();
  std::vector<TensorRow> rows(schema.rows.size());
  for (TensorRow& row : rows) {
    row.state = TensorRow::present;
    row.moments.count = row.moments.nan_count = 4;
  }
  const std::vector<MagnitudeHistogram> histograms(schema.histograms);
  run_.channel()->publish(FrameHeader{1, 0, 0}, rows.data(), histograms.data());
  run_.publish_step(1);
  exporting.refresh();
  const nlohmann::json answer = ask(exporting, "/tensors?" + kRun).body;
  ASSERT_FALSE(answer.at("tensors").empty());
  for (const nlohmann::json& tensor : answer.at("tensors")) EXPECT_FALSE(tensor.contains("precision")) << tensor;
}

TEST_F(TrainerApi, KeepsNothingWhereItMayNot) {
  ExportThread exporting(run_.channel(), config(0));
  run_.publish_step(1);
  exporting.refresh();
  EXPECT_EQ(ask(exporting, "/info").body.at("history"), false);
  EXPECT_EQ(ask(exporting, "/runs").body.at("runs")[0].at("step"), 1);
  const Answer answer = ask(exporting, "/series?" + kRun + "&name=loss");
  EXPECT_EQ(answer.status, 503);
  EXPECT_NE(answer.body.at("error").get<std::string>().find("exporters.prometheus.history_bytes"), std::string::npos);
}

TEST_F(TrainerApi, AnEventIsToldOnceWithItsWords) {
  ExportThread exporting(run_.channel(), config());
  run_.publish_step(1);
  exporting.refresh();
  const nlohmann::json answer = ask(exporting, "/events?" + kRun).body;
  ASSERT_FALSE(answer.at("events").empty());
  EXPECT_EQ(answer.at("events")[0].at("kind"), "state");
  EXPECT_TRUE(answer.at("events")[0].at("details").contains("state"));
  const nlohmann::json later = ask(exporting, "/events?" + kRun + "&since=" + std::to_string(answer.at("next").get<int>())).body;
  EXPECT_TRUE(later.at("events").empty());
}

TEST_F(TrainerApi, PhasesAndCheckpointsAreEvents) {
  ExportThread exporting(run_.channel(), config());
  const int validation = run_.channel()->phase_names().find_or_append("validation");
  ASSERT_GT(validation, 0);
  const std::uint64_t before = run_.record().flags;
  run_.publish_step(1);
  run_.record().flags = before | StepRecord::saved_checkpoint | static_cast<std::uint64_t>(validation) << StepRecord::kPhaseShift;
  run_.publish_step(2);
  exporting.refresh();
  std::vector<std::string> told;
  const nlohmann::json answer = ask(exporting, "/events?" + kRun).body;
  for (const nlohmann::json& event : answer.at("events")) {
    if (event.at("kind") == "state") continue;
    told.push_back(event.at("kind").get<std::string>() + " " + event.at("step").dump() + " " + event.at("details").dump());
  }
  EXPECT_EQ(told, (std::vector<std::string>{R"(phase 1 {"phase":"validation"})", "checkpoint 1 {}"}));
}

TEST_F(TrainerApi, LargeAnswersAreCompressed) {
  ExportThread exporting(run_.channel(), config());
  for (std::uint64_t step = 1; step <= 60; ++step) run_.publish_step(step);
  exporting.refresh();
  const std::string path = "/api/v1/series?" + kRun + "&name=loss&name=gradient_norm&name=examples&name=step_seconds&name=vigil_seconds";
  const HttpAnswer plain = request(exporting.endpoint(), path), compressed = request(exporting.endpoint(), path, {"Accept-Encoding: gzip"});
  ASSERT_GT(plain.body.size(), 4096u);
  EXPECT_EQ(compressed.headers.at("content-encoding"), "gzip");
  EXPECT_EQ(gunzip(compressed.body), plain.body);
}

}  // namespace
}  // namespace vigil
