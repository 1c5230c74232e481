#include "vigil/tools/run_report.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "vigil/inspection/tensor_checks.h"
#include "vigil/monitor/dtype.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

bool is_sum(double value) { return !is_nan_bits(value) && value >= 0; }

// A file may have been written by anybody.
bool are_possible(const Moments& moments) {
  const std::uint64_t all = moments.count;
  return moments.nan_count <= all && moments.inf_count <= all - moments.nan_count && moments.zero_count <= finite_count(moments) &&
         is_finite_bits(moments.min) && is_finite_bits(moments.max) && moments.min <= moments.max && is_finite_bits(moments.mean) &&
         is_sum(moments.m2) && is_sum(moments.l1) && is_sum(moments.sum_squares);
}

// Those that are not zero are counted once each.
bool are_possible(const MagnitudeHistogram& magnitudes, const Moments& moments) {
  const std::uint64_t most = finite_count(moments) - moments.zero_count;
  std::uint64_t all = 0;
  const auto add = [&](std::uint64_t count) {
    if (count > most - all) return false;
    all += count;
    return true;
  };
  return add(magnitudes.underflow) && add(magnitudes.overflow) && std::all_of(magnitudes.buckets.begin(), magnitudes.buckets.end(), add) &&
         all == most;
}

constexpr const char *kUnread = "could not be read by the training", *kDamaged = "its figures are damaged";

const char* group_of(TensorKind kind) {
  switch (kind) {
    case TensorKind::parameter: return kParameterGroup;
    case TensorKind::gradient: return kGradientGroup;
    case TensorKind::buffer: return kBufferGroup;
  }
  return "";
}

ReportTensor tensor_of_row(const RowSchema& schema, const TensorRow* row, const Snapshot& snapshot) {
  ReportTensor tensor;
  tensor.name = schema.name;
  tensor.group = group_of(schema.kind);
  tensor.shape = schema.shape;
  tensor.dtype = std::string(kDTypeNames[static_cast<std::size_t>(schema.dtype)]);
  tensor.elements = schema.element_count;
  tensor.bytes = schema.element_count * element_size(schema.dtype);
  if (row == nullptr) {
    tensor.problem = "not sampled yet";
  } else if (row->state == TensorRow::frozen) {
    tensor.problem = "frozen: no gradient is wanted";
  } else if (row->state == TensorRow::absent) {
    tensor.problem = schema.kind == TensorKind::gradient ? "had no gradient" : "was not there";
  } else if (row->state != TensorRow::present) {
    tensor.problem = kUnread;
  } else if (!are_possible(row->moments)) {
    tensor.problem = kDamaged;
  } else {
    tensor.moments = row->moments;
    tensor.meant_infinite = std::min(row->moments.inf_count, schema.infinite);
    const auto histogram = static_cast<std::size_t>(schema.histogram);  // kNone is beyond every list
    if (histogram < snapshot.histograms.size() && are_possible(snapshot.histograms[histogram], row->moments))
      tensor.magnitudes = snapshot.histograms[histogram];
  }
  return tensor;
}

// In the order of the parameters, each before its gradient; then what is left, as it comes.
std::vector<std::size_t> paired_rows(const std::vector<RowSchema>& rows) {
  std::multimap<std::string, std::size_t> gradients;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].kind == TensorKind::gradient) gradients.emplace(rows[i].name, i);
  }
  std::vector<std::size_t> order;
  std::vector<bool> is_told(rows.size());
  const auto tell = [&](std::size_t i) {
    order.push_back(i);
    is_told[i] = true;
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].kind != TensorKind::parameter) continue;
    tell(i);
    const auto gradient = gradients.find(rows[i].name);
    if (gradient == gradients.end()) continue;
    tell(gradient->second);
    gradients.erase(gradient);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!is_told[i]) tell(i);
  }
  return order;
}

std::vector<std::int64_t> sizes_of(const std::string& shape) {
  std::vector<std::int64_t> sizes;
  const char *at = shape.data(), *const end = at + shape.size();
  while (at < end) {
    std::int64_t size = 0;
    const auto [stop, error] = std::from_chars(at, end, size);
    if (error == std::errc{}) sizes.push_back(size);
    at = stop == at ? at + 1 : stop;
  }
  return sizes;
}

ElementType type_of(DType type) {
  switch (type) {
    case DType::float64: return ElementType::float64;
    case DType::bfloat16: return ElementType::bfloat16;
    case DType::float16: return ElementType::float16;
    case DType::float32: break;
  }
  return ElementType::float32;
}

