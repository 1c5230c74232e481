// What JsonlExporter writes comes back as it was; and whatever else stands in a file ends in an error, never in a crash.
#include "vigil/exporters/jsonl_reader.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "exporters/test_run.h"
#include "files.h"
#include "vigil/exporters/jsonl_exporter.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

using namespace test;

class ReadJsonl : public testing::Test {
 protected:
  std::unique_ptr<JsonlExporter> exporter() {
    JsonlConfig config;
    config.path = path;
    return std::make_unique<JsonlExporter>(config, *run.channel());
  }
  // The decoder of a file's line number `line`, which holds `item`.
  const JsonlDecoder& read(JsonlItem item, int line = 2) {
    reader = std::make_unique<JsonlReader>(std::vector<std::string>{path});
    for (int i = 1; i < line; ++i) EXPECT_TRUE(reader->next());
    EXPECT_EQ(reader->next(), item);
    return reader->decoder();
  }

  TemporaryFolder folder;
  std::string path = folder.file("run.jsonl");
  TestRun run;
  std::vector<double> scalars = std::vector<double>(run.channel()->scalar_capacity(), 0.0);
  std::unique_ptr<JsonlReader> reader;
};

StepRecord full_record() {
  StepRecord record;
  record.step = 7;
  record.wall_time_ns = kStartNs;
  record.flags = StepRecord::has_loss | StepRecord::has_gradient_norm | StepRecord::has_parameter_norm | StepRecord::nonfinite |
                 StepRecord::skipped | StepRecord::has_optimizer_time | StepRecord::has_total_time | StepRecord::has_data_time |
                 StepRecord::has_device_memory | StepRecord::has_clip_ratio;
  record.loss = 0.1;
  record.gradient_norm = kInf;
  record.parameter_norm = 3.5000000000000004;
  record.forward_backward_ns = 123'456'789;
  record.data_ns = 1;
  record.optimizer_ns = 999'999'999'999;
  record.total_ns = 1'123'456'789;
  record.vigil_ns = 17;
  record.clip_ratio = 0.25;
  record.examples = 32;
  record.multiply_accumulates = 1'000'000'000'007;
  record.device_allocated = 1;
  record.device_reserved = 2;
  record.device_peak = 3;
  record.device_retries = 4;
  record.device_out_of_memory = 5;
  for (std::size_t i = 0; i < record.totals.nonfinite_values.size(); ++i) record.totals.nonfinite_values[i] = {10 + i, 20 + i};
  record.totals.nonfinite_steps = 31;
  record.totals.skipped_steps = 32;
  record.totals.rollbacks = 33;
  record.totals.micro_batches = 34;
  record.totals.examples = 35;
  record.totals.layers_dropped = 36;
  record.totals.samples = 37;
  record.totals.overhead_ns = 38;
  record.totals.loop_overhead_ns = 39;
  record.totals.loop_ns = 40'000'000'000;
  for (std::size_t i = 0; i < record.totals.hook_errors.size(); ++i) record.totals.hook_errors[i] = i;
  record.origin = 1;
  record.origin_step = 6;
  record.user_scalars = 2;
  return record;
}

TEST_F(ReadJsonl, ARecordComesBackByteByByte) {
  run.channel()->scalar_names().find_or_append("z/last");
  run.channel()->scalar_names().find_or_append("a first");
  scalars[0] = 0.01;
  scalars[1] = -kInf;
  scalars[2] = 1e-310;
  const StepRecord record = full_record();
  auto writer = exporter();
  writer->on_step(record, scalars.data());
  writer->on_poll();
  const JsonlDecoder& decoder = read(JsonlItem::step);
  EXPECT_EQ(std::memcmp(&decoder.record(), &record, sizeof record), 0);
  EXPECT_EQ(decoder.scalars()[0], 0.01);
  ASSERT_EQ(decoder.scalar_names().size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const bool is_last = decoder.scalar_names().at(i) == "z/last";
    EXPECT_EQ(decoder.scalars()[1 + i], is_last ? -kInf : 1e-310) << decoder.scalar_names().at(i);
  }
}

