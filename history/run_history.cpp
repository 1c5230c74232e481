#include "vigil/history/run_history.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace vigil {

std::string HistoryCursor::text() const {
  std::string text = std::to_string(attempt) + "." + std::to_string(step);
  return revision == kAnyRevision ? text : text + "." + std::to_string(revision);
}

std::optional<HistoryCursor> HistoryCursor::parse(std::string_view text) {
  std::array<std::uint64_t, 3> numbers{0, 0, kAnyRevision};
  std::size_t count = 0;
  for (bool is_more = true; is_more;) {
    if (count == numbers.size()) return {};
    const auto dot = std::min(text.find('.'), text.size());
    const auto result = std::from_chars(text.data(), text.data() + dot, numbers[count++]);
    if (result.ec != std::errc() || result.ptr != text.data() + dot) return {};
    is_more = dot < text.size();
    text.remove_prefix(is_more ? dot + 1 : dot);
  }
  if (count == 1) return HistoryCursor{0, numbers[0]};
  if (numbers[0] > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
  return HistoryCursor{static_cast<std::int64_t>(numbers[0]), numbers[1], numbers[2]};
}

}  // namespace vigil
