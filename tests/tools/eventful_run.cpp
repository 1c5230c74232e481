#include "tools/eventful_run.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "exporters/test_run.h"
#include "vigil/exporters/export_thread.h"
#include "vigil/monitor/reduction.h"
#include "vigil/monitor/run_channel.h"

namespace vigil::test {
namespace {

constexpr std::size_t kLayers = 5, kActivations = 4;

}  // namespace

class EventfulAuthor::Author {
 public:
  Author(const EventfulRun& run, RunChannel& channel)
      : run_(run), channel_(channel), random_(run.seed), scalars_(channel.scalar_capacity(), 0.0), kept_(channel.schema().rows.size()) {
    channel_.scalar_names().find_or_append("accuracy");
    for (const std::string& layer : run.layers) channel_.layer_names().find_or_append(layer, 0);
    channel_.live().state.store(RunState::running);
  }

  void write(std::uint64_t step) {
    const bool is_nonfinite = goes_wrong(step, 400, 403);
    if (step == 1 || step % 5 == 0 || is_nonfinite) write_frame(step, is_nonfinite);
    write_step(step, is_nonfinite);
    if (is_nonfinite && step == 400) write_event(step);
  }

 private:
  bool goes_wrong(std::uint64_t step, std::uint64_t from, std::uint64_t to) const { return !run_.is_healthy && step >= from && step < to; }
  double noise(double width) { return std::uniform_real_distribution<double>(1 - width, 1 + width)(random_); }

  Moments moments(DType dtype, std::size_t count, double scale, double zeros = 0, MagnitudeHistogram* magnitudes = nullptr) {
    std::vector<float> values(count);
    std::normal_distribution<float> normal(0, 1);
    for (float& value : values) value = noise(0.5) - 0.5 < zeros ? 0.0F : static_cast<float>(scale) * normal(random_);
    static_cast<void>(dtype);  // what matters of it is in the schema
    return compute_moments(DType::float32, values.data(), values.size(), magnitudes);
  }

  void write_frame(std::uint64_t step, bool is_nonfinite) {
    const Schema& schema = channel_.schema();
    std::vector<TensorRow> rows(schema.rows.size());
    std::vector<MagnitudeHistogram> histograms(schema.histograms);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const RowSchema& row = schema.rows[i];
      const std::size_t layer = i % kLayers;
      const bool is_gradient = row.kind == TensorKind::gradient;
      rows[i].state = TensorRow::present;
      double scale = is_gradient ? 0.01 : 0.5;
      double zeros = 0;
      if (goes_wrong(step, 600, 760) && is_gradient && layer == 1) zeros = 1;
      if (goes_wrong(step, 800, 900) && is_gradient && layer == 2) scale = 1e-9;
      if (goes_wrong(step, 500, 700) && !is_gradient && layer == 3) scale = 30;
      if (goes_wrong(step, 300, 310) && row.dtype == DType::float16) scale = 20000;
      const auto histogram = static_cast<std::size_t>(row.histogram);  // kNone is beyond every list
      rows[i].moments =
          moments(row.dtype, row.element_count, scale, zeros, histogram < histograms.size() ? &histograms[histogram] : nullptr);
      if (goes_wrong(step, 950, 1100) && !is_gradient && layer == 4 && kept_[i].count > 0) rows[i].moments = kept_[i];
      kept_[i] = rows[i].moments;
      if (goes_wrong(step, 1000, 1200) && is_gradient && layer == 0) rows[i] = TensorRow{};
      if (is_nonfinite && is_gradient && rows[i].state == TensorRow::present) rows[i].moments.nan_count = 3;
      if (goes_wrong(step, 1300, 1310) && row.kind == TensorKind::buffer) rows[i].moments.inf_count = 2;
      if (row.has_update) rows[i].update_norm = goes_wrong(step, 1250, 1251) ? 90 : 0.01 * noise(0.1);
    }
    std::vector<ActivationRow> activations(kActivations);
    for (std::size_t i = 0; i < kActivations; ++i) {
      if (step == 1 && i == 3) continue;  // seen later
      if (step % 10 != 0 && step != 1) {
        activations[i] = activations_[i];
        continue;
      }
      activations[i].moments = moments(DType::float32, 64, i == 0 && !run_.is_healthy ? 1e-6 : 1);
      if (goes_wrong(step, 402, 420) && i == 2) activations[i].moments.nan_count = 5;
      if (i == 1) activations[i].dead_ratio = goes_wrong(step, 700, 800) ? 0.9 : 0.1;
      if (i == 3) activations[i].saturated_ratio = goes_wrong(step, 700, 800) ? 0.75 : 0.0;
      activations[i].step = step;
    }
    activations_ = activations;
    if (run_.spoil) run_.spoil(rows, activations);
    ++record_.totals.samples;
    parameter_norm_ = 10 + 1e-3 * static_cast<double>(step);
    if (run_.diverges_at > 0 && step >= run_.diverges_at) parameter_norm_ *= 1.01;
    channel_.publish(FrameHeader{step, time_of(step), kActivations}, rows.data(), histograms.empty() ? nullptr : histograms.data(),
                     activations.data());
  }