TEST_F(ReadJsonl, WhatARecordDoesNotHaveIsNotMadeUp) {
  StepRecord record;
  record.step = 1;
  record.wall_time_ns = kStartNs;
  auto writer = exporter();
  writer->on_step(record, scalars.data());
  writer->on_poll();
  EXPECT_EQ(std::memcmp(&read(JsonlItem::step).record(), &record, sizeof record), 0);
}

TEST_F(ReadJsonl, TimesComeBackToAQuarterOfAMicrosecond) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20; ++i) {
    std::filesystem::remove(path);
    StepRecord record;
    record.step = 1;
    record.wall_time_ns = kStartNs + static_cast<std::int64_t>(random() % 1'000'000'000'000'000);
    auto writer = exporter();
    writer->on_step(record, scalars.data());
    writer->on_poll();
    EXPECT_NEAR(static_cast<double>(read(JsonlItem::step).record().wall_time_ns - record.wall_time_ns), 0, 250);
  }
}

TEST_F(ReadJsonl, TheSchemaComesBack) {
  exporter()->on_poll();
  const Schema& written = run.channel()->schema();
  const Schema& schema = *read(JsonlItem::run, 1).schema();
  EXPECT_EQ(schema.identity.run, written.identity.run);
  EXPECT_EQ(schema.identity.host, written.identity.host);
  EXPECT_EQ(schema.identity.model_fingerprint, "a7d1f3eac31e31f49e8def25b6964ce3");
  EXPECT_EQ(schema.identity.attempt, 1);
  EXPECT_EQ(schema.identity.start_time_ns, kStartNs);
  EXPECT_EQ(schema.parameters, written.parameters);
  EXPECT_EQ(schema.learning_rates, 1u);
  EXPECT_EQ(schema.activations, 3u);
  ASSERT_EQ(schema.rows.size(), written.rows.size());
  for (std::size_t i = 0; i < schema.rows.size(); ++i) {
    const RowSchema &a = schema.rows[i], &b = written.rows[i];
    EXPECT_TRUE(a.kind == b.kind && a.name == b.name && a.layer == b.layer && a.shape == b.shape && a.element_count == b.element_count &&
                a.dtype == b.dtype)
        << i;
  }
}

// Moments of real data: all that rules are computed from, to the last bit.
TEST_F(ReadJsonl, StatisticsOfAFrameComeBackToTheLastBit) {
  std::mt19937 random(11);
  std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  for (int round = 0; round < 50; ++round) {
    std::filesystem::remove(path);
    for (TensorRow& row : rows) {
      std::vector<double> values(1 + random() % 200);
      const double scale = std::pow(10.0, static_cast<double>(random() % 620) - 310);  // squares beyond double, too
      for (double& value : values) {
        value = scale * (static_cast<double>(random()) / 2e9 - 1);
        if (random() % 9 == 0) value = 0;
        if (round % 3 == 0 && random() % 20 == 0) value = random() % 2 == 0 ? kNan : -kInf;
      }
      row = {compute_moments(DType::float64, values.data(), values.size()), TensorRow::present};
    }
    rows[2].state = TensorRow::absent;
    rows[5].state = TensorRow::unreadable;
    auto writer = exporter();
    const FrameHeader header{9, kStartNs, 0};
    const std::vector<MagnitudeHistogram> histograms(2);
    writer->on_frame({header, rows, histograms, {}, {}});
    writer->on_poll();
    const Frame frame = read(JsonlItem::frame).frame();
    EXPECT_EQ(frame.header.step, 9u);
    ASSERT_EQ(frame.rows.size(), rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(frame.rows[i].state, rows[i].state);
      if (rows[i].state != TensorRow::present) continue;
      const Moments &a = frame.rows[i].moments, &b = rows[i].moments;
      EXPECT_EQ(a.count, b.count);
      EXPECT_EQ(a.nan_count, b.nan_count);
      EXPECT_EQ(a.inf_count, b.inf_count);
      EXPECT_EQ(a.zero_count, b.zero_count);
      EXPECT_EQ(a.min, b.min);
      EXPECT_EQ(a.max, b.max);
      EXPECT_EQ(a.mean, b.mean);
      EXPECT_EQ(a.l1, b.l1);
      if (const double norm = l2_norm(b); norm == 0 || (norm > 1e-120 && norm < 1e120)) {
        EXPECT_EQ(l2_norm(a), l2_norm(b));
        if (finite_count(b) > 0) {
          EXPECT_EQ(standard_deviation(a), standard_deviation(b));
        }
      } else {
        EXPECT_DOUBLE_EQ(l2_norm(a), l2_norm(b));
        EXPECT_DOUBLE_EQ(standard_deviation(a), standard_deviation(b));
      }
    }
  }
}

