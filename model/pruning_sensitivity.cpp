#include "vigil/model/pruning_sensitivity.h"

#include <cstdio>

#include "vigil/model/restored_tensors.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

std::string figure_text(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string share_text(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g %%", 100 * share);
  return text;
}

}  // namespace

PruningSensitivity pruning_sensitivity(torch::nn::Module& module, const std::function<double()>& evaluate,
                                       const std::vector<double>& amounts, const PruningTargets& targets, const PruningMethod& method) {
  std::vector<PruningAmount> shares;
  for (const double amount : amounts) shares.push_back(PruningAmount::share(amount));
  const std::vector<PrunableParameter> parameters = prunable_parameters(module, targets);
  PruningSensitivity sensitivity;
  sensitivity.amounts = amounts;
  sensitivity.baseline = evaluate();
  for (const PrunableParameter& parameter : parameters) {
    PruningSensitivity::Layer layer{parameter.name, static_cast<std::uint64_t>(parameter.tensor.numel()), {}};
    for (const PruningAmount& share : shares) {
      RestoredTensors kept;
      kept.add(parameter.tensor);
      PruningMasks(std::vector<PrunableParameter>{parameter}).prune(share, method);
      layer.measured.push_back(evaluate());
    }
    sensitivity.layers.push_back(std::move(layer));
  }
  return sensitivity;
}

std::string sensitivity_text(const PruningSensitivity& sensitivity, const OutputPlace& place, int digits) {
  std::vector<TableColumn> heads{{"pruned alone", false, 0, 12}, {"elements", true, 1}, {"0 %", true}};
  for (const double amount : sensitivity.amounts) heads.push_back({share_text(amount), true});
  std::vector<TableRow> rows;
  for (const PruningSensitivity::Layer& layer : sensitivity.layers) {
    TableRow row{{printable(layer.name), grouped(layer.elements), figure_text(sensitivity.baseline, digits)}, Style::plain};
    for (const double value : layer.measured) row.cells.push_back(figure_text(value, digits));
    rows.push_back(std::move(row));
  }
  return table_text(heads, rows, place);
}

}  // namespace vigil
