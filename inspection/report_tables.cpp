#include "vigil/inspection/report_tables.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "vigil/inspection/distribution_text.h"
#include "vigil/inspection/report_cells.h"
#include "vigil/inspection/report_pictures.h"
#include "vigil/monitor/dtype.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr int kPictureWidth = 128, kPictureHeight = 40, kPairHeight = 64;
constexpr std::uint64_t kOpenRows = 100;

std::string capitalised(std::string title) {
  if (title.empty()) return "Tensors";
  if (title[0] >= 'a' && title[0] <= 'z') title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return title;
}

unsigned rank_of(const std::string& group) {
  if (group == kParameterGroup) return 0;
  if (group == kGradientGroup) return 1;
  return group == kBufferGroup ? 3 : group == kActivationGroup ? 4 : 2;
}

// In the order of the parameters, each before its gradient; gradients without one at the end.
std::vector<const ReportTensor*> paired(const std::vector<const ReportTensor*>& parameters,
                                        const std::vector<const ReportTensor*>& gradients) {
  std::multimap<std::string, const ReportTensor*> by_name;
  for (const ReportTensor* const gradient : gradients) by_name.emplace(gradient->name, gradient);
  std::vector<const ReportTensor*> all;
  for (const ReportTensor* const parameter : parameters) {
    all.push_back(parameter);
    const auto found = by_name.find(parameter->name);
    if (found == by_name.end()) continue;
    all.push_back(found->second);
    by_name.erase(found);
  }
  for (const ReportTensor* const gradient : gradients) {
    for (auto [one, end] = by_name.equal_range(gradient->name); one != end; ++one) {
      if (one->second != gradient) continue;
      all.push_back(gradient);
      break;
    }
  }
  return all;
}

// What is not finite is told where one looks for figures.
std::string counts_cells(const Moments& moments, std::uint64_t meant_infinite) {
  const auto count = static_cast<double>(std::max<std::uint64_t>(moments.count, 1));
  const std::uint64_t nonfinite = moments.nan_count + moments.inf_count;
  return cell_html(share_html(static_cast<double>(moments.zero_count) / count)) +
         (nonfinite == 0 ? cell_html("0")
                         : cell_html(grouped(moments.nan_count) + " NaN, " + grouped(moments.inf_count) + " Inf",
                                     nonfinite > meant_infinite ? "bad" : nullptr));
}

// Columns of a table, by what its tensors have.
struct Columns {
  bool has_distributions = false, has_magnitudes = false, has_sizes = false, has_pairs = false;

  std::size_t figures() const noexcept { return has_distributions ? 8 : 6; }
};

std::string figure_cells(const ReportTensor& tensor, const Columns& columns) {
  const Moments* const moments = moments_of(tensor);
  if (moments == nullptr) {
    return "<td class=\"text soft\" colspan=\"" + std::to_string(columns.figures()) + "\">" +
           escaped_html(tensor.problem.empty() ? "no figures" : bounded(tensor.problem, kTextBytes)) + "</td>";
  }
  const double none = std::nan("");
  const bool is_finite = finite_count(*moments) > 0;
  std::string cells = number_cell(is_finite ? moments->mean : none) + number_cell(is_finite ? standard_deviation(*moments) : none) +
                      number_cell(is_finite ? moments->min : none) + number_cell(is_finite ? moments->max : none);
  if (columns.has_distributions) {
    cells += number_cell(tensor.distribution ? tensor.distribution->skewness : none) +
             number_cell(tensor.distribution ? tensor.distribution->kurtosis : none);
  }
  return cells + counts_cells(*moments, tensor.meant_infinite);
}

std::string badge(const std::string& text) { return text.empty() ? "" : "<span class=\"badge\">" + text + "</span>"; }

std::string name_cell(const ReportTensor& tensor, std::size_t rows, const std::string& flat = "") {
  const std::string span = rows > 1 ? " rowspan=\"" + std::to_string(rows) + '"' : "";
  return "<th scope=\"row\"" + span + ">" + name_html(tensor.name) + (tensor.is_shared ? "<br/>" + badge("shares memory") : "") +
         (flat.empty() ? "" : ' ' + badge(flat)) + "</th>";
}

