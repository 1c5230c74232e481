// A training in a process of its own that writes a ring file, step by step as the test says, and ends as the test says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tools/eventful_run.h"
#include "vigil/monitor/snapshot.h"

namespace vigil::test {

/// How a training ends.
enum class TrainingEnd : char { finished = 'f', failed = 'F', killed = 'k', segmentation_fault = 's', terminated = 't' };

struct TrainingSetup {
  std::filesystem::path directory;
  std::string run = "mnist";
  EventfulRun figures = {};
  int attempt = 0;
  std::int64_t start_time_ns = 1'700'000'000'000'000'000;
  std::function<void(Schema&)> change = {};  ///< of the schema, before the file is made
  std::size_t step_records = 4096;
  bool is_starting = false;  ///< it does not say that it runs
};

class RingTrainer {
 public:
  /// Returns when the ring file is there.
  explicit RingTrainer(TrainingSetup setup);
  /// SIGKILLs what still runs.
  ~RingTrainer();
  RingTrainer(const RingTrainer&) = delete;
  RingTrainer& operator=(const RingTrainer&) = delete;

  /// Returns when the next `steps` steps are published.
  void train(std::uint64_t steps);
  /// The training says that it was last at work so long ago.
  void be_silent(std::uint8_t seconds);
  /// Returns when the process is gone.
  void end(TrainingEnd how);

  const std::string& path() const noexcept { return path_; }
  pid_t pid() const noexcept { return pid_; }

 private:
  void command(char what, std::uint64_t number);

  pid_t pid_ = -1;
  int commands_ = -1, answers_ = -1;
  std::string path_;
};

/// Trains `steps` steps in a process that then ends; the path of its file.
std::string trained(const TrainingSetup& setup, std::uint64_t steps, TrainingEnd how);

/// What such a training publishes, straight from a channel of this process.
struct PublishedRun {
  struct Step {
    StepRecord record;
    std::vector<double> scalars;
  };
  std::vector<Step> steps;  ///< those of StepRecord::again have taken the place of their first word's scalars
  std::vector<NonfiniteEvent> events;
  std::vector<std::pair<FrameHeader, std::vector<TensorRow>>> frames;
  std::vector<MagnitudeHistogram> histograms;  ///< of the last frame
  Schema schema;
  std::vector<std::string> scalar_names;
};
PublishedRun published(const TrainingSetup& setup, std::uint64_t steps);

}  // namespace vigil::test
