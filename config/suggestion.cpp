#include "vigil/config/suggestion.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "vigil/config/settings.h"
#include "vigil/config/text.h"

namespace vigil::config_reader {
namespace {

constexpr std::size_t kFar = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kLongestKey = 64;  // bytes: a longer one is no typing error
constexpr std::size_t kMostSuggestions = 3;

// Capitals and dashes are the habit of other tools, not typing errors.
std::string normalized(std::string_view key) {
  std::string text(key);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return text;
}

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() > word.size() && text.substr(0, word.size()) == word && text[word.size()] == '_';
}

// `kFar` when the two are different words. A name without its unit (`interval` for `interval_ms`) is near.
std::size_t distance(std::string_view written, std::string_view known) {
  if (starts_with_word(known, written)) return 1;
  const std::size_t edits = edit_distance(written, known);
  const std::size_t allowed = std::clamp<std::size_t>(written.size() / 3, 1, 3);
  return edits <= allowed && edits < known.size() ? edits : kFar;
}

// The paths of all settings and of all sections above them.
std::vector<std::string> known_paths() {
  std::vector<std::string> paths;
  const auto add = [&](std::string_view path) {
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.emplace_back(path);
  };
  for (const Setting& setting : settings()) {
    for (std::size_t dot = setting.key.find('.'); dot != std::string_view::npos; dot = setting.key.find('.', dot + 1)) {
      add(setting.key.substr(0, dot));
    }
    add(setting.key);
  }
  return paths;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);  // the row of the character before the last
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

std::string suggestion(std::string_view section, std::string_view key) {
  if (key.empty() || key.size() > kLongestKey) return "";
  const std::vector<std::string> paths = known_paths();
  const std::string path_if_dots_were_read = section.empty() ? std::string(key) : std::string(section) + "." + std::string(key);
  if (std::find(paths.begin(), paths.end(), path_if_dots_were_read) != paths.end()) {
    const std::size_t dot = path_if_dots_were_read.rfind('.');
    return " (dots are not read: write '" + path_if_dots_were_read.substr(dot + 1) + "' under '" + path_if_dots_were_read.substr(0, dot) +
           "')";
  }
  const std::string written = normalized(key);
  std::size_t best = kFar;
  std::vector<std::string> nearest;
  for (const std::string& path : paths) {
    const std::size_t dot = path.rfind('.');
    const std::string_view parent = dot == std::string::npos ? "" : std::string_view(path).substr(0, dot);
    const std::string_view name = dot == std::string::npos ? path : std::string_view(path).substr(dot + 1);
    const bool same_section = parent == section;
    const std::size_t errors = distance(written, name);
    if (errors == kFar) continue;
    // One error here is likelier than another section.
    const std::size_t cost = 2 * errors + (same_section ? 0 : 3);
    if (cost > best) continue;
    if (cost < best) nearest.clear();
    best = cost;
    nearest.push_back("'" + (same_section ? std::string(name) : path) + "'");
  }
  if (nearest.empty() || nearest.size() > kMostSuggestions) return "";
  return " (did you mean " + joined(nearest, " or ") + "?)";
}

}  // namespace vigil::config_reader