std::string size_cells(const ReportTensor& tensor, std::size_t rows) {
  const std::string span = rows > 1 ? " rowspan=\"" + std::to_string(rows) + '"' : "";
  return "<td class=\"text\"" + span + '>' + escaped_html(bounded(tensor.shape, 200)) + "<br/><small>" +
         escaped_html(bounded(tensor.dtype, 40)) + "</small></td><td" + span + '>' + grouped(tensor.elements) + "</td>";
}

std::string span_text(const ReportTensor& tensor) {
  const Moments* const moments = moments_of(tensor);
  return moments == nullptr ? "" : " from " + short_number(moments->min) + " to " + short_number(moments->max);
}

std::string tensor_row(const ReportTensor& tensor, bool is_pictured, const Columns& columns) {
  const std::string flat = flatness_of(tensor);
  const bool has_pictures = columns.has_distributions || columns.has_magnitudes;
  std::string row = "<tr>" + name_cell(tensor, 1, has_pictures ? "" : flat);
  const auto picture = [&](const std::string& svg) { row += cell_html(svg, "text"); };
  if (columns.has_distributions) {
    const bool is_drawn = is_pictured && flat.empty() && tensor.distribution;
    picture(is_drawn ? linear_picture(*tensor.distribution, kPictureWidth, kPictureHeight, false, "By value," + span_text(tensor))
                     : badge(flat));
    picture(is_drawn ? exponent_picture(tensor.distribution->exponents, kPictureWidth, kPictureHeight, false, "By exponent") : "");
  } else if (columns.has_magnitudes) {
    const MagnitudeHistogram* const magnitudes = magnitudes_of(tensor);
    picture(is_pictured && flat.empty() && magnitudes != nullptr
                ? magnitude_picture(magnitudes, nullptr, kPictureWidth, kPictureHeight, false, "Magnitudes from 2^-28 to 2^4")
                : badge(flat));
  }
  if (columns.has_sizes) row += size_cells(tensor, 1);
  return row + figure_cells(tensor, columns) + "</tr>\n";
}

// Either may be null: then the other one has no partner.
std::string pair_rows(const ReportTensor* parameter, const ReportTensor* gradient, bool is_pictured, const Columns& columns) {
  const ReportTensor& described = parameter != nullptr ? *parameter : *gradient;
  const MagnitudeHistogram* const up = parameter == nullptr ? nullptr : magnitudes_of(*parameter);
  const MagnitudeHistogram* const down = gradient == nullptr ? nullptr : magnitudes_of(*gradient);
  std::string rows = "<tr class=\"pair\">" + name_cell(described, 2) + "<td class=\"text\" rowspan=\"2\">";
  if (is_pictured && (up != nullptr || down != nullptr))
    rows += magnitude_picture(up, down, kPictureWidth, kPairHeight, false,
                              "Magnitudes from 2^-28 to 2^4, of the parameter upwards, of its gradient downwards");
  rows += "</td>" + size_cells(described, 2);
  const auto figures = [&](const ReportTensor* tensor, const char* what) {
    const std::size_t all = columns.figures() + (columns.has_distributions ? 1 : 0);
    if (tensor == nullptr)
      return cell_html(what, "text") + "<td class=\"text soft\" colspan=\"" + std::to_string(all) + "\">not sampled</td>";
    const std::string flat = flatness_of(*tensor);
    std::string cells = cell_html(what + (flat.empty() ? "" : ' ' + badge(flat)), "text");
    if (columns.has_distributions) {
      const bool is_drawn = is_pictured && flat.empty() && tensor->distribution;
      cells += cell_html(
          is_drawn ? linear_picture(*tensor->distribution, kPictureWidth, kPictureHeight, false, "By value," + span_text(*tensor)) : "",
          "text");
    }
    return cells + figure_cells(*tensor, columns);
  };
  return rows + figures(parameter, "parameter") + "</tr>\n<tr>" + figures(gradient, "gradient") + "</tr>\n";
}

// --- what smaller formats would lose ---

