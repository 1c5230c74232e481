#include "vigil/model/pruning_report.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

#include <ATen/Functions.h>

#include "vigil/inspection/model_tensor.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::uint64_t kMostInt32 = std::numeric_limits<std::int32_t>::max();

PrunedBytes bytes_of_tensor(const at::Tensor& tensor, std::uint64_t zeros) {
  const auto elements = static_cast<std::uint64_t>(tensor.numel());
  const auto element_bytes = static_cast<std::uint64_t>(tensor.element_size());
  const std::uint64_t kept = elements - zeros;
  const std::uint64_t rows = tensor.dim() < 2 ? 1 : static_cast<std::uint64_t>(tensor.size(0));
  const std::uint64_t columns = rows == 0 ? 0 : elements / rows;
  const std::uint64_t index_bytes = columns > kMostInt32 || kept > kMostInt32 ? 8 : 4;
  PrunedBytes bytes;
  bytes.dense = elements * element_bytes;
  bytes.csr = kept * (element_bytes + index_bytes) + (rows + 1) * index_bytes;
  bytes.coo = kept * (element_bytes + 8 * static_cast<std::uint64_t>(tensor.dim()));
  bytes.bitmask = kept * element_bytes + (elements + 7) / 8;
  return bytes;
}

std::int64_t zero_slices(const at::Tensor& is_kept, std::int64_t dim) {
  if (is_kept.dim() < 2 || is_kept.numel() == 0) return 0;
  const at::Tensor rows = is_kept.transpose(0, dim).reshape({is_kept.size(dim), -1});
  return rows.any(1).logical_not().sum().item<std::int64_t>();
}

void add_bytes(PrunedBytes& sum, const PrunedBytes& bytes) {
  sum.dense += bytes.dense;
  sum.csr += bytes.csr;
  sum.coo += bytes.coo;
  sum.bitmask += bytes.bitmask;
}

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

std::vector<std::string> cells_of(const std::string& name, const std::string& shape, const PrunedTensor& before,
                                  const PrunedTensor& after) {
  return {name,
          shape,
          grouped(after.elements),
          percent(before.sparsity()),
          percent(after.sparsity()),
          grouped(after.bytes.dense),
          grouped(after.bytes.csr),
          grouped(after.bytes.coo),
          grouped(after.bytes.bitmask)};
}

std::string removable_text(const PruningReport& report, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const PrunedTensor& tensor : report.tensors) {
    if (tensor.zero_outputs + tensor.zero_inputs == 0) continue;
    rows.push_back({{printable(tensor.name), shape_text(tensor.sizes), std::to_string(tensor.zero_outputs),
                     std::to_string(tensor.zero_inputs), shape_text(tensor.smaller_sizes()), grouped(tensor.smaller_bytes())},
                    Style::plain});
  }
  if (rows.empty()) return "";
  return "\nwhole channels that are zero, and a layer without them:\n" +
         table_text(
             {{"parameter", false, 0, 12}, {"shape", false}, {"dim 0", true}, {"dim 1", true}, {"smaller shape", false}, {"bytes", true}},
             rows, place);
}

}  // namespace

std::uint64_t PrunedBytes::smallest() const noexcept { return std::min({dense, csr, coo, bitmask}); }

double PrunedTensor::sparsity() const noexcept { return elements == 0 ? 0 : static_cast<double>(zeros) / static_cast<double>(elements); }

std::vector<std::int64_t> PrunedTensor::smaller_sizes() const {
  std::vector<std::int64_t> smaller = sizes;
  if (smaller.size() < 2) return smaller;
  smaller[0] -= zero_outputs;
  smaller[1] -= zero_inputs;
  return smaller;
}

std::uint64_t PrunedTensor::smaller_bytes() const noexcept {
  if (elements == 0) return 0;
  std::uint64_t left = bytes.dense / elements;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    const std::int64_t removed = sizes.size() < 2 ? 0 : d == 0 ? zero_outputs : d == 1 ? zero_inputs : 0;
    left *= static_cast<std::uint64_t>(sizes[d] - removed);
  }
  return left;
}

PrunedTensor PruningReport::total() const {
  PrunedTensor sum;
  const auto add = [&](const PrunedTensor& tensor) {
    sum.elements += tensor.elements;
    sum.zeros += tensor.zeros;
    add_bytes(sum.bytes, tensor.bytes);
  };
  for (const PrunedTensor& tensor : tensors) add(tensor);
  add(others);
  return sum;
}

PrunedTensor pruned_tensor(const std::string& name, const at::Tensor& tensor) {
  const at::NoGradGuard no_grad;
  const at::Tensor is_kept = tensor.detach().ne(0);
  PrunedTensor told;
  told.name = name;
  told.sizes = tensor.sizes().vec();
  told.elements = static_cast<std::uint64_t>(tensor.numel());
  told.zeros = told.elements - static_cast<std::uint64_t>(is_kept.sum().item<std::int64_t>());
  told.bytes = bytes_of_tensor(tensor, told.zeros);
  told.zero_outputs = zero_slices(is_kept, 0);
  told.zero_inputs = zero_slices(is_kept, 1);
  return told;
}

PruningReport pruning_report(const std::vector<PrunableParameter>& all, const std::vector<PrunableParameter>& chosen) {
  PruningReport report;
  for (const PrunableParameter& parameter : chosen) report.tensors.push_back(pruned_tensor(parameter.name, parameter.tensor));
  std::vector<PrunableParameter> counted_ones = chosen;
  for (const PrunableParameter& parameter : all) {
    const auto is_it = [&](const PrunableParameter& other) { return is_same_memory(other.tensor, parameter.tensor); };
    if (std::any_of(counted_ones.begin(), counted_ones.end(), is_it) || parameter.tensor.layout() != at::kStrided) continue;
    counted_ones.push_back(parameter);
    const PrunedTensor told = pruned_tensor(parameter.name, parameter.tensor);
    report.others.elements += told.elements;
    report.others.zeros += told.zeros;
    add_bytes(report.others.bytes, {told.bytes.dense, told.bytes.dense, told.bytes.dense, told.bytes.dense});
    ++report.other_count;
  }
  return report;
}

PruningReport pruning_report(const torch::nn::Module& module, const PruningTargets& targets) {
  std::vector<PrunableParameter> all = parameters_with_types(module);
  const std::vector<PrunableParameter> chosen = chosen_parameters(all, targets);
  for (const auto& item : module.named_buffers()) {
    if (item.value().defined()) all.push_back({item.key(), item.value()});
  }
  return pruning_report(all, chosen);
}

std::string pruning_text(const PruningReport& before, const PruningReport& after, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (std::size_t i = 0; i < after.tensors.size() && i < before.tensors.size(); ++i) {
    const PrunedTensor& now = after.tensors[i];
    rows.push_back({cells_of(printable(now.name), shape_text(now.sizes), before.tensors[i], now), Style::plain});
  }
  if (after.other_count > 0) {
    rows.push_back({cells_of("others (" + counted(after.other_count, "tensor") + ")", "", before.others, after.others), Style::dim});
  }
  rows.push_back({cells_of("total", "", before.total(), after.total()), Style::bold});
  std::string text = table_text({{"parameter", false, 0, 12},
                                 {"shape", false, 2},
                                 {"elements", true, 3},
                                 {"zeros before", true},
                                 {"zeros after", true},
                                 {"bytes dense", true},
                                 {"CSR", true, 1},
                                 {"COO", true, 1},
                                 {"bitmask", true}},
                                rows, place);
  return text + removable_text(after, place);
}

}  // namespace vigil
