// `vigil dump`: what is in a ring file, whole or damaged.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "environment.h"
#include "files.h"
#include "tools/command.h"
#include "tools/csv.h"
#include "tools/ring_trainer.h"
#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

// "NaN", "Infinity" and "-Infinity" of JSON and CSV.
double number(const std::string& text) {
  if (text == "NaN") return std::nan("");
  if (text == "Infinity") return HUGE_VAL;
  if (text == "-Infinity") return -HUGE_VAL;
  return std::strtod(text.c_str(), nullptr);
}
double number(const json& value) { return value.is_string() ? number(value.get<std::string>()) : value.get<double>(); }

void expect_same(double left, double right, const std::string& what) {
  EXPECT_TRUE(left == right || (std::isnan(left) && std::isnan(right))) << what << ": " << left << " and " << right;
}

class Dump : public testing::Test {
 protected:
  Dump() {
    setup.directory = folder.path();
    path = trained(setup, kSteps, TrainingEnd::segmentation_fault);
    wrote = published(setup, kSteps);
  }
  static CommandResult dump(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "dump");
    return run_vigil(arguments);
  }
  json object(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{path, "--format", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult result = dump(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    const std::vector<json> lines = json_lines(result.out);
    EXPECT_EQ(lines.size(), 1u);
    return lines.front();
  }

  static constexpr std::uint64_t kSteps = 460;
  TemporaryFolder folder;
  TrainingSetup setup;
  std::string path;
  PublishedRun wrote;
};

TEST_F(Dump, TextTellsHowADeadTrainerEndedAndWhatItDidLast) {
  const CommandResult result = dump({path});
  EXPECT_EQ(result.code, 0) << result.err;
  for (const char* text :
       {"run         mnist, rank 0 of 1, attempt 0", "state       crashed: signal 11 (SIGSEGV)", "last step   460 at ", "loss        ", "▁",
        "×", "non-finite  3 of 460 steps, 3 skipped", "step 400 (found by replay): aten::log in layer1 made 3 NaN", "nonfinite_gradient",
        "Tensors of step 460", "layer4.weight", "norm.running_mean", " 460  "})
    EXPECT_NE(result.out.find(text), std::string::npos) << text << "\n" << result.out;
  EXPECT_EQ(result.out.find(" 450  22:"), std::string::npos) << "ten steps are shown";
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << "no colours into a file";
}

TEST_F(Dump, JsonHoldsWhatWasWritten) {
  const json object = this->object();
  EXPECT_EQ(object["file"], path);
  EXPECT_EQ(object["state"], "crashed");
  EXPECT_EQ(object["reason"], "signal 11 (SIGSEGV)");
  EXPECT_EQ(object["run"]["run"], "mnist");
  EXPECT_EQ(object["run"]["tensors"].size(), wrote.schema.rows.size());
  ASSERT_EQ(object["steps"].size(), kSteps);
  for (std::size_t i = 0; i < kSteps; ++i) {
    const json& step = object["steps"][i];
    const StepRecord& record = wrote.steps[i].record;
    ASSERT_EQ(step["step"], record.step);
    expect_same(number(step["loss"]), record.loss, "loss");
    expect_same(number(step["gradient_norm"]), record.gradient_norm, "norm");
    EXPECT_EQ(step["nonfinite"], record.has(StepRecord::nonfinite));
    EXPECT_EQ(step["learning_rates"].size(), 2u);
    EXPECT_EQ(step["scalars"].size(), record.user_scalars);
    for (std::size_t k = 0; k < record.user_scalars; ++k)
      expect_same(number(step["scalars"][wrote.scalar_names[k]]), wrote.steps[i].scalars[2 + k], wrote.scalar_names[k]);
    if (record.has(StepRecord::has_total_time)) {
      EXPECT_NEAR(step["total_seconds"].get<double>(), 1e-9 * static_cast<double>(record.total_ns), 1e-12);
    }
  }
  ASSERT_EQ(object["events"].size(), 1u);
  EXPECT_EQ(object["events"][0]["message"], std::string(wrote.events[0].message.view()));
  EXPECT_EQ(object["frame"]["step"], wrote.frames.back().first.step);
  ASSERT_EQ(object["frame"]["tensors"].size(), wrote.schema.rows.size());
  for (std::size_t i = 0; i < wrote.schema.rows.size(); ++i) {
    const json& tensor = object["frame"]["tensors"][i];
    EXPECT_EQ(tensor["name"], wrote.schema.rows[i].name);
    for (const Statistic& statistic : kStatistics)
      expect_same(number(tensor[std::string(statistic.name)]), statistic.value(wrote.frames.back().second[i].moments),
                  std::string(statistic.name));
  }
}

TEST_F(Dump, CsvOfTheStepsReadsBackAsWhatWasWritten) {
  const CommandResult result = dump({path, "--format", "csv"});
  ASSERT_EQ(result.code, 0) << result.err;
  const auto rows = read_csv(result.out);
  ASSERT_EQ(rows.size(), kSteps);
  for (std::size_t i = 0; i < kSteps; ++i) {
    const StepRecord& record = wrote.steps[i].record;
    ASSERT_EQ(rows[i].at("step"), std::to_string(record.step));
    const std::string seconds = std::to_string(record.wall_time_ns / 1'000'000'000),
                      fraction = std::to_string(1'000'000'000 + record.wall_time_ns % 1'000'000'000);
    EXPECT_EQ(rows[i].at("time"), seconds + "." + fraction.substr(1));
    expect_same(number(rows[i].at("loss")), record.loss, "loss");
    expect_same(number(rows[i].at("learning_rate:1")), wrote.steps[i].scalars[1], "rate");
    EXPECT_EQ(rows[i].at("skipped"), record.has(StepRecord::skipped) ? "1" : "0");
    EXPECT_EQ(rows[i].at("gradient_nan_total"), std::to_string(record.totals.nonfinite_values[1].nan));
    EXPECT_EQ(rows[i].at("data_seconds").empty(), !record.has(StepRecord::has_data_time));
    EXPECT_EQ(rows[i].at("scalar:validation/loss").empty(), record.user_scalars < 2);
    if (record.user_scalars == 2) expect_same(number(rows[i].at("scalar:validation/loss")), wrote.steps[i].scalars[3], "scalar");
  }
}

TEST_F(Dump, CsvOfTensorsEventsAndSchema) {
  const auto tensors = read_csv(dump({path, "--format", "csv", "--what", "tensors"}).out);
  ASSERT_EQ(tensors.size(), wrote.schema.rows.size());
  EXPECT_EQ(tensors[3].at("name"), "layer3.weight");
  expect_same(number(tensors[3].at("l2_norm")), statistics::l2_norm(wrote.frames.back().second[3].moments), "norm");
  EXPECT_FALSE(tensors[3].at("update_ratio").empty());
  EXPECT_TRUE(tensors[7].at("update_ratio").empty()) << "a gradient";
  const auto events = read_csv(dump({path, "--format", "csv", "--what", "events"}).out);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].at("message"), "aten::log in layer1 made 3 NaN out of \"finite\" values");
  const auto schema = read_csv(dump({path, "--format", "csv", "--what", "schema"}).out);
  ASSERT_EQ(schema.size(), wrote.schema.rows.size());
  EXPECT_EQ(schema[0].at("shape"), "[8, 16]");
}

