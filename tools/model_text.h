// What is known of a saved model, in words and tables for people.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "vigil/terminal/text_style.h"
#include "vigil/tools/model_file.h"

namespace vigil::tools {

// Whole lines, printable but for colours; facts are printable.

/// What stands above the table, label and text: "format" "TorchScript, written as version 3", …
std::vector<std::pair<std::string, std::string>> facts_of(const ModelFile& file);

/// A row for each tensor of `order`, indices into its tensors.
std::string model_table(const ModelFile& file, const std::vector<std::size_t>& order, const OutputPlace& place);

/// All that is known of one tensor, with the histogram of its magnitudes.
std::string tensor_text(const ModelFile& file, std::size_t index, const OutputPlace& place);

/// What smaller formats would lose of the floating-point values; nothing where there are none wider than 16 bits.
std::string precision_text(const ModelFile& file, const OutputPlace& place);

}  // namespace vigil::tools
