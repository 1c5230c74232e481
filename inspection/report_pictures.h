// The pictures of a report, as inline SVG.
#pragma once

#include <string>
#include <string_view>

#include "vigil/inspection/tensor_distribution.h"
#include "vigil/monitor/magnitude_histogram.h"

namespace vigil {

/// `text` for HTML, in an element or an attribute with double quotes; made printable first.
std::string escaped_html(std::string_view text);

// `label` is a picture's name for who cannot see it; empty where there is nothing to draw. Heights go by the square roots of the counts.
// Sizes in CSS pixels; what is not finite is not drawn. @throws std::bad_alloc, all of them

/// Whether the density is told at points that are near enough for its bandwidth to be drawn as a line.
bool has_curve(const Distribution& told) noexcept;
/// Bars of the linear histogram, with the density above them.
std::string linear_picture(const Distribution& told, int width, int height, bool has_axis, const std::string& label);
/// Bars by exponent, those of negative elements downwards.
std::string exponent_picture(const ExponentHistogram& histogram, int width, int height, bool has_axis, const std::string& label);
/// Of samples, which have magnitudes only: one upwards, another downwards, each as high as its most frequent one. Either may be null.
std::string magnitude_picture(const MagnitudeHistogram* up, const MagnitudeHistogram* down, int width, int height, bool has_axis,
                              const std::string& label);

}  // namespace vigil
