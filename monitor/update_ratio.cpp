#include "vigil/monitor/update_ratio.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

double ratio_of_norms(double update, double parameter) noexcept { return update == 0 && parameter == 0 ? 0 : update / parameter; }

}  // namespace

std::optional<double> update_ratio(const RowSchema& schema, const TensorRow& row) noexcept {
  if (schema.kind != TensorKind::parameter || !schema.has_update || row.state != TensorRow::present) return std::nullopt;
  if (row.moments.nan_count + row.moments.inf_count > 0) return std::numeric_limits<double>::quiet_NaN();
  if (is_nan_bits(row.update_norm)) return std::nullopt;
  return ratio_of_norms(row.update_norm, l2_norm(row.moments));
}

std::optional<double> norm_of_change(const TensorRow& row, double norm) noexcept {
  if (row.moments.nan_count + row.moments.inf_count > 0) return std::numeric_limits<double>::quiet_NaN();
  return is_nan_bits(norm) ? std::nullopt : std::optional(norm);
}

std::optional<double> update_ratio(const std::vector<RowSchema>& schema, const std::vector<TensorRow>& rows) noexcept {
  bool measured = false;
  double update = 0, parameter = 0;
  for (std::size_t i = 0; i < std::min(rows.size(), schema.size()); ++i) {
    const std::optional<double> ratio = update_ratio(schema[i], rows[i]);
    if (!ratio) continue;
    if (is_nan_bits(*ratio)) return ratio;
    measured = true;
    // hypot, because the square of a norm of float64 elements may leave the range of double.
    update = std::hypot(update, rows[i].update_norm);
    parameter = std::hypot(parameter, l2_norm(rows[i].moments));
  }
  if (!measured) return std::nullopt;
  return ratio_of_norms(update, parameter);
}

std::optional<double> update_ratio(const Snapshot& snapshot) noexcept {
  return snapshot.has_frame ? update_ratio(snapshot.schema->rows, snapshot.rows) : std::nullopt;
}

}  // namespace vigil
