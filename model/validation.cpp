#include "vigil/model/validation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "vigil/inspection/tensor_reading.h"
#include "vigil/model/module_tensors.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

bool is_asked_for(TensorCheck check, const ValidationOptions& options) {
  switch (check) {
    case TensorCheck::unreadable:
    case TensorCheck::nan:
    case TensorCheck::infinite: return true;
    case TensorCheck::negative_variance: return options.variances;
    case TensorCheck::all_zero: return options.zeros;
    case TensorCheck::constant: return options.constants;
    case TensorCheck::denormal: return options.denormals;
    case TensorCheck::duplicate: return options.duplicates;
  }
  return true;
}

std::string message_of(const std::vector<TensorFinding>& findings) {
  std::set<std::string> tensors;
  for (const TensorFinding& one : findings) tensors.insert(one.tensor);
  std::string message = counted(tensors.size(), "tensor") + (tensors.size() == 1 ? " is" : " are") + " not fit to be used:";
  for (const TensorFinding& one : findings) message += "\n  " + printable(one.tensor) + ": " + printable(one.text);
  return message;
}

}  // namespace

ModelValidationError::ModelValidationError(std::vector<TensorFinding> findings)
    : std::runtime_error(message_of(findings)), findings_(std::move(findings)) {}

void validate_parameters(const torch::nn::Module& module, const ValidationOptions& options) {
  std::vector<ModelTensor> tensors = tensors_of(module);
  const auto is_left_out = [&](const ModelTensor& one) { return !options.buffers && one.role == ModelTensor::Role::buffer; };
  tensors.erase(std::remove_if(tensors.begin(), tensors.end(), is_left_out), tensors.end());
  std::vector<TensorFinding> findings = check_tensors(tensors, read_tensors(tensors), options.limits);
  const auto passes = [&](const TensorFinding& one) { return one.level == FindingLevel::note || !is_asked_for(one.check, options); };
  findings.erase(std::remove_if(findings.begin(), findings.end(), passes), findings.end());
  if (!findings.empty()) throw ModelValidationError(std::move(findings));
}

}  // namespace vigil
