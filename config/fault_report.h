// How what is wrong with a document is told.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/config_reader.h"
#include "vigil/config/document.h"

namespace vigil::config_reader {

/// Reading ends soon after so many faults: who wrote them will not read more.
inline constexpr std::size_t kMaxFaults = 100;

/// A value as it stands after "got": `'5'`, `the text "5"`, `a list`, `nothing`.
std::string shown(const Node& node);

/// Scalars are what a file has between quotes, or plain.
bool is_scalar(const Node& node);

/// The first `kMaxFaults` of `faults` in the order of `source`, and one more that says so where there are others.
std::vector<ConfigProblem> problems_of(std::vector<Fault> faults, std::string_view source, const std::string& file);

/// @throws ConfigError with the first `kMaxFaults` of `faults`, in the order of `source`, which is what `file` holds
[[noreturn]] void throw_faults(std::vector<Fault> faults, std::string_view source, const std::string& file);

}  // namespace vigil::config_reader
