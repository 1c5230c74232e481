// The export thread as a whole: rings in, exporters out, and its end in every form.
#include "vigil/exporters/export_thread.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <functional>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "files.h"
#include "fork.h"
#include "http/http_client.h"

namespace vigil {
namespace {

using namespace test;

// The thread polls by itself only where a test waits for that; else refresh() says when.
Config make_config(std::int64_t interval_ms = 60'000) {
  Config config;
  config.exporters.interval_ms = interval_ms;
  config.exporters.prometheus.port = 0;
  return config;
}

// Names of the threads of this process that vigil started: its own and the HTTP server's.
std::vector<std::string> thread_names() {
  std::vector<std::string> names;
  for (const std::string& folder : other_threads()) {
    std::ifstream file(folder + "/comm");
    std::string name;
    if (!std::getline(file, name)) continue;
    if (name == "vigil-export" || name.rfind("MHD", 0) == 0) names.push_back(name);
  }
  return names;
}

// The masks of blocked signals of this process' other threads, as /proc spells them. Not found by name: a thread has its name only a moment
// after it began.
std::vector<std::string> blocked_signals_of_other_threads() {
  std::vector<std::string> masks;
  for (const std::string& folder : other_threads()) {
    std::ifstream file(folder + "/status");
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("SigBlk:\t", 0) == 0) masks.push_back(line.substr(8));
    }
  }
  return masks;
}

class Exporting : public testing::Test {
 protected:
  CapturedLog captured;
  TemporaryFolder folder;
  TestRun run;
};

TEST_F(Exporting, HasASnapshotFromTheStart) {
  run.publish_step(1);
  ExportThread exporting(run.channel(), make_config());
  EXPECT_EQ(exporting.snapshot()->step.step, 1u);
  EXPECT_EQ(errors_of(*exporting.snapshot(), "prometheus"), 0u);
  EXPECT_EQ(errors_of(*exporting.snapshot(), "jsonl"), 0u);
}

TEST_F(Exporting, RefreshShowsWhatWasPublishedBefore) {
  ExportThread exporting(run.channel(), make_config());
  for (std::uint64_t step = 1; step <= 50; ++step) {
    run.publish_step(step);
    ASSERT_EQ(exporting.refresh()->step.step, step);
  }
}

TEST_F(Exporting, TheThreadPollsByItself) {
  ExportThread exporting(run.channel(), make_config(10));
  run.publish_step(7);
  // A scrape is the only clock here: it ends as soon as the step is there, and at ten seconds at the latest.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (exporting.snapshot()->step.step != 7 && std::chrono::steady_clock::now() < deadline) request(exporting.endpoint(), "/-/ready");
  EXPECT_EQ(exporting.snapshot()->step.step, 7u);
}

TEST_F(Exporting, AScrapeSeesTheSnapshot) {
  ExportThread exporting(run.channel(), make_config());
  run.publish_step(3);
  exporting.refresh();
  const ParsedText parsed = parse_prometheus_text(request(exporting.endpoint(), "/metrics").body);
  EXPECT_EQ(parsed.values.at(series_key("vigil_steps_total", {{"run", "mnist \"a\\b\""}, {"rank", "0"}})), 3);
  EXPECT_EQ(captured.count("serving metrics on http://" + exporting.endpoint() + "/metrics"), 1u);
}

TEST_F(Exporting, WithoutHttpThereIsNoEndpoint) {
  Config config = make_config();
  config.exporters.prometheus.enabled = false;
  ExportThread exporting(run.channel(), config);
  EXPECT_EQ(exporting.endpoint(), "");
  run.publish_step(1);
  EXPECT_EQ(exporting.refresh()->step.step, 1u);
}

