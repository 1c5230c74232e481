#include "vigil/tools/layer_figures.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/update_ratio.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

// sqrt(sum x²) of one more part; hypot, because squares may leave the range of double.
void add_norm(std::optional<double>& norm, double part) noexcept {
  // hypot(Inf, NaN) is Inf: a NaN is to stay visible.
  const bool has_nan = (norm && is_nan_bits(*norm)) || is_nan_bits(part);
  norm = has_nan ? TensorRow::kNotMeasured : norm ? std::hypot(*norm, part) : part;
}

struct LayerSums {
  std::optional<double> update, updated;  // norms of the changes, and of the parameters whose change was measured
};

// NaN first, then infinities, then large ones.
double sort_key(const std::optional<double>& value) noexcept {
  if (!value) return -1;
  return is_nan_bits(*value) ? std::numeric_limits<double>::infinity() : std::min(*value, std::numeric_limits<double>::max());
}

}  // namespace

std::uint64_t unmeant_infinite(const RowSchema& schema, const TensorRow& row) noexcept {
  return row.moments.inf_count - std::min(row.moments.inf_count, schema.infinite);
}

bool is_larger(const std::optional<double>& left, const std::optional<double>& right) noexcept { return sort_key(left) > sort_key(right); }

std::vector<LayerFigures> layers_of(const Snapshot& snapshot) {
  std::vector<LayerFigures> layers;
  std::vector<LayerSums> sums;
  std::unordered_map<std::string_view, std::size_t> index;
  const std::vector<RowSchema>& schema = snapshot.schema->rows;
  for (std::size_t i = 0; i < schema.size(); ++i) {
    const auto [known, is_new] = index.emplace(schema[i].layer, layers.size());
    if (is_new) {
      layers.emplace_back().layer = schema[i].layer.empty() ? "(root)" : printable(schema[i].layer);
      sums.emplace_back();
    }
    LayerFigures& layer = layers[known->second];
    LayerSums& sum = sums[known->second];
    if (schema[i].kind == TensorKind::parameter) layer.parameters += schema[i].element_count;
    if (i >= snapshot.rows.size() || snapshot.rows[i].state != TensorRow::present) continue;
    const TensorRow& row = snapshot.rows[i];
    layer.nan += row.moments.nan_count;
    layer.infinite += unmeant_infinite(schema[i], row);
    const double norm = finite_norm_of(row.moments).l2_norm;
    if (schema[i].kind == TensorKind::gradient) add_norm(layer.gradient_norm, norm);
    if (schema[i].kind != TensorKind::parameter) continue;
    add_norm(layer.parameter_norm, norm);
    const std::optional<double> ratio = update_ratio(schema[i], row);
    if (!ratio) continue;
    add_norm(sum.update, is_nan_bits(*ratio) ? *ratio : row.update_norm);
    add_norm(sum.updated, norm);
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (sums[i].update) layers[i].update_ratio = *sums[i].update == 0 && *sums[i].updated == 0 ? 0 : *sums[i].update / *sums[i].updated;
  }
  return layers;
}

void sort_layers(std::vector<LayerFigures>& layers, LayerOrder order) {
  std::stable_sort(layers.begin(), layers.end(), [order](const LayerFigures& a, const LayerFigures& b) {
    switch (order) {
      case LayerOrder::gradient_norm: return is_larger(a.gradient_norm, b.gradient_norm);
      case LayerOrder::update_ratio: return is_larger(a.update_ratio, b.update_ratio);
      case LayerOrder::parameter_norm: return is_larger(a.parameter_norm, b.parameter_norm);
      case LayerOrder::nonfinite: return a.nan + a.infinite > b.nan + b.infinite;
      case LayerOrder::name: return a.layer < b.layer;
    }
    return false;
  });
}

}  // namespace vigil::tools
