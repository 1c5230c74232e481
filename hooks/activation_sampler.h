// What comes out of a model's layers, and what computing it takes, seen from the operators of one step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <c10/core/StorageImpl.h>

#include "vigil/monitor/moments.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/operators/layer_attribution.h"
#include "vigil/operators/operation_cost.h"
#include "vigil/operators/operator_observer.h"

namespace vigil {

/// Between begin() and end() it observes the operators that this thread runs, forward and backward; at all other times nothing of it is
/// registered with libtorch. Training thread only.
///
/// A layer's figures are those of its output: of the last operator of the module that still works on the module's own result (`addmm`, then
/// `add_` of the bias), and over all of its calls where it is called several times. Operators that only look at memory in another way, move
/// or copy it (`view`, `transpose`, `to`, `contiguous`, `dropout` in evaluation) have no figures.
class ActivationSampler : private OperatorSink {
 public:
  /// Inputs beyond which the derivative of tanh and of the logistic function is 0 in float32 (SageMaker Debugger's bounds).
  static constexpr double kTanhLeast = -9.4999, kTanhMost = 9.4999, kSigmoidLeast = -23, kSigmoidMost = 17;

  /// `channel`, whose schema says how many layers there may be, and `places` outlive this. @throws std::bad_alloc
  ActivationSampler(RunChannel& channel, TensorPlaces& places);
  ~ActivationSampler() override { observer_.detach(); }

  /// Observes from now on, for step `step` in phase `phase`, an index of the channel's PhaseNames. With `once` only until the first layer
  /// runs again. Allocates. @throws std::bad_alloc; std::runtime_error when too many observers are attached already
  void begin(std::uint64_t step, std::uint32_t phase, bool once);
  /// Lets go, and writes what was seen into rows(). Does nothing when it does not observe. @throws std::bad_alloc; std::runtime_error when
  /// an operator could not be looked at
  void end();
  /// end() without what was seen.
  void abandon() noexcept;
  bool is_observing() const noexcept { return is_observing_; }

  /// Of all layers that were ever named, in the order of the channel's LayerNames.
  const std::vector<ActivationRow>& rows() const noexcept { return rows_; }
  std::size_t layers() const noexcept { return channel_.layer_names().size(); }
  /// Layers that had no room, all names counted once.
  std::uint64_t layers_dropped() const noexcept { return dropped_.size(); }

  /// Of the latest begin() to end(): multiply-accumulates; the size of the first dimension of what went into the first layer, 0 when none
  /// was seen; non-finite values in the layers' outputs.
  std::uint64_t multiply_accumulates() const noexcept { return multiply_accumulates_; }
  std::uint64_t examples() const noexcept { return examples_; }
  NonfiniteCounts nonfinite() const noexcept { return nonfinite_; }
  /// Time spent in looking at operators; libtorch's own part of observing them is not in it.
  std::uint64_t overhead_ns() const noexcept { return overhead_ns_; }

 private:
  struct Call : OperatorCall {
    OperatorPlace place;
    bool is_measured = false, is_relu = false, is_in_place = false;
    const void* first_input = nullptr;        // memory
    std::uint64_t inputs = 0, saturated = 0;  // of tanh and sigmoid
  };
  struct Output {
    Moments moments;
    std::uint64_t inputs = 0, saturated = 0;  // of tanh and sigmoid
    std::uint64_t units = 0, dead = 0;        // of relu
  };
  struct Layer {
    Output earlier;  // of the calls before the latest one
    Output latest;
    bool has_latest = false;
    const void* memory = nullptr;                                      // of the latest output
    std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> storage;  // keeps that address from being used again, but not the memory
  };

  std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) override;
  void on_end(OperatorCall& call, c10::ArrayRef<c10::IValue> outputs) override;
  void start_call(Call& call, const OperatorStart& start);
  void measure(const Call& call, const at::Tensor& output);
  static void add(Output& into, const Output& other);

  RunChannel& channel_;
  TensorPlaces& places_;
  LayerAttribution attribution_;
  OperatorObserver observer_;
  std::vector<ActivationRow> rows_;
  std::map<std::pair<std::uint32_t, std::string>, bool> dropped_;

  bool is_observing_ = false, once_ = false;
  std::uint64_t step_ = 0;
  std::uint32_t phase_ = 0;
  std::vector<std::string> order_;  // of the layers, as they were seen
  std::unordered_map<std::string, Layer> seen_;
  std::string first_layer_;
  std::unordered_map<int, bool> channels_first_;  // by module: whether its units are dimension 1

  // Of what follows, and of what operators fill above: autograd runs the nodes of each device on a thread of its own, and scripted modules
  // may run operators on others.
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, OutermostProducts> products_;  // by thread
  std::uint64_t multiply_accumulates_ = 0;
  std::uint64_t examples_ = 0, overhead_ns_ = 0;
  NonfiniteCounts nonfinite_;
};

}  // namespace vigil
