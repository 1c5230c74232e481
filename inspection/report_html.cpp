#include "vigil/inspection/report_html.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <tuple>

#include "vigil/inspection/report_cells.h"
#include "vigil/inspection/report_pictures.h"
#include "vigil/inspection/report_style.h"
#include "vigil/inspection/report_tables.h"
#include "vigil/monitor/dtype.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr int kWholeWidth = 560, kWholeHeight = 180;
constexpr std::size_t kTitleBytes = 2048;

std::string figure(const std::string& picture, const std::string& caption) {
  return picture.empty() ? "" : "<figure>" + picture + "<figcaption>" + caption + "</figcaption></figure>";
}

std::string defined_text(double value) { return is_nan_bits(value) ? "not defined" : escaped_html(short_number(value)); }

std::string quantile_table(const std::vector<Quantile>& quantiles) {
  std::vector<ReportColumn> columns{{"quantile", true}};
  std::string row = "<tr><th scope=\"row\">value</th>";
  for (const Quantile& one : quantiles) {
    columns.push_back({escaped_html(short_number(one.q)), false});
    row += number_cell(one.value);
  }
  return table_begin("Quantiles", columns) + row + "</tr>" + kTableEnd;
}

std::string whole_html(const Distribution& whole, const std::string& what) {
  const ElementCounts& counts = whole.counts;
  std::string html = "<section id=\"whole\"><h2>" + what + " together</h2>\n<p>" + grouped(counts.elements) + " elements: mean " +
                     escaped_html(short_number(whole.mean)) + ", standard deviation " +
                     escaped_html(short_number(whole.standard_deviation)) + ", skewness " + defined_text(whole.skewness) + ", kurtosis " +
                     defined_text(whole.kurtosis) + " (3 for a normal distribution). " + grouped(counts.zeros) + " are zero, " +
                     grouped(counts.subnormals) + " subnormal, " + grouped(counts.nan) + " NaN, " +
                     grouped(counts.positive_infinite + counts.negative_infinite) + " infinite.</p>\n<div class=\"whole\">";
  html += figure(linear_picture(whole, kWholeWidth, kWholeHeight, true, "Histogram by value: " + what),
                 "By value, in " + std::to_string(whole.linear.counts.size()) +
                     " bins of equal width. Heights are square roots of the counts, so that the tails are seen." +
                     (!has_curve(whole) ? ""
                                        : " The line is a kernel density estimate, bandwidth " +
                                              escaped_html(short_number(whole.density.bandwidth)) + "."));
  html += figure(exponent_picture(whole.exponents, kWholeWidth, kWholeHeight, true, "Histogram by exponent: " + what),
                 "By binary exponent: positive elements upwards, negative ones downwards; also by square roots.");
  return html + "</div>\n<h3>Quantiles</h3>\n" + quantile_table(whole.quantiles) + "</section>\n";
}

// Of a run, whose elements are gone.
std::string together_html(const std::vector<ReportTensor>& together) {
  const MagnitudeHistogram *up = nullptr, *down = nullptr;
  std::string rows;
  for (const ReportTensor& one : together) {
    const Moments* const moments = moments_of(one);
    if (moments == nullptr) continue;
    const MagnitudeHistogram* const magnitudes = magnitudes_of(one);
    if (magnitudes != nullptr && one.group == kParameterGroup) up = magnitudes;
    if (magnitudes != nullptr && one.group == kGradientGroup) down = magnitudes;
    const bool is_finite = finite_count(*moments) > 0;
    const auto cell = [&](double value) { return is_finite ? number_cell(value) : cell_html("–"); };
    rows += "<tr><th scope=\"row\">" + name_html(one.name) + "</th>" + cell_html(grouped(moments->count)) + cell(moments->mean) +
            cell(standard_deviation(*moments)) + cell(moments->min) + cell(moments->max);
    for (const double q : {0.01, 0.5, 0.99})
      rows += magnitudes == nullptr ? cell_html("–") : number_cell(magnitude_quantile(*magnitudes, *moments, q));
    rows += cell_html(grouped(moments->zero_count)) + cell_html(grouped(moments->nan_count), moments->nan_count > 0 ? "bad" : nullptr) +
            cell_html(grouped(moments->inf_count), moments->inf_count > one.meant_infinite ? "bad" : nullptr) + "</tr>\n";
  }
  if (rows.empty()) return "";
  std::string html = "<section id=\"whole\"><h2>All together</h2>\n";
  html += "<div class=\"lone\">" +
          figure(magnitude_picture(up, down, kWholeWidth, kWholeHeight, true, "Magnitudes of all tensors together by powers of two"),
                 std::string("Magnitudes by powers of two, heights by square roots of the counts: ") +
                     (up == nullptr     ? "gradients."
                      : down == nullptr ? "parameters."
                                        : "parameters upwards, gradients downwards, each as high as its most frequent one.")) +
          "</div>\n";
  return html +
         table_begin("All together", {{"what", true},
                                      {"elements"},
                                      {"mean"},
                                      {"std"},
                                      {"min"},
                                      {"max"},
                                      {"|x| 1 %"},
                                      {"|x| 50 %"},
                                      {"|x| 99 %"},
                                      {"zeros"},
                                      {"NaN"},
                                      {"Inf"}}) +
         rows + kTableEnd +
         "<p class=\"soft\">Quantiles of magnitudes are interpolated, within a factor of 2 between 2^-28 and 2^4; "
         "beyond they are upper bounds.</p></section>\n";
}

