#include "vigil/exporters/metric_families.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "vigil/exporters/activation_series.h"
#include "vigil/exporters/precision_advice.h"
#include "vigil/exporters/seconds.h"
#include "vigil/exporters/tensor_series.h"
#include "vigil/monitor/sparsity.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

#if defined(__clang__)
constexpr std::string_view kCompiler = "clang " __clang_version__;
#else
constexpr std::string_view kCompiler = "gcc " __VERSION__;
#endif

// Collects families of one snapshot; every series gets the labels run and rank first.
class Builder {
 public:
  explicit Builder(const Snapshot& snapshot) : snapshot_(snapshot), identity_(snapshot.schema->identity) {
    families_.reserve(kMetrics.size());
  }

  void begin(Metric metric) {
    const MetricRow& info = metric_row(metric);
    families_.push_back({info.name, info.type, info.unit, std::string(info.help), {}, {}});
  }

  void add(std::vector<Label> more, double value) { families_.back().samples.push_back({series(std::move(more)), value}); }

  void add(std::vector<Label> more, const DurationHistogram& durations) {
    HistogramValue value;
    value.upper_bounds.assign(kDurationBounds.begin(), kDurationBounds.end());
    std::uint64_t cumulative = 0;
    for (std::size_t i = 0; i < kDurationBounds.size(); ++i) {
      cumulative += durations.buckets[i];
      value.cumulative.push_back(cumulative);
    }
    value.count = durations.count;
    value.sum = durations.sum_seconds;
    families_.back().histograms.push_back({series(std::move(more)), std::move(value)});
  }

  void only(Metric metric, double value) {
    begin(metric);
    add({}, value);
  }
  void only(Metric metric, std::uint64_t value) { only(metric, static_cast<double>(value)); }

  void add_run();
  void add_training();
  void add_numerics();
  void add_model();
  void add_precision();
  void add_alerts();
  void add_self(std::uint64_t series, std::uint64_t dropped_series);

  std::vector<Family>& families() noexcept { return families_; }

 private:
  Labels series(std::vector<Label> more) const {
    std::vector<Label> labels{{"run", identity_.run}, {"rank", std::to_string(identity_.rank)}};
    for (Label& label : more) labels.push_back(std::move(label));
    return make_labels(std::move(labels));
  }

  const Snapshot& snapshot_;
  const RunIdentity& identity_;
  std::vector<Family> families_;
};

void Builder::add_run() {
  begin(Metric::build_info);
  add({{"version", std::string(vigil_version())}, {"compiler", std::string(kCompiler)}}, 1.0);
  begin(Metric::run_info);
  std::vector<Label> who{{"model", identity_.model},
                         {"libtorch", identity_.libtorch},
                         {"host", identity_.host},
                         {"world_size", std::to_string(identity_.world_size)},
                         {"attempt", std::to_string(identity_.attempt)},
                         {"pid", std::to_string(identity_.pid)}};
  if (!identity_.model_fingerprint.empty()) who.push_back({"model_fingerprint", identity_.model_fingerprint});
  add(std::move(who), 1.0);
  only(Metric::up, is_alive(snapshot_.state) ? 1.0 : 0.0);
  only(Metric::steps, snapshot_.has_step ? snapshot_.step.step : std::uint64_t{0});
  only(Metric::samples, snapshot_.step.totals.samples);
  only(Metric::last_step_timestamp, to_seconds(snapshot_.has_step ? snapshot_.step.wall_time_ns : identity_.start_time_ns));
  only(Metric::start_time, to_seconds(identity_.start_time_ns));
  begin(Metric::run_state);
  for (std::size_t i = 0; i < kRunStateNames.size(); ++i) {
    add({{"state", std::string(kRunStateNames[i])}}, static_cast<std::size_t>(snapshot_.state) == i ? 1.0 : 0.0);
  }
  if (!snapshot_.end_reason.empty()) {
    begin(Metric::run_end_info);
    add({{"reason", snapshot_.end_reason}}, 1.0);
  }
}