// Operators that write infinities that are meant, as into a mask of attention. `layer` ends in "/masked_fill", or "/masked_fill#2".
bool writes_infinities(std::string_view layer) {
  std::string_view name = layer.substr(layer.rfind('/') + 1);
  name = name.substr(0, name.find('#'));
  constexpr std::array<std::string_view, 11> kFills{
      "masked_fill", "fill", "full", "full_like", "new_full", "where", "scalar_tensor", "index_fill", "constant_pad_nd", "triu", "tril"};
  return layer.find('/') != std::string_view::npos && std::find(kFills.begin(), kFills.end(), name) != kFills.end();
}

// The checks of a saved model, as far as moments go: no duplicates, no denormals, and not where something is.
class RunFindings {
 public:
  void add(const RowSchema& schema, const ReportTensor& told) {
    if (!told.moments) return;
    has_seen_ = true;
    if (schema.kind == TensorKind::gradient) {
      add_gradient(told);
      return;
    }
    const Moments& moments = *told.moments;
    const std::uint64_t infinite = moments.inf_count - told.meant_infinite;
    if (moments.nan_count > 0) findings_.push_back({true, told.name, share(moments.nan_count, moments.count, "NaN")});
    if (infinite > 0) findings_.push_back({true, told.name, share(infinite, moments.count, "infinite")});
    ModelTensor& tensor = tensors_.emplace_back();
    tensor.name = told.name;
    tensor.role = schema.kind == TensorKind::parameter ? ModelTensor::Role::parameter : ModelTensor::Role::buffer;
    tensor.type = type_of(schema.dtype);
    tensor.sizes = sizes_of(schema.shape);
    TensorReading& reading = readings_.emplace_back();
    reading.moments = moments;
    reading.moments.nan_count = reading.moments.inf_count = 0;  // told above, without a place
    reading.is_constant = finite_count(moments) == moments.count && moments.count > 1 && moments.min == moments.max;
    for (std::size_t i = 0; i < sizeof(std::size_t); ++i)  // alike with no other
      reading.hash[i] = static_cast<std::uint8_t>(tensors_.size() >> (8 * i));
  }
  void add_activations(const ReportTensor& told) {
    has_seen_ = true;
    const Moments& moments = *told.moments;
    if (moments.nan_count > 0) findings_.push_back({true, told.name, "its activations: " + share(moments.nan_count, moments.count, "NaN")});
    if (moments.inf_count > 0)
      findings_.push_back({told.meant_infinite == 0, told.name,
                           "its activations: " + share(moments.inf_count, moments.count, "infinite") +
                               (told.meant_infinite == 0 ? "" : ", as the operator fills in")});
  }
  void add_fault(const ReportTensor& told) {
    const std::string what = told.group == kGradientGroup ? "its gradient: " : told.group == kActivationGroup ? "its activations: " : "";
    findings_.push_back({true, told.name, what + told.problem});
  }
  // None where nothing was looked at.
  std::optional<std::vector<ReportFinding>> take() {
    if (!has_seen_ && findings_.empty()) return std::nullopt;
    for (const TensorFinding& one : check_tensors(tensors_, readings_))
      findings_.push_back({one.level == FindingLevel::fault, one.tensor, one.text});
    return std::move(findings_);
  }

 private:
  static std::string share(std::uint64_t count, std::uint64_t all, const char* what) {
    return grouped(count) + " of " + grouped(all) + (all == 1 ? " element" : " elements") + (count == 1 ? " is " : " are ") + what;
  }
  void add_gradient(const ReportTensor& told) {
    const Moments& moments = *told.moments;
    const auto tell = [&](bool is_fault, const std::string& text) { findings_.push_back({is_fault, told.name, "its gradient: " + text}); };
    if (moments.nan_count > 0) tell(true, share(moments.nan_count, moments.count, "NaN"));
    if (moments.inf_count > 0) tell(true, share(moments.inf_count, moments.count, "infinite"));
    if (moments.count > 1 && moments.zero_count == moments.count) tell(false, "all " + grouped(moments.count) + " elements are zero");
  }

  std::vector<ModelTensor> tensors_;
  std::vector<TensorReading> readings_;
  std::vector<ReportFinding> findings_;
  bool has_seen_ = false;
};

// All of a group that is there; a magnitude histogram only where each of them has one.
ReportTensor merged(const std::vector<ReportTensor>& tensors, const std::string& group) {
  ReportTensor all;
  all.name = "all sampled " + group;
  all.group = group;
  Moments moments;
  MagnitudeHistogram magnitudes;
  bool has_any = false, has_magnitudes = true;
  for (const ReportTensor& tensor : tensors) {
    if (tensor.group != group || !tensor.moments) continue;
    has_any = true;
    has_magnitudes = has_magnitudes && tensor.magnitudes.has_value();
    merge(moments, *tensor.moments);
    if (tensor.magnitudes) merge(magnitudes, *tensor.magnitudes);
    all.elements += tensor.elements;
    all.bytes += tensor.bytes;
    all.meant_infinite += tensor.meant_infinite;
  }
  if (has_any) all.moments = moments;
  if (has_any && has_magnitudes) all.magnitudes = magnitudes;
  return all;
}

