#include "vigil/model/checkpointer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <limits>
#include <set>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <torch/version.h>

#include "vigil/inspection/fingerprint.h"
#include "vigil/model/checkpoint_files.h"
#include "vigil/model/checkpoint_manifest.h"
#include "vigil/model/checkpoint_tensors.h"
#include "vigil/model/module_tensors.h"

namespace vigil {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-", kTemporary = ".vigil-tmp-";

std::string name_of(std::uint64_t sequence, std::uint64_t step) {
  char text[80];
  std::snprintf(text, sizeof text, "checkpoint-%08llu-step-%llu", static_cast<unsigned long long>(sequence),
                static_cast<unsigned long long>(step));
  return text;
}

// The sequence in the name of a checkpoint's directory; empty for any other name.
std::optional<std::uint64_t> sequence_of(const std::string& name) {
  unsigned long long sequence = 0, step = 0;
  if (name.rfind(kPrefix, 0) != 0 || name.size() > 70) return std::nullopt;
  if (std::sscanf(name.c_str(), "checkpoint-%llu-step-%llu", &sequence, &step) != 2) return std::nullopt;
  return name == name_of(sequence, step) ? std::optional<std::uint64_t>(sequence) : std::nullopt;
}

struct Found {
  fs::path path;
  std::uint64_t sequence = 0;
};

// Of one directory, the newest first; none when it cannot be read.
std::vector<Found> checkpoints_in(const fs::path& directory) {
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const auto sequence = sequence_of(entry->path().filename().string());
    if (sequence) found.push_back({entry->path(), *sequence});
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.sequence > b.sequence; });
  return found;
}

CheckpointManifest manifest_in(const fs::path& checkpoint) {
  return parse_manifest(read_small(checkpoint / CheckpointManifest::kName, CheckpointManifest::kMostBytes));
}

// @throws std::exception that says which file is not as the manifest has it
void expect_intact(const fs::path& checkpoint, const CheckpointManifest& manifest) {
  for (const auto& [name, digest] : manifest.files) {
    const FileDigest here = digest_of(checkpoint / name);
    if (here == digest) continue;
    throw std::runtime_error(name + (here.bytes != digest.bytes
                                         ? " has " + std::to_string(here.bytes) + " bytes instead of " + std::to_string(digest.bytes)
                                         : " has another SHA-256 than its manifest says"));
  }
}

// Removes what a killed writer has left; its lock is gone, or we would not have ours.
void remove_leftovers(const fs::path& directory) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().rfind(kTemporary, 0) == 0) {
      std::error_code ignored;
      fs::remove_all(entry->path(), ignored);
    }
  }
}

// A directory under a temporary name, which is gone unless it gets its own.
class Draft {
 public:
  explicit Draft(const fs::path& directory)
      : directory_(directory), path_(directory / (std::string(kTemporary) + std::to_string(getpid()))) {
    fs::remove_all(path_);
    fs::create_directory(path_);
  }
  ~Draft() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;

  const fs::path& path() const noexcept { return path_; }
  void publish(const std::string& name) {
    flush_directory(path_);
    fs::rename(path_, directory_ / name);
    path_.clear();
    flush_directory(directory_);
  }

 private:
  const fs::path directory_;
  fs::path path_;
};

// Out of sight at once, then gone: nobody shall find half of it.
void remove_checkpoint(const fs::path& checkpoint) {
  const fs::path hidden = checkpoint.parent_path() / (std::string(kTemporary) + checkpoint.filename().string());
  fs::rename(checkpoint, hidden);
  fs::remove_all(hidden);
}

