// `vigil inspect` of a run: its latest sample as text, data and a page.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "environment.h"
#include "files.h"
#include "markup.h"
#include "tools/command.h"
#include "tools/ring_trainer.h"
#include "vigil/monitor/number_format.h"

namespace vigil {
namespace {

using namespace test;
using nlohmann::json;

class RunReport : public testing::Test {
 protected:
  RunReport() {
    setup.directory = folder.path();
    setup.run = "<i>mnist";
    setup.figures.is_healthy = true;
    setup.change = [](Schema& schema) {
      for (RowSchema& row : schema.rows) row.histogram = static_cast<std::int32_t>(schema.histograms++);
    };
  }
  static bool holds(const std::string& text, const std::string& what) { return text.find(what) != std::string::npos; }

  static constexpr std::uint64_t kSteps = 25;
  TemporaryFolder folder;
  TrainingSetup setup;
};

TEST_F(RunReport, TellsOfEveryTensorWhatTheRunPublished) {
  RingTrainer trainer(setup);
  trainer.train(kSteps);
  const PublishedRun wrote = published(setup, kSteps);
  const CommandResult result = run_vigil({"inspect", trainer.path(), "--json"});  // it still trains
  ASSERT_EQ(result.code, 0) << result.err;
  const json told = json_lines(result.out).at(0);
  EXPECT_EQ(told["step"], wrote.frames.back().first.step);
  EXPECT_EQ(told["state"], "running");
  const std::vector<TensorRow>& rows = wrote.frames.back().second;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowSchema& schema = wrote.schema.rows[i];
    for (const json& one : told["tensors"]) {
      if (one["name"] != schema.name || one["of"] != kTensorKindNames[static_cast<std::size_t>(schema.kind)]) continue;
      ++seen;
      EXPECT_EQ(one["mean"].get<double>(), rows[i].moments.mean);
      EXPECT_EQ(one["std"].get<double>(), standard_deviation(rows[i].moments));
      EXPECT_EQ(one["min"].get<double>(), rows[i].moments.min);
      EXPECT_EQ(one["zeros"].get<std::uint64_t>(), rows[i].moments.zero_count);
      const MagnitudeHistogram& magnitudes = wrote.histograms[static_cast<std::size_t>(schema.histogram)];
      EXPECT_EQ(one["magnitudes"]["buckets"], json(magnitudes.buckets));
      EXPECT_EQ(one["magnitudes"]["underflow"], magnitudes.underflow);
      EXPECT_EQ(one["precision"].size(), 5U);
      // As /api/v1/tensors has it.
      for (const json& format : one["precision"]) {
        const bool is_scaled = format["verdict"] == "safe_scaled";
        EXPECT_EQ(format.contains("scale"), is_scaled);
        EXPECT_EQ(std::count(kFormatVerdictNames.begin(), kFormatVerdictNames.end(), format["verdict"].get<std::string>()), 1);
        // The training tells of float16 tensors what no float16 could be.
        const bool is_own = one["type"] == "float16" && format["format"] == "float16";
        EXPECT_TRUE(!is_own || (format["subnormal"] == 0 && format["verdict"] == "safe"));
      }
    }
  }
  EXPECT_EQ(seen, rows.size());
  // All parameters together: the mean over all, as their sum over their number.
  long double sum = 0;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (wrote.schema.rows[i].kind != TensorKind::parameter) continue;
    sum += static_cast<long double>(rows[i].moments.mean) * static_cast<long double>(rows[i].moments.count);
    count += rows[i].moments.count;
  }
  EXPECT_EQ(told["together"][0]["name"], "all sampled parameters");
  EXPECT_NEAR(told["together"][0]["mean"].get<double>(), static_cast<double>(sum / static_cast<long double>(count)), 1e-12);
  EXPECT_EQ(told["together"][0]["elements"], count);
}

TEST_F(RunReport, PageHasParametersBesideTheirGradients) {
  const std::string path = trained(setup, kSteps, TrainingEnd::finished), report = folder.file("run.html");
  const CommandResult result = run_vigil({"inspect", path, "--report", report});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(holds(result.out, "state       finished"));
  EXPECT_TRUE(holds(result.out, "all sampled gradients"));
  const Element page = MarkupReader::read(read_text(report));
  EXPECT_EQ(page.all("h1").at(0)->text, "<i>mnist");
  EXPECT_TRUE(page.all("i").empty());
  const Element& pairs = page.with_id("group-0");
  EXPECT_EQ(pairs.all("h2").at(0)->text, "Parameters and their gradients");
  EXPECT_EQ(pairs.all("tbody").at(0)->children.size(), 10U);
  EXPECT_EQ(pairs.all("svg").size(), 5U);
  EXPECT_TRUE(holds(page.text, "A sample keeps no elements"));
  EXPECT_EQ(page.with_id("precision").all("tbody").back()->children.size(), 11U);
  EXPECT_TRUE(holds(page.with_id("group-2").text, "layer1/tanh"));
}

