// `vigil export`: what is written reads back as what was published, by promtool, too.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "files.h"
#include "tools/command.h"
#include "tools/csv.h"
#include "tools/ring_trainer.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

class Export : public testing::Test {
 protected:
  Export() { setup.directory = folder.path(); }
  CommandResult run(std::vector<std::string> more) const {
    more.insert(more.begin(), {"export", "mnist", "--ring.directory", folder.path().string()});
    return run_vigil(more);
  }
  std::string output(std::vector<std::string> more) const {
    const CommandResult result = run(std::move(more));
    EXPECT_EQ(result.code, 0) << result.err;
    return result.out;
  }
  // promtool's output and exit code.
  static std::pair<std::string, int> promtool(const std::string& arguments) {
    std::FILE* const pipe = popen((std::string(VIGIL_PROMTOOL) + " " + arguments + " 2>&1").c_str(), "r");
    std::string text;
    for (int c; pipe != nullptr && (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    return {text, pipe == nullptr ? -1 : pclose(pipe)};
  }
  // Every sample that Prometheus reads in an OpenMetrics text: by series, then milliseconds.
  std::map<std::string, std::map<std::int64_t, double>> stored(const std::string& text) const {
    const std::string file = folder.write("x.om", text).string(), blocks = folder.file("blocks");
    const auto [said, code] = promtool("tsdb create-blocks-from openmetrics " + file + " " + blocks);
    EXPECT_EQ(code, 0) << said;
    std::filesystem::create_directories(blocks + "/wal");  // without one there is nothing to dump
    std::map<std::string, std::map<std::int64_t, double>> samples;
    std::istringstream dump(promtool("tsdb dump " + blocks).first);
    for (std::string line; std::getline(dump, line);) {
      const std::size_t end = line.rfind('}');
      if (end == std::string::npos) continue;
      std::istringstream rest(line.substr(end + 1));
      std::string value;
      std::int64_t ms = 0;
      rest >> value >> ms;
      EXPECT_TRUE(samples[line.substr(0, end + 1)].emplace(ms, std::strtod(value.c_str(), nullptr)).second) << line;
    }
    std::filesystem::remove_all(blocks);
    return samples;
  }
  static std::string series(const std::string& name) { return "{__name__=\"" + name + "\", rank=\"0\", run=\"mnist\"}"; }

  TemporaryFolder folder;
  TrainingSetup setup;
};

void expect_same(double left, double right, const std::string& what) {
  EXPECT_TRUE(left == right || (std::isnan(left) && std::isnan(right))) << what << ": " << left << " and " << right;
}

TEST_F(Export, PrometheusReadsTheStepsBackWithTheirTimes) {
  trained(setup, 620, TrainingEnd::killed);
  const PublishedRun wrote = published(setup, 620);
  const std::string text = output({"--format", "openmetrics"});
  EXPECT_EQ(text.substr(text.size() - 6), "# EOF\n");
  auto samples = stored(text);
  const auto losses = samples[series("vigil_loss")], norms = samples[series("vigil_gradient_norm")],
             steps = samples[series("vigil_steps_total")],
             skipped = samples["{__name__=\"vigil_skipped_steps_total\", rank=\"0\", reason=\"nonfinite\", run=\"mnist\"}"];
  std::map<std::int64_t, const StepRecord*> of_time;  // the first two steps share a millisecond
  for (const PublishedRun::Step& step : wrote.steps) of_time[step.record.wall_time_ns / 1'000'000] = &step.record;
  EXPECT_EQ(of_time.size(), wrote.steps.size() - 1);
  EXPECT_EQ(losses.size(), of_time.size());
  for (const auto& [ms, record] : of_time) {
    const std::string what = "step " + std::to_string(record->step);
    ASSERT_EQ(losses.count(ms), 1u) << what;
    expect_same(losses.at(ms), record->loss, what);
    ASSERT_EQ(steps.count(ms), 1u) << what;
    EXPECT_EQ(steps.at(ms), static_cast<double>(record->step));
    // An infinity that stays is written once.
    const auto norm = std::prev(norms.upper_bound(ms));
    expect_same(norm->second, record->gradient_norm, what);
  }
  ASSERT_FALSE(skipped.empty());
  EXPECT_EQ(skipped.begin()->second, 0);
  EXPECT_EQ(skipped.rbegin()->second, 3);
  // A histogram is whole: its last bucket is its count.
  const auto buckets =
                 samples["{__name__=\"vigil_step_duration_seconds_bucket\", le=\"+Inf\", phase=\"total\", rank=\"0\", run=\"mnist\"}"],
             counts = samples["{__name__=\"vigil_step_duration_seconds_count\", phase=\"total\", rank=\"0\", run=\"mnist\"}"];
  EXPECT_EQ(buckets, counts);
  ASSERT_FALSE(counts.empty());
  EXPECT_EQ(counts.rbegin()->second, 619);
}

TEST_F(Export, PrometheusReadsTheTensorsBack) {
  trained(setup, 420, TrainingEnd::finished);
  const PublishedRun wrote = published(setup, 420);
  auto samples = stored(output({"--format", "openmetrics", "--tensors"}));
  std::size_t compared = 0;
  for (const auto& [header, rows] : wrote.frames) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].state != TensorRow::present) continue;
      const RowSchema& of = wrote.schema.rows[i];
      for (const Statistic& statistic : kStatistics) {
        const auto& kept = samples["{__name__=\"vigil_" + std::string(kTensorKindNames[static_cast<std::size_t>(of.kind)]) + "_" +
                                   std::string(statistic.name) + "\", layer=\"" + of.layer + "\", parameter=\"" + of.name +
                                   "\", rank=\"0\", run=\"mnist\"}"];
        const std::int64_t ms = header.wall_time_ns / 1'000'000;
        // A value that stays is written every 15 s, so the latest one until then is it.
        auto at = kept.upper_bound(ms);
        ASSERT_NE(at, kept.begin()) << statistic.name << " of " << of.name << " at step " << header.step;
        expect_same((--at)->second, statistic.value(rows[i].moments), std::string(statistic.name));
        EXPECT_LT(ms - at->first, 16'000);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 5000u);
  EXPECT_FALSE(samples[series("vigil_update_ratio")].empty());
}

TEST_F(Export, ItsMetricsAreThoseOfTheContract) {
  trained(setup, 420, TrainingEnd::finished);
  std::istringstream text(output({"--format", "openmetrics"}));
  std::string family;
  std::vector<std::string> families;
  for (std::string line; std::getline(text, line);) {
    if (line.rfind("# TYPE ", 0) == 0) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(std::count(families.begin(), families.end(), family), 0) << "a family is in one piece";
      families.push_back(family);
      const bool is_known = std::any_of(kMetrics.begin(), kMetrics.end(),
                                        [&](const MetricRow& row) { return row.name == family || row.name == family + "_total"; });
      EXPECT_TRUE(is_known) << family;
    } else if (line[0] != '#') {
      EXPECT_EQ(line.rfind(family, 0), 0u) << line;
    }
  }
  EXPECT_GT(families.size(), 20u);
}

TEST_F(Export, OfTwoStepsInAMillisecondTheLaterStays) {
  // A step takes some ten microseconds, so that hundreds share a millisecond.
  setup.figures.step_seconds = 1e-5;
  trained(setup, 300, TrainingEnd::finished);
  auto samples = stored(output({"--format", "openmetrics"}));
  EXPECT_LT(samples[series("vigil_loss")].size(), 20u);
  EXPECT_EQ(samples[series("vigil_steps_total")].rbegin()->second, 300);
}

TEST_F(Export, StepsBeforeTheOneBeforeThemAreLeftOutAndCounted) {
  setup.figures.clock_set_back_at = 100;
  trained(setup, 200, TrainingEnd::finished);
  const CommandResult result = run({"--format", "openmetrics"});
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.err.find("samples older than the one before"), std::string::npos) << result.err;
  EXPECT_EQ(stored(result.out)[series("vigil_steps_total")].size(), 98u) << "two of 99 share a millisecond";
}

