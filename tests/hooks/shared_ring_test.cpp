// Training with its rings in a file: what is there for others, during the run and after it.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>

#include "files.h"
#include "hooks/test_model.h"
#include "http/http_recorder.h"
#include "vigil/hooks/training_monitor.h"
#include "vigil/inspection/fingerprint.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {
namespace {

Config shared_config(const test::TemporaryFolder& folder) {
  Config config = quiet_config();
  config.ring.shared = true;
  config.ring.directory = folder.path().string();
  config.sampling.every_steps = 2;
  return config;
}

std::string only_file(const test::TemporaryFolder& folder) {
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_TRUE(path.empty()) << "a second file: " << entry.path();
    path = entry.path().string();
  }
  return path;
}

void train(TrainingMonitor& monitor, SmallNet& net, torch::optim::Optimizer& optimizer, int steps) {
  for (int step = 0; step < steps; ++step) monitor.step(optimizer, backward_pass(net, optimizer));
}

TEST(SharedRing, TheFileHoldsWhatTheMonitorSaw) {
  const test::TemporaryFolder folder;
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  TrainingMonitor monitor(shared_config(folder));
  monitor.watch(*net, optimizer);
  monitor.log("accuracy", 0.5);
  train(monitor, net, optimizer, 6);
  const auto seen = monitor.snapshot();
  monitor.finish();

  RunFollower follower(std::make_unique<RingFileReader>(std::make_shared<const RingFile>(only_file(folder))));
  follower.poll();
  const auto read = follower.snapshot();
  EXPECT_EQ(read->state, RunState::finished);
  EXPECT_EQ(read->step.step, 6u);
  EXPECT_EQ(read->loss, seen->loss);
  EXPECT_EQ(read->gradient_norm, seen->gradient_norm);
  EXPECT_EQ(read->user_scalars, seen->user_scalars);
  EXPECT_EQ(read->schema->identity.run, "test");
  torch::save(net, folder.file("model.pt"));
  EXPECT_EQ(read->schema->identity.model_fingerprint, architecture_fingerprint(open_saved_model(folder.file("model.pt")).tensors));
  ASSERT_EQ(read->rows.size(), seen->rows.size());
  for (std::size_t i = 0; i < read->rows.size(); ++i) {
    EXPECT_EQ(read->schema->rows[i].name, seen->schema->rows[i].name);
    EXPECT_EQ(read->rows[i].moments.mean, seen->rows[i].moments.mean);
  }
}

TEST(SharedRing, OfAWatchThatFailsNoFileStays) {
  const test::TemporaryFolder folder;
  const test::HttpRecorder taken;  // a port that is taken
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  Config config = shared_config(folder);
  config.exporters.prometheus.enabled = true;
  config.exporters.prometheus.port = taken.port();
  TrainingMonitor monitor(config);
  EXPECT_THROW(monitor.watch(*net, optimizer), std::runtime_error);
  EXPECT_EQ(only_file(folder), "");
}

TEST(SharedRing, ADirectoryThatIsMissingIsToldAtWatch) {
  const test::TemporaryFolder folder;
  SmallNet net;
  torch::optim::SGD optimizer(net->parameters(), 0.01);
  Config config = shared_config(folder);
  config.ring.directory = folder.file("missing");
  TrainingMonitor monitor(config);
  try {
    monitor.watch(*net, optimizer);
    FAIL() << "it was taken";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("ring.directory"), std::string::npos) << error.what();
  }
}

TEST(SharedRing, HandlersOfSignalsAreOursOnlyWhileItIsWatchedAndWanted) {
  // A library that libtorch comes with may have one of its own.
  const auto handler = [] {
    struct sigaction action {};
    sigaction(SIGSEGV, nullptr, &action);
    return (action.sa_flags & SA_SIGINFO) != 0 ? reinterpret_cast<void*>(action.sa_sigaction) : reinterpret_cast<void*>(action.sa_handler);
  };
  void* const before = handler();
  for (const bool is_wanted : {true, false}) {
    const test::TemporaryFolder folder;
    SmallNet net;
    torch::optim::SGD optimizer(net->parameters(), 0.01);
    Config config = shared_config(folder);
    config.ring.crash_signals = is_wanted;
    {
      TrainingMonitor monitor(config);
      monitor.watch(*net, optimizer);
      EXPECT_EQ(handler() == before, !is_wanted);
    }
    EXPECT_EQ(handler(), before);
  }
}

}  // namespace
}  // namespace vigil