std::string findings_html(const std::vector<ReportFinding>& findings, std::size_t most) {
  std::string html = "<section id=\"findings\"><h2>Findings</h2>\n";
  if (findings.empty())
    return html +
           "<p class=\"fine\">Nothing found: no NaN, no infinities, no tensor of zeros or of one value where it should not "
           "be.</p></section>\n";
  html += "<ul class=\"findings\">";
  std::size_t shown = 0;
  for (const bool is_fault : {true, false}) {
    for (const ReportFinding& one : findings) {
      if (one.is_fault != is_fault || shown == most) continue;
      ++shown;
      html += std::string("<li class=\"") + (is_fault ? "fault\"><b>Fault</b> " : "note\"><b>Note</b> ") + name_html(one.tensor) + ": " +
              escaped_html(bounded(one.text, kTextBytes)) + "</li>";
    }
  }
  html += "</ul>";
  if (shown < findings.size()) html += "<p class=\"soft\">" + grouped(findings.size() - shown) + " more are not shown.</p>";
  return html + "</section>\n";
}

// The `most` largest, in their order; a parameter and its gradient both or neither.
std::vector<const ReportTensor*> largest_tensors(const std::vector<ReportTensor>& tensors, std::size_t most) {
  std::vector<const ReportTensor*> largest;
  largest.reserve(tensors.size());
  for (const ReportTensor& tensor : tensors) largest.push_back(&tensor);
  if (most >= largest.size()) return largest;
  std::map<std::string_view, const ReportTensor*> parameters;
  for (const ReportTensor& tensor : tensors) {
    if (tensor.group == kParameterGroup) parameters.emplace(tensor.name, &tensor);
  }
  const auto first_of = [&](const ReportTensor* tensor) {  // of its pair
    const auto partner = tensor->group == kGradientGroup ? parameters.find(tensor->name) : parameters.end();
    return partner == parameters.end() ? tensor : partner->second;
  };
  using Ranked = std::tuple<std::uint64_t, const ReportTensor*, bool, const ReportTensor*>;
  std::vector<Ranked> ranked;
  ranked.reserve(largest.size());
  for (const ReportTensor* const tensor : largest) {
    const ReportTensor* const first = first_of(tensor);
    ranked.emplace_back(~first->elements, first, tensor != first, tensor);
  }
  std::sort(ranked.begin(), ranked.end());
  if (most > 0 && std::get<1>(ranked[most]) == std::get<1>(ranked[most - 1])) --most;
  largest.clear();
  for (std::size_t i = 0; i < most; ++i) largest.push_back(std::get<3>(ranked[i]));
  std::sort(largest.begin(), largest.end());
  return largest;
}

}  // namespace

const Moments* moments_of(const ReportTensor& tensor) noexcept {
  return tensor.distribution ? &tensor.distribution->moments : tensor.moments ? &*tensor.moments : nullptr;
}

