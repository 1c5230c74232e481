#include "exporters/test_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace vigil::test {

Schema make_schema() {
  Schema schema;
  schema.identity.run = "mnist \"a\\b\"";
  schema.identity.rank = 0;
  schema.identity.world_size = 2;
  schema.identity.model = "Net";
  schema.identity.model_fingerprint = "a7d1f3eac31e31f49e8def25b6964ce3";
  schema.identity.libtorch = "1.13.1";
  schema.identity.host = "node\n1";
  schema.identity.pid = 4711;
  schema.identity.attempt = 1;
  schema.identity.start_time_ns = kStartNs;
  schema.rows = {
      {TensorKind::parameter, "conv.weight", "conv", "[4, 1, 3, 3]", 36, DType::float32},
      {TensorKind::parameter, "conv.bias", "conv", "[4]", 4, DType::float32},
      {TensorKind::parameter, "scale", "", "[1]", 1, DType::float32},
      {TensorKind::gradient, "conv.weight", "conv", "[4, 1, 3, 3]", 36, DType::float32},
      {TensorKind::gradient, "conv.bias", "conv", "[4]", 4, DType::float32},
      {TensorKind::gradient, "scale", "", "[1]", 1, DType::float32},
      {TensorKind::buffer, "norm.running_mean", "norm", "[4]", 4, DType::float32},
  };
  // A weight and its gradient with a histogram; every parameter's update is measured, once or more.
  schema.rows[0].histogram = 0;
  schema.rows[3].histogram = 1;
  schema.histograms = 2;
  for (std::size_t i = 0; i < 3; ++i) schema.rows[i].has_update = true;
  schema.rows[0].has_distance = schema.rows[1].has_distance = true;
  schema.rows[3].has_cosine = schema.rows[4].has_cosine = true;
  schema.rows[0].optimizer_state = {"exp_avg", "exp_avg_sq"};
  schema.activations = 3;
  schema.peak_flops = 1e12;
  schema.parameters = {"conv.weight", "conv.bias", "scale"};
  schema.learning_rates = 1;
  schema.trainable = {41, 164};
  schema.frozen = {0, 0};
  schema.buffers = {4, 16};
  schema.layers = 2;
  return schema;
}

Schema make_large_schema(std::size_t layers) {
  Schema schema;
  schema.identity.run = "large";
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
    for (std::size_t i = 0; i < layers; ++i) {
      const std::string layer = "layer" + std::to_string(i);
      const std::uint64_t width = 10 * (layers - i);
      schema.rows.push_back({kind, layer + ".weight", layer, "", width * width, DType::float32});
      schema.rows.push_back({kind, layer + ".bias", layer, "", width, DType::float32});
    }
  }
  return schema;
}

Moments make_moments(std::size_t row) {
  const double n = static_cast<double>(row);
  Moments moments;
  moments.count = 8 + row;
  moments.nan_count = row % 3 == 2 ? 1 : 0;
  moments.inf_count = row % 4 == 3 ? 2 : 0;
  moments.zero_count = row % 2;
  moments.min = -0.25 * (n + 1);
  moments.max = 0.5 * (n + 2);
  moments.mean = 0.125 * (n + 1);
  moments.l1 = 3.5 + n;
  moments.m2 = 2.25 * (n + 1);
  moments.sum_squares = 4 * (n + 1);
  return moments;
}

MagnitudeHistogram make_histogram(std::size_t row) {
  const Moments moments = make_moments(row);
  MagnitudeHistogram histogram;
  histogram.underflow = 1;
  histogram.buckets[20] = 2;
  histogram.buckets[26] = 1;
  histogram.buckets[27] = finite_count(moments) - moments.zero_count - 4;
  return histogram;
}

TestRun::TestRun(Schema schema, ChannelBounds bounds)
    : channel_(std::make_shared<RunChannel>(std::move(schema), bounds)), scalars_(channel_->scalar_capacity(), 0.0) {
  record_.flags = StepRecord::has_loss | StepRecord::has_gradient_norm | StepRecord::has_parameter_norm | StepRecord::has_optimizer_time |
                  StepRecord::has_total_time;
  record_.gradient_norm = 1.25;
  record_.parameter_norm = 3.5;
  record_.forward_backward_ns = 6'000'000;
  record_.optimizer_ns = 1'500'000;
  record_.total_ns = 8'000'000;
}