TEST_F(Export, CsvAndJsonHoldAllSteps) {
  trained(setup, 420, TrainingEnd::failed);
  const PublishedRun wrote = published(setup, 420);
  const auto rows = read_csv(output({}));
  ASSERT_EQ(rows.size(), 420u);
  EXPECT_EQ(rows[399].at("loss"), "NaN");
  EXPECT_EQ(rows[399].at("gradient_norm"), "Infinity");
  const json object = json::parse(output({"--format", "json", "--tensors"}));
  ASSERT_EQ(object["steps"].size(), 420u);
  EXPECT_EQ(object["frames"].size(), wrote.frames.size());
  EXPECT_EQ(object["events"].size(), 1u);
  EXPECT_EQ(object["state"], "failed");
  EXPECT_EQ(object["run"]["run"], "mnist");
  for (std::size_t i = 0; i < 420; ++i) {
    expect_same(std::strtod(rows[i].at("parameter_norm").c_str(), nullptr), wrote.steps[i].record.parameter_norm, "norm");
    EXPECT_EQ(object["steps"][i]["parameter_norm"].get<double>(), wrote.steps[i].record.parameter_norm);
  }
  const auto tensors = read_csv(output({"--tensors"}));
  EXPECT_EQ(tensors.size(), wrote.frames.size() * wrote.schema.rows.size());
  EXPECT_EQ(read_csv(output({"--last", "7"})).front().at("step"), "414");
}

