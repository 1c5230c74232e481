// Runs a step's forward and backward pass once more and watches it, without a trace of that in the training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include "vigil/hooks/loss_closure.h"
#include "vigil/hooks/nonfinite_provenance.h"
#include "vigil/hooks/operator_trace.h"
#include "vigil/operators/layer_attribution.h"
#include "vigil/operators/operator_observer.h"

namespace vigil {

/// Where libtorch's default random generators stand: the CPU's, and those of other devices that tensors lie on.
class GeneratorStates {
 public:
  /// `tensors` tell which devices. @throws c10::Error
  explicit GeneratorStates(const std::vector<at::Tensor>& tensors);

  /// Takes a copy. Without allocation on the CPU, about 0.1 us. @throws c10::Error from other devices
  void remember();
  /// Sets them back to the copy. @throws c10::Error
  void restore() const;

 private:
  at::mt19937 engine_;
  decltype(std::declval<at::CPUGeneratorImpl>().next_float_normal_sample()) next_float_;
  decltype(std::declval<at::CPUGeneratorImpl>().next_double_normal_sample()) next_double_;
  std::vector<std::pair<at::Generator, at::Tensor>> others_;
};

/// What a look at every operator of a step has brought.
struct Explanation {
  bool was_finite = false;               ///< loss and gradients were, this time
  std::optional<Provenance> provenance;  ///< empty when they were, or when nothing was found
  bool is_complete = true;               ///< all operators were kept
};

/// Watches every operator from begin() on. Training thread only.
class TracedStep {
 public:
  /// `places` outlives this.
  explicit TracedStep(TensorPlaces& places) : places_(places) {}

  /// Does nothing when no more observers can be attached. @throws std::bad_alloc
  void begin();
  bool is_tracing() const noexcept { return trace_ != nullptr; }
  /// Ends it: after the backward pass of `loss`, which has left its gradients in `parameters`. Of the loss where that is not finite, else
  /// of the gradients. @throws std::bad_alloc
  Explanation end(const at::Tensor& loss, const std::vector<at::Tensor>& parameters);
  void abandon() noexcept;

 private:
  TensorPlaces& places_;
  std::unique_ptr<OperatorTrace> trace_;
  OperatorObserver observer_;
};

/// Training thread only.
class StepReplay {
 public:
  /// Buffers up to this size are copied before every step, larger ones (tables, masks) when their version counter has moved: kernels such
  /// as batch_norm's do not move it, but theirs are small.
  static constexpr std::size_t kCopiedAlwaysBytes = std::size_t{64} << 10;

  /// All of the model's. `places` outlives this. @throws std::bad_alloc, c10::Error
  StepReplay(TensorPlaces& places, std::vector<at::Tensor> parameters, const std::vector<at::Tensor>& buffers);

  /// Before the forward pass of each step: where generators and buffers stand. Allocates nothing on the CPU after construction.
  /// @throws c10::Error
  void remember();

  /// Sets generators and buffers back to where remember() found them, runs `closure`, which makes the loss, and its backward pass under a
  /// trace; then puts generators, buffers and gradients back as they were before the call, bit for bit, also when something throws.
  /// Parameters are not touched. Autograd hooks of the program's run again, and so does what `closure` does besides.
  /// @throws what the closure throws
  Explanation run(const LossClosure& closure);

 private:
  struct Buffer {
    at::Tensor tensor;
    at::Tensor copy;
    std::int64_t version = -1;
  };

  TensorPlaces& places_;
  std::vector<at::Tensor> parameters_;
  std::vector<Buffer> buffers_;
  GeneratorStates generators_;
};

}  // namespace vigil
