#include "vigil/monitor/rules/alert_engine.h"

#include <stdexcept>

namespace vigil {
namespace {

// @throws std::invalid_argument that names the threshold
ThresholdRules make_thresholds(const Schema& schema, const AlertEngineSetup& setup) {
  std::vector<ThresholdSetup> setups;
  for (std::size_t i = 0; i < setup.thresholds.size(); ++i) {
    setups.push_back(setup.thresholds[i]);
    try {
      static_cast<void>(ThresholdRules(schema, {setups.back()}));
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("rules.threshold[" + std::to_string(i) + "]: " + error.what());
    }
  }
  return {schema, setups};
}

std::size_t subjects_of(Rule rule, const Schema& schema) {
  switch (rule) {
    case Rule::vanishing_gradient:
    case Rule::update_ratio:
    case Rule::unchanged_tensor:
    case Rule::zero_tensor:
    case Rule::zero_gradient:
    case Rule::poor_initialisation:
    case Rule::tensor_variance:
    case Rule::norm_drift:
    case Rule::number_format_overflow:
    case Rule::frozen_parameter: return TensorRules::subjects(schema);
    case Rule::nonfinite_activation:
    case Rule::dead_units:
    case Rule::saturated_activation: return schema.activations;
    case Rule::learning_rate_jump:
    case Rule::learning_rate_nonfinite: return StepRules::kMaxGroups;
    case Rule::memory_growth: return 2;  // of the process, of the device
    default: return 1;
  }
}

AlertBook make_book(const Schema& schema, const AlertEngineSetup& setup, const ThresholdRules& thresholds) {
  std::vector<RuleSetup> rules(setup.rules.begin(), setup.rules.end());
  std::vector<std::size_t> subjects;
  for (std::size_t i = 0; i < kRuleCount; ++i) subjects.push_back(subjects_of(static_cast<Rule>(i), schema));
  for (const auto& threshold : setup.thresholds) rules.push_back(threshold.rule);
  for (const std::size_t count : thresholds.subjects()) subjects.push_back(count);
  return {std::move(rules), subjects, setup.max_instances};
}

}  // namespace

AlertEngine::AlertEngine(const Schema& schema, const AlertEngineSetup& setup)
    : thresholds_(make_thresholds(schema, setup)),
      book_(make_book(schema, setup, thresholds_)),
      steps_(schema, setup.validation_scalar, book_),
      tensors_(schema, book_) {}

void AlertEngine::on_frame(const Frame& frame) noexcept {
  tensors_.on_frame(frame, steps_);
  thresholds_.on_frame(book_, frame);
}

void AlertEngine::on_step(const StepRecord& record, const double* scalars, const NameTable& scalar_names) noexcept {
  const bool has_frame = tensors_.frame_step() == record.step;
  steps_.on_step(record, scalars, scalar_names, has_frame, has_frame ? tensors_.nonfinite_row() : nullptr);
  thresholds_.on_step(book_, record, scalars, scalar_names);
}

}  // namespace vigil
