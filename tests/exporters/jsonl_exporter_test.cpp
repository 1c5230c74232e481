// JSON lines, read back by another library; and what becomes of them when files end, fill up or fail.
#include "vigil/exporters/jsonl_exporter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "exporters/test_run.h"
#include "files.h"
#include "fork.h"
#include "vigil/monitor/reduction.h"
#include "vigil/monitor/statistics.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

// Every line of a file as JSON; a file that does not end in a newline, or a line that is no JSON, fails the test.
std::vector<json> lines_of(const std::string& path) {
  const std::string text = read_text(path);
  EXPECT_TRUE(text.empty() || text.back() == '\n') << path;
  std::vector<json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(json::parse(line, nullptr, false));
    EXPECT_FALSE(lines.back().is_discarded()) << line;
  }
  return lines;
}

// Bytes of a descriptor that does not block, waiting for them up to ten seconds.
ssize_t read_some(int file, char* buffer, std::size_t size) {
  pollfd wait{file, POLLIN, 0};
  return poll(&wait, 1, 10'000) == 1 ? ::read(file, buffer, size) : -1;
}

class Jsonl : public testing::Test {
 protected:
  JsonlConfig config(std::int64_t max_bytes = 1 << 20) const {
    JsonlConfig made;
    made.enabled = true;
    made.path = path;
    made.max_bytes = max_bytes;
    return made;
  }

  StepRecord step(std::uint64_t number) const {
    StepRecord record;
    record.step = number;
    record.wall_time_ns = kStartNs;
    record.flags = StepRecord::has_loss;
    record.loss = 0.1;
    return record;
  }

  TemporaryFolder folder;
  std::string path = folder.file("run.jsonl");
  TestRun run;
  std::vector<double> scalars = std::vector<double>(run.channel()->scalar_capacity(), 0.0);
};

void on_frame(JsonlExporter& exporter, const FrameHeader& header, const std::vector<TensorRow>& rows,
              const std::vector<MagnitudeHistogram>& histograms, const std::vector<ActivationRow>& activations = {},
              const std::vector<LayerLabel>& layers = {}) {
  exporter.on_frame({header, rows, histograms, activations, layers});
}

TEST_F(Jsonl, TheFirstLineSaysWhoRuns) {
  JsonlExporter exporter(config(), *run.channel());
  exporter.on_poll();
  const std::vector<json> lines = lines_of(path);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["type"], "run");
  EXPECT_EQ(lines[0]["run"], "mnist \"a\\b\"");
  EXPECT_EQ(lines[0]["host"], "node\n1");
  EXPECT_EQ(lines[0]["world_size"], 2);
  EXPECT_EQ(lines[0]["start_time"], 1700000000.25);
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0640u, 0u);
}

TEST_F(Jsonl, AStepHasWhatItsRecordHas) {
  run.channel()->scalar_names().find_or_append("validation/accuracy");
  scalars[0] = 0.01;
  scalars[1] = kInf;
  StepRecord record = step(3);
  record.flags |= StepRecord::has_gradient_norm | StepRecord::nonfinite;
  record.loss = kNan;
  record.gradient_norm = -kInf;
  record.user_scalars = 1;
  record.origin = 1;
  record.origin_step = 3;
  record.totals.nonfinite_values[1] = {5, 6};
  JsonlExporter exporter(config(), *run.channel());
  exporter.on_step(record, scalars.data());
  exporter.on_poll();
  const json line = lines_of(path).at(1);
  EXPECT_EQ(line["type"], "step");
  EXPECT_EQ(line["step"], 3);
  EXPECT_EQ(line["time"], 1700000000.25);
  EXPECT_EQ(line["loss"], "NaN");
  EXPECT_EQ(line["gradient_norm"], "-Infinity");
  EXPECT_FALSE(line.contains("parameter_norm"));
  EXPECT_FALSE(line.contains("total_seconds"));
  EXPECT_EQ(line["learning_rates"], json::array({0.01}));
  EXPECT_EQ(line["scalars"], json({{"validation/accuracy", "Infinity"}}));
  EXPECT_EQ(line["nonfinite"], true);
  EXPECT_EQ(line["skipped"], false);
  EXPECT_EQ(line["origin"], "conv.bias");
  EXPECT_EQ(line["origin_step"], 3);
  EXPECT_EQ(line["nonfinite_values"]["gradient_nan"], 5);
  EXPECT_EQ(line["nonfinite_values"]["gradient_inf"], 6);
}

