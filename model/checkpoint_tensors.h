// Between a module or an optimizer and its file.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize.h>

#include "vigil/model/checkpoint_files.h"

namespace vigil {

/// Name of the first parameter or buffer that holds NaN or Inf. @throws what ATen throws
std::optional<std::string> nonfinite_tensor(const torch::nn::Module& module);
/// Of the first tensor in a file, in the archive's own names.
std::optional<std::string> nonfinite_tensor_in(const std::filesystem::path& archive);
/// Euclidean norms of the floating-point parameters.
std::map<std::string, double> parameter_norms(const torch::nn::Module& module);

/// As torch::save() writes them.
ByteSource bytes_of(const torch::nn::Module& module);
ByteSource bytes_of(const torch::optim::Optimizer& optimizer);
/// Of libtorch's CPU generator.
std::string generator_state();
/// @throws c10::Error when it is not such a state
void set_generator_state(const std::string& state);

/// What a tensor of a file is taken as; throws where it must not be taken. `name` is its full path.
using TakeTensor = std::function<at::Tensor(const std::string& name, const at::Tensor& from, bool is_buffer)>;

/// Tensors of a file on their way into a module.
class StagedModule {
 public:
  /// Reads all that `module` has; changes nothing. @throws std::runtime_error that names the tensor which is missing or of another shape,
  /// and what `take` throws; c10::Error
  StagedModule(const torch::nn::Module& module, const std::filesystem::path& archive, const TakeTensor& take);
  /// Writes them into the module's own tensors.
  void commit() const;

 private:
  void stage(const torch::nn::Module& module, torch::serialize::InputArchive& archive, const std::string& prefix, const TakeTensor& take);

  std::vector<std::pair<at::Tensor, at::Tensor>> staged_;  // to, from
};

/// As it is. @throws std::runtime_error for NaN and Inf
at::Tensor take_finite(const std::string& name, const at::Tensor& from, bool is_buffer);

/// Loads a file, or leaves the optimizer as it was. @throws std::exception
void load_optimizer(torch::optim::Optimizer& optimizer, const std::filesystem::path& archive);

}  // namespace vigil