const MagnitudeHistogram* magnitudes_of(const ReportTensor& tensor) noexcept {
  return tensor.distribution ? &tensor.distribution->magnitudes : tensor.magnitudes ? &*tensor.magnitudes : nullptr;
}

bool has_precision(const ReportTensor& tensor) noexcept {
  const Moments* const moments = moments_of(tensor);
  return (tensor.dtype == "bfloat16" || tensor.dtype == "float16" || tensor.dtype == "float32" || tensor.dtype == "float64") &&
         magnitudes_of(tensor) != nullptr && moments != nullptr && finite_count(*moments) > 0;
}

std::string flatness_of(const ReportTensor& tensor) {
  const Moments* const moments = moments_of(tensor);
  if (moments == nullptr) return "";
  if (moments->count == 0) return "no elements";
  const std::uint64_t finite = finite_count(*moments);
  if (finite == 0) return "no finite element";
  if (moments->zero_count == finite && finite > 1) return "all zero";
  if (finite == 1) return moments->count == 1 ? "one element" : "one finite element";
  return moments->min == moments->max ? "constant" : "";
}

std::string whole_name(const ModelReport& report) {
  const bool has_parameters =
      std::any_of(report.tensors.begin(), report.tensors.end(), [](const ReportTensor& tensor) { return tensor.group == kParameterGroup; });
  return has_parameters ? "All parameters" : "All floating-point tensors";
}

std::string report_html(const ModelReport& report, const ReportLimits& limits) {
  const std::string title = escaped_html(bounded(report.title, kTitleBytes));
  const std::vector<const ReportTensor*> rows = largest_tensors(report.tensors, limits.rows);
  const std::vector<const ReportTensor*> pictured = largest_tensors(report.tensors, std::min(limits.pictures, limits.rows));
  const std::vector<ReportGroup> groups = groups_of(rows);
  const std::string precision = precision_html(report.tensors, groups);
  const std::string whole =
      report.whole && report.whole->counts.finite() > 0 ? whole_html(*report.whole, whole_name(report)) : together_html(report.together);

  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><meta name=\"color-scheme\" content=\"light "
      "dark\"/><title>" +
      title + " – vigil</title><style>" + kReportStyle + "</style></head>\n<body>\n<header><h1>" + title + "</h1>\n<dl class=\"facts\">";
  for (const auto& [label, text] : report.facts)
    html += "<dt>" + escaped_html(bounded(label, kTextBytes)) + "</dt><dd>" + escaped_html(bounded(text, kTextBytes)) + "</dd>";
  html += "</dl>\n<nav aria-label=\"Sections\">";
  const auto link = [&html](const std::string& id, const std::string& text) {
    html += "<a href=\"#" + id + "\">" + escaped_html(text) + "</a>";
  };
  if (report.findings) link("findings", "Findings");
  link("overview", "Overview");
  if (!whole.empty()) link("whole", "All together");
  if (!precision.empty()) link("precision", "What smaller formats would lose");
  for (const ReportGroup& group : groups) link(group.id, group.title);
  html += "</nav></header>\n<main>\n";
  std::vector<std::string> notes = report.notes;
  if (rows.size() < report.tensors.size())
    notes.push_back(grouped(report.tensors.size() - rows.size()) + " of " + grouped(report.tensors.size()) +
                    " tensors, the smallest, have no row below.");
  if (pictured.size() < rows.size()) notes.push_back("Only the " + grouped(pictured.size()) + " largest tensors have pictures.");
  if (!notes.empty()) {
    html += "<div class=\"notes\">";
    for (const std::string& note : notes) html += "<p>" + escaped_html(bounded(note, kTextBytes)) + "</p>";
    html += "</div>\n";
  }
  if (report.findings) html += findings_html(*report.findings, limits.findings);
  html += overview_html(report.tensors) + whole + precision;
  for (const ReportGroup& group : groups) html += group_html(group, pictured);
  return html +
         "</main>\n<footer>Made by vigil. Bars are as high as the square root of their counts; figures are of the finite elements, "
         "standard "
         "deviation, skewness and kurtosis those of the population.</footer>\n</body></html>\n";
}

}  // namespace vigil