TEST_F(ReadJsonl, ActivationsStayAsTheyWereUntilTheyAreObservedAgain) {
  const std::vector<TensorRow> rows(run.channel()->schema().rows.size());
  std::vector<ActivationRow> activations(2);
  activations[0].moments = make_moments(4);
  activations[0].dead_ratio = 0.25;
  activations[0].step = 9;
  const std::vector<LayerLabel> layers{{"fc/relu", "train"}, {"fc", "validation"}};
  auto writer = exporter();
  const FrameHeader first{9, kStartNs, 2}, second{10, kStartNs, 2};
  writer->on_frame({first, rows, {}, activations, layers});
  activations[1].step = 10;
  activations[1].moments = make_moments(5);
  writer->on_frame({second, rows, {}, activations, layers});
  writer->on_poll();
  const Frame frame = read(JsonlItem::frame, 3).frame();
  ASSERT_EQ(frame.activations.size(), 2u);
  EXPECT_EQ(frame.activations[0].step, 9u);
  EXPECT_EQ(frame.activations[0].dead_ratio, 0.25);
  EXPECT_TRUE(std::isnan(frame.activations[0].saturated_ratio));
  EXPECT_EQ(frame.activations[0].moments.zero_count, make_moments(4).zero_count);
  EXPECT_EQ(frame.activations[1].step, 10u);
  EXPECT_EQ(frame.layers[1].layer, "fc");
  EXPECT_EQ(frame.layers[1].phase, "validation");
}

TEST_F(ReadJsonl, AnEventComesBack) {
  run.publish_replay(2);
  auto writer = exporter();
  const NonfiniteEvent written = *run.snapshot()->origin;
  writer->on_event(written);
  writer->on_poll();
  const NonfiniteEvent& event = read(JsonlItem::event).event();
  EXPECT_EQ(event.step, written.step);
  EXPECT_EQ(event.found_by, FoundBy::replay);
  EXPECT_EQ(event.layer.view(), written.layer.view());
  EXPECT_EQ(event.operation.view(), written.operation.view());
  EXPECT_EQ(event.parameter.view(), written.parameter.view());
  EXPECT_EQ(event.message.view(), written.message.view());
  EXPECT_EQ(event.backward, 1u);
}

TEST_F(ReadJsonl, ARunThatGoesOnInAnotherFileIsNotAnotherRun) {
  exporter()->on_poll();
  std::filesystem::copy_file(path, path + ".1");
  JsonlReader both({path + ".1", path});
  EXPECT_EQ(both.next(), JsonlItem::run);
  EXPECT_EQ(both.next(), JsonlItem::continued);
  EXPECT_EQ(both.next(), std::nullopt);
}

