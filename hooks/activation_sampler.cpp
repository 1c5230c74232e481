#include "vigil/hooks/activation_sampler.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>

#include "vigil/hooks/tensor_reduction.h"
#include "vigil/monitor/range_count.h"

namespace vigil {
namespace {

// Move or copy what they are given. Views are told by their memory.
bool only_moves(std::string_view operation) {
  constexpr std::array<std::string_view, 7> kMovers{"clone", "contiguous", "copy", "detach", "flatten", "reshape", "to"};
  return std::find(kMovers.begin(), kMovers.end(), operation) != kMovers.end();
}

std::optional<at::Tensor> first_tensor(c10::ArrayRef<const c10::IValue> values) {
  std::optional<at::Tensor> first;
  for_each_tensor(values, [&](const at::Tensor& tensor) {
    if (!first && dtype_of(tensor.scalar_type())) first = tensor;
  });
  return first;
}

std::uint64_t outside(const at::Tensor& tensor, double least, double most) {
  if (const auto memory = dense_memory(tensor)) return count_outside(memory->dtype, memory->data, memory->count, least, most);
  const at::Tensor values = tensor.detach();
  return static_cast<std::uint64_t>(at::add(values.lt(least).sum(), values.gt(most).sum()).item<std::int64_t>());
}

// Values of a unit, over batch and positions, without which nothing is said of whether it is dead.
constexpr std::int64_t kLeastForDead = 8;

// Units whose outputs are all 0.
std::uint64_t dead_units(const at::Tensor& output, std::int64_t unit_dimension) {
  std::vector<std::int64_t> others;
  for (std::int64_t d = 0; d < output.dim(); ++d) {
    if (d != unit_dimension) others.push_back(d);
  }
  return static_cast<std::uint64_t>(at::amax(output.detach(), others).le(0).sum().item<std::int64_t>());
}

// Adds the time of its own life.
class Stopwatch {
 public:
  explicit Stopwatch(std::uint64_t& sum) noexcept : sum_(sum) {}
  ~Stopwatch() { sum_ += static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin_).count()); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  std::uint64_t& sum_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

ActivationSampler::ActivationSampler(RunChannel& channel, TensorPlaces& places)
    : channel_(channel), places_(places), attribution_(places), rows_(channel.schema().activations) {}

void ActivationSampler::begin(std::uint64_t step, std::uint32_t phase, bool once) {
  abandon();
  places_.refresh();
  attribution_.clear();
  order_.clear();
  seen_.clear();
  first_layer_.clear();
  channels_first_.clear();
  products_.clear();
  multiply_accumulates_ = examples_ = overhead_ns_ = 0;
  nonfinite_ = {};
  step_ = step;
  phase_ = phase;
  once_ = once;
  if (!observer_.attach(*this))
    throw std::runtime_error("too many monitors observe operators at the same time; one goes without activations");
  is_observing_ = true;
}

void ActivationSampler::abandon() noexcept {
  observer_.detach();
  is_observing_ = false;
}

void ActivationSampler::add(Output& into, const Output& other) {
  merge(into.moments, other.moments);
  into.inputs += other.inputs;
  into.saturated += other.saturated;
  into.units += other.units;
  into.dead += other.dead;
}

void ActivationSampler::end() {
  if (!is_observing_) return;
  const std::uint64_t failures = observer_.failures();
  abandon();
  for (const std::string& name : order_) {
    Layer& layer = seen_[name];
    if (layer.has_latest) add(layer.earlier, layer.latest);
    const Output& output = layer.earlier;
    nonfinite_.nan += output.moments.nan_count;
    nonfinite_.inf += output.moments.inf_count;
    const int index = channel_.layer_names().find_or_append(name, phase_);
    if (index < 0) {
      channel_.count_loss();
      dropped_[{phase_, name}] = true;
      continue;
    }
    ActivationRow& row = rows_[static_cast<std::size_t>(index)];
    row = {};
    row.moments = output.moments;
    row.step = step_;
    if (output.inputs > 0) row.saturated_ratio = static_cast<double>(output.saturated) / static_cast<double>(output.inputs);
    if (output.units > 0) row.dead_ratio = static_cast<double>(output.dead) / static_cast<double>(output.units);
  }
  if (failures > 0) throw std::runtime_error("the output of " + std::to_string(failures) + " operators could not be looked at");
}

std::unique_ptr<OperatorCall> ActivationSampler::on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) {
  auto call = std::make_unique<Call>();
  const std::lock_guard lock(mutex_);
  multiply_accumulates_ += products_[at::RecordFunction::currentThreadId()].enter(start.name, start.inputs);
  if (parent != nullptr || in_backward) return call;
  const Stopwatch stopwatch(overhead_ns_);
  start_call(*call, start);
  return call;
}

void ActivationSampler::start_call(Call& call, const OperatorStart& start) {
  call.place = attribution_.place(start.name, start.inputs);
  const bool is_layer = call.place.role == OperatorPlace::Role::layer;
  if (!is_layer && call.place.role != OperatorPlace::Role::follower) return;
  const auto data = first_tensor(start.inputs);
  if (is_layer) {
    if (first_layer_.empty()) {
      first_layer_ = call.place.layer;
      // An embedding's data is of integers, and its first tensor is its weight.
      for_each_tensor(start.inputs, [this](const at::Tensor& tensor) {
        if (examples_ == 0 && tensor.dim() > 0 && places_.find(tensor) == TensorPlaces::kNone) {
          examples_ = static_cast<std::uint64_t>(tensor.size(0));
        }
      });
    } else if (once_ && first_layer_ == call.place.layer) {
      observer_.detach();  // libtorch goes on with the callbacks that this operator began with
      return;
    }
    channels_first_[call.place.module] = start.name.find("conv") != std::string_view::npos ||
                                         start.name.find("batch_norm") != std::string_view::npos ||
                                         start.name.find("group_norm") != std::string_view::npos;
  }
  const std::string_view operation = short_operation(start.name);
  call.is_measured = !only_moves(operation);
  call.is_relu = operation == "relu";
  call.is_in_place = start.name.back() == '_';
  if (!data) return;
  call.first_input = memory_of(*data);
  const bool is_tanh = operation == "tanh", is_sigmoid = operation == "sigmoid";
  if (is_tanh || is_sigmoid) {
    call.inputs = static_cast<std::uint64_t>(data->numel());
    call.saturated = is_tanh ? outside(*data, kTanhLeast, kTanhMost) : outside(*data, kSigmoidLeast, kSigmoidMost);
  }
}

void ActivationSampler::on_end(OperatorCall& ended, c10::ArrayRef<c10::IValue> outputs) {
  const std::lock_guard lock(mutex_);
  products_[at::RecordFunction::currentThreadId()].leave();
  auto& call = static_cast<Call&>(ended);
  if (call.parent != nullptr || call.in_backward) return;
  const Stopwatch stopwatch(overhead_ns_);
  attribution_.follow(call.place, outputs);
  if (!call.is_measured) return;
  if (const auto output = first_tensor(outputs)) measure(call, *output);
}

void ActivationSampler::measure(const Call& call, const at::Tensor& output) {
  const at::NoGradGuard no_grad;
  const void* const memory = memory_of(output);
  if (memory == call.first_input && !call.is_in_place) return;  // a view
  const auto [known, is_new] = seen_.try_emplace(call.place.layer);
  Layer& layer = known->second;
  if (is_new) order_.push_back(call.place.layer);
  // The module goes on with its own result: what it had so far was not yet its output.
  const bool goes_on = layer.has_latest && call.first_input == layer.memory;
  if (layer.has_latest && !goes_on) add(layer.earlier, layer.latest);
  layer.latest = {};
  layer.latest.moments = is_in_place(output) ? reduce_in_place(output) : reduce_elsewhere({output}).front();
  layer.latest.inputs = call.inputs;
  layer.latest.saturated = call.saturated;
  if (call.is_relu && output.dim() > 1) {
    const auto first = channels_first_.find(call.place.module);
    const bool channels_first = output.dim() == 2 || output.dim() > 3 || (first != channels_first_.end() && first->second);
    const std::int64_t unit_dimension = channels_first ? 1 : output.dim() - 1;
    const std::int64_t units = output.size(unit_dimension);
    // In a batch of a few examples a unit that lives is 0 for all of them often enough.
    if (units > 0 && output.numel() >= kLeastForDead * units) {
      layer.latest.units = static_cast<std::uint64_t>(units);
      layer.latest.dead = dead_units(output, unit_dimension);
    }
  }
  layer.has_latest = true;
  layer.memory = memory;
  if (output.has_storage()) layer.storage = output.storage().getWeakStorageImpl();
}

}  // namespace vigil
