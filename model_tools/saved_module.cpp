#include "vigil/model_tools/saved_module.h"

#include <optional>
#include <stdexcept>

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include "vigil/config/printable.h"
#include "vigil/inspection/saved_model.h"

namespace vigil::model_tools {
namespace {

std::optional<at::Tensor> first_tensor_in(const c10::IValue& value) {
  if (value.isTensor()) return value.toTensor();
  if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      if (auto tensor = first_tensor_in(element)) return tensor;
    }
  } else if (value.isList()) {
    for (const c10::IValue& element : value.toListRef()) {
      if (auto tensor = first_tensor_in(element)) return tensor;
    }
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      if (auto tensor = first_tensor_in(entry.value())) return tensor;
    }
  }
  return std::nullopt;
}

const std::string kCannotRun = "the model cannot be run: ";

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return printable(text.substr(text.rfind('\n') + 1));  // npos + 1 is 0
}

// For as long as it lives.
class UnoptimisedExecution {
 public:
  UnoptimisedExecution() { torch::jit::setGraphExecutorOptimize(false); }
  ~UnoptimisedExecution() { torch::jit::setGraphExecutorOptimize(before_); }
  UnoptimisedExecution(const UnoptimisedExecution&) = delete;
  UnoptimisedExecution& operator=(const UnoptimisedExecution&) = delete;

 private:
  const bool before_ = torch::jit::getGraphExecutorOptimize();
};

}  // namespace

torch::jit::Module load_saved_module(const std::string& file) {
  open_saved_model(file);
  try {
    return torch::jit::load(file, at::Device(at::kCPU));
  } catch (const c10::Error& error) {
    throw std::runtime_error("libtorch cannot load '" + printable(file) + "': " + first_line(error.what_without_backtrace()));
  }
}

bool has_forward(const torch::jit::Module& module) { return module.find_method("forward").has_value(); }

at::Tensor first_output(torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  const UnoptimisedExecution unoptimised;
  std::optional<at::Tensor> tensor;
  try {
    tensor = first_tensor_in(module.forward(inputs));
  } catch (const c10::Error& error) {
    throw std::runtime_error(kCannotRun + first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw std::runtime_error(kCannotRun + last_line(error.what()));  // TorchScript's traceback comes before
  }
  if (!tensor) throw std::runtime_error("its forward() gives no tensor");
  return *tensor;
}

std::string first_line(const std::string& text) { return printable(text.substr(0, text.find('\n'))); }

}  // namespace vigil::model_tools
