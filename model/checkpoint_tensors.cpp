#include "vigil/model/checkpoint_tensors.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <cstring>
#include <exception>
#include <mutex>
#include <sstream>
#include <stdexcept>

#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

using torch::serialize::InputArchive;
using torch::serialize::OutputArchive;

std::optional<DType> dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat: return DType::float32;
    case at::kDouble: return DType::float64;
    case at::kBFloat16: return DType::bfloat16;
    case at::kHalf: return DType::float16;
    default: return std::nullopt;
  }
}

bool is_finite(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.numel() == 0) return true;
  if (!at::isFloatingType(tensor.scalar_type()) && !tensor.is_complex()) return true;
  const at::Tensor values = tensor.detach();
  const auto dtype = dtype_of(values);
  if (dtype && values.is_cpu() && values.layout() == at::kStrided && values.is_non_overlapping_and_dense() && !values.is_neg()) {
    return compute_finite_norm(*dtype, values.data_ptr(), static_cast<std::size_t>(values.numel())).all_finite;
  }
  return at::isfinite(values.is_sparse() ? values._values() : values).all().item<bool>();
}

template <class Saved>
ByteSource bytes_of_archive(const Saved& saved) {
  return [&saved](const auto& take) {
    OutputArchive archive;
    saved.save(archive);
    // libtorch's writer ends the process when a write throws or falls short: what goes wrong waits until it is through.
    std::exception_ptr failure;
    archive.save_to([&](const void* data, std::size_t bytes) {
      try {
        if (!failure) take(data, bytes);
      } catch (...) {
        failure = std::current_exception();
      }
      return bytes;
    });
    if (failure) std::rethrow_exception(failure);
  };
}

// Depth-first through an archive, whose members are tensors, archives and other values.
std::optional<std::string> nonfinite_in(InputArchive& archive, const std::string& prefix) {
  for (const std::string& key : archive.keys()) {
    at::Tensor tensor;
    InputArchive inner;
    if (archive.try_read(key, inner)) {
      if (auto found = nonfinite_in(inner, prefix + key + "/")) return found;
      continue;
    }
    c10::IValue value;
    if (!archive.try_read(key, value)) continue;
    if (value.isTensor() && !is_finite(value.toTensor())) return prefix + key;
    if (!value.isList()) continue;
    for (const c10::IValue& element : value.toListRef()) {
      if (element.isTensor() && !is_finite(element.toTensor())) return prefix + key;
    }
  }
  return std::nullopt;
}

std::string shape_of(const at::Tensor& tensor) {
  std::ostringstream out;
  out << tensor.sizes();
  return out.str();
}

}  // namespace

std::optional<std::string> nonfinite_tensor(const torch::nn::Module& module) {
  for (const auto& item : module.named_parameters()) {
    if (!is_finite(item.value())) return "parameter " + item.key();
  }
  for (const auto& item : module.named_buffers()) {
    if (!is_finite(item.value())) return "buffer " + item.key();
  }
  return std::nullopt;
}

std::optional<std::string> nonfinite_tensor_in(const std::filesystem::path& path) {
  InputArchive archive;
  archive.load_from(path.string());
  return nonfinite_in(archive, "");
}

std::map<std::string, double> parameter_norms(const torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, double> norms;
  for (const auto& item : module.named_parameters()) {
    if (!at::isFloatingType(item.value().scalar_type())) continue;
    norms[item.key()] = at::norm(item.value().detach(), 2, at::kDouble).item<double>();
  }
  return norms;
}

ByteSource bytes_of(const torch::nn::Module& module) { return bytes_of_archive(module); }
ByteSource bytes_of(const torch::optim::Optimizer& optimizer) { return bytes_of_archive(optimizer); }

std::string generator_state() {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  const at::Tensor state = generator.get_state().contiguous();
  return {static_cast<const char*>(state.data_ptr()), state.nbytes()};
}

void set_generator_state(const std::string& state) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(state.size())}, at::kByte);
  std::memcpy(tensor.data_ptr(), state.data(), state.size());
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  generator.set_state(tensor);
}

at::Tensor take_finite(const std::string& name, const at::Tensor& from, bool) {
  if (!is_finite(from)) throw std::runtime_error("'" + name + "' holds NaN or Inf");
  return from;
}

StagedModule::StagedModule(const torch::nn::Module& module, const std::filesystem::path& path, const TakeTensor& take) {
  InputArchive archive;
  archive.load_from(path.string());
  stage(module, archive, "", take);
}

void StagedModule::stage(const torch::nn::Module& module, InputArchive& archive, const std::string& prefix, const TakeTensor& take) {
  const auto stage_one = [&](const std::string& name, const at::Tensor& into, bool is_buffer) {
    if (!into.defined()) return;
    at::Tensor from;
    if (!archive.try_read(name, from, is_buffer) || !from.defined()) throw std::runtime_error("it has no '" + prefix + name + "'");
    if (from.sizes() != into.sizes()) {
      throw std::runtime_error("'" + prefix + name + "' is of shape " + shape_of(from) + ", and the model's of " + shape_of(into));
    }
    staged_.emplace_back(into, take(prefix + name, from, is_buffer));
  };
  for (const auto& item : module.named_parameters(false)) stage_one(item.key(), item.value(), false);
  for (const auto& item : module.named_buffers(false)) stage_one(item.key(), item.value(), true);
  for (const auto& child : module.named_children()) {
    if (!child.value()->is_serializable()) continue;
    InputArchive inner;
    if (!archive.try_read(child.key(), inner)) throw std::runtime_error("it has no module '" + prefix + child.key() + "'");
    stage(*child.value(), inner, prefix + child.key() + ".", take);
  }
}

void StagedModule::commit() const {
  const torch::NoGradGuard no_grad;
  for (const auto& [into, from] : staged_) at::Tensor(into).copy_(from);
}

void load_optimizer(torch::optim::Optimizer& optimizer, const std::filesystem::path& path) {
  InputArchive archive;
  archive.load_from(path.string());
  std::stringstream before;
  {
    OutputArchive present;
    optimizer.save(present);
    present.save_to(before);
  }
  try {
    optimizer.load(archive);
  } catch (...) {
    InputArchive back;
    back.load_from(before);
    optimizer.load(back);
    throw;
  }
}

}  // namespace vigil