TEST_F(Dump, ShowsThePartAndTheStepsThatAreAskedFor) {
  EXPECT_EQ(object({"--last", "3"})["steps"].size(), 3u);
  EXPECT_EQ(object({"--last", "3"})["steps"][0]["step"], kSteps - 2);
  EXPECT_EQ(object({"--last", "0"})["steps"].size(), 0u);
  EXPECT_EQ(object({"--what", "events"}).count("steps"), 0u);
  EXPECT_EQ(object({"--what", "steps"}).count("frame"), 0u);
  const std::string steps = dump({path, "--what", "steps", "--last", "2"}).out;
  EXPECT_EQ(std::count(steps.begin(), steps.end(), '\n'), 3) << steps;
  EXPECT_NE(dump({path, "--what", "schema"}).out.find("float16"), std::string::npos);
}

TEST_F(Dump, SortsTensors) {
  const std::string by_norm = dump({path, "--what", "tensors", "--sort", "norm"}).out;
  // By the figures that were written.
  std::size_t largest = 0;
  const auto& rows = wrote.frames.back().second;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (l2_norm(rows[i].moments) > l2_norm(rows[largest].moments)) largest = i;
  }
  const std::size_t third_line = by_norm.find('\n', by_norm.find('\n') + 1) + 1;
  EXPECT_EQ(by_norm.find(wrote.schema.rows[largest].name), by_norm.find("layer", third_line)) << by_norm;
  const std::string by_name = dump({path, "--what", "tensors", "--sort", "name"}).out;
  EXPECT_LT(by_name.find("layer0"), by_name.find("layer4"));
  EXPECT_LT(by_name.find("layer4"), by_name.find("norm.running_mean"));
}