void Builder::add_training() {
  const StepRecord& step = snapshot_.step;
  if (snapshot_.loss) only(Metric::loss, *snapshot_.loss);
  if (!snapshot_.learning_rates.empty()) {
    begin(Metric::learning_rate);
    for (std::size_t group = 0; group < snapshot_.learning_rates.size(); ++group) {
      const auto& groups = snapshot_.schema->groups;
      add({{"group", group < groups.size() ? groups[group] : std::to_string(group)}}, snapshot_.learning_rates[group]);
    }
  }
  if (snapshot_.gradient_norm) only(Metric::gradient_norm, *snapshot_.gradient_norm);
  if (snapshot_.has_step && step.has(StepRecord::has_parameter_norm)) only(Metric::parameter_norm, step.parameter_norm);
  if (const auto ratio = update_ratio(snapshot_)) only(Metric::update_ratio, *ratio);
  if (snapshot_.has_step && step.has(StepRecord::has_clip_ratio)) only(Metric::clip_ratio, step.clip_ratio);
  begin(Metric::step_duration);
  for (std::size_t phase = 0; phase < kPhaseNames.size(); ++phase) {
    add({{"phase", std::string(kPhaseNames[phase])}}, snapshot_.durations[phase]);
  }
  if (snapshot_.has_step) {
    begin(Metric::last_step_duration);
    for (std::size_t phase = 0; phase < kPhaseNames.size(); ++phase) {
      if (const auto time = time_of(step, static_cast<Phase>(phase))) add({{"phase", std::string(kPhaseNames[phase])}}, to_seconds(*time));
    }
  }
  only(Metric::micro_batches, step.totals.micro_batches);
  only(Metric::examples, step.totals.examples);
  if (step.multiply_accumulates > 0) {
    only(Metric::step_flops, 2 * static_cast<double>(step.multiply_accumulates));
    const double utilization = flops_utilization(step.multiply_accumulates, snapshot_.mean_step_seconds, snapshot_.schema->peak_flops);
    if (!is_nan_bits(utilization)) only(Metric::flops_utilization, utilization);
  }
  if (!snapshot_.user_scalars.empty()) {
    begin(Metric::user_scalar);
    for (const auto& [name, value] : snapshot_.user_scalars) add({{"name", name}}, value);
  }
}

// The event of the streak that the record tells of; null when the rings have lost it.
const NonfiniteEvent* origin_of(const Snapshot& snapshot) noexcept {
  return snapshot.origin && snapshot.origin->step >= snapshot.step.origin_step ? &*snapshot.origin : nullptr;
}

void Builder::add_numerics() {
  const RunTotals& totals = snapshot_.step.totals;
  begin(Metric::nonfinite_values);
  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    const std::string tensor(kNonfiniteInNames[i]);
    add({{"tensor", tensor}, {"value", "nan"}}, static_cast<double>(totals.nonfinite_values[i].nan));
    add({{"tensor", tensor}, {"value", "inf"}}, static_cast<double>(totals.nonfinite_values[i].inf));
  }
  only(Metric::nonfinite_steps, totals.nonfinite_steps);
  begin(Metric::skipped_steps);
  add({{"reason", "nonfinite"}}, static_cast<double>(totals.skipped_steps));
  if (snapshot_.has_step && snapshot_.step.origin_step != 0) {
    const std::string parameter(origin_parameter(snapshot_.step, *snapshot_.schema));
    begin(Metric::nonfinite_origin_info);
    const NonfiniteEvent* const event = origin_of(snapshot_);
    add({{"layer", event != nullptr ? std::string(event->layer.view()) : layer_of(parameter)},
         {"operation", event != nullptr ? std::string(event->operation.view()) : ""},
         {"parameter", event != nullptr ? std::string(event->parameter.view()) : parameter},
         {"step", std::to_string(event != nullptr ? event->step : snapshot_.step.origin_step)},
         {"found_by", std::string(kFoundByNames[static_cast<std::size_t>(event != nullptr ? event->found_by : FoundBy::bracket)])}},
        1.0);
  }
  only(Metric::rollbacks, totals.rollbacks);
}

void Builder::add_model() {
  const Schema& schema = *snapshot_.schema;
  if (const StepRecord& step = snapshot_.step; snapshot_.has_step && step.has(StepRecord::has_device_memory)) {
    begin(Metric::device_memory);
    add({{"kind", "allocated"}}, static_cast<double>(step.device_allocated));
    add({{"kind", "reserved"}}, static_cast<double>(step.device_reserved));
    add({{"kind", "peak"}}, static_cast<double>(step.device_peak));
    only(Metric::allocation_retries, step.device_retries);
    only(Metric::out_of_memory, step.device_out_of_memory);
  }
  const std::array<std::pair<const char*, const ModelSize*>, 3> kinds{
      {{"trainable", &schema.trainable}, {"frozen", &schema.frozen}, {"buffer", &schema.buffers}}};
  begin(Metric::model_parameters);
  for (const auto& [kind, size] : kinds) add({{"kind", kind}}, static_cast<double>(size->elements));
  begin(Metric::model_bytes);
  for (const auto& [kind, size] : kinds) add({{"kind", kind}}, static_cast<double>(size->bytes));
  only(Metric::model_layers, schema.layers);
  if (const auto share = sparsity(snapshot_)) only(Metric::model_sparsity, *share);
}

void Builder::add_precision() {
  const std::vector<AdviceCount> counts = count_precision_advice(snapshot_);
  if (!counts.empty()) begin(Metric::precision_advice);
  for (const AdviceCount& count : counts) {
    add({{"tensor", std::string(count.tensor)}, {"format", std::string(count.format)}, {"verdict", std::string(count.verdict)}},
        static_cast<double>(count.tensors));
  }
}