TEST_F(Jsonl, WhatIsLoggedAfterTheLastStepIsNoStepOfItsOwn) {
  run.channel()->scalar_names().find_or_append("test/accuracy");
  JsonlExporter exporter(config(), *run.channel());
  StepRecord record = step(3);
  exporter.on_step(record, scalars.data());
  record.user_scalars = 1;
  record.flags |= StepRecord::again;
  scalars[run.channel()->schema().learning_rates] = 0.5;
  exporter.on_step(record, scalars.data());
  exporter.on_poll();
  const std::vector<json> lines = lines_of(path);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1]["type"], "step");
  EXPECT_EQ(lines[2], json::parse(R"({"type": "scalars", "step": 3, "scalars": {"test/accuracy": 0.5}})"));
}

TEST_F(Jsonl, AFrameHasTheStatisticsOfEveryTensor) {
  std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {make_moments(i), TensorRow::present};
  rows[3].state = TensorRow::absent;
  rows[5].state = TensorRow::unreadable;
  JsonlExporter exporter(config(), *run.channel());
  on_frame(exporter, FrameHeader{9, kStartNs, 0}, rows, {});
  exporter.on_poll();
  const json line = lines_of(path).at(1);
  EXPECT_EQ(line["type"], "frame");
  EXPECT_EQ(line["step"], 9);
  ASSERT_EQ(line["tensors"].size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const json& tensor = line["tensors"][i];
    const RowSchema& info = run.channel()->schema().rows[i];
    EXPECT_EQ(tensor["kind"], kTensorKindNames[static_cast<std::size_t>(info.kind)]);
    EXPECT_EQ(tensor["name"], info.name);
    EXPECT_EQ(tensor["layer"], info.layer);
    for (const Statistic& statistic : kStatistics) {
      const std::string key(statistic.name);
      EXPECT_EQ(tensor.contains(key), rows[i].state == TensorRow::present);
      if (tensor.contains(key)) {
        EXPECT_EQ(tensor[key], statistic.value(rows[i].moments));
      }
    }
  }
  EXPECT_EQ(line["tensors"][3]["state"], "absent");
  EXPECT_EQ(line["tensors"][5]["state"], "unreadable");
}

TEST_F(Jsonl, WithoutFiniteElementsMeanAndExtremesAreNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  rows[0] = {compute_moments(DType::float32, &nan, 1), TensorRow::present};
  JsonlExporter exporter(config(), *run.channel());
  on_frame(exporter, FrameHeader{1, 0, 0}, rows, {});
  exporter.on_poll();
  const json tensor = lines_of(path).at(1)["tensors"][0];
  EXPECT_EQ(tensor["mean"], "NaN");
  EXPECT_EQ(tensor["nan_values"], 1);
}

