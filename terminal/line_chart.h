// A series of numbers as a picture of a few lines.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"

namespace vigil {

/// `values`, the oldest first, drawn with Unicode blocks, `width` columns by `height` lines, the uppermost first. Where there are more
/// values than columns, each column stands for the mean of its finite ones; where there are fewer, they begin at the left.
/// - A column in which a value is NaN or infinite is a red '×' in all lines, whatever the others are.
/// - The range is from the smallest to the largest, but for single spikes, which end in '▲' where they leave it.
/// - Positive values that span more than a factor of 50 are drawn by their logarithms.
std::vector<std::string> line_chart(const std::vector<double>& values, std::size_t width, std::size_t height, bool colored);

}  // namespace vigil