void Builder::add_alerts() {
  if (snapshot_.alert_counts.empty()) return;  // no rules are evaluated
  if (!snapshot_.active_alerts.empty()) begin(Metric::alert_active);
  for (const AlertNotice& alert : snapshot_.active_alerts) {
    add({{"alert", alert.alert},
         {"severity", alert.severity},
         {"parameter", alert.parameter},
         {"layer", alert.layer},
         {"subject", alert.subject}},
        1.0);
  }
  begin(Metric::alerts);
  for (const AlertCount& count : snapshot_.alert_counts) {
    add({{"alert", count.alert}, {"severity", count.severity}}, static_cast<double>(count.fired));
  }
  only(Metric::alerts_dropped, snapshot_.alerts_dropped);
}

void Builder::add_self(std::uint64_t series, std::uint64_t dropped_series) {
  const RunTotals& totals = snapshot_.step.totals;
  only(Metric::overhead_seconds, to_seconds(totals.overhead_ns));
  only(Metric::overhead_ratio, snapshot_.overhead_ratio());
  const std::array<std::pair<const char*, const RingLosses*>, 2> rings{
      {{"steps", &snapshot_.step_ring}, {"frames", &snapshot_.frame_ring}}};
  begin(Metric::ring_overwritten);
  for (const auto& [ring, losses] : rings) add({{"ring", ring}}, static_cast<double>(losses->overwritten));
  begin(Metric::ring_torn);
  for (const auto& [ring, losses] : rings) add({{"ring", ring}}, static_cast<double>(losses->torn));
  only(Metric::series, series);
  only(Metric::series_dropped, dropped_series);
  only(Metric::activation_layers_dropped, totals.layers_dropped);
  if (!snapshot_.exporter_errors.empty()) {
    begin(Metric::exporter_errors);
    for (const auto& [exporter, errors] : snapshot_.exporter_errors) {
      add({{"exporter", exporter}}, static_cast<double>(errors));
    }
  }
  begin(Metric::hook_errors);
  for (std::size_t hook = 0; hook < kHookNames.size(); ++hook) {
    add({{"hook", std::string(kHookNames[hook])}}, static_cast<double>(totals.hook_errors[hook]));
  }
}

Labels with(const Labels& labels, const Label& more) {
  std::vector<Label> all = labels->labels();
  all.push_back(more);
  return make_labels(std::move(all));
}

void append_tensor_families(std::vector<Family>& families, const Snapshot& snapshot, const SeenTensors& tensors, const SeriesPlan& plan) {
  for (const TensorFamily& of : tensor_families()) {
    Family family{of.name, of.type, {}, of.help, {}, {}};
    for_each_series(of, tensors, [&family](const SeenTensor& tensor, const SeriesLabel* label, double value) {
      family.samples.push_back({label == nullptr ? tensor.entry->labels : with(tensor.entry->labels, label->label), value});
    });
    if (!family.samples.empty()) families.push_back(std::move(family));
  }
  for (Family& family : make_activation_families(snapshot, plan)) families.push_back(std::move(family));
}

}  // namespace

std::vector<Family> make_run_families(const Snapshot& snapshot, std::uint64_t series, std::uint64_t dropped_series) {
  Builder builder(snapshot);
  builder.add_run();
  builder.add_training();
  builder.add_numerics();
  builder.add_model();
  builder.add_precision();
  builder.add_alerts();
  builder.add_self(series, dropped_series);
  return std::move(builder.families());
}

std::vector<Family> make_tombstone_families(const Snapshot& snapshot) {
  // Gauges that stay true when nothing goes on any more.
  static constexpr std::array<Metric, 8> kKept{
      Metric::run_info,  Metric::up,           Metric::last_step_timestamp,   Metric::start_time,
      Metric::run_state, Metric::run_end_info, Metric::nonfinite_origin_info, Metric::model_parameters};
  std::vector<Family> families = make_run_families(snapshot, 0, 0);
  const auto is_dropped = [](const Family& family) {
    if (family.type != MetricType::gauge) return false;
    return std::none_of(kKept.begin(), kKept.end(), [&](Metric metric) { return metric_row(metric).name == family.name; });
  };
  families.erase(std::remove_if(families.begin(), families.end(), is_dropped), families.end());
  return families;
}

Family make_build_info() {
  const MetricRow& row = metric_row(Metric::build_info);
  Family family{row.name, row.type, row.unit, std::string(row.help), {}, {}};
  family.samples.push_back({make_labels({{"version", std::string(vigil_version())}, {"compiler", std::string(kCompiler)}}), 1.0});
  return family;
}

std::vector<Family> make_families(const Snapshot& snapshot, const SeriesPlan& plan) {
  const SeenTensors tensors(snapshot, plan);
  const ActivationSeries activations = count_activation_series(snapshot, plan);
  std::vector<Family> families =
      make_run_families(snapshot, tensors.series() + activations.shown, plan.dropped_series() + activations.dropped);
  append_tensor_families(families, snapshot, tensors, plan);
  return families;
}

std::vector<Family> make_tensor_families(const Snapshot& snapshot, const SeriesPlan& plan) {
  std::vector<Family> families;
  append_tensor_families(families, snapshot, SeenTensors(snapshot, plan), plan);
  return families;
}

std::string_view vigil_version() noexcept { return VIGIL_VERSION; }

}  // namespace vigil
