#include "vigil/model_tools/saved_module.h"

#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>

#include "vigil/config/printable.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/model/module_tensors.h"
#include "vigil/terminal/output_file.h"

namespace vigil::model_tools {
namespace {

const std::string kCannotRun = "the model cannot be run: ";

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return printable(text.substr(text.rfind('\n') + 1));  // npos + 1 is 0
}

// With empty texts: libtorch loads and writes only those whose names it is told.
torch::jit::ExtraFilesMap extra_files_of(const std::string& file) {
  constexpr const char* kPrefix = "extra/";
  torch::jit::ExtraFilesMap extra;
  caffe2::serialize::PyTorchStreamReader reader(file);
  for (const std::string& name : reader.getAllRecords()) {
    if (name.rfind(kPrefix, 0) == 0) extra[name.substr(std::char_traits<char>::length(kPrefix))] = "";
  }
  return extra;
}

torch::jit::Module checked_and_loaded(const std::string& file, torch::jit::ExtraFilesMap* extra) {
  open_saved_model(file);
  const std::string cannot = "libtorch cannot load '" + file + "': ";
  try {
    if (extra == nullptr) return torch::jit::load(file, at::Device(at::kCPU));
    *extra = extra_files_of(file);
    return torch::jit::load(file, at::Device(at::kCPU), *extra);
  } catch (const c10::Error& error) {
    throw std::runtime_error(cannot + first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw std::runtime_error(cannot + first_line(error.what()));  // names that its code cannot have
  }
}

}  // namespace

torch::jit::Module load_saved_module(const std::string& file) { return checked_and_loaded(file, nullptr); }

torch::jit::Module load_saved_module(const std::string& file, torch::jit::ExtraFilesMap& extra) { return checked_and_loaded(file, &extra); }

void require_other_file(const std::string& file, const std::string& out) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(file, out, ignored)) return;
  throw std::invalid_argument("'" + out + "' is the model itself; name another file, or give --force");
}

void write_saved_module(const torch::jit::Module& module, const torch::jit::ExtraFilesMap& extra, const std::string& path) {
  OutputFile out(path);
  torch::jit::ExportModule(module, out.sink(), extra);
  out.commit();
}

bool has_forward(const torch::jit::Module& module) { return module.find_method("forward").has_value(); }

void run_code(const std::function<void()>& run) {
  try {
    run();
  } catch (const c10::Error& error) {
    throw std::runtime_error(kCannotRun + first_line(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    throw std::runtime_error(kCannotRun + last_line(error.what()));  // TorchScript's traceback comes before
  }
}

at::Tensor first_output(torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  std::optional<at::Tensor> tensor;
  run_code([&] { tensor = first_tensor_in(module.forward(inputs)); });
  if (!tensor) throw std::runtime_error("its forward() gives no tensor");
  return *tensor;
}

void tell_failure(const std::string& of_libtorch) {
  try {
    throw;
  } catch (const c10::Error& error) {
    std::cerr << "vigil: " << of_libtorch << first_line(error.what_without_backtrace()) << '\n';
  } catch (const std::exception& error) {
    std::cerr << "vigil: " << printable(error.what()) << '\n';
  }
}

void tell_unused_inputs(const std::string& what) {
  std::cerr << "vigil: the file has no forward() to run (torch::save writes no code): " << what << " not used\n";
}

std::string first_line(const std::string& text) { return printable(text.substr(0, text.find('\n'))); }

}  // namespace vigil::model_tools