TEST_F(Jsonl, AFrameHasUpdatesAndMagnitudesWhereTheyAreMeasured) {
  std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {make_moments(i), TensorRow::present};
  rows[0].update_norm = 0.25;
  rows[2].update_norm = 0.5;  // has a NaN among its elements
  rows[4].update_norm = 0.5;  // a gradient
  std::vector<MagnitudeHistogram> histograms{make_histogram(0), make_histogram(3)};
  histograms[1].overflow = 7;
  JsonlExporter exporter(config(), *run.channel());
  on_frame(exporter, FrameHeader{9, kStartNs, 0}, rows, histograms);
  rows[0].state = TensorRow::absent;
  on_frame(exporter, FrameHeader{10, kStartNs, 0}, rows, histograms);
  exporter.on_poll();
  const json tensors = lines_of(path).at(1)["tensors"];
  EXPECT_EQ(tensors[0]["update_norm"], 0.25);
  EXPECT_EQ(tensors[0]["update_ratio"], 0.25 / l2_norm(rows[0].moments));
  EXPECT_EQ(tensors[2]["update_norm"], 0.5);
  EXPECT_EQ(tensors[2]["update_ratio"], "NaN");
  for (const std::size_t i : {1, 3, 4, 5, 6}) {
    EXPECT_FALSE(tensors[i].contains("update_norm")) << i;
    EXPECT_FALSE(tensors[i].contains("update_ratio")) << i;
  }
  EXPECT_EQ(tensors[0]["magnitude_p01"], magnitude_quantile(histograms[0], rows[0].moments, 0.01));
  EXPECT_EQ(tensors[0]["magnitude_p50"], magnitude_quantile(histograms[0], rows[0].moments, 0.5));
  EXPECT_EQ(tensors[0]["magnitude_p99"], magnitude_quantile(histograms[0], rows[0].moments, 0.99));
  std::vector<std::uint64_t> counts{histograms[1].underflow};
  counts.insert(counts.end(), histograms[1].buckets.begin(), histograms[1].buckets.end());
  counts.push_back(7);
  EXPECT_EQ(tensors[3]["magnitude_buckets"], json(counts));
  for (const std::size_t i : {1, 2, 4, 5, 6}) EXPECT_FALSE(tensors[i].contains("magnitude_buckets")) << i;
  const json absent = lines_of(path).at(2)["tensors"][0];
  EXPECT_FALSE(absent.contains("magnitude_p50") || absent.contains("update_norm"));
}

TEST_F(Jsonl, AFrameHasWhatTheOptimizerDidAndKeepsWhereItIsMeasured) {
  std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {make_moments(i), TensorRow::present};
  rows[0].distance = 0.5;
  rows[3].cosine = -0.25;
  rows[0].state_norms[1] = std::numeric_limits<double>::quiet_NaN();
  rows[0].states = 2;  // exp_avg_sq only
  JsonlExporter exporter(config(), *run.channel());
  on_frame(exporter, FrameHeader{9, kStartNs, 0}, rows, {});
  exporter.on_poll();
  const json tensors = lines_of(path).at(1)["tensors"];
  EXPECT_EQ(tensors[0]["distance"], 0.5);
  EXPECT_EQ(tensors[3]["cosine"], -0.25);
  EXPECT_EQ(tensors[0]["exp_avg_sq_norm"], "NaN");
  EXPECT_FALSE(tensors[0].contains("exp_avg_norm"));
  EXPECT_FALSE(tensors[1].contains("distance"));  // not measured
}

TEST_F(Jsonl, AFrameHasTheActivationsThatNoEarlierOneHad) {
  const std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  std::vector<ActivationRow> activations(2);
  activations[0].moments = make_moments(4);
  activations[0].saturated_ratio = 0.125;
  activations[0].step = 9;
  const std::vector<LayerLabel> layers{{"fc/tanh", "train"}, {"fc", "validation"}};
  JsonlExporter exporter(config(), *run.channel());
  on_frame(exporter, FrameHeader{9, kStartNs, 2}, rows, {}, activations, layers);
  activations[1].step = 9;
  on_frame(exporter, FrameHeader{10, kStartNs, 2}, rows, {}, activations, layers);
  on_frame(exporter, FrameHeader{11, kStartNs, 2}, rows, {}, activations, layers);
  exporter.on_poll();
  const std::vector<json> lines = lines_of(path);
  ASSERT_EQ(lines.at(1)["activations"].size(), 1u);
  const json first = lines.at(1)["activations"][0];
  EXPECT_EQ(first["layer"], "fc/tanh");
  EXPECT_EQ(first["phase"], "train");
  EXPECT_EQ(first["saturated_ratio"], 0.125);
  EXPECT_EQ(first["max"], activations[0].moments.max);
  EXPECT_FALSE(first.contains("dead_ratio"));
  ASSERT_EQ(lines.at(2)["activations"].size(), 1u);
  EXPECT_EQ(lines.at(2)["activations"][0]["layer"], "fc");
  EXPECT_FALSE(lines.at(3).contains("activations"));
}