  void write_step(std::uint64_t step, bool is_nonfinite) {
    const double progress = std::exp(-static_cast<double>(step) / 300);
    StepRecord& record = record_;
    record.step = step;
    record.wall_time_ns = time_of(step);
    record.flags = StepRecord::has_loss | StepRecord::has_gradient_norm | StepRecord::has_parameter_norm | StepRecord::has_device_memory;
    record.loss = (0.1 + progress) * noise(0.05);
    record.gradient_norm = 2 * noise(0.2);
    record.parameter_norm = parameter_norm_;
    if (goes_wrong(step, 450, 451)) record.loss *= 100;
    if (goes_wrong(step, 470, 480)) record.gradient_norm *= 1000;
    if (is_nonfinite) {
      record.loss = kNan;
      record.gradient_norm = kInf;
      record.flags |= StepRecord::nonfinite | StepRecord::skipped;
      record.origin = 1;
      record.origin_step = 400;
      ++record.totals.nonfinite_steps;
      ++record.totals.skipped_steps;
      record.totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::loss)].nan += 1;
      record.totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::gradient)].nan += 3;
    }
    if (goes_wrong(step, 1300, 1310)) record.totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::parameter)].inf += 2;
    if (step > 1) {
      record.flags |= StepRecord::has_total_time | StepRecord::has_data_time | StepRecord::has_optimizer_time;
      const double slow = goes_wrong(step, 1100, 1500) ? 20 : 1;
      record.data_ns = static_cast<std::uint64_t>(1e9 * run_.data_seconds * slow * noise(0.05));
      record.optimizer_ns = static_cast<std::uint64_t>(5e6 * noise(0.05));
      // The slowest rank's step is everybody's: the others wait in the backward pass.
      record.total_ns =
          static_cast<std::uint64_t>(1e9 * run_.step_seconds * slow * noise(0.01)) + (goes_wrong(step, 250, 251) ? 2'000'000'000U : 0U);
      record.forward_backward_ns = record.total_ns - std::min(record.total_ns, record.data_ns + record.optimizer_ns);
      record.vigil_ns = 10'000;
    }
    elapsed_ns_ += static_cast<std::int64_t>(record.total_ns);
    record.examples = 32;
    record.totals.examples += 32;
    record.device_allocated = run_.is_healthy ? 1'000'000'000 : 1'000'000'000 + 1'000'000 * step;
    scalars_[0] = goes_wrong(step, 1400, 1500) ? 0 : goes_wrong(step, 350, 360) ? 0.5 : 0.01;
    scalars_[1] = goes_wrong(step, 100, 101) ? 0.5 : 0.01;
    const bool validates = step % 50 == 0;
    scalars_[2] = 0.75 + 0.01 * noise(0.5);
    if (validates) channel_.scalar_names().find_or_append("validation/loss");  // as it is first logged
    if (validates) scalars_[3] = run_.is_healthy ? record.loss : 0.2 + 0.001 * static_cast<double>(step);
    record.user_scalars = channel_.scalar_names().size();
    channel_.publish(record, scalars_.data());
    if (step % 200 != 0) return;
    record.flags &= ~std::uint64_t{StepRecord::has_total_time | StepRecord::has_data_time | StepRecord::has_optimizer_time};
    record.flags |= StepRecord::again;
    scalars_[3] *= 1.5;
    channel_.publish(record, scalars_.data());
  }

  void write_event(std::uint64_t step) {
    NonfiniteEvent event;
    event.step = step;
    event.wall_time_ns = time_of(step);
    event.found_by = FoundBy::replay;
    event.loss_nonfinite = 1;
    event.nonfinite_parameters = 5;
    event.layer.assign("layer1/log");
    event.operation.assign("aten::log");
    event.parameter.assign("layer1.weight");
    event.nearest_finite.assign("layer4.weight");
    event.message.assign("aten::log in layer1 made 3 NaN out of \"finite\" values");
    channel_.publish(event);
  }

  std::int64_t time_of(std::uint64_t step) const {
    const bool is_back = run_.clock_set_back_at > 0 && step >= run_.clock_set_back_at;
    return kStartNs + elapsed_ns_ + static_cast<std::int64_t>(1237 * step) - (is_back ? 3'600'000'000'000 : 0);
  }

  const EventfulRun& run_;
  RunChannel& channel_;
  std::mt19937 random_;
  std::vector<double> scalars_;
  std::vector<Moments> kept_;
  std::vector<ActivationRow> activations_{kActivations};
  StepRecord record_;
  double parameter_norm_ = 0;
  std::int64_t elapsed_ns_ = 0;
};

