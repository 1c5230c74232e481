#include "vigil/config/threshold.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "vigil/config/config.h"
#include "vigil/config/settings.h"
#include "vigil/config/text.h"

namespace vigil {
namespace {

using config_reader::joined;
using config_reader::quoted_text;

bool is_name_character(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }
bool is_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_name_character) && (text[0] < '0' || text[0] > '9');
}

// What is wrong, thrown from wherever it is found.
struct Problem {
  std::string text;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Threshold parse() {
    Threshold threshold;
    threshold.metric = name("a metric, as in `vigil_loss > 10`");
    if (take("{")) labels(threshold);
    threshold.comparison = comparison();
    threshold.limit = number();
    bool has_for = false, has_keep = false, has_severity = false, has_name = false, has_actions = false;
    while (!rest().empty()) {
      const std::string_view word = this->word();
      const auto severity = std::find(kSeverityNames.begin(), kSeverityNames.end(), word);
      if (word == "for" && !has_for) {
        duration(threshold);
        has_for = true;
      } else if (word == "keep" && !has_keep) {
        threshold.keep_firing_steps = steps("`N steps` after `keep`, at most 1000000000");
        has_keep = true;
      } else if (severity != kSeverityNames.end() && !has_severity) {
        threshold.severity = static_cast<Severity>(severity - kSeverityNames.begin());
        has_severity = true;
      } else if (word == "as" && !has_name) {
        threshold.name = name("a name of letters, digits and _ after `as`");
        has_name = true;
      } else if (word == "do" && !has_actions) {
        actions(threshold);
        has_actions = true;
      } else {
        fail("`for N steps`, `keep N steps`, a severity (" + joined({kSeverityNames.begin(), kSeverityNames.end()}, " or ") +
                 "), `as NAME` or `do ACTION …`, each once",
             word);
      }
    }
    constexpr std::string_view kPrefix = "vigil_";
    if (threshold.name.empty()) {
      const bool has_prefix = threshold.metric.compare(0, kPrefix.size(), kPrefix) == 0;
      threshold.name = "threshold_" + threshold.metric.substr(has_prefix ? kPrefix.size() : 0);
    }
    return threshold;
  }

 private:
  [[noreturn]] static void fail(const std::string& expected, std::string_view got) {
    throw Problem{"expected " + expected + ", got " + (got.empty() ? "the end" : quoted_text(got, '\''))};
  }

  std::string_view rest() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
    return rest_;
  }
  bool take(std::string_view token) {
    if (rest().substr(0, token.size()) != token) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  std::string_view word() {
    const std::string_view text = rest().substr(0, rest().find_first_of(" \t,"));
    rest_.remove_prefix(text.size());
    return text;
  }
  std::string name(const std::string& expected) {
    const std::string_view text = rest();
    const auto end = std::find_if_not(text.begin(), text.end(), is_name_character);
    const std::string_view found = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    if (!is_name(found)) fail(expected, text);
    rest_.remove_prefix(found.size());
    return std::string(found);
  }
  std::string quoted() {
    if (!take("\"")) fail("a label's value in double quotes", rest());
    std::string value;
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      value += rest_.front();
      rest_.remove_prefix(1);
    }
    if (rest_.empty()) fail("a double quote at the end of a label's value", "");
    rest_.remove_prefix(1);
    return value;
  }
  void labels(Threshold& threshold) {
    do {
      const std::string label = name("a label, as in {parameter=\"fc.weight\"}");
      if (!take("=")) fail("`=` after a label", rest());
      threshold.labels.emplace_back(label, quoted());
    } while (take(","));
    if (!take("}")) fail("`}` after the labels", rest());
  }
  std::string comparison() {
    for (const char* token : {">=", "<=", "==", "!=", ">", "<"}) {
      if (take(token)) return token;
    }
    fail("one of > >= < <= == !=", rest());
  }
  double number() {
    const std::string_view text = word();
    const auto value = config_reader::parse_number(text);
    if (!value) fail("a number", text);
    return *value;
  }
  std::int64_t whole(std::string_view text, std::string_view& unit, const std::string& expected) {
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || count < 0 || count > 1'000'000'000) fail(expected, text);
    unit = text.substr(static_cast<std::size_t>(end - text.data()));
    return count;
  }
  void duration(Threshold& threshold) {
    const std::string expected = "`N steps`, or a time in ms, s or m after `for`";
    std::string_view unit;
    const std::string_view text = word();
    const std::int64_t count = whole(text, unit, expected);
    if (unit.empty()) {
      const std::string_view steps = word();
      if (steps != "steps" && steps != "step") fail(expected, text);
      threshold.for_steps = count;
    } else if (unit == "ms" || unit == "s" || unit == "m") {
      constexpr std::int64_t kMostMs = 86'400'000;
      const std::int64_t unit_ms = unit == "ms" ? 1 : unit == "s" ? 1000 : 60000;
      if (count > kMostMs / unit_ms) fail("a time of at most 86400s after `for`", text);
      threshold.for_ms = count * unit_ms;
    } else {
      fail(expected, text);
    }
  }
  std::int64_t steps(const std::string& expected) {
    std::string_view unit;
    const std::string_view text = word();
    const std::int64_t count = whole(text, unit, expected);
    const std::string_view steps = word();
    if (!unit.empty() || (steps != "steps" && steps != "step")) fail(expected, text);
    return count;
  }
  void actions(Threshold& threshold) {
    const auto is_action = [](std::string_view text) {
      return std::find(kAlertActionNames.begin(), kAlertActionNames.end(), text) != kAlertActionNames.end();
    };
    for (;;) {
      take(",");
      const std::string_view before = rest(), text = word();
      if (!is_action(text)) {
        rest_ = before;
        if (threshold.actions.empty()) fail(joined({kAlertActionNames.begin(), kAlertActionNames.end()}, " or "), text);
        return;
      }
      threshold.actions.emplace_back(text);
    }
  }

  std::string_view rest_;
};

}  // namespace

Threshold parse_threshold(std::string_view text) {
  try {
    return Parser(text).parse();
  } catch (const Problem& problem) {
    Threshold threshold;
    threshold.problem = problem.text;
    return threshold;
  }
}

}  // namespace vigil