TEST_F(Dump, CountsAStepOnceThatWasLoggedAfter) {
  setup.run = "logged";
  const std::string file = trained(setup, 400, TrainingEnd::finished);  // step 400 is followed by another word
  const std::string text = dump({file, "--what", "summary"}).out;
  EXPECT_NE(text.find("kept        400 steps and "), std::string::npos) << text;
}

TEST_F(Dump, GoesOnAfterAFileThatCannotBeRead) {
  const std::string bad = folder.write("bad.ring", std::string(10'000, 'x')).string();
  CommandResult result = dump({folder.file("none.ring"), bad, path, "--what", "summary"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("none.ring: it cannot be opened: No such file"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("bad.ring: it does not begin like a ring file"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("crashed: signal 11"), std::string::npos);
  EXPECT_EQ(result.err.find("vigil ps"), std::string::npos) << result.err;
  result = dump({"mnist"});
  EXPECT_NE(
      result.err.find("mnist: it cannot be opened: No such file or directory; dump takes the path of a ring file, which vigil ps shows"),
      std::string::npos)
      << result.err;
  result = dump({folder.path().string()});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("it is a directory"), std::string::npos) << result.err;
}

TEST_F(Dump, ShowsWhatCanBeReadOfADamagedFileAndSaysWhatCannot) {
  const std::string copy = folder.file("damaged.ring");
  std::filesystem::copy_file(path, copy);
  // Slot 99 of the steps is as if it had never been written.
  const RingFile file(copy);
  const RingGeometry geometry = file.layout().geometry(RingKind::steps);
  const std::uint64_t offset =
      file.layout().section(SectionKind::steps).offset + 8 * (RingGeometry::kLineWords + 99 * geometry.slot_words());
  std::fstream stream(copy, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.write("\0\0\0\0\0\0\0\0", 8);
  stream.close();
  CommandResult result = dump({copy, "--format", "csv"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("not all of it can be read: a record that was published is not there"), std::string::npos) << result.err;
  const auto rows = read_csv(result.out);
  ASSERT_EQ(rows.size(), kSteps - 1);
  EXPECT_EQ(rows[98].at("step"), "99");
  EXPECT_EQ(rows[99].at("step"), "101");
  result = dump({copy});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.out.find("damaged     not all of it can be read"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("last step   460"), std::string::npos);
}

TEST_F(Dump, AWrongCallIsExitCode2) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{{},
                                                                                         {path, "--format", "xml"},
                                                                                         {path, "--what", "all-of-it"},
                                                                                         {path, "--last", "-1"},
                                                                                         {path, path, "--format", "csv"},
                                                                                         {path, "--format", "csv", "--what", "summary"},
                                                                                         {path, "--sort", "size"}}) {
    const CommandResult result = dump(arguments);
    EXPECT_EQ(result.code, 2) << result.out;
    EXPECT_NE(result.err, "");
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(Dump, ColoursAreUsedWhenTheyAreAskedForOnly) {
  EXPECT_NE(dump({path, "--color", "always"}).out.find("\x1b[1;31m"), std::string::npos);
  EXPECT_EQ(dump({path, "--color", "never"}).out.find('\x1b'), std::string::npos);
}

TEST_F(Dump, NamesThatATerminalWouldActOnAreShownHarmless) {
  const std::string hostile = "a\x1b[31m\x07\x9b\xc2\x9b,\"b";
  setup.run = "hostile";
  setup.change = [&](Schema& schema) {
    schema.identity.run = schema.identity.host = schema.identity.model = schema.identity.libtorch = hostile;
    for (RowSchema& row : schema.rows) row.name = row.layer = row.shape = hostile;
    for (std::string& name : schema.parameters) name = hostile;
    for (std::string& name : schema.groups) name = hostile;
  };
  const std::string other = trained(setup, 5, TrainingEnd::killed);
  for (const std::string format : {"text", "json", "csv"}) {
    for (const std::string part : {"steps", "tensors", "events", "schema"}) {
      const CommandResult result = dump({other, "--format", format, "--what", part});
      EXPECT_EQ(result.code, 0) << result.err;
      for (const char* bad : {"\x1b", "\x07", "\xc2\x9b", "\x9b"})
        EXPECT_EQ(result.out.find(bad), std::string::npos) << format << " " << part;
    }
  }
  EXPECT_EQ(dump({other}).out.find('\x1b'), std::string::npos);
  EXPECT_EQ(read_csv(dump({other, "--format", "csv", "--what", "tensors"}).out)[0].at("name"), "a?[31m???,\"b");
}

}  // namespace
}  // namespace vigil
