// Checkpoints that survive: of the process, of the disk, and of a run that has gone NaN.
//
//   vigil::CheckpointOptions options;
//   options.directory = "checkpoints";
//   vigil::Checkpointer checkpoints(options);
//   const auto found = checkpoints.load_latest_good(*model, optimizer);   // found.step is 0 when there is none
//   ...
//   const auto saved = checkpoints.save(*model, optimizer, step);
//   if (!saved.ok()) report(saved.message);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>

namespace vigil {

struct CheckpointOptions {
  std::filesystem::path directory = {};            ///< made when it is missing, but not its parents
  std::vector<std::filesystem::path> copies = {};  ///< other directories, on other disks, that each checkpoint also goes to; likewise
  int keep_latest = 3;                             ///< checkpoints kept, the newest ones; 1 to 1,000,000
  /// Kept besides, by the metric that save() is given: those with the lowest, or the highest; 0 to 1,000,000. A NaN is never best.
  int keep_best = 0;
  bool lower_is_better = true;
  std::string run = {};            ///< what follows goes into the manifest as it is
  std::string commit = {};         ///< of the program's own code
  std::string configuration = {};  ///< of the run, in whatever form
};

/// What save() is told of a step beyond the tensors; goes into the manifest.
struct CheckpointNotes {
  std::optional<double> metric = {};              ///< for keep_best
  std::map<std::string, double> statistics = {};  ///< by any names
};

struct CheckpointSaved {
  enum class Outcome {
    saved,    ///< written, flushed, renamed and read back
    refused,  ///< something of it is not finite: nothing was written, nothing removed
    failed,   ///< the file system did not let it; what was there before is as it was
  };
  Outcome outcome = Outcome::failed;
  std::filesystem::path path;  ///< of the new checkpoint
  std::string message;         ///< why it was refused or failed, and what to do; else empty
  struct CopyFailure {
    std::filesystem::path directory;
    std::string reason;
  };
  std::vector<CopyFailure> copy_failures;      ///< copies that could not be made; the checkpoint itself is there
  std::vector<std::filesystem::path> removed;  ///< older checkpoints that were rotated away

  bool ok() const noexcept { return outcome == Outcome::saved && copy_failures.empty(); }
};

struct CheckpointLoaded {
  bool loaded = false;
  std::uint64_t step = 0;  ///< of the one that was loaded; 0: none
  std::filesystem::path path;
  std::optional<double> metric;
  std::map<std::string, double> statistics;
  std::string run, commit, configuration;
  struct Skipped {
    std::filesystem::path path;
    std::string reason;
  };
  std::vector<Skipped> skipped;  ///< newer ones, or copies, that could not be used, and why
};

/// Writes checkpoints of one model and optimizer into a directory, and finds the latest good one. A checkpoint is a directory
/// `checkpoint-<sequence>-step-<step>` with `model.pt` and `optimizer.pt`, as torch::save writes them, `generator.bin`, the state of
/// libtorch's CPU generator, and `manifest.json`, with size and SHA-256 of each (docs/checkpoints.md).
///
/// Not for use from several threads at once. Waits for the disk: save() belongs between steps, not into one.
class Checkpointer {
 public:
  /// Touches no file. @throws std::invalid_argument when the directory is empty, given twice, or a number is out of its range
  explicit Checkpointer(CheckpointOptions options);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  /// Writes under a temporary name, flushes files and directory, reads back what was written, and renames; then copies, then rotates. Never
  /// writes when a parameter, a buffer or a tensor of the optimizer's state holds NaN or Inf, and removes an older one only when the new
  /// one is complete. One process at a time may write into a directory; a second one is told so. `step` 0 is not allowed.
  /// @throws std::bad_alloc, and what libtorch throws for a module or optimizer that cannot be serialised; nothing of it stays behind
  CheckpointSaved save(const torch::nn::Module& module, const torch::optim::Optimizer& optimizer, std::uint64_t step,
                       const CheckpointNotes& notes = {});

  /// Loads the newest checkpoint, from `directory` or from the copies, whose files have the sizes and hashes of its manifest and whose
  /// tensors have the names and shapes of `module`'s. All or nothing: a checkpoint that does not fit changes neither module nor optimizer.
  /// Tensors are written in place, so whoever shares them sees the new values. Of the optimizer's options the learning rates come back,
  /// with libtorch 1.13 no others. With `restore_generator` random numbers go on from where they were. Does not throw for files, whatever
  /// is in them. @throws std::bad_alloc
  CheckpointLoaded load_latest_good(torch::nn::Module& module, torch::optim::Optimizer& optimizer, bool restore_generator = false);

  /// For TrainingMonitor::set_rollback(): loads the latest good checkpoint, without the generator (the same random numbers would lead to
  /// the same place), and returns its step, or 0. All three outlive what is returned.
  std::function<std::uint64_t()> restorer(torch::nn::Module& module, torch::optim::Optimizer& optimizer);

 private:
  class Files;
  const CheckpointOptions options_;
  std::unique_ptr<Files> files_;
};

}  // namespace vigil