void add_facts(ModelReport& report, const FollowedRun& run) {
  const Snapshot& snapshot = *run.snapshot();
  const RunIdentity& who = run.identity();
  const auto add = [&](const char* label, const std::string& text) { report.facts.emplace_back(label, text); };
  add("run", printable(who.run) + ", rank " + std::to_string(who.rank) + " of " + std::to_string(who.world_size) + ", attempt " +
                 std::to_string(who.attempt));
  add("state", condition_text(run.condition()));
  add("model", printable(who.model) + ", " + grouped(run.schema().trainable.elements) + " trainable parameters in " +
                   counted(run.schema().layers, "layer"));
  if (!who.model_fingerprint.empty()) add("fingerprint", printable(who.model_fingerprint) + " of the architecture");
  add("started", time_text(who.start_time_ns));
  if (snapshot.has_step) add("last step", grouped(snapshot.step.step) + (snapshot.loss ? ", loss " + short_number(*snapshot.loss) : ""));
  if (snapshot.has_frame) add("sampled", "step " + grouped(snapshot.frame.step) + " at " + time_text(snapshot.frame.wall_time_ns));
}

void add_notes(ModelReport& report, const FollowedRun& run) {
  const Snapshot& snapshot = *run.snapshot();
  if (!snapshot.has_frame) {
    report.notes.emplace_back("No tensor of the run was sampled yet.");
  } else if (!report.findings) {
    report.notes.push_back("The sample of step " + grouped(snapshot.frame.step) +
                           " has figures of no tensor: sampling.include in the configuration of the training says which ones it takes.");
  } else {
    report.notes.push_back("This is what the sample of step " + grouped(snapshot.frame.step) +
                           " tells. A sample keeps no elements: there are no histograms by value, no skewness and no kurtosis of a run.");
  }
  std::size_t without = 0, sampled = 0;
  for (const ReportTensor& tensor : report.tensors) {
    if (!tensor.moments || tensor.group == kActivationGroup) continue;
    ++sampled;
    without += tensor.magnitudes ? 0 : 1;
  }
  if (without > 0)
    report.notes.push_back(
        (without == sampled ? "No tensor has" : grouped(without) + " of " + grouped(sampled) + " tensors have no") +
        " magnitudes, and so no advice on number formats: sampling.histogram: [\"*\"] in the configuration of the training keeps "
        "them.");
  if (!run.problem().empty()) report.notes.push_back("Not all of the file can be read: " + run.problem());
}

}  // namespace

ModelReport report_of_run(const FollowedRun& run) {
  const Snapshot& snapshot = *run.snapshot();
  const std::vector<RowSchema>& schema = run.schema().rows;
  ModelReport report;
  report.title = run.identity().run;
  if (run.identity().world_size > 1) report.title += ", rank " + std::to_string(run.identity().rank);
  RunFindings findings;
  for (const std::size_t i : paired_rows(schema)) {
    const TensorRow* const row = snapshot.has_frame && i < snapshot.rows.size() ? &snapshot.rows[i] : nullptr;
    report.tensors.push_back(tensor_of_row(schema[i], row, snapshot));
    findings.add(schema[i], report.tensors.back());
    if (report.tensors.back().problem == kUnread || report.tensors.back().problem == kDamaged) findings.add_fault(report.tensors.back());
  }
  const std::size_t layers = std::min(snapshot.activations.size(), snapshot.layers->size());
  for (std::size_t i = 0; snapshot.has_frame && i < layers; ++i) {
    const ActivationRow& row = snapshot.activations[i];
    if (row.step == 0) continue;  // not measured yet
    const LayerLabel& label = (*snapshot.layers)[i];
    ReportTensor& tensor = report.tensors.emplace_back();
    tensor.name = label.phase == PhaseNames::kTrain ? label.layer : label.layer + " (" + label.phase + ")";
    tensor.group = kActivationGroup;
    tensor.elements = row.moments.count;
    if (are_possible(row.moments)) {
      tensor.moments = row.moments;
      if (writes_infinities(label.layer)) tensor.meant_infinite = row.moments.inf_count;
      findings.add_activations(tensor);
    } else {
      tensor.problem = kDamaged;
      findings.add_fault(tensor);
    }
  }
  report.findings = findings.take();
  for (const char* const group : {kParameterGroup, kGradientGroup}) {
    ReportTensor all = merged(report.tensors, group);
    if (all.moments) report.together.push_back(std::move(all));
  }
  add_facts(report, run);
  add_notes(report, run);
  return report;
}

}  // namespace vigil::tools