EventfulAuthor::EventfulAuthor(const EventfulRun& run, RunChannel& channel) : author_(std::make_unique<Author>(run, channel)) {}
EventfulAuthor::~EventfulAuthor() = default;
void EventfulAuthor::write(std::uint64_t step) { author_->write(step); }

Schema eventful_schema(const EventfulRun& run) {
  Schema schema;
  schema.identity.run = "eventful \"run\"";
  schema.identity.rank = run.rank;
  schema.identity.world_size = run.world_size;
  schema.identity.host = "host";
  schema.identity.pid = 100 + run.rank;
  schema.identity.start_time_ns = kStartNs;
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
    for (std::size_t i = 0; i < kLayers; ++i) {
      const std::string layer = "layer" + std::to_string(i);
      RowSchema& row = schema.rows.emplace_back();
      row.kind = kind;
      row.name = layer + ".weight";
      row.layer = layer;
      row.shape = "[8, 16]";
      row.element_count = 128;
      row.dtype = i == 2 ? DType::float16 : DType::float32;
      row.has_update = kind == TensorKind::parameter;
      if (kind == TensorKind::parameter) schema.parameters.push_back(row.name);
    }
  }
  schema.rows.push_back({TensorKind::buffer, "norm.running_mean", "norm", "[8]", 8, DType::float32});
  schema.learning_rates = 2;
  schema.groups = {"0", "1"};
  schema.activations = kActivations;
  return schema;
}

void export_eventful_run(const EventfulRun& run, Config config) {
  config.exporters.jsonl.enabled = true;
  config.exporters.prometheus.enabled = config.exporters.report.enabled = false;
  config.exporters.interval_ms = 60'000;
  config.log.level = LogLevel::off;
  const auto channel = std::make_shared<RunChannel>(eventful_schema(run), ChannelBounds{256, std::size_t{4} << 20});
  ExportThread exporting(channel, config);
  EventfulAuthor author(run, *channel);
  for (std::uint64_t step = 1; step <= run.steps; ++step) {
    author.write(step);
    if (step % 8 == 0) exporting.refresh();  // before a ring is full
  }
  channel->live().state.store(RunState::finished);
  exporting.stop();
}

}  // namespace vigil::test
