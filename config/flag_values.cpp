#include "vigil/config/flag_values.h"

#include "vigil/config/prefix.h"
#include "vigil/config/printable.h"

namespace vigil {
namespace {

std::optional<FlagFault> fault_of(const std::string& flag, const std::string& value) {
  if (value.empty()) return FlagFault{flag, "expected a value, got an empty text"};
  if (!starts_with(value, "--")) return std::nullopt;
  const std::string shown = printable(value);
  return FlagFault{flag, "expected a value, got '" + shown + "' (a file of that name is written ./" + shown + ")"};
}

}  // namespace

std::optional<FlagFault> find_flag_fault(int argc, const char* const* argv,
                                         const std::function<bool(const std::string& flag)>& takes_value) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") return std::nullopt;
    if (word.size() < 2 || word.front() != '-') continue;
    const std::size_t equals = starts_with(word, "--") ? word.find('=') : std::string::npos;
    const std::string flag = word.substr(0, equals);
    if (!takes_value(flag)) continue;
    if (equals == std::string::npos && ++i == argc) return std::nullopt;
    if (auto fault = fault_of(flag, equals == std::string::npos ? argv[i] : word.substr(equals + 1))) return fault;
  }
  return std::nullopt;
}

}  // namespace vigil
