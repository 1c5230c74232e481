// Everything that the operators of a step did: who called whom, what they read and wrote, and how much of it was not finite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/StorageImpl.h>
#include <c10/util/DimVector.h>

#include "vigil/monitor/moments.h"
#include "vigil/operators/layer_attribution.h"
#include "vigil/operators/operator_observer.h"

namespace vigil {

/// A tensor at the moment when an operator began or ended. Holds no reference to it.
struct TracedTensor {
  int memory = -1;                              ///< which of the trace's pieces of memory; views of it have the same
  const char *begin = nullptr, *end = nullptr;  ///< its bytes, for tensors that share memory; null where they are not known
  bool has_nan = false, has_positive_inf = false, has_negative_inf = false;
  bool is_number = false;  ///< a C++ number that libtorch made a tensor of
  c10::ScalarType dtype = c10::ScalarType::Undefined;
  c10::DimVector sizes;
  Moments moments;      ///< of floating-point and complex tensors (real and imaginary parts); else only the count
  std::string grad_fn;  ///< name of the node that it is the result of; only of tensors that are not finite

  bool is_nonfinite() const noexcept { return has_nan || has_positive_inf || has_negative_inf; }
  bool overlaps(const TracedTensor& other) const noexcept {
    return memory == other.memory && (begin == nullptr || other.begin == nullptr || (begin < other.end && other.begin < end));
  }
};

/// "float32 [64, 3, 28, 28]".
std::string describe(const TracedTensor& tensor);

/// One run of an operator, or of a node of the backward pass.
struct TracedOperator {
  std::string_view name;  ///< lives as long as the trace
  int parent = -1;        ///< what called it; -1: the program, or autograd's engine
  int root = -1;          ///< the outermost of its callers; itself without one
  bool is_node = false, in_backward = false, has_ended = false;
  std::int64_t sequence_number = -1;
  std::uint64_t thread = 0;
  std::uint64_t start = 0, end = 0;        ///< on the trace's own clock, which counts starts and ends
  std::vector<TracedTensor> inputs;        ///< of a node the gradients that came in
  std::vector<TracedTensor> outputs;       ///< none of a node
  std::optional<double> nonfinite_number;  ///< among its arguments
  OperatorPlace place;                     ///< of an operator that the program called in the forward pass
};

/// Sink that keeps all of it. Costs a pass over every tensor: for a step that is worth it.
class OperatorTrace : public OperatorSink {
 public:
  /// Operators that are kept; those beyond are not looked at.
  static constexpr std::size_t kMostOperators = 1'000'000;

  /// `places` outlives this.
  explicit OperatorTrace(const TensorPlaces& places) : places_(places), attribution_(places) {}

  std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) override;
  void on_end(OperatorCall& call, c10::ArrayRef<c10::IValue> outputs) override;

  /// What `tensor` is like now, for asking the trace where it comes from.
  TracedTensor see(const at::Tensor& tensor);
  /// The model's tensor in that memory, or TensorPlaces::kNone.
  int model_tensor(int memory) const { return model_tensors_[static_cast<std::size_t>(memory)]; }
  const TensorPlaces& places() const noexcept { return places_; }

  const std::vector<TracedOperator>& operators() const noexcept { return operators_; }
  std::uint64_t now() const noexcept { return clock_; }
  bool is_complete() const noexcept { return !overflowed_; }
  std::size_t memories() const noexcept { return model_tensors_.size(); }

 private:
  struct Call : OperatorCall {
    std::size_t index = 0;
    std::vector<at::Tensor> written;  // of an operator that works in place and returns nothing
  };

  int memory_index(const at::Tensor& tensor);
  std::string_view intern(std::string_view name);

  const TensorPlaces& places_;
  LayerAttribution attribution_;
  std::mutex mutex_;  // autograd runs the nodes of each device on a thread of its own
  std::vector<TracedOperator> operators_;
  std::unordered_set<std::string> names_;
  std::unordered_map<const void*, int> memories_;
  std::vector<int> model_tensors_;  // by memory
  // Keep the addresses from being used again, but not the memory itself.
  std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> storages_;
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>> others_;
  std::uint64_t clock_ = 0;
  bool overflowed_ = false;
};

}  // namespace vigil
