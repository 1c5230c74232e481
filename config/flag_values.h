// What is wrong with the values of a command line's flags, before its parser sees them.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace vigil {

struct FlagFault {
  std::string flag;  ///< as it was written, without its value: "--storage.path"
  std::string text;  ///< "expected a value, got an empty text"
};

/// The first flag that `takes_value` and whose value is empty, or begins with "--": CLI11 takes the next argument for the value of
/// "--name=", and a flag that was forgotten something for a value. Looks at `argv` from its second element up to a "--"; that a value is
/// missing at the end the parser says.
std::optional<FlagFault> find_flag_fault(int argc, const char* const* argv,
                                         const std::function<bool(const std::string& flag)>& takes_value);

/// The same for the options of `app`, a CLI::App, which this folder does not know.
template <class App>
std::optional<FlagFault> find_app_flag_fault(int argc, const char* const* argv, const App& app) {
  return find_flag_fault(argc, argv, [&app](const std::string& flag) {
    const auto* const option = app.get_option_no_throw(flag);
    return option != nullptr && option->get_items_expected_min() > 0;
  });
}

}  // namespace vigil
