#include "vigil/tools/report_json.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vigil/exporters/json_text.h"

namespace vigil::tools {
namespace {

void append_counts(std::string& out, std::string_view key, const std::vector<std::uint64_t>& counts) {
  append_list(out, key, counts, [](std::string& to, std::uint64_t count) { append(to, count); });
}

}  // namespace

void append_distribution(std::string& out, std::string_view key, const Distribution& distribution) {
  const ElementCounts& counts = distribution.counts;
  out += ",\"" + std::string(key) + "\":{";
  append_member(out, "elements", counts.elements);
  append_member(out, "nan", counts.nan);
  append_member(out, "positive_infinite", counts.positive_infinite);
  append_member(out, "negative_infinite", counts.negative_infinite);
  append_member(out, "zeros", counts.zeros);
  append_member(out, "subnormals", counts.subnormals);
  append_member(out, "negative", counts.negative);
  append_member(out, "mean", distribution.mean);
  append_member(out, "std", distribution.standard_deviation);
  append_member(out, "skewness", distribution.skewness);
  append_member(out, "kurtosis", distribution.kurtosis);
  append_list(out, "quantiles", distribution.quantiles, [](std::string& to, const Quantile& one) {
    to += '{';
    append_member(to, "q", one.q);
    append_member(to, "value", one.value);
    to += '}';
  });
  out += ",\"histogram\":{";
  append_member(out, "lower", distribution.linear.lower);
  append_member(out, "upper", distribution.linear.upper);
  append_counts(out, "counts", distribution.linear.counts);
  out += "},\"exponents\":{";
  append_member(out, "lowest", distribution.exponents.lowest);
  append_counts(out, "negative", distribution.exponents.negative);
  append_counts(out, "positive", distribution.exponents.positive);
  out += "},\"density\":{";
  append_member(out, "bandwidth", distribution.density.bandwidth);
  append_member(out, "lower", distribution.density.lower);
  append_member(out, "upper", distribution.density.upper);
  append_member(out, "error", distribution.density.error);
  append_list(out, "values", distribution.density.values, [](std::string& to, double value) { append(to, value); });
  out += "}}";
}

void append_magnitudes(std::string& out, const MagnitudeHistogram& magnitudes) {
  out += ",\"magnitudes\":{";
  append_member(out, "lowest_exponent", MagnitudeHistogram::kLowestExponent);
  append_member(out, "underflow", magnitudes.underflow);
  append_list(out, "buckets", magnitudes.buckets, [](std::string& to, std::uint64_t count) { append(to, count); });
  append_member(out, "overflow", magnitudes.overflow);
  out += '}';
}

void append_advice(std::string& out, const ReportTensor& tensor) {
  if (!has_precision(tensor)) return;
  const PrecisionAdvice advice = advise(*magnitudes_of(tensor), *moments_of(tensor), tensor.dtype);
  std::size_t format = 0;
  append_list(out, "precision", advice, [&](std::string& to, const FormatAdvice& one) {
    to += '{';
    append_member(to, "format", kNumberFormats[format++].name);
    append_member(to, "verdict", kFormatVerdictNames[static_cast<std::size_t>(one.verdict)]);
    if (one.verdict == FormatVerdict::safe_scaled) append_member(to, "scale", one.scale);
    append_member(to, "overflow", one.loss.overflow);
    if (one.loss.underflow) append_member(to, "underflow", *one.loss.underflow);
    if (one.loss.underflow_error > 0) append_member(to, "underflow_error", one.loss.underflow_error);
    if (one.loss.subnormal) append_member(to, "subnormal", *one.loss.subnormal);
    to += '}';
  });
}

}  // namespace vigil::tools