void TestRun::publish_step(std::uint64_t step, double loss) {
  record_.step = step;
  record_.loss = loss;
  record_.wall_time_ns = kStartNs + static_cast<std::int64_t>(step) * 10'000'000;
  record_.totals.overhead_ns += 1'000;
  record_.totals.loop_overhead_ns += 1'000;
  record_.totals.loop_ns += 1'000'000;
  record_.user_scalars = channel_->scalar_names().size();
  channel_->publish(record_, scalars_.data());
  channel_->live().state.store(RunState::running);
}

void TestRun::publish_nonfinite_step(std::uint64_t step, std::int64_t origin) {
  record_.flags |= StepRecord::nonfinite;
  ++record_.totals.nonfinite_steps;
  record_.origin = origin;
  record_.origin_step = step;
  publish_step(step, kNan);
  NonfiniteEvent event;
  event.step = step;
  event.wall_time_ns = record_.wall_time_ns;
  event.loss_nonfinite = 1;
  if (static_cast<std::size_t>(origin) < channel_->schema().parameters.size()) {
    const std::string& parameter = channel_->schema().parameters[static_cast<std::size_t>(origin)];
    event.nonfinite_parameters = 1;
    event.parameter.assign(parameter);
    event.layer.assign(layer_of(parameter));
    event.nearest_finite.assign("scale");
  }
  event.message.assign("step " + std::to_string(step) + ": the loss is not finite");
  channel_->publish(event);
  record_.flags &= ~std::uint64_t{StepRecord::nonfinite};
}

void TestRun::publish_replay(std::uint64_t step) {
  NonfiniteEvent event;
  event.step = step;
  event.wall_time_ns = record_.wall_time_ns;
  event.found_by = FoundBy::replay;
  event.loss_nonfinite = event.nonfinite_parameters = 1;
  event.backward = 1;
  event.layer.assign("conv/log");
  event.operation.assign("LogBackward0");
  event.forward_operation.assign("aten::log");
  event.parameter.assign("conv.bias");
  event.nearest_finite.assign("scale");
  event.operand_count = 1;
  event.operands[0].description.assign("float32 [4]");
  event.operands[0].moments = make_moments(2);
  event.message.assign("step " + std::to_string(step) + ": LogBackward0 made 4 NaN \"out of\" nothing");
  channel_->publish(event);
}

void TestRun::publish_frame(std::uint64_t step) {
  ++record_.totals.samples;
  std::vector<TensorRow> rows(channel_->schema().rows.size());
  std::vector<MagnitudeHistogram> histograms(channel_->schema().histograms);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowSchema& schema = channel_->schema().rows[i];
    rows[i] = {make_moments(i), TensorRow::present};
    if (schema.has_update) rows[i].update_norm = 0.0625 * static_cast<double>(i + 1);
    if (schema.has_distance) rows[i].distance = 0.75 + static_cast<double>(i);
    if (schema.has_cosine && i == 3) rows[i].cosine = -0.5;
    for (std::size_t s = 0; s < schema.optimizer_state.size(); ++s) {
      rows[i].state_norms[s] = 0.25 * static_cast<double>(s + 1);
      rows[i].states |= std::uint64_t{1} << s;
    }
    if (schema.histogram != RowSchema::kNone) histograms[static_cast<std::size_t>(schema.histogram)] = make_histogram(i);
  }
  std::vector<ActivationRow> activations(channel_->schema().activations);
  if (activations.size() < 3) {
    channel_->publish(FrameHeader{step, kStartNs, 0}, rows.data(), histograms.data());
    return;
  }
  channel_->layer_names().find_or_append("conv", 0);
  channel_->layer_names().find_or_append("conv/relu \"x\"", 0);
  channel_->phase_names().find_or_append("validation");
  channel_->layer_names().find_or_append("conv", 1);
  activations[0].moments = make_moments(4);
  activations[1].moments = make_moments(5);
  activations[1].dead_ratio = 0.25;
  activations[0].step = activations[1].step = step;
  channel_->publish(FrameHeader{step, kStartNs, 3}, rows.data(), histograms.data(), activations.data());
}

