// The text formats that Prometheus scrapes: the text exposition format 0.0.4 and OpenMetrics 1.0.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/metric_families.h"

namespace vigil {

enum class TextFormat : unsigned char {
  prometheus,   ///< https://prometheus.io/docs/instrumenting/exposition_formats/
  openmetrics,  ///< https://prometheus.io/docs/specs/om/open_metrics_spec/
};

/// Value of the header Content-Type for a format.
constexpr std::string_view content_type(TextFormat format) noexcept {
  return format == TextFormat::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                           : "text/plain; version=0.0.4; charset=utf-8";
}

/// `families` as one exposition. Numbers are the shortest decimals that read back as the same double; NaN, +Inf and -Inf are
/// written so. A counter family is named with `_total` in 0.0.4 and without in OpenMetrics, which also gets its units and the
/// closing `# EOF`. Families without series are left out.
std::string render_text(const std::vector<Family>& families, TextFormat format);

}  // namespace vigil
