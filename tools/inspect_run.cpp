#include "vigil/tools/inspect_run.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <ostream>
#include <system_error>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/seconds.h"
#include "vigil/inspection/distribution_text.h"
#include "vigil/monitor/ring_file.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/fact_lines.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/model_report_file.h"
#include "vigil/tools/nearest_name.h"
#include "vigil/tools/report_json.h"
#include "vigil/tools/ring_search.h"
#include "vigil/tools/run_report.h"

namespace vigil::tools {
namespace {

using Rows = std::vector<const ReportTensor*>;

// The largest first; what nothing is known of before all.
double key_of(const ReportTensor& tensor, ModelOrder order) {
  if (order == ModelOrder::size) return static_cast<double>(tensor.bytes);
  const Moments* const moments = moments_of(tensor);
  if (moments == nullptr) return std::numeric_limits<double>::infinity();
  if (order == ModelOrder::std) return finite_count(*moments) > 0 ? standard_deviation(*moments) : -1;
  if (order == ModelOrder::zeros)
    return moments->count > 0 ? static_cast<double>(moments->zero_count) / static_cast<double>(moments->count) : -1;
  return static_cast<double>(moments->nan_count) + static_cast<double>(moments->inf_count);
}

Rows rows_of(const ModelReport& report, const InspectOptions& options) {
  Rows rows;
  for (const ReportTensor& tensor : report.tensors) {
    if (options.tensor.empty() || tensor.name == options.tensor) rows.push_back(&tensor);
  }
  if (options.order == ModelOrder::name) {
    std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  } else if (options.order != ModelOrder::file) {
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const auto* a, const auto* b) { return key_of(*a, options.order) > key_of(*b, options.order); });
  }
  return rows;
}

std::string findings_of_run(const ModelReport& report, const OutputPlace& place) {
  if (!report.findings) return "";
  std::vector<TableRow> rows;
  for (const bool is_fault : {true, false}) {
    for (const ReportFinding& one : *report.findings) {
      if (one.is_fault == is_fault)
        rows.push_back({{is_fault ? "fault" : "note", printable(one.tensor), printable(one.text)}, is_fault ? Style::red : Style::dim});
    }
  }
  return rows.empty() ? "" : table_text({{"FINDING"}, {"TENSOR", false, 0, 12}, {"WHAT", false, 0, 20}}, rows, place);
}

std::string text_of_run(const ModelReport& report, const Rows& rows, const InspectOptions& options) {
  const OutputPlace& place = options.place;
  Rows shown = rows;
  if (options.tensor.empty()) {
    for (const ReportTensor& all : report.together) shown.push_back(&all);
  }
  Facts facts(place);
  for (const auto& [label, text] : report.facts) facts.add(label, text);
  for (const std::string& note : report.notes) facts.add(&note == report.notes.data() ? "note" : "", printable(note));
  std::string all = facts.take();
  const std::string findings = options.tensor.empty() ? findings_of_run(report, place) : "";
  for (const std::string& part : {samples_text(shown, place), findings, advice_text(rows, place)}) {
    if (!part.empty()) all += '\n' + part;
  }
  return all;
}

void append_sample(std::string& out, const ReportTensor& tensor) {
  out += '{';
  append_member(out, "name", tensor.name);
  append_member(out, "of", member_of(tensor.group));
  if (!tensor.dtype.empty()) append_member(out, "type", tensor.dtype);
  if (!tensor.shape.empty()) append_member(out, "shape", tensor.shape);
  append_member(out, "elements", tensor.elements);
  if (!tensor.problem.empty()) append_member(out, "problem", tensor.problem);
  if (const Moments* const moments = moments_of(tensor)) {
    if (finite_count(*moments) > 0) {
      append_member(out, "mean", moments->mean);
      append_member(out, "std", standard_deviation(*moments));
      append_member(out, "min", moments->min);
      append_member(out, "max", moments->max);
      append_member(out, "l1_norm", moments->l1);
      append_member(out, "l2_norm", l2_norm(*moments));
    }
    append_member(out, "nan", moments->nan_count);
    append_member(out, "inf", moments->inf_count);
    append_member(out, "zeros", moments->zero_count);
  }
  if (const MagnitudeHistogram* const magnitudes = magnitudes_of(tensor)) append_magnitudes(out, *magnitudes);
  append_advice(out, tensor);
  out += '}';
}

std::string json_of_run(const FollowedRun& run, const ModelReport& report, const Rows& rows) {
  const Snapshot& snapshot = *run.snapshot();
  std::string out = "{";
  append_member(out, "file", run.ring().path);
  out += ",\"run\":{";
  append_run(out, run.identity());
  out += '}';
  append_member(out, "state", kRunStateNames[static_cast<std::size_t>(run.condition().state)]);
  if (snapshot.has_frame) {
    append_member(out, "step", snapshot.frame.step);
    append_member(out, "time", to_seconds(snapshot.frame.wall_time_ns));
  }
  append_list(out, "tensors", rows, [](std::string& to, const ReportTensor* one) { append_sample(to, *one); });
  append_list(out, "together", report.together, [](std::string& to, const ReportTensor& one) { append_sample(to, one); });
  if (report.findings) {
    append_list(out, "findings", *report.findings, [](std::string& to, const ReportFinding& one) {
      to += '{';
      append_member(to, "level", one.is_fault ? "fault" : "note");
      append_member(to, "tensor", one.tensor);
      append_member(to, "text", one.text);
      to += '}';
    });
  }
  append_member(out, "notes", report.notes);
  return out + '}';
}

}  // namespace

int inspect_run(const InspectOptions& options, std::ostream& out, std::ostream& err) {
  FoundRing ring;
  try {
    ring = choose_ring({options.file, options.rank, options.directories});
  } catch (const SearchError& error) {
    std::error_code none;
    const bool is_name = options.file.find('/') == std::string::npos && !is_ring_file_name(options.file);
    const bool is_absent = is_name && !std::filesystem::exists(options.file, none);
    err << "vigil: " << (is_absent ? "there is no file " + printable(options.file) + ", and " : "") << error.what() << '\n';
    return 2;
  }
  std::error_code none;
  if (options.report && std::filesystem::equivalent(*options.report, ring.path, none)) {
    err << "vigil: --report: " << printable(*options.report) << " is the ring file of the run; name another one\n";
    return 2;
  }
  FollowedRun run(ring);
  run.poll();
  const ModelReport report = report_of_run(run);
  const Rows rows = rows_of(report, options);
  if (!options.tensor.empty() && rows.empty()) {
    std::vector<std::string> names;
    for (const ReportTensor& tensor : report.tensors) names.push_back(tensor.name);
    err << "vigil: " << printable(options.file) << " has no tensor '" << printable(options.tensor) << "'"
        << nearest_name(names, options.tensor) << '\n';
    return 1;
  }
  if (options.json) {
    out << printable_json(json_of_run(run, report, rows)) << '\n';
  } else {
    out << text_of_run(report, rows, options);
  }
  const bool is_written = !options.report || write_report(report, *options.report, err);
  if (!run.problem().empty()) err << "vigil: " << printable(ring.path) << ": not all of it can be read: " << run.problem() << '\n';
  return is_written && run.problem().empty() ? 0 : 1;
}

}  // namespace vigil::tools
