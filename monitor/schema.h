// What the numbers of a run's rings stand for: who runs, and which tensor each row of a frame describes.
// Fixed when `watch()` returns, but for the names of user scalars, phases and layers with activations, which are append-only.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/monitor/dtype.h"

namespace vigil {

/// Who is running; becomes the labels of every series and of `vigil_run_info`.
struct RunIdentity {
  std::string run;       ///< label `run`
  int rank = 0;          ///< label `rank`; 0 without a launcher
  int world_size = 1;    ///< ranks of the job
  std::string model;     ///< type of the watched model, or what the configuration calls it
  std::string libtorch;  ///< version of the libtorch in use, e.g. "1.13.1"
  std::string host;      ///< gethostname(2)
  std::int64_t pid = 0;
  std::int64_t attempt = 0;        ///< restarts of the run by its launcher, from 0
  std::int64_t start_time_ns = 0;  ///< when `watch()` returned, in nanoseconds since the epoch
  /// Of what the model is built like, as `vigil inspect` shows it of a file (inspection/fingerprint.h): 32 hexadecimal digits, or empty.
  std::string model_fingerprint = {};
};

enum class TensorKind : std::uint8_t { parameter, gradient, buffer };
inline constexpr std::array<std::string_view, 3> kTensorKindNames{"parameter", "gradient", "buffer"};

/// One row of a tensor frame.
struct RowSchema {
  TensorKind kind = TensorKind::parameter;
  std::string name;                 ///< full path, e.g. "layer1.0.conv1.weight"
  std::string layer;                ///< path of the module that owns it, e.g. "layer1.0.conv1"; empty at the root
  std::string shape;                ///< e.g. "[64, 3, 7, 7]"
  std::uint64_t element_count = 0;  ///< when it was watched
  DType dtype = DType::float32;
  std::int32_t histogram = kNone;      ///< which of the frame's magnitude histograms is of this tensor
  bool has_update = false;             ///< TensorRow::update_norm is measured: a parameter that sampling.update_ratio matches
  bool has_distance = false;           ///< TensorRow::distance is measured: a parameter that sampling.distance matches
  bool has_cosine = false;             ///< TensorRow::cosine is measured: the gradient of a parameter that sampling.gradient_cosine matches
  std::int32_t part = 0;               ///< of several models that are trained together, which
  std::int32_t learning_rate = kNone;  ///< which of the run's is the parameter's; kNone: it is in no group of its optimizer
  std::uint64_t infinite = 0;          ///< of a buffer: infinite elements at `watch()`, such as those of a mask; they are meant
  /// What TensorRow::state_norms are the norms of, at most kStateNorms of them, e.g. "exp_avg": a parameter that sampling.optimizer_state
  /// matches. By the names that libtorch's optimizers save them under.
  std::vector<std::string> optimizer_state = {};

  static constexpr std::size_t kStateNorms = 3;
  static constexpr std::int32_t kNone = -1;
};

/// Elements and bytes of one kind of tensor in the model; a tensor shared by several modules counts once.
struct ModelSize {
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

struct Schema {
  RunIdentity identity;
  bool is_continued = false;    ///< the run goes on with what was trained before: a later attempt, or an optimizer that already has state
  std::vector<RowSchema> rows;  ///< in the order of the model's modules
  std::size_t histograms = 0;   ///< magnitude histograms of a frame; RowSchema::histogram is below it
  std::vector<std::string> parameters;  ///< every watched parameter's path, sampled or not; what `StepRecord::origin` indexes
  std::size_t learning_rates = 0;       ///< parameter groups of the optimizers
  std::vector<std::string> groups;      ///< as many names: "0", "1", or with several optimizers "generator/0"; empty stands for the former
  std::size_t activations = 0;          ///< rows for layers with activations: at most as many are ever named
  double peak_flops = 0;                ///< what the machine can do at best, in floating-point operations per second; 0: not told
  ModelSize trainable, frozen, buffers;
  std::uint64_t layers = 0;  ///< modules that own at least one parameter
};

/// "layer1.0.conv1" for "layer1.0.conv1.weight"; empty for a name without a dot.
inline std::string layer_of(std::string_view name) {
  const auto dot = name.rfind('.');
  return std::string(dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot));
}

/// Names in the order of first use, each with a number that belongs to it. One thread appends, any number read; nothing is ever removed,
/// and no memory is allocated after construction. It lies in memory of its own, or in a segment that others read as well: how many names
/// there are, on a cache line of its own, then for each its length, its number and max_bytes() bytes.
class NameTable {
 public:
  /// In memory of its own. @throws std::bad_alloc
  NameTable(std::size_t capacity, std::size_t max_bytes);
  /// In `bytes_of(capacity, max_bytes)` zeroed bytes, aligned for a cache line, that outlive this.
  NameTable(std::byte* memory, std::size_t capacity, std::size_t max_bytes) noexcept
      : capacity_(capacity), max_bytes_(max_bytes), memory_(memory) {}