// Reads all of a text; what is wrong with it, or nothing. From memory: a disk would take longer than all the rest.
std::string problem_of(const std::string& text) {
  const int memory = memfd_create("jsonl", MFD_CLOEXEC);
  EXPECT_EQ(write(memory, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  std::string problem;
  try {
    JsonlReader reader({"/proc/self/fd/" + std::to_string(memory)});
    while (reader.next()) {
    }
  } catch (const JsonlError& error) {
    problem = error.what();
  }
  close(memory);
  return problem;
}

class HostileJsonl : public ReadJsonl {
 protected:
  std::string small_run() {
    auto writer = exporter();
    run.channel()->scalar_names().find_or_append("accuracy");
    RunFollower follower(*run.channel());
    run.publish_frame(1);
    run.publish_step(1);
    run.publish_nonfinite_step(2, 1);
    run.publish_replay(2);
    follower.poll([&](const StepRecord& record, const double* values) { writer->on_step(record, values); },
                  [&](const Frame& frame) { writer->on_frame(frame); }, [&](const NonfiniteEvent& event) { writer->on_event(event); });
    writer->on_poll();
    return read_text(path);
  }
};

TEST_F(HostileJsonl, AFileThatIsCutOffAtAnyByteIsReadUpToThere) {
  const std::string text = small_run();
  ASSERT_GT(text.size(), 5000u);
  for (std::size_t bytes = 0; bytes < text.size(); ++bytes) {
    ASSERT_EQ(problem_of(text.substr(0, bytes)), "") << bytes;
  }
}

TEST_F(HostileJsonl, CountersThatFallAndTimesBeyondReckoningAreErrorsOfTheirLine) {
  const std::string text = small_run();
  const std::size_t step2 = text.find("\"type\":\"step\"", text.find("\"type\":\"step\"") + 1);
  const std::size_t line = static_cast<std::size_t>(1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(step2), '\n'));
  const auto with = [&](std::size_t from, const std::string& key, const std::string& value) {
    std::string other = text;
    const std::size_t begin = other.find("\"" + key + "\":", from) + key.size() + 3;
    other.replace(begin, other.find_first_of(",}", begin) - begin, value);
    return problem_of(other);
  };
  const std::size_t step1 = text.rfind('\n', text.find("\"type\":\"step\"")) + 1;
  const std::string place = ":" + std::to_string(line) + ": ";
  for (const char* key : {"nonfinite_steps", "skipped_steps", "rollbacks", "micro_batches", "samples", "gradient_nan", "loss_inf"}) {
    const std::string problem = with(step1, key, "1000000");
    EXPECT_NE(problem.find(place), std::string::npos) << problem;
    EXPECT_NE(problem.find(std::string(key) + "\": expected at least 1000000, as in the step before, got "), std::string::npos) << problem;
  }
  for (const char* time : {"4.7e9", "-4.7e9", "9e9"}) {
    const std::string problem = with(text.rfind('\n', step2) + 1, "time", time);
    EXPECT_NE(problem.find(place), std::string::npos) << problem;
    EXPECT_NE(problem.find("\"time\": expected seconds since the epoch, at most 4.6e9, got "), std::string::npos) << problem;
  }
}

TEST_F(HostileJsonl, AByteThatIsChangedIsAnErrorOrAnotherValueAndNeverACrash) {
  const std::string text = small_run();
  std::mt19937 random(23);
  std::size_t errors = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string other = text;
    for (unsigned n = 1 + random() % 3; n > 0; --n)
      other[random() % other.size()] = static_cast<char>(random() % 3 == 0 ? random() : "0123456789-e.\",:{}[]"[random() % 20]);
    const std::string problem = problem_of(other);
    errors += !problem.empty();
    if (!problem.empty()) {
      ASSERT_EQ(problem.rfind("/proc/self/fd/", 0), 0u) << problem;
    }
  }
  EXPECT_GT(errors, 1000u);
}

TEST_F(HostileJsonl, AValueOfAnotherTypeIsNamed) {
  const std::string text = small_run();
  std::mt19937 random(29);
  const std::vector<std::string> values{"null", "true", "{}", "[]", "\"text\"", "-1", "1e308", "18446744073709551615", "\"NaN\"", "0.5"};
  for (std::size_t colon = text.find("\":"); colon != std::string::npos; colon = text.find("\":", colon + 1)) {
    const std::size_t begin = colon + 2;
    if (text[begin] == '{' || text[begin] == '[') continue;
    const std::size_t end = text[begin] == '"' ? text.find('"', begin + 1) + 1 : text.find_first_of(",}", begin);
    std::string other = text;
    other.replace(begin, end - begin, values[random() % values.size()]);
    const std::string problem = problem_of(other);
    if (!problem.empty()) {
      ASSERT_NE(problem.find("expected"), std::string::npos) << problem;
    }
  }
}

}  // namespace
}  // namespace vigil
