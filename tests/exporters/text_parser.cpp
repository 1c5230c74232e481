#include "exporters/text_parser.h"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

namespace vigil::test {
namespace {

using LabelMap = std::map<std::string, std::string>;

class Parser {
 public:
  Parser(std::string_view text, bool openmetrics) : text_(text), openmetrics_(openmetrics) {}

  ParsedText parse() {
    while (!text_.empty()) {
      ++line_;
      const auto end = text_.find('\n');
      if (end == std::string_view::npos) fail("the last line has no newline");
      if (closed_) fail("a line after # EOF");
      rest_ = text_.substr(0, end);
      text_.remove_prefix(end + 1);
      if (rest_.empty()) fail("an empty line");
      rest_[0] == '#' ? parse_metadata() : parse_sample();
    }
    if (openmetrics_ && !closed_) fail("no # EOF");
    check_histograms();
    return std::move(parsed_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw std::runtime_error("line " + std::to_string(line_) + ": " + what); }

  std::string take_word(char until) {
    const auto end = rest_.find(until);
    const std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return word;
  }

  std::string take_name(bool colons) {
    std::size_t end = 0;
    while (end < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[end])) || rest_[end] == '_' || (colons && rest_[end] == ':'))) {
      ++end;
    }
    const std::string name(rest_.substr(0, end));
    if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) fail("a name is missing at '" + std::string(rest_) + "'");
    rest_.remove_prefix(end);
    return name;
  }

  void expect(char c) {
    if (rest_.empty() || rest_[0] != c) fail(std::string("expected '") + c + "' at '" + std::string(rest_) + "'");
    rest_.remove_prefix(1);
  }

  std::string unescape_help(std::string_view help) {
    std::string out;
    for (std::size_t i = 0; i < help.size(); ++i) {
      if (openmetrics_ && help[i] == '"') fail("a bare quote in HELP");
      if (help[i] != '\\') {
        out += help[i];
        continue;
      }
      if (++i == help.size()) fail("a lone backslash in HELP");
      if (help[i] == 'n') {
        out += '\n';
      } else if (help[i] == '\\' || (openmetrics_ && help[i] == '"')) {
        out += help[i];
      } else {
        fail("an unknown escape in HELP");
      }
    }
    return out;
  }

  void parse_metadata() {
    expect('#');
    expect(' ');
    if (openmetrics_ && rest_ == "EOF") {
      closed_ = true;
      return;
    }
    const std::string keyword = take_word(' ');
    if (keyword != "HELP" && keyword != "TYPE" && !(openmetrics_ && keyword == "UNIT")) fail("unknown keyword " + keyword);
    const std::string name = take_word(' ');
    if (name != current_) {
      if (parsed_.families.count(name) > 0) fail("the family " + name + " is interleaved or twice");
      current_ = name;
      parsed_.family_order.push_back(name);
    }
    ParsedFamily& family = parsed_.families[name];
    if (!family.series.empty()) fail("metadata after samples");
    if (!seen_metadata_.insert(keyword + " " + name).second) fail("a second " + keyword + " of " + name);
    if (keyword == "HELP") family.help = unescape_help(rest_);
    if (keyword == "TYPE") family.type = std::string(rest_);
    if (keyword == "UNIT") {
      family.unit = std::string(rest_);
      const std::string ending = "_" + family.unit;
      if (name.size() <= ending.size() || name.compare(name.size() - ending.size(), ending.size(), ending) != 0) {
        fail(name + " does not end in its unit " + family.unit);
      }
    }
  }

  std::string parse_label_value() {
    expect('"');
    std::string value;
    while (!rest_.empty() && rest_[0] != '"') {
      char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '\\') {
        if (rest_.empty()) fail("a lone backslash");
        c = rest_[0];
        rest_.remove_prefix(1);
        if (c == 'n') {
          c = '\n';
        } else if (c != '\\' && c != '"') {
          fail("an unknown escape in a label");
        }
      }
      value += c;
    }
    expect('"');
    return value;
  }

  LabelMap parse_labels() {
    LabelMap labels;
    expect('{');
    while (true) {
      const std::string name = take_name(false);
      expect('=');
      if (!labels.emplace(name, parse_label_value()).second) fail("the label " + name + " is there twice");
      if (!rest_.empty() && rest_[0] == '}') break;
      expect(',');
    }
    expect('}');
    return labels;
  }

  double parse_number(const std::string& text) {
    if (text == "+Inf") return HUGE_VAL;
    if (text == "-Inf") return -HUGE_VAL;
    if (text == "NaN" || (!openmetrics_ && text == "Nan")) return std::nan("");
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || std::isalpha(static_cast<unsigned char>(text.front()))) fail("'" + text + "' is no number");
    return value;
  }

  // The family that a sample of this name may belong to, which must be the one whose metadata came last.
  void check_name(const std::string& name, const LabelMap& labels) {
    if (parsed_.families.count(current_) == 0) fail("a sample without metadata: " + name);
    const std::string& type = parsed_.families[current_].type;
    std::set<std::string> names{current_};
    if (type == "histogram") {
      names = {current_ + "_bucket", current_ + "_sum", current_ + "_count"};
      if (name == current_ + "_bucket" && labels.count("le") == 0) fail("a bucket without le");
    }
    if (type == "counter" && openmetrics_) names = {current_ + "_total"};
    if (names.count(name) == 0) fail("the sample " + name + " stands under the " + type + " " + current_);
  }

  void parse_sample() {
    const std::string name = take_name(true);
    LabelMap labels;
    if (!rest_.empty() && rest_[0] == '{') labels = parse_labels();
    expect(' ');
    const double value = parse_number(std::string(rest_));
    check_name(name, labels);
    ParsedFamily& family = parsed_.families[current_];
    if (family.type == "counter" && !(value >= 0)) fail("a counter that is negative or NaN");
    if (name == current_ + "_bucket" && family.type == "histogram") {
      const std::string le = labels["le"];
      if (openmetrics_ && le.find_first_of(".eI") == std::string::npos) fail("the bound '" + le + "' has no point");
      LabelMap others = labels;
      others.erase("le");
      buckets_[series_key(current_, others)].emplace_back(parse_number(le), value);
    }
    const std::string key = series_key(name, labels);
    if (!parsed_.values.emplace(key, value).second) fail("the series " + key + " is there twice");
    family.series.push_back(key);
  }

  void check_histograms() {
    for (const auto& [key, buckets] : buckets_) {
      for (std::size_t i = 1; i < buckets.size(); ++i) {
        if (!(buckets[i].first > buckets[i - 1].first) || buckets[i].second < buckets[i - 1].second) fail("buckets of " + key + " fall");
      }
      const auto brace = key.find('{');
      const double count = parsed_.values.at(key.substr(0, brace) + "_count" + (brace == std::string::npos ? "" : key.substr(brace)));
      if (!std::isinf(buckets.back().first) || buckets.back().second != count) fail("the +Inf bucket of " + key + " is not its count");
    }
  }

  std::string_view text_, rest_;
  bool openmetrics_;
  bool closed_ = false;
  int line_ = 0;
  std::string current_;
  std::set<std::string> seen_metadata_;
  std::map<std::string, std::vector<std::pair<double, double>>> buckets_;
  ParsedText parsed_;
};

}  // namespace

std::string series_key(const std::string& name, LabelMap labels) {
  std::string key = name;
  // One spelling of a bound for both formats.
  if (const auto le = labels.find("le"); le != labels.end() && le->second != "+Inf") {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", std::strtod(le->second.c_str(), nullptr));
    le->second = text;
  }
  for (const auto& [label, value] : labels) {
    key += key.size() == name.size() ? '{' : ',';
    key += label;
    key += "=\"";
    key += value;
    key += '"';
  }
  return labels.empty() ? key : key + "}";
}

ParsedText parse_prometheus_text(std::string_view text) { return Parser(text, false).parse(); }
ParsedText parse_openmetrics_text(std::string_view text) { return Parser(text, true).parse(); }

}  // namespace vigil::test
