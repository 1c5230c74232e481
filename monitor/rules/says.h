// Sentences of alerts, put together without allocation.
#pragma once

#include <cstdint>
#include <string_view>

#include "vigil/monitor/rules/alert_book.h"

namespace vigil {

inline void append_part(RingText<384>& text, std::string_view part) noexcept { text.append(part); }
inline void append_part(RingText<384>& text, double number) noexcept { append_number(text, number); }
inline void append_part(RingText<384>& text, std::uint64_t number) noexcept { text.append(number); }

/// What AlertBook::judge takes: appends the parts, texts and numbers, one after the other.
template <class... Parts>
auto says(Parts... parts) noexcept {
  return [parts...](RingText<384>& text) { (append_part(text, parts), ...); };
}

}  // namespace vigil