const char* heat_of(double share) { return share == 0 ? "h0" : share <= 0.001 ? "h1" : share <= 0.01 ? "h2" : share <= 0.1 ? "h3" : "h4"; }

std::string precision_cell(const FormatAdvice& advice) {
  const FormatLoss& loss = advice.loss;
  std::string verdict(name_of(advice.verdict));
  if (advice.verdict == FormatVerdict::safe_scaled) verdict = "safe × 2^" + std::to_string(advice.scale);
  const double lost = std::max(loss.overflow + loss.underflow.value_or(0), loss.subnormal.value_or(0));
  const bool is_known = loss.underflow.has_value() || loss.overflow > 0;
  std::string title;
  const auto tell = [&title](const char* what, double share) {
    if (share > 0) title += (title.empty() ? "" : ", ") + share_html(share) + ' ' + what;
  };
  if (loss.overflow > 0) title = "up to " + share_html(loss.overflow) + " too large";
  tell("become 0", loss.underflow.value_or(0));
  tell("keep fewer bits", loss.subnormal.value_or(0));
  const std::string shown = is_known                                ? (loss.overflow > 0 ? "≤ " : "") + share_html(lost)
                            : advice.verdict == FormatVerdict::safe ? "0"
                                                                    : "?";
  const char* const heat = is_known ? heat_of(lost) : advice.verdict == FormatVerdict::safe ? "h0" : "hu";
  return "<td class=\"" + std::string(heat) + (advice.verdict == FormatVerdict::unsafe ? " unsafe\"" : "\"") +
         (title.empty() ? "" : " title=\"" + title + '"') + '>' + shown + " <small>" + verdict + "</small></td>";
}

struct GroupTotal {
  std::uint64_t tensors = 0, elements = 0, bytes = 0, shared = 0, zeros = 0, seen = 0, nan = 0, infinite = 0, meant = 0;

  void add(const ReportTensor& tensor) {
    if (tensor.is_shared) {
      ++shared;
      return;
    }
    ++tensors;
    elements += tensor.elements;
    bytes += tensor.bytes;
    const Moments* const moments = moments_of(tensor);
    if (moments == nullptr) return;
    seen += moments->count;
    zeros += moments->zero_count;
    nan += moments->nan_count;
    infinite += moments->inf_count;
    meant += tensor.meant_infinite;
  }
  std::string row(const std::string& title) const {
    const auto known = [this](const std::string& html, bool is_bad) { return cell_html(seen == 0 ? "–" : html, is_bad ? "bad" : nullptr); };
    const double share = seen == 0 ? 0 : static_cast<double>(zeros) / static_cast<double>(seen);
    return "<tr><th scope=\"row\">" + escaped_html(title) + "</th>" +
           cell_html(grouped(tensors) + (shared > 0 ? " <small>and " + grouped(shared) + " shared</small>" : "")) +
           cell_html(grouped(elements)) + cell_html(bytes == 0 ? "–" : bytes_text(bytes)) + known(share_html(share), false) +
           known(grouped(nan), nan > 0) + known(grouped(infinite), infinite > meant) + "</tr>\n";
  }
};

}  // namespace

std::vector<ReportGroup> groups_of(const std::vector<const ReportTensor*>& tensors) {
  std::vector<std::pair<std::string, std::vector<const ReportTensor*>>> kinds;
  for (const ReportTensor* const tensor : tensors) {
    auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const auto& one) { return one.first == tensor->group; });
    if (kind == kinds.end()) kind = kinds.insert(kinds.end(), {tensor->group, {}});
    kind->second.push_back(tensor);
  }
  std::stable_sort(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) { return rank_of(a.first) < rank_of(b.first); });
  if (kinds.size() > 1 && kinds[0].first == kParameterGroup && kinds[1].first == kGradientGroup) {
    kinds[0].second = paired(kinds[0].second, kinds[1].second);
    kinds[0].first = "parameters and their gradients";
    kinds.erase(kinds.begin() + 1);
  }
  std::vector<ReportGroup> groups;
  for (auto& kind : kinds) {
    const bool has_pairs = std::any_of(kind.second.begin(), kind.second.end(), [&](const auto* one) { return one->group != kind.first; });
    groups.push_back({capitalised(bounded(kind.first, 200)), "group-" + std::to_string(groups.size()), std::move(kind.second), has_pairs});
  }
  return groups;
}

