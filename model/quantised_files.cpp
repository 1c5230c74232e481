// save_quantised() and load_quantised() of quantisation.h.
#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>

#include <ATen/Functions.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/serialize/output-archive.h>

#include "vigil/model/checkpoint_tensors.h"
#include "vigil/model/prunable_parameters.h"
#include "vigil/model/quantisation.h"
#include "vigil/terminal/output_file.h"

namespace vigil {
namespace {

using torch::serialize::OutputArchive;

// As torch::nn::Module::save() does, which cannot be told to write another tensor.
void write_module(const torch::nn::Module& module, const std::string& prefix, const std::map<std::string, at::Tensor>& integers,
                  OutputArchive& archive) {
  for (const auto& item : module.named_parameters(false)) {
    const auto found = integers.find(prefix + item.key());
    archive.write(item.key(), found == integers.end() ? item.value() : found->second);
  }
  for (const auto& item : module.named_buffers(false)) archive.write(item.key(), item.value(), true);
  for (const auto& child : module.named_children()) {
    if (!child.value()->is_serializable()) continue;
    OutputArchive inner(archive.compilation_unit());
    write_module(*child.value(), prefix + child.key() + ".", integers, inner);
    archive.write(child.key(), inner);
  }
}

// They have packed what their buffers held.
void refuse_integers(const torch::nn::Module& module, const std::string& name) {
  if (module.as<QuantisedLinear>() == nullptr && module.as<QuantisedLSTM>() == nullptr) return;
  throw std::runtime_error("the model" + name + " has int8 weights; load_quantised() fills float layers, torch::load() these");
}

void require_float_layers(const torch::nn::Module& module) {
  for (const auto& item : module.named_modules("", /*include_self=*/false)) refuse_integers(*item.value(), "'s '" + item.key() + "'");
  refuse_integers(module, "");
}

// Integers become the numbers that they stand for. Masks are buffers, of -Inf.
at::Tensor take_float(const std::string& name, const at::Tensor& from, bool is_buffer) {
  at::Tensor taken = from.is_quantized() ? from.dequantize() : from;
  if (!is_buffer && at::isFloatingType(taken.scalar_type())) require_finite(taken, "'" + name + "'");
  return taken;
}

}  // namespace

QuantisationReport save_quantised(const torch::nn::Module& module, const std::filesystem::path& path, const ModelQuantisation& how) {
  const QuantisationReport report = quantisation_report(module, how);
  std::map<std::string, at::Tensor> integers;
  const auto parameters = module.named_parameters();
  for (const QuantisedWeight& weight : report.weights) {
    if (weight.is_kept) continue;
    const at::Tensor& tensor = parameters[weight.name];
    const at::Tensor of_weight = quantised(tensor, parameters_for(tensor, how.layer.grid, weight.channels_at));
    for (const auto& item : parameters) {
      if (is_same_memory(item.value(), tensor)) integers[item.key()] = of_weight;
    }
  }
  OutputArchive archive;
  write_module(module, "", integers, archive);
  OutputFile file(path.string());
  archive.save_to(file.sink());
  file.commit();
  QuantisationReport written = report;
  for (QuantisedWeight& weight : written.weights) {
    if (!weight.is_kept) weight.execution = "saved as integers";
  }
  return written;
}

QuantisationReport store_integers(torch::jit::Module& module, const ModelQuantisation& how) {
  for (const torch::jit::Module& part : module.modules()) {
    if (!part.get_methods().empty()) {
      throw std::invalid_argument("a TorchScript model has code that computes with its weights as floats; they can only be rounded");
    }
  }
  QuantisationReport report = quantisation_report(module, how);
  struct Owned {
    torch::jit::Module owner;
    std::string name;
    at::Tensor tensor;
  };
  std::map<std::string, Owned> owned;
  for (const auto& part : module.named_modules()) {
    for (const auto& item : part.value.named_parameters(false)) {
      owned.emplace(part.name.empty() ? item.name : part.name + "." + item.name, Owned{part.value, item.name, item.value});
    }
  }
  for (QuantisedWeight& weight : report.weights) {
    if (weight.is_kept) continue;
    weight.execution = "saved as integers";
    const at::Tensor tensor = owned.at(weight.name).tensor;
    const at::Tensor integers = quantised(tensor, parameters_for(tensor, how.layer.grid, weight.channels_at));
    for (auto& named : owned) {
      Owned& one = named.second;
      if (is_same_memory(one.tensor, tensor)) one.owner.setattr(one.name, integers);
    }
  }
  return report;
}

void load_quantised(torch::nn::Module& module, const std::filesystem::path& path) {
  try {
    require_float_layers(module);
    StagedModule(module, path, take_float).commit();
  } catch (const c10::Error& error) {
    throw std::runtime_error(path.string() + " cannot be loaded: " + error.what_without_backtrace());
  } catch (const std::exception& error) {
    throw std::runtime_error(path.string() + " cannot be loaded: " + error.what());
  }
}

}  // namespace vigil
