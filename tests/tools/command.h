// The program `vigil`, or another one, in a process of its own.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace vigil::test {

struct CommandResult {
  int code = -1;  ///< exit code; 128 + signal when one ended it
  std::string out, err;
};

/// Runs a program with these arguments and waits for its end.
CommandResult run_program(const std::string& program, const std::vector<std::string>& arguments);
/// The same of `vigil`.
CommandResult run_vigil(const std::vector<std::string>& arguments);

/// Every line of a text as JSON; one that is none fails the test.
std::vector<nlohmann::json> json_lines(const std::string& text);

}  // namespace vigil::test
