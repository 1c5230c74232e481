// The pieces that both text formats are made of.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/text_format.h"
#include "vigil/monitor/metric_table.h"

namespace vigil {

/// Room that write_number needs: the longest shortest decimal of a double has 24 characters.
inline constexpr std::size_t kNumberBytes = 32;

/// Copies `text` to `out`, which has the room. Returns where it ended.
inline char* write_text(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

/// Writes the shortest decimal that reads back as `value`, or NaN, +Inf, -Inf; at most kNumberBytes characters. Returns where it ended.
char* write_number(char* out, double value) noexcept;

/// A bound is a label, so its spelling is part of the series' identity: plain decimals as Go prints them, and in OpenMetrics
/// always with a point ("1.0"), as its section on canonical numbers wants.
void append_bound(std::string& out, double bound, TextFormat format);

/// The lines HELP and TYPE of a family, and UNIT where the format has it. `name` and `type` are as in Family.
void append_metadata(std::string& out, std::string_view name, MetricType type, std::string_view unit, std::string_view help,
                     TextFormat format);

/// What render_text writes, without the end of an exposition.
void append_families(std::string& out, const std::vector<Family>& families, TextFormat format);

/// What ends an exposition: nothing in 0.0.4.
constexpr std::string_view end_of_text(TextFormat format) noexcept { return format == TextFormat::openmetrics ? "# EOF\n" : ""; }

}  // namespace vigil
