// Distributions for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/inspection/report_html.h"
#include "vigil/terminal/text_style.h"

namespace vigil {

/// Bars of a histogram as Unicode blocks, at most `width` columns by `height` lines, the uppermost first; their heights go by the square
/// root of the counts, so that tails are seen, and what is not 0 is seen at all. Bins are joined where there are more than columns. Empty
/// for no bins, width or height. As all of these it throws std::bad_alloc alone.
std::vector<std::string> histogram_lines(const std::vector<std::uint64_t>& counts, std::size_t width, std::size_t height);

/// "1 NaN, 2 Inf"; empty where there is none.
std::string nonfinite_text(const Moments& moments);

/// A line for each tensor: its moments, quantiles and histogram between its smallest and largest element. Whole lines, printable but for
/// colours; empty without a tensor. "-": not defined.
std::string distribution_text(const std::vector<const ReportTensor*>& tensors, const OutputPlace& place);

/// One distribution in detail: counts, moments, quantiles, both histograms.
std::string distribution_text(std::string_view name, const Distribution& told, const OutputPlace& place);

/// Of a run's samples: a line for each tensor with its moments, quantiles and histogram of magnitudes.
std::string samples_text(const std::vector<const ReportTensor*>& tensors, const OutputPlace& place);

/// A line for each tensor with what is to be thought of each number format: "safe", "x 2^10" (safe after a multiplication by that), or the
/// share that is lost. Empty where none has_precision().
std::string advice_text(const std::vector<const ReportTensor*>& tensors, const OutputPlace& place);

/// "parameter" of "parameters"; other groups as they are.
std::string member_of(const std::string& group);

}  // namespace vigil