TEST_F(RunReport, WithoutHistogramsItSaysWhichSettingKeepsThem) {
  setup.change = {};
  const std::string path = trained(setup, kSteps, TrainingEnd::killed), report = folder.file("run.html");
  const CommandResult result = run_vigil({"inspect", path, "--report", report});
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(holds(result.out, "No tensor has magnitudes"));
  EXPECT_TRUE(holds(result.out, "sampling.histogram: [\"*\"]"));
  EXPECT_TRUE(holds(read_text(report), "No tensor has magnitudes"));
  EXPECT_FALSE(holds(result.out, "AS float16"));
}

TEST_F(RunReport, FaultsOfTheLatestSampleAreNamed) {
  setup.figures.is_healthy = false;
  const std::string path = trained(setup, 401, TrainingEnd::killed), report = folder.file("run.html");
  const CommandResult result = run_vigil({"inspect", path, "--report", report});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(holds(result.out, "fault    layer0.weight  its gradient: 3 of 128 elements are NaN")) << result.out;
  EXPECT_TRUE(
      holds(MarkupReader::read(read_text(report)).with_id("findings").text, "layer4.weight: its gradient: 3 of 128 elements are NaN"));
}

TEST_F(RunReport, InfinitiesThatAMaskFillsInAreNoFault) {
  setup.figures.layers[1] = "layer0/masked_fill#2";
  setup.figures.spoil = [](std::vector<TensorRow>&, std::vector<ActivationRow>& activations) { activations[1].moments.inf_count = 5; };
  const std::string path = trained(setup, kSteps, TrainingEnd::finished), report = folder.file("run.html");
  const CommandResult result = run_vigil({"inspect", path, "--report", report});
  EXPECT_TRUE(holds(result.out, "note     layer0/masked_fill#2  its activations: 5 of 64 elements are infinite")) << result.out;
  EXPECT_FALSE(holds(result.out, "fault"));
  const Element page = MarkupReader::read(read_text(report));
  for (const Element* const cell : page.all("td")) EXPECT_NE(cell->attribute("class"), "bad");
}

TEST_F(RunReport, WhatCannotBeReadIsAFault) {
  setup.figures.spoil = [](std::vector<TensorRow>& rows, std::vector<ActivationRow>& activations) {
    rows[0].state = TensorRow::unreadable;
    rows[1].moments.scale_exponent = std::numeric_limits<std::int64_t>::min();  // bounded where files are read
    rows[2].moments.sum_squares = -1;
    activations[0].moments.l1 = std::numeric_limits<double>::quiet_NaN();
  };
  const CommandResult result = run_vigil({"inspect", trained(setup, kSteps, TrainingEnd::finished), "--json"});
  std::size_t unread = 0, damaged = 0;
  const json told = json_lines(result.out).at(0);
  for (const json& finding : told["findings"]) {
    const std::string text = finding["text"];
    if (finding["level"] == "fault" && holds(text, "could not be read by the training")) ++unread;
    if (finding["level"] == "fault" && holds(text, "its figures are damaged")) ++damaged;
  }
  EXPECT_EQ(unread, 1U) << result.out;
  EXPECT_EQ(damaged, 2U) << result.out;
}

TEST_F(RunReport, WhereNothingWasLookedAtNothingIsFound) {
  setup.figures.spoil = [](std::vector<TensorRow>& rows, std::vector<ActivationRow>& activations) {
    for (TensorRow& row : rows) row.state = TensorRow::absent;
    for (ActivationRow& row : activations) row.step = 0;
  };
  const std::string path = trained(setup, kSteps, TrainingEnd::finished), report = folder.file("run.html");
  const CommandResult result = run_vigil({"inspect", path, "--report", report});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(holds(result.out, "has figures of no tensor")) << result.out;
  EXPECT_FALSE(holds(read_text(report), "Nothing found"));
  EXPECT_FALSE(json_lines(run_vigil({"inspect", path, "--json"}).out).at(0).contains("findings"));
}