std::string group_html(const ReportGroup& group, const std::vector<const ReportTensor*>& pictured) {
  Columns has;
  has.has_pairs = group.has_pairs;
  for (const ReportTensor* const tensor : group.tensors) {
    has.has_distributions = has.has_distributions || tensor->distribution.has_value();
    has.has_magnitudes = has.has_magnitudes || magnitudes_of(*tensor) != nullptr;
    has.has_sizes = has.has_sizes || !tensor->shape.empty() || !tensor->dtype.empty();
  }
  has.has_sizes = has.has_sizes || group.has_pairs;
  std::vector<ReportColumn> columns{{"tensor", true}};
  if (has.has_distributions && !has.has_pairs) {
    columns.push_back({"by value", true});
    columns.push_back({"by exponent", true});
  } else if (has.has_magnitudes || has.has_pairs) {
    columns.push_back({"magnitudes", true});
  }
  if (has.has_sizes) columns.insert(columns.end(), {{"shape, type", true}, {"elements", false}});
  if (has.has_pairs) columns.push_back({"of", true});
  if (has.has_pairs && has.has_distributions) columns.push_back({"by value", true});
  for (const char* const title : {"mean", "std", "min", "max"}) columns.push_back({title, false});
  if (has.has_distributions) columns.insert(columns.end(), {{"skewness", false}, {"kurtosis", false}});
  columns.insert(columns.end(), {{"zeros", false}, {"NaN, Inf", false}});

  std::string html = "<section id=\"" + group.id + "\"><h2>" + escaped_html(group.title) + "</h2>\n";
  if ((has.has_pairs || !has.has_distributions) && has.has_magnitudes)
    html +=
        std::string("<p class=\"soft\">Magnitudes by powers of two, from 2^-28 (left) to 2^4 (right), what lies beyond in the outer bars") +
        (has.has_pairs ? "; those of a parameter upwards, of its gradient downwards, each as high as its most frequent one" : "") +
        ".</p>\n";
  html += table_begin(group.title, columns);
  const auto is_pictured = [&](const ReportTensor* tensor) { return std::binary_search(pictured.begin(), pictured.end(), tensor); };
  for (std::size_t i = 0; i < group.tensors.size(); ++i) {
    const ReportTensor& tensor = *group.tensors[i];
    if (!has.has_pairs) {
      html += tensor_row(tensor, is_pictured(&tensor), has);
      continue;
    }
    const bool is_parameter = tensor.group == kParameterGroup;
    const ReportTensor* const next = i + 1 < group.tensors.size() ? group.tensors[i + 1] : nullptr;
    const bool is_pair = is_parameter && next != nullptr && next->group == kGradientGroup && next->name == tensor.name;
    html += pair_rows(is_parameter ? &tensor : nullptr, is_pair ? next : is_parameter ? nullptr : &tensor, is_pictured(&tensor), has);
    if (is_pair) ++i;
  }
  return html + kTableEnd + "</section>\n";
}

std::string overview_html(const std::vector<ReportTensor>& tensors) {
  std::map<unsigned, std::vector<std::pair<std::string, GroupTotal>>> ranked;
  std::size_t groups = 0;
  bool is_model = true;  // nothing in it but what a model has, so that its sum means something
  for (const ReportTensor& tensor : tensors) {
    auto& totals = ranked[rank_of(tensor.group)];
    auto found = std::find_if(totals.begin(), totals.end(), [&](const auto& one) { return one.first == tensor.group; });
    if (found == totals.end()) {
      found = totals.insert(totals.end(), {tensor.group, {}});
      ++groups;
    }
    found->second.add(tensor);
    is_model = is_model && tensor.group != kGradientGroup && tensor.group != kActivationGroup;
  }
  std::string rows;
  for (const auto& [rank, totals] : ranked) {
    for (const auto& [group, total] : totals) rows += total.row(capitalised(bounded(group, 200)));
  }
  if (groups > 1 && is_model) {
    GroupTotal total;
    for (const ReportTensor& tensor : tensors) total.add(tensor);
    rows += total.row("Together");
  }
  if (rows.empty()) return "<section id=\"overview\"><h2>Overview</h2><p>There is no tensor in it.</p></section>\n";
  return "<section id=\"overview\"><h2>Overview</h2>\n" +
         table_begin("Overview", {{"what", true}, {"tensors"}, {"elements"}, {"bytes"}, {"zeros"}, {"NaN"}, {"Inf"}}) + rows + kTableEnd +
         "</section>\n";
}

