// The report of a streak: what is in it, where it lies, and what happens when it cannot be written.
#include "vigil/exporters/report_exporter.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "vigil/exporters/export_thread.h"

namespace vigil {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Report : public testing::Test {
 protected:
  Report() {
    directory = fs::temp_directory_path() / ("vigil-report-" + std::to_string(getpid()));
    fs::remove_all(directory);
    fs::create_directory(directory);
    Schema schema = test::make_schema();
    schema.identity.world_size = 1;
    run.emplace(schema, ChannelBounds{512, 1 << 20});
  }
  ~Report() override { fs::remove_all(directory); }
  ReportConfig config(std::int64_t max_files = 10) const { return {true, directory.string(), max_files}; }
  // As the export thread does.
  void feed(ReportExporter& exporter, RunFollower& follower) {
    follower.poll([&](const StepRecord& record, const double* scalars) { exporter.on_step(record, scalars); }, {},
                  [&](const NonfiniteEvent& event) { exporter.on_event(event); });
    exporter.on_poll();
  }
  json read(const std::string& name) const {
    std::ifstream file(directory / name);
    return json::parse(file);
  }
  std::size_t files() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator())); }

  test::CapturedLog captured;
  fs::path directory;
  std::optional<test::TestRun> run;
};

constexpr const char* kName = "vigil-nan-mnist__a_b_-40.json";

TEST_F(Report, HasTheEventTheRunAndWhatCameBefore) {
  ReportExporter exporter(config(), *run->channel());
  RunFollower follower(*run->channel());
  for (std::uint64_t step = 1; step < 40; ++step) {
    if (step % 2 == 0) run->publish_frame(step);
    run->publish_step(step, 1.0 / static_cast<double>(step));
  }
  run->publish_nonfinite_step(40, 1);
  feed(exporter, follower);
  const json report = read(kName);
  EXPECT_EQ(report["run"]["run"], "mnist \"a\\b\"");
  EXPECT_EQ(report["nonfinite"]["step"], 40);
  EXPECT_EQ(report["nonfinite"]["found_by"], "bracket");
  EXPECT_EQ(report["nonfinite"]["nearest_finite"], "scale");
  ASSERT_EQ(report["steps"].size(), 40u);
  EXPECT_EQ(report["steps"][9]["loss"], 1.0 / 10);
  EXPECT_EQ(report["steps"][39]["loss"], "NaN");
  EXPECT_EQ(report["steps"][39]["nonfinite"], true);
  ASSERT_EQ(report["frames"].size(), ReportExporter::kFrames);
  EXPECT_EQ(report["frames"].back()["step"], 38);
  EXPECT_EQ(report["frames"].back()["tensors"].size(), 7u);
  EXPECT_EQ(report["frames"].back()["tensors"][3]["l2_norm"], l2_norm(test::make_moments(3)));
  EXPECT_EQ(report["frames"].back()["activations"][1]["dead_ratio"], 0.25);
  struct stat status {};
  ASSERT_EQ(stat((directory / kName).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640);
  EXPECT_EQ(captured.count("a report of step 40 is in "), 1u);
}

TEST_F(Report, IsWrittenAnewWhenAReplayHasFoundMore) {
  ReportExporter exporter(config(), *run->channel());
  RunFollower follower(*run->channel());
  run->publish_nonfinite_step(40, 1);
  feed(exporter, follower);
  run->publish_replay(40);
  feed(exporter, follower);
  EXPECT_EQ(read(kName)["nonfinite"]["operation"], "LogBackward0");
  EXPECT_EQ(read(kName)["nonfinite"]["operands"][0]["tensor"], "float32 [4]");
  EXPECT_EQ(files(), 1u);
}

TEST_F(Report, WaitsForTheRecordOfItsStep) {
  ReportExporter exporter(config(), *run->channel());
  RunFollower follower(*run->channel());
  run->publish_step(39);
  run->publish_replay(40);  // an event whose step has not ended
  NonfiniteEvent event;
  event.step = 40;
  exporter.on_event(event);
  feed(exporter, follower);
  EXPECT_EQ(read(kName)["steps"].size(), 1u);
  run->publish_step(40);
  feed(exporter, follower);
  EXPECT_EQ(read(kName)["steps"].size(), 2u);
}

TEST_F(Report, AreAsManyAsTheSettingAllows) {
  ReportExporter exporter(config(2), *run->channel());
  RunFollower follower(*run->channel());
  for (std::uint64_t step = 10; step <= 50; step += 10) {
    run->publish_nonfinite_step(step, 1);
    feed(exporter, follower);
  }
  EXPECT_EQ(files(), 2u);
  EXPECT_EQ(captured.count("exporters.report.max_files reports of this run are written (2)"), 1u);
}

TEST_F(Report, ADirectoryThatIsNoneIsRefusedWithTheSetting) {
  ReportConfig missing = config();
  missing.directory = (directory / "missing").string();
  try {
    ReportExporter exporter(missing, *run->channel());
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("set exporters.report.directory"), std::string::npos) << error.what();
  }
}

TEST_F(Report, ADirectoryThatGoesAwayIsAnErrorOfTheExporterAndNothingElse) {
  Config whole;
  whole.exporters.prometheus.enabled = false;
  whole.exporters.report = config();
  ExportThread exporting(run->channel(), whole);
  fs::remove_all(directory);
  run->publish_nonfinite_step(40, 1);
  exporting.refresh();
  const auto errors = exporting.refresh()->exporter_errors;
  const auto report = std::find_if(errors.begin(), errors.end(), [](const auto& error) { return error.first == "report"; });
  ASSERT_NE(report, errors.end());
  EXPECT_EQ(report->second, 1u);
  EXPECT_EQ(captured.count("exporter 'report' failed"), 1u);
}

TEST_F(Report, OfSeveralRanksHaveNamesOfTheirOwn) {
  test::TestRun ranked;  // two ranks
  ReportExporter exporter(config(), *ranked.channel());
  RunFollower follower(*ranked.channel());
  ranked.publish_nonfinite_step(40, 1);
  feed(exporter, follower);
  EXPECT_TRUE(fs::exists(directory / "vigil-nan-mnist__a_b_-rank0-40.json"));
}

}  // namespace
}  // namespace vigil
