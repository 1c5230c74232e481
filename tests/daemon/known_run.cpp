#include "daemon/known_run.h"

#include <unistd.h>

#include <cmath>

#include "vigil/monitor/clock.h"

namespace vigil::test {
namespace {

// A number below 1 that looks random, and is the same for the same step and salt everywhere.
double fraction(std::uint64_t step, std::uint64_t salt) noexcept {
  std::uint64_t x = step * 0x9E3779B97F4A7C15 + salt * 0xBF58476D1CE4E5B9 + 1;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1.0p-53;
}

constexpr double kLearningRate = 0.125;

}  // namespace

double known_loss(std::uint64_t step) { return 1 + fraction(step, 1); }
double known_gradient_norm(std::uint64_t step) { return 2 + fraction(step, 2); }
double known_mean(std::uint64_t step, std::size_t row) { return fraction(step, 3 + row); }

Schema known_schema(const std::string& run, int rank, std::size_t tensors) {
  Schema schema;
  schema.identity.run = run;
  schema.identity.rank = rank;
  schema.identity.world_size = rank + 1;
  schema.identity.model = "Known";
  schema.identity.libtorch = "none";
  schema.identity.host = "localhost";
  schema.identity.pid = getpid();
  schema.identity.start_time_ns = wall_time_ns();
  schema.learning_rates = 1;
  for (std::size_t i = 0; i < tensors; ++i) {
    const std::string layer = "layer" + std::to_string(i / 2), name = layer + (i % 2 == 0 ? ".weight" : ".bias");
    for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
      RowSchema row;
      row.kind = kind;
      row.name = name;
      row.layer = layer;
      row.shape = "[1000]";
      row.element_count = 1000;
      row.learning_rate = 0;
      schema.rows.push_back(row);
    }
    schema.parameters.push_back(name);
  }
  schema.trainable = {1000 * tensors, 4000 * tensors};
  schema.layers = (tensors + 1) / 2;
  return schema;
}

bool is_known(const StepRecord& record, const double* scalars) {
  return record.step > 0 && record.loss == known_loss(record.step) && record.gradient_norm == known_gradient_norm(record.step) &&
         record.examples == record.step % 97 && scalars[0] == kLearningRate / static_cast<double>(record.step);
}

bool is_known(const FrameHeader& header, const std::vector<TensorRow>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].state != TensorRow::present || rows[i].moments.mean != known_mean(header.step, i)) return false;
  }
  return true;
}

KnownRun::KnownRun(RunChannel& channel) : channel_(channel), scalars_(channel.scalar_capacity()), rows_(channel.schema().rows.size()) {}

void KnownRun::step(bool is_sampled, std::uint64_t step_ns) {
  ++step_;
  if (step_ == 1) channel_.live().state.store(RunState::running);
  channel_.beat(monotonic_time_ns());
  if (is_sampled) {
    ++samples_;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      TensorRow& row = rows_[i];
      row.state = TensorRow::present;
      Moments& moments = row.moments;
      moments.count = 1000;
      moments.mean = known_mean(step_, i);
      moments.min = -1;
      moments.max = 2;
      moments.m2 = 100;
      moments.l1 = 500;
      moments.sum_squares = 700;
    }
    channel_.publish(FrameHeader{step_, wall_time_ns(), 0}, rows_.data(), nullptr);
  }
  StepRecord record;
  record.step = step_;
  record.wall_time_ns = wall_time_ns();
  record.flags = StepRecord::has_loss | StepRecord::has_gradient_norm;
  if (step_ > 1) record.flags |= StepRecord::has_total_time;
  record.loss = known_loss(step_);
  record.gradient_norm = known_gradient_norm(step_);
  record.total_ns = step_ns;
  record.forward_backward_ns = step_ns / 2;
  record.examples = step_ % 97;
  record.totals.samples = samples_;
  scalars_[0] = kLearningRate / static_cast<double>(step_);
  channel_.publish(record, scalars_.data());
}

}  // namespace vigil::test
