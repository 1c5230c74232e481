// How far a step moved the parameters, relative to what they are.
#pragma once

#include <optional>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// TensorRow::update_norm over the Euclidean norm of the parameter that `row` describes; 0 when both are 0, +Inf when only the latter is.
/// NaN when an element is NaN or infinite, measured or not: the norm of the finite rest would hide it. Empty when the tensor was not
/// there, its update is not measured at all, or it was not measured in this frame.
std::optional<double> update_ratio(const RowSchema& schema, const TensorRow& row) noexcept;

/// `norm`, one of the row's norms of what changed in it: NaN when an element of the tensor is not finite, empty where it was not measured.
std::optional<double> norm_of_change(const TensorRow& row, double norm) noexcept;

/// The ratio of all parameters of a frame whose update was measured, as one vector: `vigil_update_ratio`. NaN when one of them gives NaN,
/// empty when there is none. `rows` are those of `schema`.
std::optional<double> update_ratio(const std::vector<RowSchema>& schema, const std::vector<TensorRow>& rows) noexcept;
/// That of the latest frame. `snapshot.schema` is not null.
std::optional<double> update_ratio(const Snapshot& snapshot) noexcept;

}  // namespace vigil
