// Tensor frames as columns: what a history keeps of one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

// Numbers with a fraction are kept as the nearest float where that loses digits only (ColumnKind::rounded); counts are exact, and NaN and
// infinities stay what they are. All that read throw DamagedData.

/// Whether no tensor of a frame has a NaN, or more infinities than are meant to be in it: RowSchema::infinite, by row.
bool is_finite(const Frame& frame, const std::vector<std::uint64_t>& infinite) noexcept;

/// `elements[i]` is RowSchema::element_count of row i, of which there are as many as rows.
std::string pack_rows(const std::vector<TensorRow>& rows, const std::vector<std::uint64_t>& elements);
std::vector<TensorRow> read_rows(std::string_view bytes, const std::vector<std::uint64_t>& elements);
/// Row `index` alone, which is in less than half the time.
TensorRow read_row(std::string_view bytes, const std::vector<std::uint64_t>& elements, std::size_t index);

std::string pack_histograms(const std::vector<MagnitudeHistogram>& histograms);
MagnitudeHistogram read_histogram(std::string_view bytes, std::size_t index);
std::vector<MagnitudeHistogram> read_histograms(std::string_view bytes, std::size_t count);

std::string pack_activations(const std::vector<ActivationRow>& activations);
std::vector<ActivationRow> read_activations(std::string_view bytes, std::size_t count);

}  // namespace vigil