// None for a model with tensors of types that are not inspected.
void add_fingerprints(CheckpointManifest& manifest, const torch::nn::Module& module) {
  try {
    const std::vector<ModelTensor> tensors = tensors_of(module);
    manifest.architecture_fingerprint = architecture_fingerprint(tensors);
    manifest.value_fingerprint = value_fingerprint(tensors, read_tensors(tensors));
  } catch (const std::invalid_argument&) {
  }
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace

// The directories, locked for writing since the first save().
class Checkpointer::Files {
 public:
  explicit Files(const CheckpointOptions& options) : options_(options) {}

  void lock(const fs::path& directory) {
    if (locks_.count(directory) > 0) return;
    locks_.emplace(directory, std::make_unique<DirectoryLock>(directory));
    remove_leftovers(directory);
  }
  std::uint64_t next_sequence() const {
    std::uint64_t last = 0;
    for (const fs::path& directory : all_directories()) {
      const auto found = checkpoints_in(directory);
      if (!found.empty()) last = std::max(last, found.front().sequence);
    }
    return last + 1;
  }
  std::vector<fs::path> all_directories() const {
    std::vector<fs::path> directories{options_.directory};
    directories.insert(directories.end(), options_.copies.begin(), options_.copies.end());
    return directories;
  }
  void copy(const fs::path& checkpoint, const CheckpointManifest& manifest, const fs::path& directory) {
    lock(directory);
    Draft draft(directory);
    for (const auto& [name, digest] : manifest.files) copy_flushed(checkpoint / name, draft.path() / name);
    copy_flushed(checkpoint / CheckpointManifest::kName, draft.path() / CheckpointManifest::kName);
    expect_intact(draft.path(), manifest);
    draft.publish(checkpoint.filename().string());
  }
  void rotate(const fs::path& directory, std::vector<fs::path>& removed) const;

 private:
  const CheckpointOptions& options_;
  std::map<fs::path, std::unique_ptr<DirectoryLock>> locks_;
};

void Checkpointer::Files::rotate(const fs::path& directory, std::vector<fs::path>& removed) const {
  struct Known {
    Found found;
    std::optional<double> metric;
  };
  std::vector<Known> known;  // the newest first
  for (const Found& found : checkpoints_in(directory)) {
    try {
      known.push_back({found, manifest_in(found.path).metric});
    } catch (const std::exception&) {
      // Damaged. It is not ours to throw away: somebody may want to look at it, and it counts for none of those kept.
    }
  }
  std::set<std::uint64_t> kept;
  for (std::size_t i = 0; i < known.size() && i < static_cast<std::size_t>(options_.keep_latest); ++i) kept.insert(known[i].found.sequence);
  std::vector<Known> by_metric;
  std::copy_if(known.begin(), known.end(), std::back_inserter(by_metric),
               [](const Known& one) { return one.metric && !std::isnan(*one.metric); });
  std::stable_sort(by_metric.begin(), by_metric.end(), [this](const Known& a, const Known& b) {
    return options_.lower_is_better ? *a.metric < *b.metric : *a.metric > *b.metric;
  });
  for (std::size_t i = 0; i < by_metric.size() && i < static_cast<std::size_t>(options_.keep_best); ++i) {
    kept.insert(by_metric[i].found.sequence);
  }
  for (const Known& one : known) {
    if (kept.count(one.found.sequence) > 0) continue;
    remove_checkpoint(one.found.path);
    removed.push_back(one.found.path);
  }
}

Checkpointer::Checkpointer(CheckpointOptions options) : options_(std::move(options)), files_(std::make_unique<Files>(options_)) {
  if (options_.directory.empty()) throw std::invalid_argument("Checkpointer: directory is empty; name one");
  std::set<fs::path> seen{fs::absolute(options_.directory).lexically_normal()};
  for (const fs::path& copy : options_.copies) {
    if (copy.empty()) throw std::invalid_argument("Checkpointer: one of copies is empty; name a directory");
    if (!seen.insert(fs::absolute(copy).lexically_normal()).second) {
      throw std::invalid_argument("Checkpointer: '" + copy.string() + "' is given twice; a copy belongs into another directory");
    }
  }
  constexpr int kMost = 1'000'000;
  if (options_.keep_latest < 1 || options_.keep_latest > kMost) {
    throw std::invalid_argument("Checkpointer: keep_latest is " + std::to_string(options_.keep_latest) + "; it may be 1 to 1000000");
  }
  if (options_.keep_best < 0 || options_.keep_best > kMost) {
    throw std::invalid_argument("Checkpointer: keep_best is " + std::to_string(options_.keep_best) + "; it may be 0 to 1000000");
  }
}

Checkpointer::~Checkpointer() = default;

CheckpointSaved Checkpointer::save(const torch::nn::Module& module, const torch::optim::Optimizer& optimizer, std::uint64_t step,
                                   const CheckpointNotes& notes) {
  CheckpointSaved saved;
  const auto refuse = [&saved](const std::string& tensor) {
    saved.outcome = CheckpointSaved::Outcome::refused;
    saved.message = tensor + " holds NaN or Inf: no checkpoint was written, and the older ones are kept";
    return saved;
  };
  if (step == 0) {
    saved.message = "step 0 is not a step; count from 1";
    return saved;
  }
  if (const auto tensor = nonfinite_tensor(module)) return refuse(*tensor);

  CheckpointManifest manifest;
  manifest.step = step;
  manifest.run = options_.run;
  manifest.commit = options_.commit;
  manifest.configuration = options_.configuration;
  manifest.libtorch = TORCH_VERSION;
  manifest.wall_time = now();
  manifest.metric = notes.metric;
  manifest.statistics = notes.statistics;
  manifest.parameter_norms = parameter_norms(module);
  add_fingerprints(manifest, module);
  for (const auto& group : optimizer.param_groups()) manifest.learning_rates.push_back(group.options().get_lr());
  try {
    files_->lock(options_.directory);
    manifest.sequence = files_->next_sequence();
    Draft draft(options_.directory);
    const auto write = [&](std::string_view name, const ByteSource& source) {
      manifest.files[std::string(name)] = write_flushed(draft.path() / name, source);
    };
    write(CheckpointManifest::kModel, bytes_of(module));
    write(CheckpointManifest::kOptimizer, bytes_of(optimizer));
    const std::string generator = generator_state();
    write(CheckpointManifest::kGenerator, [&generator](const auto& take) { take(generator.data(), generator.size()); });
    if (const auto tensor = nonfinite_tensor_in(draft.path() / CheckpointManifest::kOptimizer)) {
      return refuse("the optimizer's state " + *tensor);
    }
    const std::string text = to_json(manifest);
    write_flushed(draft.path() / CheckpointManifest::kName, [&text](const auto& take) { take(text.data(), text.size()); });
    expect_intact(draft.path(), manifest);
    const std::string name = name_of(manifest.sequence, step);
    draft.publish(name);
    saved.path = options_.directory / name;
    saved.outcome = CheckpointSaved::Outcome::saved;
  } catch (const c10::Error&) {
    throw;  // of the module or optimizer
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    saved.message = std::string(error.what()) + "; the checkpoints that were there before are as they were";
    return saved;
  }
  for (const fs::path& directory : options_.copies) {
    try {
      files_->copy(saved.path, manifest, directory);
    } catch (const std::exception& error) {
      saved.copy_failures.push_back({directory, error.what()});
      continue;
    }
  }
  // As many stay in each as are to be kept, also where the new one could not be copied to.
  for (const fs::path& directory : files_->all_directories()) {
    try {
      files_->rotate(directory, saved.removed);
    } catch (const std::exception& error) {
      saved.message = "older checkpoints could not be removed: " + std::string(error.what());
    }
  }
  return saved;
}

CheckpointLoaded Checkpointer::load_latest_good(torch::nn::Module& module, torch::optim::Optimizer& optimizer, bool restore_generator) {
  CheckpointLoaded loaded;
  std::vector<Found> found;
  for (const fs::path& directory : files_->all_directories()) {
    for (Found& one : checkpoints_in(directory)) found.push_back(std::move(one));
  }
  // Of equal ones that of the directory itself, then of the copies in their order.
  std::stable_sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.sequence > b.sequence; });
  for (const Found& one : found) {
    try {
      if (!fs::is_directory(fs::symlink_status(one.path))) throw std::runtime_error("it is no directory");
      CheckpointManifest manifest = manifest_in(one.path);
      if (one.path.filename().string() != name_of(manifest.sequence, manifest.step) || manifest.step == 0) {
        throw std::runtime_error("its name is not that of its manifest");
      }
      expect_intact(one.path, manifest);
      const StagedModule staged(module, one.path / CheckpointManifest::kModel, take_finite);
      const std::string generator = read_small(one.path / CheckpointManifest::kGenerator, std::size_t{1} << 20);
      if (manifest.learning_rates.size() != optimizer.param_groups().size()) {
        throw std::runtime_error("it is of an optimizer with " + std::to_string(manifest.learning_rates.size()) + " parameter groups");
      }
      load_optimizer(optimizer, one.path / CheckpointManifest::kOptimizer);
      for (std::size_t i = 0; i < manifest.learning_rates.size(); ++i) {
        optimizer.param_groups()[i].options().set_lr(manifest.learning_rates[i]);
      }
      staged.commit();
      if (restore_generator) set_generator_state(generator);
      loaded.loaded = true;
      loaded.step = manifest.step;
      loaded.path = one.path;
      loaded.metric = manifest.metric;
      loaded.statistics = std::move(manifest.statistics);
      loaded.run = std::move(manifest.run);
      loaded.commit = std::move(manifest.commit);
      loaded.configuration = std::move(manifest.configuration);
      return loaded;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const c10::Error& error) {
      loaded.skipped.push_back({one.path, error.what_without_backtrace()});
    } catch (const std::exception& error) {
      loaded.skipped.push_back({one.path, error.what()});
    }
  }
  return loaded;
}

std::function<std::uint64_t()> Checkpointer::restorer(torch::nn::Module& module, torch::optim::Optimizer& optimizer) {
  return [this, &module, &optimizer] { return load_latest_good(module, optimizer).step; };
}

}  // namespace vigil
