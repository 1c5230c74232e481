#include "vigil/hooks/step_replay.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

// Past the version counter: graphs that are still alive shall not think that something has changed. Allocates nothing for what lies
// together in the CPU's memory in the same order.
void write_back(const at::Tensor& tensor, const at::Tensor& value) {
  const bool is_plain = tensor.is_cpu() && value.is_cpu() && tensor.layout() == at::kStrided && tensor.is_non_overlapping_and_dense() &&
                        tensor.scalar_type() == value.scalar_type() && tensor.sizes() == value.sizes() &&
                        tensor.strides() == value.strides() && tensor.is_neg() == value.is_neg() && tensor.is_conj() == value.is_conj();
  if (is_plain) {
    if (tensor.numel() > 0) std::memcpy(tensor.data_ptr(), read_pointer(value), tensor.nbytes());
    return;
  }
  const at::NoGradGuard no_grad;
  tensor.variable_data().copy_(value);
}

}  // namespace

GeneratorStates::GeneratorStates(const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined() || tensor.is_cpu() || tensor.is_meta()) continue;
    const at::Generator& generator = at::globalContext().defaultGenerator(tensor.device());
    bool is_new = true;
    for (const auto& other : others_) is_new &= !(other.first == generator);
    if (is_new) others_.emplace_back(generator, at::Tensor());
  }
}

void GeneratorStates::remember() {
  at::Generator cpu = at::detail::getDefaultCPUGenerator();
  {
    const std::lock_guard lock(cpu.mutex());
    auto* const state = at::check_generator<at::CPUGeneratorImpl>(cpu);
    engine_ = state->engine();
    next_float_ = state->next_float_normal_sample();
    next_double_ = state->next_double_normal_sample();
  }
  for (auto& [generator, state] : others_) {
    const std::lock_guard lock(generator.mutex());
    state = generator.get_state();
  }
}

void GeneratorStates::restore() const {
  at::Generator cpu = at::detail::getDefaultCPUGenerator();
  {
    const std::lock_guard lock(cpu.mutex());
    auto* const state = at::check_generator<at::CPUGeneratorImpl>(cpu);
    state->set_engine(engine_);
    state->set_next_float_normal_sample(next_float_);
    state->set_next_double_normal_sample(next_double_);
  }
  for (const auto& [generator, state] : others_) {
    at::Generator writable = generator;
    const std::lock_guard lock(writable.mutex());
    writable.set_state(state);
  }
}

StepReplay::StepReplay(TensorPlaces& places, std::vector<at::Tensor> parameters, const std::vector<at::Tensor>& buffers)
    : places_(places), parameters_(std::move(parameters)), generators_(parameters_) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& buffer : buffers) {
    if (buffer.defined()) buffers_.push_back({buffer, buffer.detach().clone(), -1});
  }
}

void StepReplay::remember() {
  generators_.remember();
  for (Buffer& buffer : buffers_) {
    const std::int64_t version = buffer.tensor._version();
    if (version == buffer.version && buffer.tensor.nbytes() > kCopiedAlwaysBytes) continue;
    write_back(buffer.copy, buffer.tensor);
    buffer.version = version;
  }
}

Explanation StepReplay::run(const LossClosure& closure) {
  // What the training is to find again.
  struct Present {
    StepReplay& replay;
    GeneratorStates generators;
    std::vector<at::Tensor> gradients, buffers;

    explicit Present(StepReplay& of) : replay(of), generators(of.parameters_) {
      generators.remember();
      const at::NoGradGuard no_grad;
      for (const Buffer& buffer : replay.buffers_) buffers.push_back(buffer.tensor.detach().clone());
      for (const at::Tensor& parameter : replay.parameters_) gradients.push_back(std::exchange(parameter.mutable_grad(), at::Tensor()));
    }
    ~Present() {
      for (std::size_t i = 0; i < gradients.size(); ++i) replay.parameters_[i].mutable_grad() = gradients[i];
      try {
        for (std::size_t i = 0; i < buffers.size(); ++i) write_back(replay.buffers_[i].tensor, buffers[i]);
        generators.restore();
      } catch (...) {
        // A buffer that the closure has given another shape or type: there is no way back to that memory.
      }
    }
  } const present(*this);

  for (const Buffer& buffer : buffers_) write_back(buffer.tensor, buffer.copy);
  generators_.restore();
  TracedStep traced(places_);
  traced.begin();
  const at::Tensor loss = closure();
  loss.backward();
  return traced.end(loss, parameters_);
}

void TracedStep::begin() {
  places_.refresh();
  trace_ = std::make_unique<OperatorTrace>(places_);
  if (!observer_.attach(*trace_)) trace_.reset();
}

void TracedStep::abandon() noexcept {
  observer_.detach();
  trace_.reset();
}

Explanation TracedStep::end(const at::Tensor& loss, const std::vector<at::Tensor>& parameters) {
  observer_.detach();
  Explanation explanation;
  if (trace_ == nullptr) return explanation;
  const std::unique_ptr<OperatorTrace> trace = std::move(trace_);
  std::vector<TracedTensor> targets;
  if (loss.defined()) targets.push_back(trace->see(loss));
  if (targets.empty() || !targets.front().is_nonfinite()) {
    for (const at::Tensor& parameter : parameters) {
      if (parameter.grad().defined()) targets.push_back(trace->see(parameter.grad()));
    }
  }
  explanation.was_finite = std::none_of(targets.begin(), targets.end(), [](const TracedTensor& target) { return target.is_nonfinite(); });
  explanation.is_complete = trace->is_complete();
  explanation.provenance = find_provenance(*trace, targets);
  return explanation;
}

}  // namespace vigil
