#include "vigil/tools/model_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "vigil/inspection/distribution_text.h"
#include "vigil/monitor/statistics.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/fact_lines.h"
#include "vigil/tools/precision_loss.h"

namespace vigil::tools {
namespace {

// Two powers of two a column, what is below and above them in the outer ones.
constexpr std::size_t kSparkColumns = MagnitudeHistogram::kBuckets / 2;

std::string bar_of(double share) {
  static constexpr std::array<const char*, 9> kBlocks{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  return kBlocks[static_cast<std::size_t>(std::ceil(8 * std::clamp(share, 0.0, 1.0)))];
}

std::string sparkline(const MagnitudeHistogram& histogram) {
  std::array<double, kSparkColumns> counts{};
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) counts[i / 2] += static_cast<double>(histogram.buckets[i]);
  counts.front() += static_cast<double>(histogram.underflow);
  counts.back() += static_cast<double>(histogram.overflow);
  const double most = *std::max_element(counts.begin(), counts.end());
  std::string text;
  for (const double count : counts) text += count > 0 ? bar_of(count / most) : std::string("·");
  return text;
}

std::string nonfinite_cell(const Moments& moments) {
  const std::string text = nonfinite_text(moments);
  return text.empty() ? "-" : text;
}

std::string share_of_zeros(const Moments& moments) {
  if (moments.count == 0) return "-";
  return moments.zero_count == 0 ? "0" : percent_text(static_cast<double>(moments.zero_count) / static_cast<double>(moments.count));
}

TableRow row_of(const ModelTensor& tensor, const TensorReading& reading) {
  TableRow row{{printable(tensor.name), role_text(tensor), shape_text(tensor.sizes), std::string(name_of(tensor.type))}};
  if (!reading.error.empty()) {
    row.cells.insert(row.cells.end(), {"?", "?", "?", "?", "?", "", "cannot be read"});
    row.style = Style::red;
    return row;
  }
  const Moments& moments = reading.moments;
  const bool has_any = finite_count(moments) > 0;
  for (const double value : {moments.mean, standard_deviation(moments), moments.min, moments.max})
    row.cells.push_back(has_any ? short_number(value) : "-");
  row.cells.push_back(share_of_zeros(moments));
  row.cells.push_back(finite_count(moments) > moments.zero_count ? sparkline(reading.magnitudes) : "");
  row.cells.push_back(nonfinite_cell(moments));
  if (row.cells.back() != "-") row.style = Style::red;
  return row;
}

void add_magnitudes(Facts& facts, const MagnitudeHistogram& histogram, const OutputPlace& place) {
  std::vector<std::pair<std::string, std::uint64_t>> rows{{"<= 2^-28", histogram.underflow}};
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i)
    rows.emplace_back("<= 2^" + std::to_string(MagnitudeHistogram::kLowestExponent + 1 + static_cast<int>(i)), histogram.buckets[i]);
  rows.emplace_back("above 2^4", histogram.overflow);
  const auto is_filled = [](const auto& row) { return row.second > 0; };
  rows.erase(rows.begin(), std::find_if(rows.begin(), rows.end(), is_filled));
  rows.erase(std::find_if(rows.rbegin(), rows.rend(), is_filled).base(), rows.end());
  if (rows.empty()) return;
  std::uint64_t most = 1;
  for (const auto& row : rows) most = std::max(most, row.second);
  const std::size_t width = std::clamp<std::size_t>(place.columns > 40 ? place.columns - 40 : 40, 10, 60);
  facts.add_line("");
  facts.add_line(styled(padded("|x|", Facts::kLabelColumns) + right_aligned("elements", 14), Style::dim, place.colored));
  for (const auto& [label, count] : rows) {
    const auto eighths =
        static_cast<std::size_t>(std::ceil(8 * static_cast<double>(width) * static_cast<double>(count) / static_cast<double>(most)));
    std::string bar;
    for (std::size_t i = 0; i < eighths / 8; ++i) bar += "█";
    static constexpr std::array<const char*, 8> kParts{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    facts.add_line(padded(label, Facts::kLabelColumns) + right_aligned(grouped(count), 14) + "  " + bar + kParts[eighths % 8]);
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> facts_of(const ModelFile& file) {
  const SavedModel& saved = file.saved;
  const ModelTotals& totals = file.totals;
  std::vector<std::pair<std::string, std::string>> facts;
  facts.emplace_back("file", printable(file.path) + ", " + bytes_text(saved.file_bytes));
  facts.emplace_back("format", std::string(name_of(saved.format)) +
                                   (saved.archive_version > 0 ? ", archive version " + std::to_string(saved.archive_version) : ""));
  if (!saved.root_type.empty()) facts.emplace_back("class", printable(saved.root_type));
  if (!saved.modules.empty()) facts.emplace_back("modules", grouped(saved.modules.size()));
  if (totals.trainable.tensors + totals.frozen.tensors > 0) {
    const TotalOfTensors all{0, totals.trainable.elements + totals.frozen.elements, totals.trainable.bytes + totals.frozen.bytes};
    facts.emplace_back("parameters", total_text(all) + ": " + grouped(totals.trainable.elements) + " trainable, " +
                                         grouped(totals.frozen.elements) + " frozen");
  }
  if (totals.buffers.tensors > 0) facts.emplace_back("buffers", total_text(totals.buffers));
  if (totals.others.tensors > 0) {
    const bool is_all = totals.trainable.tensors + totals.frozen.tensors + totals.buffers.tensors == 0;
    facts.emplace_back(is_all ? "tensors" : "others", total_text(totals.others) + (is_all ? "; the file does not say which are parameters"
                                                                                          : ": constants and attributes"));
  }
  if (totals.shared.tensors > 0)
    facts.emplace_back("shared",
                       counted(totals.shared.tensors, "tensor") + " of " + total_text(totals.shared) + ", counted under another name");
  std::string types;
  for (const auto& one : totals.types)
    types += (types.empty() ? "" : ", ") + std::string(name_of(one.type)) + ' ' + bytes_text(one.total.bytes);
  if (!types.empty()) facts.emplace_back("types", types);
  facts.emplace_back("fingerprint", file.architecture + " of the architecture");
  facts.emplace_back("", file.values.empty() ? "none of the values, as not all tensors can be read" : file.values + " of the values");
  for (const PassedOver& one : saved.passed_over) {
    if (&one - saved.passed_over.data() == 5) {
      facts.emplace_back("", "… and " + std::to_string(saved.passed_over.size() - 5) + " more");
      break;
    }
    facts.emplace_back(&one == saved.passed_over.data() ? "left out" : "", printable(one.name) + ": " + printable(one.reason));
  }
  return facts;
}

std::string model_table(const ModelFile& file, const std::vector<std::size_t>& order, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const std::size_t i : order) rows.push_back(row_of(file.saved.tensors[i], file.readings[i]));
  if (rows.empty()) return "";
  return table_text({{"TENSOR", false, 0, 16},
                     {"ROLE", false, 4},
                     {"SHAPE"},
                     {"TYPE", false, 5},
                     {"MEAN", true, 3},
                     {"STD", true, 1},
                     {"MIN", true, 2},
                     {"MAX", true, 2},
                     {"ZEROS", true, 6},
                     {"|X| 2^-28…2^4", false, 7},
                     {"NON-FINITE"}},
                    rows, place);
}

std::string tensor_text(const ModelFile& file, std::size_t index, const OutputPlace& place) {
  const ModelTensor& tensor = file.saved.tensors[index];
  const TensorReading& reading = file.readings[index];
  Facts facts(place);
  facts.add("tensor", printable(tensor.name), Style::bold);
  const std::string role = role_text(tensor);
  facts.add("what", (role == "-" ? "" : role + ", ") + std::string(name_of(tensor.type)) + ' ' + shape_text(tensor.sizes) + ", " +
                        counted(element_count(tensor), "element") + " in " + bytes_text(element_count(tensor) * element_size(tensor.type)));
  for (std::size_t i = 0; i < file.saved.tensors.size(); ++i) {
    if (i != index && tensor.memory != 0 && file.saved.tensors[i].memory == tensor.memory)
      facts.add("shares", "memory with " + printable(file.saved.tensors[i].name));
  }
  for (const Quantisation& one : file.saved.quantised) {
    if (one.name != tensor.name) continue;
    facts.add("quantised", one.per_channel ? "by channel along axis " + std::to_string(one.axis) + "; the figures are of the integers"
                                           : "value = " + short_number(one.scale) + " * (integer - " + std::to_string(one.zero_point) +
                                                 "); the figures are of the integers");
  }
  if (!reading.error.empty()) {
    facts.add("damaged", printable(reading.error), Style::red);
    return facts.take();
  }
  facts.add("xxh3-128", hex_of(reading.hash));
  const Moments& moments = reading.moments;
  if (finite_count(moments) > 0) {
    facts.add("mean", short_number(moments.mean));
    facts.add("std", short_number(standard_deviation(moments)));
    facts.add("range", short_number(moments.min) + " to " + short_number(moments.max));
    facts.add("norms", "L1 " + short_number(moments.l1) + ", L2 " + short_number(l2_norm(moments)));
    facts.add("median |x|", short_number(magnitude_quantile(reading.magnitudes, moments, 0.5)) + " (within a factor of 2)");
  }
  facts.add("zeros", grouped(moments.zero_count) + " (" + share_of_zeros(moments) + ")");
  facts.add("denormals", grouped(reading.denormals));
  const std::string nonfinite = nonfinite_cell(moments);
  facts.add("non-finite", nonfinite, nonfinite == "-" ? Style::plain : Style::red);
  add_magnitudes(facts, reading.magnitudes, place);
  return facts.take();
}

std::string precision_text(const ModelFile& file, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const PrecisionLoss& one : precision_losses(file)) {
    const auto cell = [](const std::optional<double>& share) { return share ? percent_text(*share) : std::string("-"); };
    rows.push_back(
        {{std::string(one.format), percent_text(one.overflow), cell(one.underflow), cell(one.subnormal),
          one.worst_tensor ? printable(file.saved.tensors[*one.worst_tensor].name) + " (" + percent_text(one.worst) + ")" : "-"}});
  }
  if (rows.empty()) return "";
  return table_text({{"AS"}, {"INFINITE", true}, {"ZERO", true}, {"FEWER BITS", true}, {"LOSES MOST", false, 0, 12}}, rows, place);
}

}  // namespace vigil::tools
