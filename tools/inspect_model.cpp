#include "vigil/tools/inspect_model.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "vigil/exporters/json_text.h"
#include "vigil/inspection/distribution_text.h"
#include "vigil/inspection/inspection_error.h"
#include "vigil/inspection/model_report.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/fact_lines.h"
#include "vigil/tools/model_file.h"
#include "vigil/tools/model_report_file.h"
#include "vigil/tools/model_text.h"
#include "vigil/tools/nearest_name.h"
#include "vigil/tools/precision_loss.h"
#include "vigil/tools/report_json.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {
namespace {

std::vector<std::size_t> ordered(const ModelFile& file, ModelOrder order) {
  std::vector<std::size_t> indices(file.saved.tensors.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  // The largest first; what cannot be read before all.
  const auto key = [&](std::size_t i) -> double {
    const TensorReading& reading = file.readings[i];
    const Moments& moments = reading.moments;
    if (order == ModelOrder::size)
      return static_cast<double>(element_count(file.saved.tensors[i]) * element_size(file.saved.tensors[i].type));
    if (!reading.error.empty()) return std::numeric_limits<double>::infinity();
    if (order == ModelOrder::std) return finite_count(moments) > 0 ? standard_deviation(moments) : -1;
    if (order == ModelOrder::zeros)
      return moments.count > 0 ? static_cast<double>(moments.zero_count) / static_cast<double>(moments.count) : -1;
    return static_cast<double>(moments.nan_count + moments.inf_count);
  };
  if (order == ModelOrder::name) {
    std::stable_sort(indices.begin(), indices.end(),
                     [&](std::size_t a, std::size_t b) { return file.saved.tensors[a].name < file.saved.tensors[b].name; });
  } else if (order != ModelOrder::file) {
    std::stable_sort(indices.begin(), indices.end(), [&](std::size_t a, std::size_t b) { return key(a) > key(b); });
  }
  return indices;
}

void append_total(std::string& out, std::string_view key, const TotalOfTensors& total) {
  out += ",\"" + std::string(key) + "\":{";
  append_member(out, "tensors", total.tensors);
  append_member(out, "elements", total.elements);
  append_member(out, "bytes", total.bytes);
  out += '}';
}

// `described` is null unless distributions are wanted.
void append_tensor(std::string& out, const ModelTensor& tensor, const TensorReading& reading, const ReportTensor* described) {
  out += '{';
  append_member(out, "name", tensor.name);
  append_member(out, "role",
                tensor.role == ModelTensor::Role::other    ? "other"
                : tensor.role == ModelTensor::Role::buffer ? "buffer"
                                                           : "parameter");
  if (tensor.role == ModelTensor::Role::parameter) append_member(out, "requires_grad", tensor.requires_grad);
  append_member(out, "type", name_of(tensor.type));
  append_list(out, "shape", tensor.sizes, [](std::string& to, std::int64_t size) { append(to, size); });
  append_member(out, "elements", element_count(tensor));
  append_member(out, "bytes", element_count(tensor) * element_size(tensor.type));
  if (tensor.memory != 0) append_member(out, "memory", tensor.memory);
  if (!reading.error.empty()) {
    append_member(out, "error", reading.error);
    out += '}';
    return;
  }
  const Moments& moments = reading.moments;
  if (finite_count(moments) > 0) {
    append_member(out, "mean", moments.mean);
    append_member(out, "std", standard_deviation(moments));
    append_member(out, "min", moments.min);
    append_member(out, "max", moments.max);
    append_member(out, "l1_norm", moments.l1);
    append_member(out, "l2_norm", l2_norm(moments));
  }
  append_member(out, "nan", moments.nan_count);
  append_member(out, "inf", moments.inf_count);
  append_member(out, "zeros", moments.zero_count);
  append_member(out, "denormals", reading.denormals);
  append_member(out, "constant", reading.is_constant);
  append_member(out, "xxh3_128", hex_of(reading.hash));
  append_magnitudes(out, reading.magnitudes);
  if (described != nullptr && described->distribution) append_distribution(out, "distribution", *described->distribution);
  if (described != nullptr) append_advice(out, *described);
  out += '}';
}

std::string json_of(const ModelFile& file, const ModelReport* report, const std::vector<std::size_t>& shown) {
  const SavedModel& saved = file.saved;
  std::string out = "{";
  append_member(out, "file", file.path);
  append_member(out, "format", name_of(saved.format));
  append_member(out, "class", saved.root_type);
  append_member(out, "bytes", saved.file_bytes);
  append_member(out, "architecture_fingerprint", file.architecture);
  if (!file.values.empty()) append_member(out, "value_fingerprint", file.values);
  append_total(out, "trainable", file.totals.trainable);
  append_total(out, "frozen", file.totals.frozen);
  append_total(out, "buffers", file.totals.buffers);
  append_total(out, "others", file.totals.others);
  append_total(out, "shared", file.totals.shared);
  append_list(out, "modules", saved.modules, [](std::string& to, const SavedModule& one) {
    to += '{';
    append_member(to, "path", one.path);
    append_member(to, "class", one.type);
    to += '}';
  });
  append_list(out, "tensors", shown, [&](std::string& to, std::size_t i) {
    append_tensor(to, saved.tensors[i], file.readings[i], report == nullptr ? nullptr : &report->tensors[i]);
  });
  if (report != nullptr && report->whole) append_distribution(out, "all_parameters", *report->whole);
  append_findings(out, file.findings);
  append_list(out, "precision", precision_losses(file), [&](std::string& to, const PrecisionLoss& one) {
    to += '{';
    append_member(to, "format", one.format);
    append_member(to, "overflow", one.overflow);
    if (one.underflow) append_member(to, "underflow", *one.underflow);
    if (one.subnormal) append_member(to, "subnormal", *one.subnormal);
    if (one.worst_tensor) append_member(to, "worst_tensor", saved.tensors[*one.worst_tensor].name);
    to += '}';
  });
  append_list(out, "passed_over", saved.passed_over, [](std::string& to, const PassedOver& one) {
    to += '{';
    append_member(to, "name", one.name);
    append_member(to, "reason", one.reason);
    to += '}';
  });
  return out + '}';
}

// Those of `shown`, then of all parameters together, and what smaller formats would lose; of one that is named, in detail.
std::string distributions_text(const ModelReport& report, const std::vector<std::size_t>& shown, const InspectOptions& options) {
  std::string text;
  std::vector<const ReportTensor*> rows;
  for (const std::size_t i : shown) {
    const ReportTensor& tensor = report.tensors[i];
    rows.push_back(&tensor);
    if (!options.tensor.empty() && tensor.distribution) text += '\n' + distribution_text(tensor.name, *tensor.distribution, options.place);
  }
  const std::string advice = advice_text(rows, options.place);
  if (options.tensor.empty()) {
    text = distribution_text(rows, options.place);
    if (report.whole) text += '\n' + distribution_text(whole_name(report), *report.whole, options.place);
  }
  return advice.empty() ? text : text + '\n' + advice;
}

// `report` is null unless distributions are wanted.
std::string text_of(const ModelFile& file, const ModelReport* report, const InspectOptions& options) {
  Facts facts(options.place);
  for (const auto& [label, text] : facts_of(file)) facts.add(label, text);
  std::string all = facts.take();
  const std::vector<std::size_t> order = ordered(file, options.order);
  for (const std::string& part : {report != nullptr ? distributions_text(*report, order, options) : model_table(file, order, options.place),
                                  findings_text(file.findings, options.place), precision_text(file, options.place)}) {
    if (!part.empty()) all += '\n' + part;
  }
  return all;
}

// By index of the file; only those `shown` are read.
std::vector<ReportTensor> shown_tensors(const ModelFile& file, const std::vector<std::size_t>& shown, unsigned threads,
                                        ProgressLine& progress) {
  std::vector<ModelTensor> wanted;
  for (const std::size_t i : shown) wanted.push_back(file.saved.tensors[i]);
  std::vector<ReportTensor> rows = report_tensors(wanted, "", reading_options(threads, progress));
  std::vector<ReportTensor> all(file.saved.tensors.size());
  for (std::size_t i = 0; i < shown.size(); ++i) all[shown[i]] = std::move(rows[i]);
  return all;
}

// Empty: there is none of that name.
std::vector<std::size_t> named(const ModelFile& file, const std::string& name) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < file.saved.tensors.size(); ++i) {
    if (file.saved.tensors[i].name == name) found.push_back(i);
  }
  return found;
}