std::shared_ptr<const Snapshot> TestRun::snapshot() {
  follower_.poll();
  return follower_.snapshot();
}

std::shared_ptr<const Snapshot> make_first_snapshot() {
  TestRun run;
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  snapshot->exporter_errors = {{"prometheus", 0}, {"jsonl", 0}};
  return snapshot;
}

std::shared_ptr<const Snapshot> make_running_snapshot() {
  TestRun run;
  run.scalars()[0] = 0.01;
  run.channel()->scalar_names().find_or_append("validation/accuracy");
  run.scalars()[1] = 0.875;
  run.publish_frame(1);
  run.publish_step(1, 2.302585);
  run.record().totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::gradient)] = {12, 3};
  run.record().totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::loss)] = {1, 0};
  run.record().totals.skipped_steps = 1;
  run.record().totals.hook_errors[static_cast<std::size_t>(Hook::buffers)] = 2;
  run.record().clip_ratio = 0.5;
  run.record().flags |= StepRecord::has_clip_ratio | StepRecord::has_data_time;
  run.record().data_ns = 500'000;
  run.record().vigil_ns = 20'000;
  run.record().multiply_accumulates = 1'000'000;
  run.record().flags |= StepRecord::has_device_memory;
  run.record().device_allocated = 1'000'000;
  run.record().device_reserved = 2'097'152;
  run.record().device_peak = 1'500'000;
  run.record().device_retries = 1;
  run.record().totals.examples = 96;
  run.record().totals.micro_batches = 4;
  run.record().totals.rollbacks = 1;
  run.record().totals.layers_dropped = 2;
  run.publish_nonfinite_step(2, 1);
  run.publish_replay(2);
  run.record().gradient_norm = kInf;
  run.publish_frame(3);
  run.publish_step(3, 0.1);
  auto snapshot = std::make_shared<Snapshot>(*run.snapshot());
  snapshot->rows[1].update_norm = kNan;  // not measured in this frame
  snapshot->rows[4].state = TensorRow::absent;
  Moments& nothing_finite = snapshot->rows[6].moments;
  nothing_finite = Moments{};
  nothing_finite.count = nothing_finite.nan_count = 4;
  snapshot->exporter_errors = {{"prometheus", 0}, {"jsonl", 1}};
  AlertNotice& alert = snapshot->active_alerts.emplace_back();
  alert.alert = "nonfinite_gradient";
  alert.severity = "critical";
  alert.parameter = "fc.weight";
  alert.layer = "fc";
  AlertNotice& group = snapshot->active_alerts.emplace_back();
  group.alert = "learning_rate_jump";
  group.severity = "warning";
  group.subject = "group 1";
  snapshot->alert_counts = {{"nonfinite_gradient", "critical", 2}, {"loss_spike", "warning", 0}};
  snapshot->alerts_dropped = 1;
  snapshot->end_reason = "signal 11 (SIGSEGV)";  // as only a reader of a ring file finds; here for the form of it
  return snapshot;
}

std::uint64_t errors_of(const Snapshot& snapshot, const std::string& exporter) {
  for (const auto& [name, errors] : snapshot.exporter_errors) {
    if (name == exporter) return errors;
  }
  ADD_FAILURE() << "no exporter " << exporter;
  return 0;
}

const Family* find_family(const std::vector<Family>& families, std::string_view name) {
  const auto found = std::find_if(families.begin(), families.end(), [name](const Family& family) { return family.name == name; });
  return found == families.end() ? nullptr : &*found;
}

std::vector<Family> families_of(const Snapshot& snapshot, const PrometheusConfig& config) {
  return make_families(snapshot, SeriesPlan(*snapshot.schema, config));
}

double value_of(const std::vector<Family>& families, std::string_view name, const std::string& labels) {
  if (const Family* family = find_family(families, name)) {
    for (const Sample& sample : family->samples) {
      if (sample.labels->text() == labels) return sample.value;
    }
  }
  ADD_FAILURE() << "no series " << name << "{" << labels << "}";
  return kNan;
}

}  // namespace vigil::test
