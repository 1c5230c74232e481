// How much of a model is exactly zero.
#pragma once

#include <optional>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Share (0 to 1) of the elements of all parameters of a frame that are +0 or -0, each element counting the same:
/// `vigil_model_sparsity_ratio`. NaN and infinities are elements that are not zero. Parameters that were not sampled, or could not be read,
/// are left out; empty when none is left, or none has an element. `rows` are those of `schema`, in which a shared tensor stands once.
std::optional<double> sparsity(const std::vector<RowSchema>& schema, const std::vector<TensorRow>& rows) noexcept;
/// That of the latest frame. `snapshot.schema` is not null.
std::optional<double> sparsity(const Snapshot& snapshot) noexcept;

}  // namespace vigil
