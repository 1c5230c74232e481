#include "vigil/monitor/sparsity.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace vigil {

std::optional<double> sparsity(const std::vector<RowSchema>& schema, const std::vector<TensorRow>& rows) noexcept {
  std::uint64_t zeros = 0, elements = 0;
  for (std::size_t i = 0; i < std::min(rows.size(), schema.size()); ++i) {
    if (schema[i].kind != TensorKind::parameter || rows[i].state != TensorRow::present) continue;
    if (rows[i].moments.zero_count > rows[i].moments.count) continue;  // a file may say anything
    zeros += rows[i].moments.zero_count;
    elements += rows[i].moments.count;
  }
  if (elements == 0) return std::nullopt;
  return static_cast<double>(zeros) / static_cast<double>(elements);
}

std::optional<double> sparsity(const Snapshot& snapshot) noexcept {
  return snapshot.has_frame ? sparsity(snapshot.schema->rows, snapshot.rows) : std::nullopt;
}

}  // namespace vigil
