#include "vigil/daemon/run_samples.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "vigil/daemon/write_request.h"
#include "vigil/exporters/activation_series.h"
#include "vigil/exporters/logging.h"
#include "vigil/monitor/sparsity.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

std::int64_t milliseconds_of(std::int64_t nanoseconds) noexcept {
  return nanoseconds / 1'000'000 - (nanoseconds % 1'000'000 < 0 ? 1 : 0);  // down, also before 1970
}

}  // namespace

RunSamples::RunSamples(std::shared_ptr<const Schema> schema, RunSamplesOptions options, RunProgress progress, const RunCursor& after,
                       const std::shared_ptr<SampleLosses>& losses, const SampleGroup::Sink& sink)
    : schema_(std::move(schema)),
      options_(std::move(options)),
      progress_(std::move(progress)),
      steps_(labels_, progress_.steps, after.steps_ms, options_.resolution_ms, losses, sink),
      frames_(labels_, progress_.frames, after.frames_ms, 1, losses, sink) {
  latest_.schema = schema_;
  latest_.layers = std::make_shared<const std::vector<LayerLabel>>();
  latest_.has_frame = true;
  if (options_.tensors) plan_ = std::make_unique<const SeriesPlan>(*schema_, options_.series);
}

std::size_t RunSamples::add_series(SampleGroup& group, std::string_view metric, std::vector<Label> labels, Absence absence) {
  labels.push_back({"run", schema_->identity.run});
  labels.push_back({"rank", std::to_string(schema_->identity.rank)});
  labels.insert(labels.end(), options_.labels.begin(), options_.labels.end());
  return group.add_series(encode_labels(metric, std::move(labels)), absence);
}

void RunSamples::on_step(const StepRecord& record, const double* scalars, const std::vector<std::string>& scalar_names) {
  values_.clear();
  const std::int64_t timestamp_ms = milliseconds_of(record.wall_time_ns);
  if (record.has(StepRecord::again)) {
    put_scalars(record, scalars, scalar_names);
    put(steps_, timestamp_ms + 1, /*is_whole=*/false);
    return;
  }
  for (std::size_t i = 0; i < kPhaseNames.size(); ++i) {
    if (const auto time = time_of(record, static_cast<Phase>(i))) durations_[i].observe(static_cast<double>(*time) * 1e-9);
  }
  std::size_t index = 0;
  for_each_step_series(*schema_, record, scalars, durations_, [&](const StepSeries& series, std::optional<double> value) {
    if (index == step_series_.size()) {
      std::vector<Label> labels;
      for (const StepSeries::LabelView& label : series.labels) {
        if (!label.name.empty()) labels.push_back({std::string(label.name), std::string(label.value)});
      }
      step_series_.push_back(
          add_series(steps_, std::string(metric_row(series.metric).name) + std::string(series.suffix), std::move(labels), series.absence));
    }
    if (value) values_.push_back({step_series_[index], *value});
    ++index;
  });
  if (run_info_ == kNoSeries) {
    const RunIdentity& identity = schema_->identity;
    std::vector<Label> labels{{"model", identity.model},
                              {"libtorch", identity.libtorch},
                              {"host", identity.host},
                              {"world_size", std::to_string(identity.world_size)},
                              {"attempt", std::to_string(identity.attempt)},
                              {"pid", std::to_string(identity.pid)}};
    if (!identity.model_fingerprint.empty()) labels.push_back({"model_fingerprint", identity.model_fingerprint});
    run_info_ = add_series(steps_, metric_row(Metric::run_info).name, std::move(labels), Absence::keeps);
  }
  values_.push_back({run_info_, 1});
  put_scalars(record, scalars, scalar_names);
  put(steps_, timestamp_ms);
}

void RunSamples::put(SampleGroup& group, std::int64_t timestamp_ms, bool is_whole) {
  if (group.put(timestamp_ms, values_, is_whole) || !order_gate_.open(LogGate::Time::clock::now())) return;
  log(LogLevel::warning,
      "remote write: samples of run '" + schema_->identity.run + "' rank " + std::to_string(schema_->identity.rank) +
          " are left out, as their times are not after those of the ones before: a clock was set back, or another run has "
          "the same name");
}

