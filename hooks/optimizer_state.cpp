#include "vigil/hooks/optimizer_state.h"

#include <string_view>

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

namespace vigil {
namespace {

namespace optim = torch::optim;

template <class Options, class Has>
bool any_group(const optim::Optimizer& optimizer, Has has) {
  for (const auto& group : optimizer.param_groups()) {
    if (const auto* const options = dynamic_cast<const Options*>(&group.options()); options != nullptr && has(*options)) return true;
  }
  return false;
}

template <class Options>
std::vector<std::string> names_of_adam(const optim::Optimizer& optimizer) {
  std::vector<std::string> names{"exp_avg", "exp_avg_sq"};
  if (any_group<Options>(optimizer, [](const Options& options) { return options.amsgrad(); })) names.emplace_back("max_exp_avg_sq");
  return names;
}

template <class State>
const at::Tensor* of_adam(const State& state, std::string_view name) {
  return name == "exp_avg" ? &state.exp_avg() : name == "exp_avg_sq" ? &state.exp_avg_sq() : &state.max_exp_avg_sq();
}

const at::Tensor* tensor_of(const optim::OptimizerParamState& state, std::string_view name) {
  if (const auto* const adam = dynamic_cast<const optim::AdamParamState*>(&state)) return of_adam(*adam, name);
  if (const auto* const adamw = dynamic_cast<const optim::AdamWParamState*>(&state)) return of_adam(*adamw, name);
  if (const auto* const sgd = dynamic_cast<const optim::SGDParamState*>(&state)) return &sgd->momentum_buffer();
  if (const auto* const adagrad = dynamic_cast<const optim::AdagradParamState*>(&state)) return &adagrad->sum();
  if (const auto* const rmsprop = dynamic_cast<const optim::RMSpropParamState*>(&state)) {
    return name == "square_avg" ? &rmsprop->square_avg() : name == "grad_avg" ? &rmsprop->grad_avg() : &rmsprop->momentum_buffer();
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> state_names(const optim::Optimizer& optimizer) {
  if (dynamic_cast<const optim::Adam*>(&optimizer) != nullptr) return names_of_adam<optim::AdamOptions>(optimizer);
  if (dynamic_cast<const optim::AdamW*>(&optimizer) != nullptr) return names_of_adam<optim::AdamWOptions>(optimizer);
  if (dynamic_cast<const optim::Adagrad*>(&optimizer) != nullptr) return {"sum"};
  if (dynamic_cast<const optim::SGD*>(&optimizer) != nullptr) {
    const bool has_momentum =
        any_group<optim::SGDOptions>(optimizer, [](const optim::SGDOptions& options) { return options.momentum() != 0; });
    return has_momentum ? std::vector<std::string>{"momentum_buffer"} : std::vector<std::string>{};
  }
  if (dynamic_cast<const optim::RMSprop*>(&optimizer) != nullptr) {
    using Options = optim::RMSpropOptions;
    std::vector<std::string> names{"square_avg"};
    if (any_group<Options>(optimizer, [](const Options& options) { return options.momentum() > 0; })) names.emplace_back("momentum_buffer");
    if (any_group<Options>(optimizer, [](const Options& options) { return options.centered(); })) names.emplace_back("grad_avg");
    return names;
  }
  return {};
}

bool has_stepped(const torch::optim::Optimizer& optimizer) {
  return !optimizer.state().empty() && dynamic_cast<const torch::optim::Adagrad*>(&optimizer) == nullptr;
}

#if VIGIL_TORCH_AT_LEAST(2, 0)
OptimizerState::OptimizerState(const optim::Optimizer& optimizer, const at::Tensor& parameter)
    : optimizer_(optimizer), key_(parameter.unsafeGetTensorImpl()), names_(state_names(optimizer)) {}
#else
OptimizerState::OptimizerState(const optim::Optimizer& optimizer, const at::Tensor& parameter)
    : optimizer_(optimizer), key_(c10::guts::to_string(parameter.unsafeGetTensorImpl())), names_(state_names(optimizer)) {}
#endif

OptimizerState::Tensors OptimizerState::read() const noexcept {
  Tensors tensors{};
  const auto& all = optimizer_.state();
  const auto state = all.find(key_);
  if (state == all.end() || state->second == nullptr) return tensors;
  for (std::size_t i = 0; i < names_.size() && i < tensors.size(); ++i) {
    const at::Tensor* const tensor = tensor_of(*state->second, names_[i]);
    if (tensor != nullptr && tensor->defined()) tensors[i] = tensor;
  }
  return tensors;
}

}  // namespace vigil