  /// The index of `name` with this `tag`, appended when it is new; -1 when the table is full, or the name is empty or longer than
  /// max_bytes(). Writer's thread only.
  int find_or_append(std::string_view name, std::uint32_t tag = 0) noexcept;
  /// Puts `name` behind the others, also when it is there already; false when it does not fit. Writer's thread only.
  bool append(std::string_view name, std::uint32_t tag) noexcept;

  /// Names that a reader may look at.
  // acquire pairs with the release store in append: names below the count are whole.
  std::size_t size() const noexcept { return static_cast<std::size_t>(count().load(std::memory_order_acquire)); }
  std::string_view at(std::size_t index) const noexcept {
    const std::byte* const entry = entry_at(index);
    std::uint32_t length;
    std::memcpy(&length, entry, sizeof length);
    return {reinterpret_cast<const char*>(entry + kNameOffset), length};
  }
  std::uint32_t tag(std::size_t index) const noexcept {
    std::uint32_t tag;
    std::memcpy(&tag, entry_at(index) + kTagOffset, sizeof tag);
    return tag;
  }
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t max_bytes() const noexcept { return max_bytes_; }

  static constexpr std::size_t kEntriesOffset = 64, kTagOffset = 4, kNameOffset = 8;
  static constexpr std::size_t entry_bytes(std::size_t max_bytes) noexcept { return (kNameOffset + max_bytes + 7) / 8 * 8; }
  static constexpr std::size_t bytes_of(std::size_t capacity, std::size_t max_bytes) noexcept {
    return kEntriesOffset + capacity * entry_bytes(max_bytes);
  }

 private:
  using Count = std::atomic<std::uint64_t>;
  const Count& count() const noexcept { return *reinterpret_cast<const Count*>(memory_); }
  Count& count() noexcept { return *reinterpret_cast<Count*>(memory_); }
  std::byte* entry_at(std::size_t index) const noexcept { return memory_ + kEntriesOffset + index * entry_bytes(max_bytes_); }

  std::size_t capacity_, max_bytes_;
  std::unique_ptr<std::byte[]> own_;  // null: the memory is another's
  std::byte* memory_;
};

/// Names of the user's own scalars.
struct ScalarNames : NameTable {
  static constexpr std::size_t kCapacity = 64;
  static constexpr std::size_t kMaxBytes = 96;  ///< of one name
  ScalarNames() : NameTable(kCapacity, kMaxBytes) {}
  explicit ScalarNames(std::byte* memory) noexcept : NameTable(memory, kCapacity, kMaxBytes) {}
};

/// Names of what is being run; the first is kTrain.
struct PhaseNames : NameTable {
  static constexpr std::size_t kCapacity = 8;
  static constexpr std::size_t kMaxBytes = 32;
  static constexpr std::string_view kTrain = "train";
  PhaseNames() : NameTable(kCapacity, kMaxBytes) {}
  explicit PhaseNames(std::byte* memory) noexcept : NameTable(memory, kCapacity, kMaxBytes) {}
};

/// Names of the layers with activations, e.g. "layer1.0.conv1", or "layer1.0.conv1/relu" for an operator without parameters after it; the
/// tag is the phase, an index into PhaseNames.
struct LayerNames : NameTable {
  static constexpr std::size_t kMaxBytes = 160;
  explicit LayerNames(std::size_t capacity) : NameTable(capacity, kMaxBytes) {}
  LayerNames(std::byte* memory, std::size_t capacity) noexcept : NameTable(memory, capacity, kMaxBytes) {}
};

}  // namespace vigil