void RunSamples::put_scalars(const StepRecord& record, const double* scalars, const std::vector<std::string>& names) {
  const std::size_t count = std::min({static_cast<std::size_t>(record.user_scalars), names.size(), ScalarNames::kCapacity});
  for (std::size_t i = 0; i < count; ++i) {
    if (i == scalar_series_.size())
      scalar_series_.push_back(add_series(steps_, metric_row(Metric::user_scalar).name, {{"name", names[i]}}, Absence::keeps));
    values_.push_back({scalar_series_[i], scalars[schema_->learning_rates + i]});
  }
}

void RunSamples::on_frame(const Frame& frame) {
  values_.clear();
  if (update_ratio_ == kNoSeries) update_ratio_ = add_series(frames_, metric_row(Metric::update_ratio).name, {}, Absence::ends);
  if (const auto ratio = update_ratio(schema_->rows, frame.rows)) values_.push_back({update_ratio_, *ratio});
  if (sparsity_ == kNoSeries) sparsity_ = add_series(frames_, metric_row(Metric::model_sparsity).name, {}, Absence::ends);
  if (const auto share = sparsity(schema_->rows, frame.rows)) values_.push_back({sparsity_, *share});
  if (plan_ != nullptr) put_tensors(frame);
  put(frames_, milliseconds_of(frame.header.wall_time_ns));
}

void RunSamples::put_tensors(const Frame& frame) {
  latest_.frame = frame.header;
  latest_.rows = frame.rows;
  latest_.histograms = frame.histograms;
  latest_.activations.clear();
  put_families(make_tensor_families(latest_, *plan_), Absence::ends);

  latest_.activations = frame.activations;
  if (latest_.layers->size() != frame.layers.size()) latest_.layers = std::make_shared<const std::vector<LayerLabel>>(frame.layers);
  activation_steps_.resize(std::max(activation_steps_.size(), frame.activations.size()));
  for (std::size_t i = 0; i < latest_.activations.size(); ++i) {
    // A frame repeats what was measured at an earlier one.
    if (latest_.activations[i].step == activation_steps_[i]) {
      latest_.activations[i].step = 0;
    } else {
      activation_steps_[i] = latest_.activations[i].step;
    }
  }
  put_families(make_activation_families(latest_, *plan_), Absence::keeps);
}

void RunSamples::put_families(const std::vector<Family>& families, Absence absence) {
  for (const Family& family : families) {
    for (const Sample& sample : family.samples) {
      const auto [known, is_new] = tensor_series_.try_emplace(std::string(family.name) + '{' + sample.labels->text());
      if (is_new) {
        // Those of the plan have run and rank, which add_series gives every series.
        std::vector<Label> labels = sample.labels->labels();
        labels.erase(
            std::remove_if(labels.begin(), labels.end(), [](const Label& label) { return label.name == "run" || label.name == "rank"; }),
            labels.end());
        known->second = add_series(frames_, family.name, std::move(labels), absence);
      }
      values_.push_back({known->second, sample.value});
    }
  }
}

void RunSamples::release_before(std::int64_t wall_time_ns) {
  steps_.release_before(milliseconds_of(wall_time_ns));
  frames_.release_before(milliseconds_of(wall_time_ns));
}

void RunSamples::end(bool is_superseded) {
  if (is_superseded) {
    // Its labels (attempt, pid) are of this attempt alone.
    steps_.end_only(run_info_);
    frames_.end_only(kNoSeries);
    return;
  }
  steps_.end();
  frames_.end();
}

RunCursor RunSamples::cursor() const noexcept {
  // relaxed: see SampleProgress.
  return {progress_.steps->done_ms.load(std::memory_order_relaxed), progress_.frames->done_ms.load(std::memory_order_relaxed)};
}

}  // namespace vigil
