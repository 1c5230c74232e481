// What subcommands of the command line have in common, as CLI11 has them.
#pragma once

#include <unistd.h>

#include <charconv>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "vigil/config/printable.h"
#include "vigil/terminal/text_style.h"

namespace vigil::tools {

/// A subcommand and what it does once its options are read. Returns the program's exit code, or one of kReaderGone (tail.h).
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

/// An option that takes one of a few words.
template <class Value>
using Choices = std::vector<std::pair<std::string, Value>>;

template <class Value>
void add_choice(CLI::App& command, const std::string& name, Value& value, const Choices<Value>& choices, const std::string& help) {
  std::string words;
  for (const auto& choice : choices) words += (words.empty() ? "" : "|") + choice.first;
  const auto choose = [&value, choices, words, name](const std::string& word) {
    for (const auto& choice : choices) {
      if (choice.first != word) continue;
      value = choice.second;
      return;
    }
    throw CLI::ValidationError(name, "expected " + words + ", got '" + word + "'");
  };
  command.add_option_function<std::string>(name, choose, help)->type_name(words);
}

/// Before CLI11 makes a number of it, so that what is none is told in the same words.
template <class Number>
CLI::Validator whole_number_from(Number least) {
  const auto problem = [least](const std::string& text) {
    Number value{};
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (stop == end && error == std::errc{} && value >= least) return std::string();
    return "expected a whole number from " + std::to_string(least) + " on, got " + printable(text);
  };
  return CLI::Validator("").operation([problem](std::string& text) { return problem(text); });
}

inline void add_color(CLI::App& command, ColorMode& mode) {
  add_choice<ColorMode>(command, "--color", mode,
                        {{"auto", ColorMode::automatic}, {"always", ColorMode::always}, {"never", ColorMode::never}},
                        "auto: on a terminal, unless NO_COLOR is set");
}

inline void add_directories(CLI::App& command, std::vector<std::string>& directories) {
  command
      .add_option("--ring.directory", directories,
                  "Where ring files lie, in place of /run/vigil/rings, $XDG_RUNTIME_DIR/vigil and /dev/shm/vigil-<uid>; may be repeated")
      ->type_name("DIR")
      ->allow_extra_args(false);
}

inline bool is_err_terminal() { return isatty(STDERR_FILENO) == 1; }

}  // namespace vigil::tools