TEST_F(Exporting, StopTakesWhatIsLeftWritesItAndEndsEveryThread) {
  Config config = make_config();
  config.exporters.jsonl.enabled = true;
  config.exporters.jsonl.path = folder.file("run.jsonl");
  ExportThread exporting(run.channel(), config);
  run.publish_step(1);
  run.publish_step(2);
  run.channel()->live().state.store(RunState::finished);
  const std::string endpoint = exporting.endpoint();
  exporting.stop();
  EXPECT_EQ(exporting.snapshot()->step.step, 2u);
  EXPECT_EQ(exporting.snapshot()->state, RunState::finished);
  EXPECT_EQ(exporting.refresh()->step.step, 2u);
  EXPECT_EQ(exporting.endpoint(), endpoint);
  EXPECT_FALSE(RawConnection(endpoint).is_open());
  EXPECT_TRUE(thread_names().empty());
  std::ifstream file(config.exporters.jsonl.path);
  std::vector<std::string> types;
  for (std::string line; std::getline(file, line);) types.push_back(nlohmann::json::parse(line)["type"]);
  EXPECT_EQ(types, (std::vector<std::string>{"run", "step", "step"}));
}

TEST_F(Exporting, StopMayBeCalledAgainAndFromSeveralThreads) {
  ExportThread exporting(run.channel(), make_config());
  std::vector<std::thread> stoppers;
  for (int i = 0; i < 4; ++i) stoppers.emplace_back([&] { exporting.stop(); });
  for (std::thread& stopper : stoppers) stopper.join();
  exporting.stop();
}

TEST_F(Exporting, RefreshEndsWhenStopComesBetween) {
  ExportThread exporting(run.channel(), make_config());
  std::atomic<bool> done{false};
  std::thread refresher([&] {
    while (!done) ASSERT_NE(exporting.refresh(), nullptr);
  });
  exporting.refresh();
  exporting.stop();
  done = true;
  refresher.join();
}

TEST_F(Exporting, TheThreadHasAName) {
  ExportThread exporting(run.channel(), make_config());
  exporting.refresh();
  const std::vector<std::string> names = thread_names();
  EXPECT_EQ(std::count(names.begin(), names.end(), "vigil-export"), 1);
}

TEST_F(Exporting, ItsThreadsBlockAllSignalsAndTheProgramsDoNot) {
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  ExportThread exporting(run.channel(), make_config());
  exporting.refresh();
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal));
  const std::vector<std::string> masks = blocked_signals_of_other_threads();
  EXPECT_GE(masks.size(), 2u);
  for (const std::string& text : masks) {
    const unsigned long long mask = std::stoull(text, nullptr, 16);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) EXPECT_NE(mask & (1ULL << (signal - 1)), 0u) << text << " " << signal;
  }
}

TEST_F(Exporting, AFailingExporterIsCountedLoggedOnceAndHoldsUpNothing) {
  Config config = make_config();
  config.exporters.jsonl.enabled = true;
  config.exporters.jsonl.path = "/dev/full";
  ExportThread exporting(run.channel(), config);
  EXPECT_EQ(errors_of(*exporting.snapshot(), "jsonl"), 1u);  // the line of the run
  for (std::uint64_t step = 1; step <= 3; ++step) {
    run.publish_step(step);
    const auto snapshot = exporting.refresh();
    EXPECT_EQ(snapshot->step.step, step);
    EXPECT_EQ(errors_of(*snapshot, "jsonl"), 1 + step);
    EXPECT_EQ(errors_of(*snapshot, "prometheus"), 0u);
  }
  EXPECT_EQ(captured.count("exporter 'jsonl' failed (1 times so far): cannot write '/dev/full': No space left on device"), 1u);
  EXPECT_EQ(captured.count("exporter 'jsonl' failed"), 1u);
  const std::string body = request(exporting.endpoint(), "/metrics").body;
  EXPECT_NE(body.find("exporter=\"jsonl\"} 4\n"), std::string::npos);
}

TEST_F(Exporting, AnExporterThatCannotStartLeavesNothingRunning) {
  Config config = make_config();
  config.exporters.jsonl.enabled = true;
  config.exporters.jsonl.path = folder.file("missing/run.jsonl");
  EXPECT_THROW(ExportThread(run.channel(), config), std::runtime_error);
  EXPECT_TRUE(thread_names().empty());
}

TEST_F(Exporting, WhatHappensInTheRunIsLogged) {
  ExportThread exporting(run.channel(), make_config());
  run.channel()->note(Hook::guard).write_first("it broke");
  run.publish_nonfinite_step(1, 0);
  exporting.refresh();
  exporting.refresh();
  EXPECT_EQ(captured.count("hook 'guard' failed, training goes on: it broke"), 1u);
  EXPECT_EQ(captured.count("step 1: the loss is not finite"), 1u);
}

