#include "vigil/model/quantised_kernels.h"

#include <stdexcept>
#include <utility>

#include <ATen/Context.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/stack.h>

namespace vigil {
namespace {

// libtorch packs for the engine that is set, and the packed weights know theirs.
class EngineForNow {
 public:
  explicit EngineForNow(at::QEngine engine) : before_(at::globalContext().qEngine()) { at::globalContext().setQEngine(engine); }
  ~EngineForNow() { at::globalContext().setQEngine(before_); }
  EngineForNow(const EngineForNow&) = delete;
  EngineForNow& operator=(const EngineForNow&) = delete;

 private:
  const at::QEngine before_;
};

torch::jit::Stack call(const char* name, const char* overload, torch::jit::Stack arguments) {
  const at::NoGradGuard no_grad;
  const auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found) throw std::runtime_error(std::string("this libtorch has no ") + name);
  found->callBoxed(&arguments);
  return arguments;
}

// Without libtorch's stack trace.
template <class Pack>
c10::IValue packed_or_reason(at::QEngine engine, Pack pack) {
  try {
    const EngineForNow now(engine);
    return pack();
  } catch (const c10::Error& error) {
    std::string reason = error.what_without_backtrace();
    throw std::runtime_error(reason.substr(0, reason.find('\n')));
  }
}

}  // namespace

c10::IValue packed_linear(at::QEngine engine, const at::Tensor& weight, const at::Tensor& bias) {
  return packed_or_reason(engine, [&] {
    return call("quantized::linear_prepack", "", {weight, bias.defined() ? c10::IValue(bias) : c10::IValue()}).at(0);
  });
}

at::Tensor dynamic_linear(const at::Tensor& input, const c10::IValue& packed, bool reduce_range) {
  return call("quantized::linear_dynamic", "", {input, packed, reduce_range}).at(0).toTensor();
}

c10::IValue packed_cell(at::QEngine engine, const at::Tensor& input_weight, const at::Tensor& hidden_weight, const at::Tensor& input_bias,
                        const at::Tensor& hidden_bias, bool reduce_range) {
  const c10::IValue input = packed_linear(engine, input_weight, input_bias), hidden = packed_linear(engine, hidden_weight, hidden_bias);
  return packed_or_reason(engine, [&] {
    return call("quantized::make_quantized_cell_params_dynamic", "", {input, hidden, input_bias, hidden_bias, reduce_range}).at(0);
  });
}

c10::IValue list_of_cells(const std::vector<c10::IValue>& cells) {
  c10::impl::GenericList list(cells.at(0).type());
  for (const c10::IValue& cell : cells) list.push_back(cell);
  return list;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> dynamic_lstm(const at::Tensor& input, const at::Tensor& hidden, const at::Tensor& cell,
                                                            const c10::IValue& cells, std::int64_t layers, double dropout, bool is_training,
                                                            bool is_bidirectional, bool batch_first) {
  constexpr bool kHasBiases = true, kUseDynamic = true;
  const torch::jit::Stack results = call("aten::quantized_lstm", "input",
                                         {input, c10::List<at::Tensor>({hidden, cell}), cells, kHasBiases, layers, dropout, is_training,
                                          is_bidirectional, batch_first, static_cast<std::int64_t>(at::kChar), kUseDynamic});
  return {results.at(0).toTensor(), results.at(1).toTensor(), results.at(2).toTensor()};
}

bool adds_in_32_bits() {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_cpu_supports("avx512vnni") != 0;  // asks whether the system lets programs use it, too
#else
  return true;
#endif
}

}  // namespace vigil