TEST_F(Jsonl, AnEventIsALineWithAllThatIsKnownOfIt) {
  run.publish_replay(2);
  JsonlExporter exporter(config(), *run.channel());
  exporter.on_event(*run.snapshot()->origin);
  exporter.on_poll();
  const json line = lines_of(path).at(1);
  EXPECT_EQ(line["type"], "nonfinite");
  EXPECT_EQ(line["step"], 2);
  EXPECT_EQ(line["found_by"], "replay");
  EXPECT_EQ(line["layer"], "conv/log");
  EXPECT_EQ(line["operation"], "LogBackward0");
  EXPECT_EQ(line["forward_operation"], "aten::log");
  EXPECT_EQ(line["backward"], true);
  EXPECT_EQ(line["parameter"], "conv.bias");
  EXPECT_EQ(line["operands"].size(), 1u);
  EXPECT_EQ(line["operands"][0]["tensor"], "float32 [4]");
  EXPECT_EQ(line["operands"][0]["nan_values"], make_moments(2).nan_count);
}

TEST_F(Jsonl, NamesThatAreNoUtf8StillMakeJson) {
  Schema schema = make_schema();
  schema.identity.run = "a\xff";
  schema.rows[0].name = "\xc3(";
  TestRun odd(schema);
  JsonlExporter exporter(config(), *odd.channel());
  on_frame(exporter, FrameHeader{}, std::vector<TensorRow>(schema.rows.size()), {});
  exporter.on_poll();
  EXPECT_EQ(lines_of(path).at(0)["run"], "a\xef\xbf\xbd");
}

TEST_F(Jsonl, ARestartAppends) {
  for (int attempt = 0; attempt < 2; ++attempt) {
    JsonlExporter exporter(config(), *run.channel());
    exporter.on_step(step(1), scalars.data());
    exporter.on_poll();
  }
  const std::vector<json> lines = lines_of(path);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[2]["type"], "run");
}

TEST_F(Jsonl, ALineThatACrashCutOffIsLeftAloneAndANewOneBegun) {
  std::ofstream(path) << "{\"type\":\"run\"}\n{\"type\":\"st";
  JsonlExporter exporter(config(), *run.channel());
  exporter.on_step(step(1), scalars.data());
  exporter.on_poll();
  std::istringstream stream(read_text(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], "{\"type\":\"st");
  EXPECT_EQ(json::parse(lines[2])["type"], "run");
  EXPECT_EQ(json::parse(lines[3])["type"], "step");
}

TEST_F(Jsonl, AFullFileBecomesTheOldOneAndEachFileBeginsWithTheRun) {
  constexpr std::int64_t kMaxBytes = 8192;
  JsonlExporter exporter(config(kMaxBytes), *run.channel());
  std::uint64_t number = 0;
  for (int poll = 0; poll < 10; ++poll) {
    for (int i = 0; i < 10; ++i) exporter.on_step(step(++number), scalars.data());
    exporter.on_poll();
  }
  std::vector<std::uint64_t> steps;
  for (const std::string& file : {path + ".1", path}) {
    EXPECT_LE(read_text(file).size(), static_cast<std::size_t>(kMaxBytes));
    const std::vector<json> lines = lines_of(file);
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ(lines[0]["type"], "run");
    for (std::size_t i = 1; i < lines.size(); ++i) steps.push_back(lines[i]["step"]);
  }
  ASSERT_GT(steps.size(), 10u);
  EXPECT_EQ(steps.back(), number);
  for (std::size_t i = 1; i < steps.size(); ++i) EXPECT_EQ(steps[i], steps[i - 1] + 1) << "nothing is lost between two files";
}

TEST_F(Jsonl, ALineLongerThanTheBoundHasAFileOfItsOwn) {
  JsonlExporter exporter(config(64), *run.channel());
  exporter.on_step(step(1), scalars.data());
  exporter.on_step(step(2), scalars.data());
  exporter.on_poll();
  EXPECT_EQ(lines_of(path).back()["step"], 2);
  EXPECT_FALSE(lines_of(path + ".1").empty());
}

TEST_F(Jsonl, AFileThatCannotBeOpenedIsAnErrorThatSaysWhatToDo) {
  path = folder.file("missing/run.jsonl");
  try {
    JsonlExporter exporter(config(), *run.channel());
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(),
              "cannot open '" + path + "': No such file or directory; set exporters.jsonl.path to a file that this program may write");
  }
}

