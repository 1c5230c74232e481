#include "vigil/exporters/content_negotiation.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vigil {
namespace {

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return out;
}

// Cuts off and returns what stands before the first `separator` outside quotes.
std::string_view take_until(std::string_view& rest, char separator) {
  bool quoted = false;
  std::size_t i = 0;
  for (; i < rest.size() && (quoted || rest[i] != separator); ++i) {
    if (rest[i] == '"') quoted = !quoted;
  }
  const std::string_view part = rest.substr(0, i);
  rest.remove_prefix(std::min(rest.size(), i + 1));
  return part;
}

// A weight from 0 to 1; one that cannot be read counts as 0: what is not understood is not preferred.
double parse_quality(std::string_view text) {
  double quality = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), quality, std::chars_format::fixed);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && quality >= 0 && quality <= 1 ? quality : 0;
}

// One element of Accept or Accept-Encoding.
struct Choice {
  std::string name;     // lower case
  std::string version;  // parameter `version`
  double quality = 1;
};

std::vector<Choice> parse_choices(std::string_view header) {
  std::vector<Choice> choices;
  while (!header.empty()) {
    std::string_view element = take_until(header, ',');
    Choice choice;
    choice.name = lower(trim(take_until(element, ';')));
    while (!element.empty()) {
      std::string_view value = trim(take_until(element, ';'));
      const std::string name = lower(trim(take_until(value, '=')));
      value = trim(value);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      if (name == "q") choice.quality = parse_quality(value);
      if (name == "version") choice.version = std::string(value);
    }
    if (!choice.name.empty()) choices.push_back(std::move(choice));
  }
  return choices;
}

// The quality of `type/subtype` in `version`, by the most specific range that covers it; nothing when none does.
std::optional<double> quality_of(const std::vector<Choice>& choices, std::string_view type, std::string_view subtype,
                                 std::string_view version) {
  const std::string exact = std::string(type) + "/" + std::string(subtype), any_subtype = std::string(type) + "/*";
  int best = 0;
  std::optional<double> quality;
  for (const Choice& choice : choices) {
    int specificity = 0;
    if (choice.name == exact && choice.version == version) {
      specificity = 4;
    } else if (choice.name == exact && choice.version.empty()) {
      specificity = 3;
    } else if (choice.name == any_subtype) {
      specificity = 2;
    } else if (choice.name == "*/*") {
      specificity = 1;
    }
    if (specificity > best) {
      best = specificity;
      quality = choice.quality;
    }
  }
  return quality;
}

}  // namespace

TextFormat choose_text_format(std::string_view accept) {
  const std::vector<Choice> choices = parse_choices(accept);
  const double text = quality_of(choices, "text", "plain", "0.0.4").value_or(0);
  const double openmetrics = quality_of(choices, "application", "openmetrics-text", "1.0.0").value_or(0);
  return openmetrics > text ? TextFormat::openmetrics : TextFormat::prometheus;
}

bool prefers_gzip(std::string_view accept_encoding) {
  std::optional<double> gzip, identity, any;
  for (const Choice& choice : parse_choices(accept_encoding)) {
    if (choice.name == "gzip" || choice.name == "x-gzip") gzip = choice.quality;
    if (choice.name == "identity") identity = choice.quality;
    if (choice.name == "*") any = choice.quality;
  }
  const double gzip_quality = gzip.value_or(any.value_or(0));
  return gzip_quality > 0 && gzip_quality >= identity.value_or(0);
}

}  // namespace vigil