TEST_F(RunReport, IsNotWrittenOntoTheRing) {
  setup.run = "net";
  const std::string path = trained(setup, kSteps, TrainingEnd::finished), before = read_text(path);
  const CommandResult result = run_vigil({"inspect", "net", "--ring.directory", folder.path().string(), "--report", path});
  EXPECT_EQ(result.code, 2);
  EXPECT_TRUE(holds(result.err, "is the ring file of the run; name another one")) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(read_text(path), before);
}

TEST_F(RunReport, AFolderThatHidesARunIsTold) {
  const EnvironmentVariable usual("XDG_RUNTIME_DIR", folder.path().string());
  setup.directory = folder.path() / "vigil";
  std::filesystem::create_directory(setup.directory);
  setup.run = "net";
  trained(setup, kSteps, TrainingEnd::finished);
  const std::filesystem::path here = std::filesystem::current_path();
  std::filesystem::create_directory(folder.path() / "net");
  std::filesystem::current_path(folder.path());
  const CommandResult hidden = run_vigil({"inspect", "net"}), named = run_vigil({"inspect", "net", "--rank", "0"});
  const CommandResult other = run_vigil({"inspect", "net", "--rank", "7"});
  std::filesystem::current_path(here);
  EXPECT_EQ(hidden.code, 2);
  EXPECT_TRUE(holds(hidden.err, "; there is a run of that name: --rank 0 shows it")) << hidden.err;
  EXPECT_EQ(named.code, 0) << named.err;
  EXPECT_EQ(other.code, 2);
  EXPECT_FALSE(holds(other.err, "there is no file")) << other.err;
}

TEST_F(RunReport, WordsThatNameNothingAreToldOnce) {
  const CommandResult ring = run_vigil({"inspect", "absent.ring"}), empty = run_vigil({"inspect", ""});
  EXPECT_EQ(ring.code, 2);
  EXPECT_EQ(ring.err.find("absent.ring"), ring.err.rfind("absent.ring")) << ring.err;
  EXPECT_EQ(empty.code, 2);
  EXPECT_TRUE(holds(empty.err, "got an empty text")) << empty.err;
}

TEST_F(RunReport, ARunIsFoundByItsName) {
  setup.run = "net";
  trained(setup, kSteps, TrainingEnd::finished);
  const std::string directory = folder.path().string();
  const CommandResult named = run_vigil({"inspect", "net", "--ring.directory", directory, "--tensor", "layer1.weight"});
  EXPECT_EQ(named.code, 0) << named.err;
  EXPECT_TRUE(holds(named.out, "layer1.weight  parameter"));
  EXPECT_TRUE(holds(named.out, "layer1.weight  gradient"));
  EXPECT_FALSE(holds(named.out, "layer2.weight"));
  const CommandResult misspelt = run_vigil({"inspect", "net", "--ring.directory", directory, "--tensor", "layer1.weigth"});
  EXPECT_EQ(misspelt.code, 1);
  EXPECT_TRUE(holds(misspelt.err, "has no tensor 'layer1.weigth' (did you mean 'layer1.weight'?)"));
  const CommandResult none = run_vigil({"inspect", "other", "--ring.directory", directory});
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(holds(none.err, "there is no file other, and no run is called 'other'; there are 'net'")) << none.err;
  EXPECT_EQ(run_vigil({"inspect", "net", "--ring.directory", directory, "--rank", "3"}).code, 2);
  EXPECT_EQ(run_vigil({"inspect", folder.file("absent.ring")}).code, 2);
}

TEST_F(RunReport, ARunMayBeCalledLikeAFileThatIsNotThere) {
  const EnvironmentVariable usual("XDG_RUNTIME_DIR", folder.path().string());
  setup.directory = folder.path() / "vigil";
  std::filesystem::create_directory(setup.directory);
  setup.run = "net.v1";
  trained(setup, kSteps, TrainingEnd::finished);
  EXPECT_EQ(run_vigil({"inspect", "net.v1"}).code, 0);
  const CommandResult none = run_vigil({"inspect", "net.v2"});
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(holds(none.err, "net.v2: cannot be opened")) << none.err;
}

TEST_F(RunReport, BeforeTheFirstSampleThereIsNothingToShow) {
  RingTrainer trainer(setup);
  const std::string report = folder.file("run.html");
  const CommandResult result = run_vigil({"inspect", trainer.path(), "--report", report});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(holds(result.out, "No tensor of the run was sampled yet."));
  EXPECT_TRUE(holds(MarkupReader::read(read_text(report)).text, "not sampled yet"));
  EXPECT_FALSE(holds(read_text(report), "Nothing found"));
}

}  // namespace
}  // namespace vigil