TEST_F(Jsonl, TwoProcessesDoNotShareAFile) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
  const pid_t child = fork_quietly();
  if (child == 0) {
    char byte = 0;
    if (::read(gate[0], &byte, 1) != 1) _exit(3);
    try {
      JsonlExporter second(config(), *run.channel());
    } catch (const std::runtime_error& error) {
      _exit(std::string(error.what()).find("another program writes its run into it; set exporters.jsonl.path") != std::string::npos ? 0
                                                                                                                                    : 2);
    }
    _exit(1);
  }
  JsonlExporter exporter(config(), *run.channel());  // after the fork: the child knows nothing of it
  ASSERT_EQ(write(gate[1], "x", 1), 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Jsonl, TwoMonitorsOfAProcessDoNotShareAFileEither) {
  auto exporter = std::make_unique<JsonlExporter>(config(), *run.channel());
  EXPECT_THROW(JsonlExporter(config(), *run.channel()), std::runtime_error);
  exporter.reset();
  EXPECT_NO_THROW(JsonlExporter(config(), *run.channel()));
}

TEST_F(Jsonl, ASlowReaderOfAPipeGetsTheWholeRun) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  auto exporter = std::make_unique<JsonlExporter>(config(), *run.channel());
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  constexpr std::size_t kSteps = 2000;  // several times what a pipe holds
  for (std::size_t i = 0; i < kSteps; ++i) exporter->on_step(step(1), scalars.data());
  std::string text;
  std::thread drain([&] {
    char buffer[4096];
    for (ssize_t got = 1; got > 0; text.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0)))) {
      got = read_some(reader, buffer, sizeof buffer);
    }
  });
  exporter->on_poll();  // the last one of a run
  exporter->stop();
  exporter.reset();
  drain.join();
  close(reader);
  EXPECT_EQ(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')), 1 + kSteps);
}

TEST_F(Jsonl, APipeThatNobodyEmptiesIsNotWaitedForAndAnErrorOnceLinesAreLost) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  JsonlExporter exporter(config(), *run.channel());
  const StepRecord record = step(1);
  for (int i = 0; i < 1000; ++i) exporter.on_step(record, scalars.data());  // more than a pipe holds
  EXPECT_NO_THROW(exporter.on_poll());
  for (std::size_t i = 0; i < JsonlExporter::kMaxPendingBytes / 100; ++i) exporter.on_step(record, scalars.data());
  EXPECT_THROW(exporter.on_poll(), std::runtime_error);
}

TEST_F(Jsonl, AFullDeviceIsAnErrorEachTimeAndWhatIsPendingIsBounded) {
  path = "/dev/full";
  JsonlExporter exporter(config(), *run.channel());
  for (int i = 0; i < 3; ++i) {
    exporter.on_step(step(1), scalars.data());
    EXPECT_THROW(exporter.on_poll(), std::runtime_error);
  }
}

// A pipe stands for a device: what is written to it can be read, and it is full when nobody does.
TEST_F(Jsonl, LinesThatHadNoRoomAreCountedInTheFileOnceItIsWritableAgain) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  JsonlExporter exporter(config(), *run.channel());
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  // More than the exporter keeps, so that the rest is lost before anything is written.
  const std::size_t line_bytes = 250, lines = 2 * JsonlExporter::kMaxPendingBytes / line_bytes;
  for (std::size_t i = 0; i < lines; ++i) exporter.on_step(step(1), scalars.data());
  std::string text;
  std::atomic<bool> drained{false};
  std::thread drain([&] {
    char buffer[65536];
    while (text.find("\"type\":\"lost\"") == std::string::npos || text.back() != '\n') {
      const ssize_t got = read_some(reader, buffer, sizeof buffer);
      if (got <= 0) break;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    drained.store(true);
  });
  while (!drained.load()) {
    try {
      exporter.on_poll();
    } catch (const std::runtime_error&) {
      // Lines are lost, and the pipe is full again.
    }
  }
  drain.join();
  close(reader);
  std::size_t steps = 0, lost = 0;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    const json parsed = json::parse(line);
    steps += parsed["type"] == "step";
    if (parsed["type"] == "lost") lost += parsed["lines"].get<std::size_t>();
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(steps + lost, lines);
}

}  // namespace
}  // namespace vigil
