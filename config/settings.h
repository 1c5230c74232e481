// The one table of settings: what each key is called, where its value lives in `Config`, and what it may hold. Reading a file, `validate`,
// `to_yaml` and the suggestions for unknown keys all walk this table; a new setting is one row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vigil/config/config.h"

namespace vigil::config_reader {

/// Finds the value of a setting in a Config.
template <class Value>
using Member = std::function<Value&(Config&)>;

/// `true` or `false`.
struct Flag {
  Member<bool> member;
};

/// A whole number. The end of the key says its unit: `_bytes` and `_ms` take a suffix in the file (`64KiB`, `1s`).
struct Integer {
  Member<std::int64_t> member;
  std::int64_t min;
  std::int64_t max;
};

/// A decimal number.
struct Number {
  Member<double> member;
  double min;
  double max;
};

/// One of the named values of an enumeration.
struct Choice {
  struct Name {
    std::string_view name;
    int value;
  };
  std::function<int(const Config&)> get;
  std::function<void(Config&, int)> set;
  std::vector<Name> names;
};

/// What a text may be, besides printable UTF-8 without control characters.
struct TextRule {
  std::string_view noun;  ///< what it is, as errors call it
  std::size_t min_bytes;
  std::size_t max_bytes;
  bool numeric_address = false;  ///< must be an IPv4 or IPv6 address
  /// What else is wrong with a text, as `expected …, got …`; empty: nothing. Null: there is nothing else to it.
  std::string (*problem)(std::string_view text) = nullptr;
  std::string_view plural = {};  ///< of `noun`; empty: with an s
};

struct Text {
  Member<std::string> member;
  TextRule rule;
  /// Key of a `Flag`: while it is true the text must not be empty. Empty: no such condition.
  std::string_view required_if = {};
};

struct TextList {
  Member<std::vector<std::string>> member;
  TextRule element;
  std::size_t max_elements;
};

struct Setting {
  std::string_view key;  ///< dotted path; lives as long as the program
  std::variant<Flag, Integer, Number, Choice, Text, TextList> kind;
};

/// One lambda per kind of setting, for std::visit.
template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

/// `section.name`, or `name` at the top.
std::string path_of(std::string_view section, std::string_view name);

/// Every setting, in the order of config.h; those of one section stand together. Any thread.
const std::vector<Setting>& settings();

/// The setting of that key, or nullptr.
const Setting* find_setting(std::string_view key);

/// The names directly under a section (`""`: the top), in the table's order; empty when there is no such section.
std::vector<std::string> names_in_section(std::string_view section);

/// What a file may say for this setting, as it stands after "expected": `an integer from 1 to 64`.
std::string expectation(const Setting& setting);

/// `1 to 64`, `64KiB to 16GiB`, `10ms to 60s`.
std::string range_text(const Setting& setting, const Integer& integer);

/// A value as a file would say it, with the largest suffix that loses nothing: `16MiB`, `250ms`, `4096`.
std::string integer_text(const Setting& setting, std::int64_t value);

/// Reads what `integer_text` writes, and any other count of known suffixes. Nothing for anything else, be it malformed (signs, leading
/// zeros, separators, fractions, unknown suffixes) or too large for 64 bits.
std::optional<std::int64_t> parse_integer(const Setting& setting, std::string_view text);

bool in_range(const Integer& integer, std::int64_t value);

/// `0.5`, `1e-07`, `1000`: the shortest that reads back to the same.
std::string number_text(double value);
/// Reads any finite decimal number. Nothing for anything else.
std::optional<double> parse_number(std::string_view text);
bool in_range(const Number& number, double value);

/// `expected …, got …` for a text that breaks its rule; empty for one that keeps it.
std::string text_problem(const TextRule& rule, std::string_view value);

/// `expected …, got …` for an empty text that another setting of `config` makes necessary; empty otherwise.
std::string missing_text_problem(const Text& text, const Config& config);

/// `expected …, got …` for a list with too many elements; empty otherwise.
std::string length_problem(const TextList& list, std::size_t elements);

}  // namespace vigil::config_reader