std::string precision_html(const std::vector<ReportTensor>& all, const std::vector<ReportGroup>& groups) {
  constexpr std::size_t kVerdicts = 4;
  std::array<std::array<std::uint64_t, kVerdicts>, kNumberFormats.size()> verdicts{};
  const auto advice_on = [](const ReportTensor& tensor) { return advise(*magnitudes_of(tensor), *moments_of(tensor), tensor.dtype); };
  for (const ReportTensor& tensor : all) {
    if (!has_precision(tensor)) continue;
    const PrecisionAdvice advice = advice_on(tensor);
    for (std::size_t i = 0; i < advice.size(); ++i) ++verdicts[i][static_cast<std::size_t>(advice[i].verdict)];
  }
  std::string rows;
  std::uint64_t tensors = 0;
  for (const ReportGroup& group : groups) {
    for (const ReportTensor* const tensor : group.tensors) {
      if (!has_precision(*tensor)) continue;
      ++tensors;
      rows += "<tr><th scope=\"row\">" + name_html(tensor->name) + "</th>" + cell_html(escaped_html(member_of(tensor->group)), "text");
      for (const FormatAdvice& one : advice_on(*tensor)) rows += precision_cell(one);
      rows += "</tr>\n";
    }
  }
  if (rows.empty()) return "";
  const PrecisionThresholds limits;
  std::string html =
      "<section id=\"precision\"><h2>What smaller formats would lose</h2>\n<p><em>Safe</em>: nothing overflows, at most " +
      share_html(limits.underflow) + " of the finite elements that are not zero become zero (int8: " + share_html(limits.int8_underflow) +
      ") and at most " + share_html(limits.subnormal) +
      " keep fewer bits. <em>Safe when scaled</em>: so after a multiplication of the tensor by a power of two. <em>Out of sight</em>: "
      "elements lie below 2^-28, or for int8 the largest above 4064, and magnitudes are told apart from 2^-28 to 2^4. int8 is symmetric, "
      "with one scale for the tensor.</p>\n";
  std::vector<ReportColumn> columns{{"format", true}};
  for (std::size_t i = 0; i < kVerdicts; ++i) columns.push_back({std::string(name_of(static_cast<FormatVerdict>(i))), false});
  html += "<div class=\"lone\">" + table_begin("Tensors by verdict", columns);
  for (std::size_t i = 0; i < kNumberFormats.size(); ++i) {
    html += "<tr><th scope=\"row\">" + std::string(kNumberFormats[i].name) + "</th>";
    for (std::size_t verdict = 0; verdict < kVerdicts; ++verdict)
      html += cell_html(grouped(verdicts[i][verdict]),
                        static_cast<FormatVerdict>(verdict) == FormatVerdict::unsafe && verdicts[i][verdict] > 0 ? "unsafe" : nullptr);
    html += "</tr>\n";
  }
  html += kTableEnd + std::string("</div>\n");
  columns = {{"tensor", true}, {"what", true}};
  for (const NumberFormat& format : kNumberFormats) columns.push_back({std::string(format.name), false});
  // Many are a page of their own: to be opened.
  return html + (tensors <= kOpenRows ? "<details open=\"open\">" : "<details>") + "<summary>" + counted(tensors, "tensor") +
         ": the share that would become infinite, NaN or zero, or that would keep fewer bits where that is more, without scaling; and the "
         "verdict</summary>\n" +
         table_begin("Shares that number formats lose", columns) + rows + kTableEnd + "</details></section>\n";
}

}  // namespace vigil
