#include "vigil/inspection/model_report.h"

#include <algorithm>
#include <exception>
#include <new>
#include <set>
#include <utility>

#include "vigil/inspection/element_numbers.h"
#include "vigil/inspection/tensor_tasks.h"

namespace vigil {
namespace {

std::string group_of(const ModelTensor& tensor) {
  switch (tensor.role) {
    case ModelTensor::Role::parameter: return kParameterGroup;
    case ModelTensor::Role::buffer: return kBufferGroup;
    case ModelTensor::Role::other: break;
  }
  return "tensors";
}

std::uint64_t bytes_of(const ModelTensor& tensor) { return element_count(tensor) * element_size(tensor.type); }

std::vector<ReportTensor> described_tensors(const std::vector<ModelTensor>& tensors, const std::string& group,
                                            const ReadingOptions& options, ByteProgress& progress) {
  std::vector<ReportTensor> rows(tensors.size());
  std::vector<std::uint64_t> sizes;
  std::set<std::uint64_t> seen;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    sizes.push_back(bytes_of(tensors[i]));
    rows[i].is_shared = tensors[i].memory != 0 && !seen.insert(tensors[i].memory).second;
  }
  for_each_at_once(largest_first(sizes), options.threads, [&](std::size_t i) {
    const ModelTensor& tensor = tensors[i];
    ReportTensor& row = rows[i];
    row.name = tensor.name;
    row.group = group.empty() ? group_of(tensor) : group;
    row.shape = shape_text(tensor.sizes);
    row.dtype = std::string(name_of(tensor.type));
    row.elements = element_count(tensor);
    row.bytes = sizes[i];
    try {
      if (has_values(tensor.type)) {
        row.distribution = distribution_of(tensor);
      } else {
        row.problem = "elements of type " + row.dtype + " are no numbers by themselves";
      }
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      row.problem = error.what();
    }
    progress.add(sizes[i]);
  });
  return rows;
}

}  // namespace

std::vector<ReportTensor> report_tensors(const std::vector<ModelTensor>& tensors, const std::string& group, const ReadingOptions& options) {
  std::uint64_t all = 0;
  for (const ModelTensor& tensor : tensors) all += bytes_of(tensor);
  ByteProgress progress(options.progress, all);
  return described_tensors(tensors, group, options, progress);
}

ModelReport report_of(const std::vector<ModelTensor>& tensors, const ReadingOptions& options) {
  const bool has_roles =
      std::any_of(tensors.begin(), tensors.end(), [](const ModelTensor& tensor) { return tensor.role == ModelTensor::Role::parameter; });
  std::uint64_t all = 0;
  for (const ModelTensor& tensor : tensors) all += bytes_of(tensor);
  ByteProgress progress(options.progress, all);
  ModelReport report;
  report.tensors = described_tensors(tensors, "", options, progress);
  std::vector<ModelTensor> whole;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const ModelTensor& tensor = tensors[i];
    const bool is_wanted = has_roles ? tensor.role == ModelTensor::Role::parameter : is_floating(tensor.type);
    if (is_wanted && report.tensors[i].distribution) whole.push_back(tensor);
  }
  if (!whole.empty()) report.whole = distribution_of(whole);
  return report;
}

}  // namespace vigil