std::vector<std::string> names_of(const ModelFile& file) {
  std::vector<std::string> names;
  for (const ModelTensor& tensor : file.saved.tensors) names.push_back(tensor.name);
  return names;
}

// Where a file or a folder hides the run of its name.
std::string run_hint(const InspectOptions& options) {
  if (options.file.find('/') != std::string::npos) return "";
  try {
    const FoundRing ring = choose_ring({options.file, {}, {}});
    return "; there is a run of that name: --rank " + std::to_string(ring.identity().rank) + " shows it";
  } catch (const SearchError&) {
    return "";
  }
}

}  // namespace

int inspect_model(const InspectOptions& options, std::ostream& out, std::ostream& err) {
  ModelFile file;
  try {
    ProgressLine progress(err, options.shows_progress);
    file = read_model_file(options.file, options.threads, progress);
  } catch (const InspectionError& error) {
    err << "vigil: " << printable(error.what()) << run_hint(options) << '\n';
    return 2;
  }
  std::vector<std::size_t> shown = ordered(file, options.order);
  if (!options.tensor.empty()) {
    shown = named(file, options.tensor);
    if (shown.empty()) {
      err << "vigil: " << printable(options.file) << " has no tensor '" << printable(options.tensor) << "'"
          << nearest_name(names_of(file), options.tensor) << '\n';
      return 1;
    }
  }
  ModelReport report;
  const bool has_report = options.report.has_value() || options.distributions;
  if (has_report) {
    ProgressLine progress(err, options.shows_progress);
    if (options.tensor.empty()) {
      report = report_of_file(file, options.threads, progress);
    } else {
      report.tensors = shown_tensors(file, shown, options.threads, progress);
    }
  }
  if (options.json) {
    out << printable_json(json_of(file, options.distributions ? &report : nullptr, shown)) << '\n';
  } else if (!options.tensor.empty()) {
    for (const std::size_t i : shown) out << tensor_text(file, i, options.place);
    if (options.distributions) out << distributions_text(report, shown, options);
  } else {
    out << text_of(file, options.distributions ? &report : nullptr, options);
  }
  const bool is_written = !options.report || write_report(report, *options.report, err);
  const bool is_whole = std::all_of(file.readings.begin(), file.readings.end(), [](const auto& reading) { return reading.error.empty(); });
  if (!is_whole) err << "vigil: " << printable(options.file) << ": not all tensors can be read; vigil verify tells what is damaged\n";
  return is_whole && is_written ? 0 : 1;
}

}  // namespace vigil::tools
