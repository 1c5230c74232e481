#include "vigil/hooks/operator_trace.h"

#include <algorithm>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>

#include "vigil/hooks/tensor_reduction.h"
#include "vigil/monitor/dtype.h"
#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

std::string_view dtype_name(c10::ScalarType type) {
  switch (type) {
    case c10::kFloat: return "float32";
    case c10::kDouble: return "float64";
    case c10::kHalf: return "float16";
    case c10::kBFloat16: return "bfloat16";
    case c10::kLong: return "int64";
    case c10::kInt: return "int32";
    case c10::kBool: return "bool";
    default: return c10::toString(type);
  }
}

Moments moments_of(const at::Tensor& tensor) {
  if (is_in_place(tensor)) return reduce_in_place(tensor);
  return reduce_elsewhere({tensor}).front();
}

// Fills in what of the elements is not finite.
void look_into(const at::Tensor& tensor, TracedTensor& seen) {
  seen.moments.count = static_cast<std::uint64_t>(tensor.numel());
  if (tensor.numel() == 0 || tensor.is_meta()) return;
  if (tensor.has_storage() && tensor.is_cpu() && read_pointer(tensor) == nullptr) return;  // its memory was given back
  if (tensor.is_complex()) {
    look_into(at::view_as_real(tensor.is_conj() ? tensor.resolve_conj() : tensor), seen);
    return;
  }
  if (!dtype_of(tensor.scalar_type())) return;
  seen.moments = moments_of(tensor);
  seen.has_nan = seen.moments.nan_count > 0;
  if (seen.moments.inf_count == 0) return;
  const at::Tensor values = tensor.is_sparse() ? tensor._values() : tensor;
  seen.has_positive_inf = at::isposinf(values).any().item<bool>();
  seen.has_negative_inf = at::isneginf(values).any().item<bool>();
}

std::optional<double> nonfinite_number(c10::ArrayRef<const c10::IValue> values) {
  for (const c10::IValue& value : values) {
    if (value.isDouble() && !is_finite_bits(value.toDouble())) return value.toDouble();
    if (value.isScalar() && value.toScalar().isFloatingPoint()) {
      const double number = value.toScalar().toDouble();
      if (!is_finite_bits(number)) return number;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string describe(const TracedTensor& tensor) {
  std::string text(dtype_name(tensor.dtype));
  text += " [";
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(tensor.sizes[i]);
  return text + "]";
}

std::string_view OperatorTrace::intern(std::string_view name) { return *names_.emplace(name).first; }

int OperatorTrace::memory_index(const at::Tensor& tensor) {
  const auto [known, is_new] = memories_.try_emplace(memory_of(tensor), static_cast<int>(model_tensors_.size()));
  if (!is_new) return known->second;
  model_tensors_.push_back(places_.find(tensor));
  if (tensor.has_storage()) {
    storages_.push_back(tensor.storage().getWeakStorageImpl());
  } else {
    others_.emplace_back(tensor.getIntrusivePtr());
  }
  return known->second;
}

TracedTensor OperatorTrace::see(const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  TracedTensor seen;
  seen.memory = memory_index(tensor);
  seen.dtype = tensor.scalar_type();
  seen.sizes = c10::DimVector(tensor.sizes().begin(), tensor.sizes().end());
  seen.is_number = tensor.unsafeGetTensorImpl()->is_wrapped_number();
  if (tensor.has_storage() && tensor.layout() == at::kStrided && tensor.numel() > 0 && !tensor.is_meta()) {
    std::int64_t last = 0;  // element, from the first
    for (std::int64_t d = 0; d < tensor.dim(); ++d) last += (tensor.size(d) - 1) * tensor.stride(d);
    seen.begin = static_cast<const char*>(read_pointer(tensor));
    if (seen.begin != nullptr) seen.end = seen.begin + (last + 1) * static_cast<std::int64_t>(tensor.element_size());
  }
  look_into(tensor.detach(), seen);
  if (seen.is_nonfinite() && tensor.grad_fn() != nullptr) seen.grad_fn = tensor.grad_fn()->name();
  return seen;
}

std::unique_ptr<OperatorCall> OperatorTrace::on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) {
  const std::lock_guard lock(mutex_);
  if (operators_.size() >= kMostOperators) {
    overflowed_ = true;
    return nullptr;
  }
  TracedOperator traced;
  traced.name = intern(start.name);
  traced.is_node = start.is_node;
  traced.in_backward = in_backward;
  traced.sequence_number = start.sequence_number;
  traced.thread = start.thread;
  traced.nonfinite_number = nonfinite_number(start.inputs);
  for_each_tensor(start.inputs, [&](const at::Tensor& tensor) { traced.inputs.push_back(see(tensor)); });
  auto call = std::make_unique<Call>();
  call->index = operators_.size();
  if (parent != nullptr) {
    traced.parent = static_cast<int>(static_cast<const Call*>(parent)->index);
    traced.root = operators_[static_cast<std::size_t>(traced.parent)].root;
  } else {
    traced.root = static_cast<int>(call->index);
    if (!in_backward) traced.place = attribution_.place(start.name, start.inputs);
  }
  // The many at once (_foreach_add_) have no outputs.
  if (!start.is_node && start.name.back() == '_') {
    for_each_tensor(start.inputs, [&](const at::Tensor& tensor) { call->written.push_back(tensor); });
  }
  traced.start = ++clock_;
  operators_.push_back(std::move(traced));
  return call;
}

void OperatorTrace::on_end(OperatorCall& call, c10::ArrayRef<c10::IValue> outputs) {
  const std::lock_guard lock(mutex_);
  auto& known = static_cast<Call&>(call);
  std::vector<TracedTensor> seen;
  for_each_tensor(outputs, [&](const at::Tensor& tensor) { seen.push_back(see(tensor)); });
  if (seen.empty()) {
    for (const at::Tensor& tensor : known.written) seen.push_back(see(tensor));
  }
  TracedOperator& traced = operators_[known.index];
  traced.outputs = std::move(seen);
  traced.end = ++clock_;
  traced.has_ended = true;
  if (traced.parent < 0 && !traced.in_backward) attribution_.follow(traced.place, outputs);
}

}  // namespace vigil
