#include <algorithm>
#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "vigil/inspection/model_tensor.h"
#include "vigil/model/summary.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

std::string sizes_cell(const std::optional<std::vector<std::int64_t>>& sizes) { return sizes ? shape_text(*sizes) : "-"; }

std::string share_cell(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share > 0 && share < 0.0001 ? "<0.01 %%" : "%.2f %%", 100 * share);
  return text;
}

std::string grouped_or_none(std::uint64_t value) { return value > 0 ? grouped(value) : std::string("-"); }

std::string total_line(const std::string& label, const std::string& figure, std::size_t label_columns, std::size_t columns) {
  return padded(label, label_columns) + right_aligned(figure, columns) + '\n';
}

nlohmann::ordered_json sizes_json(const std::optional<std::vector<std::int64_t>>& sizes) {
  return sizes ? nlohmann::ordered_json(*sizes) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json count_json(const TensorCount& count) {
  return {{"parameters", count.parameters()},  {"trainable", count.trainable}, {"frozen", count.frozen},
          {"buffers", count.buffers},          {"shared", count.shared},       {"parameter_bytes", count.parameter_bytes},
          {"buffer_bytes", count.buffer_bytes}};
}

}  // namespace

std::string summary_text(const ModelSummary& summary, const OutputPlace& place, const SummaryTextOptions& options) {
  std::vector<TableColumn> heads{{"module", false, 0, 12}, {"type", false, 1}};
  if (summary.has_forward) heads.insert(heads.end(), {{"input", false, 4}, {"output", false, 0}, {"kernel", false, 6}});
  heads.insert(heads.end(), {{"parameters", true}, {"share", true, 3}});
  if (summary.has_forward) heads.insert(heads.end(), {{"MACs", true}, {"activations", true, 5}});
  std::vector<TableRow> rows;
  for (const ModuleSummary& module : summary.modules) {
    const ModuleCount& count = module.count;
    if (count.depth > options.depth) continue;
    TableRow row;
    row.cells.push_back(count.depth == 0 ? "(all)"
                                         : std::string(static_cast<std::size_t>(count.depth - 1) * 2, ' ') + printable(count.name));
    row.cells.push_back(printable(count.type) + (count.is_repeated  ? " (again)"
                                                 : module.calls > 1 ? " x" + std::to_string(module.calls)
                                                                    : ""));
    if (summary.has_forward) {
      row.cells.insert(row.cells.end(),
                       {sizes_cell(module.input), sizes_cell(module.output), module.kernel.empty() ? "-" : sizes_cell(module.kernel)});
    }
    const bool has_parameters = count.total.parameters() > 0;
    row.cells.push_back(has_parameters ? grouped(count.total.parameters()) : count.total.shared > 0 ? "(shared)" : "-");
    row.cells.push_back(has_parameters ? share_cell(module.share) : "-");
    if (summary.has_forward)
      row.cells.insert(row.cells.end(),
                       {grouped_or_none(module.macs), module.activation_bytes > 0 ? bytes_text(module.activation_bytes) : "-"});
    row.style = !has_parameters && module.macs == 0 ? Style::dim : Style::plain;
    rows.push_back(std::move(row));
  }
  std::string text = table_text(heads, rows, place) + '\n';

  std::vector<std::pair<std::string, std::string>> totals{{"Parameters", grouped(summary.total.parameters())},
                                                          {"  trainable", grouped(summary.total.trainable)},
                                                          {"  frozen", grouped(summary.total.frozen)}};
  if (summary.total.buffers > 0) totals.emplace_back("Elements of buffers", grouped(summary.total.buffers));
  if (summary.has_forward) totals.emplace_back("Multiply-accumulates", grouped(summary.macs));
  totals.emplace_back("Bytes of parameters", grouped(summary.total.parameter_bytes));
  if (summary.has_forward) {
    totals.emplace_back("Bytes of inputs", grouped(summary.input_bytes));
    totals.emplace_back("Bytes of forward and backward pass", grouped(summary.pass_bytes()));
    totals.emplace_back("Bytes in total, estimated", grouped(summary.total_bytes()));
  }
  std::size_t label_columns = 0, columns = 0;
  for (const auto& [label, figure] : totals) {
    label_columns = std::max(label_columns, columns_of(label) + 2);
    columns = std::max(columns, columns_of(figure));
  }
  for (const auto& [label, figure] : totals) text += total_line(label, figure, label_columns, columns);
  if (!summary.has_forward) text += "\nThe parameters alone: no forward pass was run.\n";
  if (summary.lost_operators > 0) {
    text += '\n' + counted(summary.lost_operators, "operator") + " could not be followed: figures of the pass are too small.\n";
  }
  return text;
}

std::string summary_json(const ModelSummary& summary) {
  nlohmann::ordered_json total = count_json(summary.total);
  const auto figure = [&](std::uint64_t value) {
    return summary.has_forward ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
  };
  total["macs"] = figure(summary.macs);
  total["input_bytes"] = figure(summary.input_bytes);
  total["activation_bytes"] = figure(summary.activation_bytes);
  total["pass_bytes"] = figure(summary.pass_bytes());
  total["total_bytes"] = figure(summary.total_bytes());
  total["operators"] = figure(summary.operators);
  total["lost_operators"] = figure(summary.lost_operators);
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  for (const ModuleSummary& module : summary.modules) {
    nlohmann::ordered_json one{{"path", module.count.path},
                               {"type", module.count.type},
                               {"depth", module.count.depth},
                               {"repeated", module.count.is_repeated},
                               {"calls", figure(module.calls)},
                               {"input", sizes_json(module.input)},
                               {"output", sizes_json(module.output)},
                               {"kernel", module.kernel},
                               {"share", module.share},
                               {"macs", figure(module.macs)},
                               {"own_macs", figure(module.own_macs)},
                               {"activation_bytes", figure(module.activation_bytes)}};
    one["own"] = count_json(module.count.own);
    one["with_children"] = count_json(module.count.total);
    modules.push_back(std::move(one));
  }
  const nlohmann::ordered_json whole{{"total", std::move(total)}, {"modules", std::move(modules)}};
  return printable_json(whole.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace vigil