TEST_F(Exporting, OfTwoOriginsWithinAnIntervalTheFirstIsLogged) {
  ExportThread exporting(run.channel(), make_config(60'000));
  run.publish_nonfinite_step(3, 1);
  run.publish_step(4);
  run.publish_nonfinite_step(5, 0);
  exporting.refresh();
  exporting.refresh();  // the log is written after the figures are out
  EXPECT_EQ(captured.count("step 3: the loss is not finite"), 1u);
  EXPECT_EQ(captured.count("step 5: the loss is not finite"), 0u);
}

TEST_F(Exporting, AnAbandonedCopyInAForkedChildIsInertAndTheParentGoesOn) {
  run.publish_step(1);
  ExportThread exporting(run.channel(), make_config(10));
  const pid_t child = fork_quietly();
  if (child == 0) {
    exporting.abandon();
    const bool inert = exporting.snapshot()->step.step == 1 && exporting.refresh()->step.step == 1;
    exporting.abandon();
    exporting.stop();
    exporting.~ExportThread();
    _exit(inert ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  run.publish_step(2);
  EXPECT_EQ(exporting.refresh()->step.step, 2u);
  EXPECT_EQ(request(exporting.endpoint(), "/metrics").status, 200);
}

TEST_F(Exporting, AChildThatOutlivesTheParentsEndpointDoesNotHoldItsPort) {
  int gate[2];
  ASSERT_EQ(pipe2(gate, O_CLOEXEC), 0);
  Config same_port = make_config();
  same_port.exporters.prometheus.address = "127.0.0.93";  // where no other test takes the port while it is free
  auto exporting = std::make_unique<ExportThread>(run.channel(), same_port);
  const std::string endpoint = exporting->endpoint();
  same_port.exporters.prometheus.port = std::stoi(endpoint.substr(endpoint.rfind(':') + 1));
  const pid_t child = fork_quietly();
  char byte = 0;
  if (child == 0) _exit(read(gate[0], &byte, 1) == 1 ? 0 : 1);  // asks nothing of its copy
  exporting.reset();
  EXPECT_NO_THROW(ExportThread(run.channel(), same_port));
  ASSERT_EQ(write(gate[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
}

TEST_F(Exporting, EveryStepIsReadOrCountedWhileTheTrainerRuns) {
  constexpr std::uint64_t kSteps = 20'000;
  ExportThread exporting(run.channel(), make_config(10));
  std::thread trainer([this] {
    for (std::uint64_t step = 1; step <= kSteps; ++step) {
      if (step % 10 == 0) run.publish_frame(step);
      run.publish_step(step);
    }
  });
  std::uint64_t before = 0;
  for (int i = 0; i < 20; ++i) {
    const auto snapshot = exporting.refresh();
    EXPECT_GE(snapshot->step.step, before);
    before = snapshot->step.step;
  }
  trainer.join();
  exporting.stop();
  const auto last = exporting.snapshot();
  EXPECT_EQ(last->step.step, kSteps);
  EXPECT_EQ(last->step_ring.read + last->step_ring.overwritten, kSteps);
  EXPECT_EQ(last->frame_ring.read + last->frame_ring.overwritten, kSteps / 10);
}

TEST_F(Exporting, LingersForTheScrapeThatSeesTheEndAndNoLonger) {
  Config config = make_config();
  config.exporters.prometheus.linger_ms = 600'000;
  ExportThread exporting(run.channel(), config);
  run.channel()->live().state.store(RunState::finished);
  std::thread stopper([&] { exporting.stop(); });
  while (request(exporting.endpoint(), "/metrics").body.find(R"(
vigil_up{run="mnist \"a\\b\"",rank="0"} 0
)") == std::string::npos) {
  }
  stopper.join();  // minutes before the limit, or the test times out
  EXPECT_EQ(request(exporting.endpoint(), "/metrics").status, 0);
}

TEST_F(Exporting, LingersNoLongerThanItsLimit) {
  Config config = make_config();
  config.exporters.prometheus.linger_ms = 1;
  ExportThread exporting(run.channel(), config);
  run.channel()->live().state.store(RunState::finished);
  exporting.stop();
  EXPECT_EQ(request(exporting.endpoint(), "/metrics").status, 0);
}

}  // namespace
}  // namespace vigil