TEST_F(Export, WhatWasLoggedAfterTheLastStepBelongsToIt) {
  trained(setup, 400, TrainingEnd::finished);  // step 400 is followed by another word
  const PublishedRun wrote = published(setup, 400);
  const auto rows = read_csv(output({}));
  ASSERT_EQ(rows.size(), 400u);
  EXPECT_EQ(std::strtod(rows.back().at("scalar:validation/loss").c_str(), nullptr), wrote.steps.back().scalars[3]);
}

TEST_F(Export, AFileIsWrittenAsAWholeOrNotAtAll) {
  trained(setup, 50, TrainingEnd::finished);
  const std::string file = folder.file("out.csv");
  const CommandResult result = run({"-o", file});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(read_text(file), output({}));
  EXPECT_EQ(output({"-o", "-"}), output({}));
  EXPECT_FALSE(std::filesystem::exists("-"));
  const CommandResult failed = run({"-o", folder.file("nowhere/out.csv")});
  EXPECT_EQ(failed.code, 1);
  EXPECT_NE(failed.err.find("cannot be opened: No such file"), std::string::npos) << failed.err;
  EXPECT_EQ(run({"-o", "/dev/full"}).code, 1);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    files += entry.path().string().find(".tmp") != std::string::npos ? 1 : 0;
  EXPECT_EQ(files, 0u) << "nothing is left beside it";
}

TEST_F(Export, NamesTheRanksThatThereAre) {
  for (const int rank : {0, 2}) {
    setup.change = [rank](Schema& schema) { schema.identity.rank = rank; };
    trained(setup, 3, TrainingEnd::finished);
  }
  EXPECT_EQ(run({"--rank", "4"}).err, "vigil: there is no rank 4 of run 'mnist'; there are ranks 0, 2\n");
  EXPECT_EQ(run({"--rank", "2"}).code, 0);
}

TEST_F(Export, TakesTheAttemptThatLivesElseTheLatest) {
  trained(setup, 5, TrainingEnd::killed);
  setup.attempt = 1;
  setup.start_time_ns += 1;
  trained(setup, 6, TrainingEnd::killed);
  EXPECT_EQ(read_csv(output({})).size(), 6u);
  setup.attempt = 0;
  setup.start_time_ns -= 2;
  RingTrainer alive(setup);
  alive.train(7);
  EXPECT_EQ(read_csv(output({})).size(), 7u);
}

TEST_F(Export, ARankThatIsNamedIsTaken) {
  setup.figures.world_size = 2;
  trained(setup, 5, TrainingEnd::killed);
  setup.figures.rank = 1;
  trained(setup, 6, TrainingEnd::killed);
  EXPECT_EQ(read_csv(output({})).size(), 5u);
  EXPECT_EQ(read_csv(output({"--rank", "1"})).size(), 6u);
  EXPECT_EQ(run({"--rank", "2"}).code, 1);
}

TEST_F(Export, AWrongCallIsExitCode2) {
  EXPECT_EQ(run_vigil({"export"}).code, 2);
  EXPECT_EQ(run({"--format", "parquet"}).code, 2);
  EXPECT_EQ(run({"--last", "some"}).code, 2);
}

}  // namespace
}  // namespace vigil
