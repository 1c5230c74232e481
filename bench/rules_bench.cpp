// The whole catalogue of alert rules, as it is set by default, on one step of a healthy run of 500 tensors.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "bench/fixture.h"
#include "vigil/exporters/alert_rules.h"

namespace vigil {
namespace {

constexpr std::size_t kLayers = 125;   // each with a weight and a bias, and their gradients: 500 tensors
constexpr std::size_t kFrames = 32;    // that differ, one after the other
constexpr std::size_t kLosses = 4099;  // likewise: a branch predictor learns short cycles

Schema make_schema() {
  Schema schema;
  schema.identity.run = "bench";
  for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
    for (std::size_t i = 0; i < kLayers; ++i) {
      const std::string layer = "transformer.h." + std::to_string(i) + ".mlp";
      schema.rows.push_back({kind, layer + ".weight", layer, "[256, 256]", 65536, DType::float16});
      schema.rows.push_back({kind, layer + ".bias", layer, "[256]", 256, DType::float16});
      for (std::size_t row = schema.rows.size() - 2; row < schema.rows.size(); ++row)
        schema.rows[row].has_update = kind == TensorKind::parameter;
      if (kind == TensorKind::gradient) continue;
      schema.parameters.push_back(layer + ".weight");
      schema.parameters.push_back(layer + ".bias");
    }
  }
  schema.learning_rates = 2;
  schema.activations = 2 * kLayers;
  return schema;
}

Moments make_moments(std::uint64_t count, double deviation, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, 1);
  const auto n = static_cast<double>(count);
  Moments moments;
  moments.count = count;
  moments.zero_count = random() % 3;
  moments.mean = 0.01 * deviation * normal(random);
  moments.min = -4 * deviation;
  moments.max = 4 * deviation;
  moments.l1 = 0.8 * n * deviation * (1 + 1e-3 * normal(random));
  moments.m2 = n * deviation * deviation * (1 + 1e-3 * normal(random));
  moments.sum_squares = moments.m2 + n * moments.mean * moments.mean;
  return moments;
}

// A run whose records come round again.
class HealthyRun {
 public:
  HealthyRun() : engine_(schema_, engine_setup(RulesConfig{})), scalars_(schema_.learning_rates + ScalarNames::kCapacity, 1e-3) {
    std::mt19937_64 random(1);
    for (std::size_t frame = 0; frame < kFrames; ++frame) {
      std::vector<TensorRow>& rows = rows_.emplace_back(schema_.rows.size());
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const bool is_parameter = schema_.rows[i].kind == TensorKind::parameter;
        rows[i] = {make_moments(schema_.rows[i].element_count, is_parameter ? 0.02 : 1e-3, random), TensorRow::present};
        if (is_parameter) rows[i].update_norm = 1e-3 * l2_norm(rows[i].moments);
      }
      std::vector<ActivationRow>& activations = activations_.emplace_back(schema_.activations);
      for (ActivationRow& row : activations) {
        row.moments = make_moments(16384, 1, random);
        row.dead_ratio = row.saturated_ratio = 0.1;
      }
    }
    std::normal_distribution<double> normal(0, 0.1);
    for (std::size_t i = 0; i < kLosses; ++i) losses_.push_back(std::exp(normal(random)));
    for (std::size_t i = 0; i < schema_.activations; ++i)
      layers_.push_back({"transformer.h." + std::to_string(i / 2) + (i % 2 == 0 ? ".mlp" : ".mlp/relu"), "train"});
    names_.find_or_append("validation/loss");
    for (int i = 0; i < 300; ++i) step(true);  // what is judged by a window is judged from here on
  }

  void step(bool is_sampled) {
    const std::size_t i = ++record_.step % kFrames, noise = record_.step % kLosses;
    record_.flags = StepRecord::has_loss | StepRecord::has_gradient_norm | StepRecord::has_total_time | StepRecord::has_data_time;
    record_.wall_time_ns += 100'000'000;
    record_.loss = losses_[noise] / static_cast<double>(1 + record_.step);
    record_.gradient_norm = losses_[kLosses - 1 - noise];
    record_.total_ns = static_cast<std::uint64_t>(1e8 * losses_[noise]);
    record_.data_ns = 1'000'000;
    record_.user_scalars = 1;
    if (is_sampled) {
      for (ActivationRow& row : activations_[i]) row.step = record_.step;
      const FrameHeader header{record_.step, record_.wall_time_ns, activations_[i].size()};
      engine_.on_frame({header, rows_[i], {}, activations_[i], layers_});
    }
    engine_.on_step(record_, scalars_.data(), names_);
  }
  std::uint64_t fired() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : engine_.book().fired()) sum += count;
    return sum;
  }
  /// Whether one zero gradient is told of.
  bool tells_a_fault() {
    TensorRow& row = rows_[(record_.step + 1) % kFrames][2 * kLayers];
    row.moments.nan_count = 1;
    record_.totals.nonfinite_values[static_cast<std::size_t>(NonfiniteIn::gradient)].nan = 1;
    step(true);
    return fired() == 1;
  }

 private:
  const Schema schema_ = make_schema();
  AlertEngine engine_;
  StepRecord record_;
  std::vector<double> scalars_, losses_;
  ScalarNames names_;
  std::vector<std::vector<TensorRow>> rows_;
  std::vector<std::vector<ActivationRow>> activations_;
  std::vector<LayerLabel> layers_;
};

void evaluate(benchmark::State& state, bool is_sampled) {
  bench::FixtureShelf::instance().clear();
  HealthyRun run;
  for (auto _ : state) run.step(is_sampled);
  if (run.fired() != 0 || !run.tells_a_fault()) state.SkipWithError("the rules do not say of this run what is true of it");
}

BENCHMARK_CAPTURE(evaluate, sampled_step, true)->Name("rules/sampled_step")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(evaluate, other_step, false)->Name("rules/other_step")->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vigil
