#include "vigil/exporters/text_format.h"

#include <charconv>
#include <cmath>
#include <cstdint>

#include "vigil/exporters/text_writer.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

constexpr std::string_view kTotal = "_total";

template <class... Format>
void append_digits(std::string& out, double value, Format... format) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value, format...).ptr;
  out.append(text, end);
}

void append_number(std::string& out, double value) {
  char text[kNumberBytes];
  out.append(text, write_number(text, value));
}

void append_number(std::string& out, std::uint64_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// In 0.0.4 a quote stands for itself in help; in OpenMetrics it is escaped.
void append_help(std::string& out, std::string_view help, TextFormat format) {
  for (const char c : help) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && format == TextFormat::openmetrics) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

std::string_view type_name(MetricType type, TextFormat format) noexcept {
  if (type == MetricType::untyped && format == TextFormat::openmetrics) return "unknown";
  return kMetricTypeNames[static_cast<std::size_t>(type)];
}

bool ends_in_total(std::string_view name) noexcept {
  return name.size() > kTotal.size() && name.substr(name.size() - kTotal.size()) == kTotal;
}

std::string_view family_name(std::string_view name, MetricType type, TextFormat format) noexcept {
  if (format == TextFormat::openmetrics && type == MetricType::counter && ends_in_total(name)) {
    name.remove_suffix(kTotal.size());
  }
  return name;
}

void append_series(std::string& out, std::string_view name, std::string_view suffix, const Labels& labels) {
  out += name;
  out += suffix;
  if (labels->text().empty()) return;
  out += '{';
  out += labels->text();
  out += '}';
}

void append_bucket(std::string& out, std::string_view name, const Labels& labels) {
  out += name;
  out += "_bucket{";
  if (!labels->text().empty()) {
    out += labels->text();
    out += ',';
  }
  out += "le=\"";
}

void append_histogram(std::string& out, std::string_view name, const HistogramSample& sample, TextFormat format) {
  const HistogramValue& histogram = sample.value;
  for (std::size_t i = 0; i < histogram.upper_bounds.size(); ++i) {
    append_bucket(out, name, sample.labels);
    append_bound(out, histogram.upper_bounds[i], format);
    out += "\"} ";
    append_number(out, histogram.cumulative[i]);
    out += '\n';
  }
  append_bucket(out, name, sample.labels);
  out += "+Inf\"} ";
  append_number(out, histogram.count);
  out += '\n';
  append_series(out, name, "_sum", sample.labels);
  out += ' ';
  append_number(out, histogram.sum);
  out += '\n';
  append_series(out, name, "_count", sample.labels);
  out += ' ';
  append_number(out, histogram.count);
  out += '\n';
}

// Close to the size of the text, so that it is allocated once.
std::size_t estimated_size(const std::vector<Family>& families) {
  std::size_t size = 16;
  for (const Family& family : families) {
    size += family.help.size() + 2 * family.name.size() + 64;
    for (const Sample& sample : family.samples) size += family.name.size() + sample.labels->text().size() + 26;
    for (const HistogramSample& sample : family.histograms) {
      size += (family.name.size() + sample.labels->text().size() + 40) * (sample.value.upper_bounds.size() + 3);
    }
  }
  return size;
}

}  // namespace

char* write_number(char* out, double value) noexcept {
  if (is_nan_bits(value)) return write_text(out, "NaN");
  // Counts are frequent, and so are zeros. A decimal of at most five digits is never longer than its scientific form, and that is what
  // to_chars(double) goes by.
  const auto whole = static_cast<std::int64_t>(value >= 0 && value < 100000 ? value : -1);
  if (static_cast<double>(whole) == value && !std::signbit(value)) return std::to_chars(out, out + kNumberBytes, whole).ptr;
  if (!is_finite_bits(value)) return write_text(out, value > 0 ? "+Inf" : "-Inf");
  return std::to_chars(out, out + kNumberBytes, value).ptr;
}

void append_bound(std::string& out, double bound, TextFormat format) {
  const double magnitude = std::fabs(bound);
  if (magnitude >= 1e6 || (magnitude < 1e-4 && magnitude > 0)) {
    append_digits(out, bound, std::chars_format::scientific);
    return;
  }
  const std::size_t start = out.size();
  append_digits(out, bound, std::chars_format::fixed);
  if (format == TextFormat::openmetrics && out.find('.', start) == std::string::npos) out += ".0";
}

void append_metadata(std::string& out, std::string_view name, MetricType type, std::string_view unit, std::string_view help,
                     TextFormat format) {
  name = family_name(name, type, format);
  const auto line = [&out, name](std::string_view keyword) {
    out += "# ";
    out += keyword;
    out += ' ';
    out += name;
    out += ' ';
  };
  line("HELP");
  append_help(out, help, format);
  out += '\n';
  line("TYPE");
  out += type_name(type, format);
  out += '\n';
  if (format == TextFormat::openmetrics && !unit.empty()) {
    line("UNIT");
    out += unit;
    out += '\n';
  }
}

void append_families(std::string& out, const std::vector<Family>& families, TextFormat format) {
  out.reserve(out.size() + estimated_size(families));
  for (const Family& family : families) {
    if (family.samples.empty() && family.histograms.empty()) continue;
    append_metadata(out, family.name, family.type, family.unit, family.help, format);
    for (const Sample& sample : family.samples) {
      append_series(out, family.name, {}, sample.labels);
      out += ' ';
      append_number(out, sample.value);
      out += '\n';
    }
    for (const HistogramSample& sample : family.histograms) append_histogram(out, family.name, sample, format);
  }
}

std::string render_text(const std::vector<Family>& families, TextFormat format) {
  std::string out;
  append_families(out, families, format);
  out += end_of_text(format);
  return out;
}

}  // namespace vigil
