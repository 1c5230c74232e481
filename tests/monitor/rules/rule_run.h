// A run that tests make up for the rules: a model of two layers, all of its records healthy but for what a test changes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "vigil/monitor/rules/alert_engine.h"

namespace vigil::test {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr std::int64_t kSecond = 1'000'000'000;

/// Moments of `values`, straight from their definitions.
inline Moments moments_of(const std::vector<double>& values) {
  Moments moments;
  moments.count = values.size();
  long double sum = 0;
  std::vector<double> finite;
  for (const double value : values) {
    moments.nan_count += std::isnan(value) ? 1 : 0;
    moments.inf_count += std::isinf(value) ? 1 : 0;
    moments.zero_count += value == 0 ? 1 : 0;
    if (!std::isfinite(value)) continue;
    finite.push_back(value);
    sum += value;
    moments.l1 += std::fabs(value);
    moments.sum_squares += value * value;
  }
  if (finite.empty()) return moments;
  moments.min = *std::min_element(finite.begin(), finite.end());
  moments.max = *std::max_element(finite.begin(), finite.end());
  moments.mean = static_cast<double>(sum / static_cast<long double>(finite.size()));
  for (const double value : finite) moments.m2 += (value - moments.mean) * (value - moments.mean);
  return moments;
}

struct RuleRun {
  enum Row : std::size_t {
    fc1_weight,
    fc1_bias,
    fc2_weight,
    fc2_bias,
    buffer,
    fc1_gradient,
    fc1_bias_gradient,
    fc2_gradient,
    fc2_bias_gradient
  };
  enum Layer : std::size_t { fc1, fc1_relu, fc2 };

  RuleRun() {
    schema.identity.run = "made up";
    const auto add = [this](TensorKind kind, const char* name, const char* layer, const char* shape, std::uint64_t elements) {
      schema.rows.push_back({kind, name, layer, shape, elements, DType::float32});
      schema.rows.back().has_update = kind == TensorKind::parameter;
    };
    for (const TensorKind kind : {TensorKind::parameter, TensorKind::gradient}) {
      add(kind, "fc1.weight", "fc1", "[2, 4]", 8);
      add(kind, "fc1.bias", "fc1", "[4]", 4);
      add(kind, "fc2.weight", "fc2", "[4, 2]", 8);
      add(kind, "fc2.bias", "fc2", "[2]", 2);
      if (kind == TensorKind::parameter) add(TensorKind::buffer, "norm.running_mean", "norm", "[4]", 4);
    }
    schema.parameters = {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"};
    schema.learning_rates = 2;
    schema.activations = 3;
    for (RuleSetup& rule : setup.rules) rule.enabled = false;
    setup.validation_scalar = "validation/loss";
    for (const RowSchema& row : schema.rows) {
      std::vector<double> some;
      for (std::uint64_t i = 0; i < row.element_count; ++i) some.push_back(i % 2 == 0 ? 0.25 + 0.01 * static_cast<double>(i) : -0.25);
      values.push_back(some);
    }
    rows.resize(schema.rows.size());
    for (TensorRow& row : rows) row.state = TensorRow::present;
    activations.resize(3);
    for (ActivationRow& row : activations) row.moments = moments_of({-1, 0.5, 0.25, 2});
    layers = {{"fc1", "train"}, {"fc1/relu", "train"}, {"fc2", "train"}};
    record.flags = StepRecord::has_loss | StepRecord::has_gradient_norm | StepRecord::has_total_time | StepRecord::has_data_time;
    record.loss = 1;
    record.gradient_norm = 1;
    record.total_ns = 10'000'000;
    record.data_ns = 1'000'000;
    host.is_running = true;
    host.steady_ns = kSecond;
  }

  RuleSetup& on(Rule rule, std::array<double, 3> parameters = {}) {
    RuleSetup& made = setup.rules[static_cast<std::size_t>(rule)];
    made.enabled = true;
    made.parameters = parameters;
    return made;
  }
  AlertEngine& engine() {
    if (engine_ == nullptr) {
      scalars.resize(schema.learning_rates + ScalarNames::kCapacity, 0.01);
      engine_ = std::make_unique<AlertEngine>(schema, setup);
      engine_->set_on_alert([this](const Alert& alert) { told.push_back(alert); });
    }
    return *engine_;
  }

  /// The next step ends.
  void step() {
    static_cast<void>(engine());
    ++record.step;
    record.wall_time_ns += 10'000'000;
    record.user_scalars = names.size();
    engine().on_step(record, scalars.data(), names);
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) step();
  }
  /// As many as end with `step`.
  void steps_until(std::uint64_t step) { steps(static_cast<int>(step - record.step)); }
  /// The tensors of the next step are sampled, then it ends.
  void sample() {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::vector<double> now = values[i];
      if (drifts) now[0] += 1e-9 * static_cast<double>(record.step);
      rows[i].moments = moments_of(now);
    }
    for (ActivationRow& row : activations) row.step = record.step + 1;
    const FrameHeader header{record.step + 1, record.wall_time_ns + 5'000'000, activations.size()};
    engine().on_frame({header, rows, {}, activations, layers});
    step();
  }
  void samples(int count) {
    for (int i = 0; i < count; ++i) sample();
  }
  /// A user scalar of the steps from now on.
  void log(const std::string& name, double value) {
    static_cast<void>(engine());
    scalars[schema.learning_rates + static_cast<std::size_t>(names.find_or_append(name))] = value;
  }
  void read_host(double seconds_later) {
    host.steady_ns += static_cast<std::int64_t>(seconds_later * 1e9);
    host.now_ns = record.wall_time_ns + host.steady_ns;
    engine().on_host(host);
  }
  NonfiniteCounts& nonfinite(NonfiniteIn where) { return record.totals.nonfinite_values[static_cast<std::size_t>(where)]; }

  Schema schema;
  AlertEngineSetup setup;  ///< every rule is off until on()
  std::vector<Alert> told;

  StepRecord record;
  std::vector<double> scalars;  ///< learning rates first; filled by engine()
  ScalarNames names;
  std::vector<std::vector<double>> values;  ///< by row
  bool drifts = true;                       ///< each sample differs a little from the one before
  std::vector<TensorRow> rows;
  std::vector<ActivationRow> activations;
  std::vector<LayerLabel> layers;
  HostReading host;

 private:
  std::unique_ptr<AlertEngine> engine_;
};

/// One run that a rule is to fire in, or to be silent in.
struct RuleCase {
  std::string name;
  Rule rule;
  std::array<double, 3> parameters;
  void (*drive)(RuleRun& run);
  /// Of the only alert: a part of its sentence, its parameter and its layer. An empty sentence: there is to be none.
  std::string sentence = {}, parameter = {}, layer = {};
};

std::vector<RuleCase> step_rule_cases();
std::vector<RuleCase> tensor_rule_cases();

}  // namespace vigil::test
