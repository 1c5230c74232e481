// Runs for the rules over tensor frames: in each pair the second is just on the quiet side of the limit.
#include "monitor/rules/rule_run.h"

namespace vigil::test {
namespace {

using Row = RuleRun;

std::vector<double> all_of(std::size_t count, double value) { return std::vector<double>(count, value); }
// As many with each sign: their mean is 0 and their variance the square.
std::vector<double> both_signs(double value) { return {value, -value, value, -value, value, -value, value, -value}; }

void with_updates(RuleRun& run, double usual, double last) {
  for (const double update : {usual, last}) {
    for (const std::size_t row : {Row::fc1_weight, Row::fc1_bias, Row::fc2_weight, Row::fc2_bias}) run.rows[row].update_norm = 0.5 * update;
    run.samples(update == last ? 1 : 40);
  }
}
void with_update_of(RuleRun& run, double share_of_norm) {
  run.values[Row::fc2_weight] = both_signs(1);
  run.drifts = false;
  run.rows[Row::fc2_weight].update_norm = share_of_norm * std::sqrt(8.0);
  run.sample();
}
void with_gradient(RuleRun& run, const std::vector<double>& values) {
  run.values[Row::fc2_gradient] = values;
  run.drifts = false;
  run.sample();
}
void with_weight(RuleRun& run, const std::vector<double>& values, std::size_t row = Row::fc2_weight) {
  run.values[row] = values;
  run.drifts = false;
  run.sample();
}
// The matrices are of group 1, whose rate was 0.01; group 0 goes on.
void with_rate_of_fc(RuleRun& run, double rate) {
  for (const std::size_t row : {Row::fc1_weight, Row::fc2_weight}) run.schema.rows[row].learning_rate = 1;
  run.step();
  run.scalars[1] = rate;
  run.step();
}
void with_format(RuleRun& run, DType dtype, double element, std::size_t row = Row::fc2_weight) {
  run.schema.rows[row].dtype = dtype;
  run.values[row][3] = element;
  run.drifts = false;
  run.sample();
}
void observe(RuleRun& run, double ActivationRow::*ratio, const std::vector<double>& shares) {
  for (const double share : shares) {
    run.activations[RuleRun::fc1_relu].*ratio = share;
    run.sample();
  }
}

// clang-format off
std::vector<RuleCase> parameters() {
  return {
      {"NanInAParameter", Rule::nonfinite_parameter, {}, [](RuleRun& run) {
         run.samples(3);
         run.values[Row::fc2_weight][2] = kNan;
         run.nonfinite(NonfiniteIn::parameter).nan = 1;
         run.sample();
       }, "1 NaN and 0 infinite values in parameters or buffers", "fc2.weight", "fc2"},
      {"InfInABuffer", Rule::nonfinite_parameter, {}, [](RuleRun& run) {
         run.values[Row::buffer][2] = kInf;
         run.nonfinite(NonfiniteIn::parameter).inf = 1;
         run.sample();
       }, "0 NaN and 1 infinite values", "norm.running_mean", "norm"},
      {"NanInAGradientOnly", Rule::nonfinite_parameter, {}, [](RuleRun& run) { run.values[Row::fc2_gradient][2] = kNan; run.nonfinite(NonfiniteIn::gradient).nan = 1; run.samples(3); }},
      {"LargeUpdate", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_update_of(run, 1.01); }, "one step changes fc2.weight by 1.01 of its norm", "fc2.weight", "fc2"},
      {"UpdateBelowTheMost", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_update_of(run, 0.99); }},
      {"TinyUpdate", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_update_of(run, 0.9e-8); }, "one step changes fc2.weight by 9e-09 of its norm", "fc2.weight", "fc2"},
      {"UpdateAboveTheLeast", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_update_of(run, 1.1e-8); }},
      {"NoUpdateAtAll", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_update_of(run, 0); }},
      {"UpdateOfABias", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { run.rows[Row::fc1_bias].update_norm = 100; run.samples(3); }},
      {"UpdateOfAMatrixThatBeganAtZero", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_weight(run, all_of(8, 0)); with_update_of(run, 1.5); }},
      {"TinyUpdateOfARateThatRunsOut", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_rate_of_fc(run, 0.9e-4); with_update_of(run, 0.9e-8); }},
      {"TinyUpdateOfARateThatDoesNot", Rule::update_ratio, {1, 1e-8}, [](RuleRun& run) { with_rate_of_fc(run, 1.1e-4); with_update_of(run, 0.9e-8); }, "one step changes fc2.weight by 9e-09", "fc2.weight", "fc2"},
      {"UpdateSpike", Rule::update_spike, {8, 2}, [](RuleRun& run) { with_updates(run, 1, 2.01); }, "the norm of all updates spiked to 2.01: 13.96 deviations above its median 1"},
      {"UpdateBelowTheRatio", Rule::update_spike, {8, 2}, [](RuleRun& run) { with_updates(run, 1, 1.99); }},
      {"SameTensor", Rule::unchanged_tensor, {3}, [](RuleRun& run) { run.step(); run.drifts = false; run.samples(2); run.values[Row::fc1_weight][0] = 9; run.samples(1); },
       "fc2.weight is the same in 3 samples, though it has a gradient", "fc2.weight", "fc2"},
      {"SameTensorInFewerSamples", Rule::unchanged_tensor, {3}, [](RuleRun& run) { run.step(); for (int i = 0; i < 6; ++i) { run.drifts = i % 2 == 0; run.sample(); } }},
      {"SameTensorWithoutGradient", Rule::unchanged_tensor, {3}, [](RuleRun& run) {
         run.step(); run.drifts = false;
         for (const std::size_t row : {Row::fc1_gradient, Row::fc2_gradient}) run.values[row] = all_of(8, 0);
         run.samples(6); }},
      {"SameTensorWithoutRate", Rule::unchanged_tensor, {3}, [](RuleRun& run) { static_cast<void>(run.engine()); run.scalars[0] = run.scalars[1] = 0; run.drifts = false; run.samples(6); }},
      {"SameTensorInAGroupWithoutRate", Rule::unchanged_tensor, {3}, [](RuleRun& run) { with_rate_of_fc(run, 0); run.drifts = false; run.samples(6); }},
      {"SameTensorInSkippedSteps", Rule::unchanged_tensor, {3}, [](RuleRun& run) { run.step(); run.drifts = false; for (int i = 0; i < 6; ++i) { ++run.record.totals.skipped_steps; run.step(); run.sample(); } }},
      {"ZeroTensor", Rule::zero_tensor, {1}, [](RuleRun& run) { with_weight(run, all_of(8, 0)); }, "100 % of fc2.weight is zero", "fc2.weight", "fc2"},
      {"NearlyZeroTensor", Rule::zero_tensor, {1}, [](RuleRun& run) { with_weight(run, {0, 0, 0, 0, 0, 0, 0, 1e-30}); }},
      {"TensorWithAShareOfZeros", Rule::zero_tensor, {0.75}, [](RuleRun& run) { with_weight(run, {0, 0, 0, 0, 0, 0, 1, 2}); }, "75 % of fc2.weight is zero", "fc2.weight", "fc2"},
      {"ZeroBias", Rule::zero_tensor, {1}, [](RuleRun& run) { with_weight(run, all_of(4, 0), Row::fc1_bias); }},
      {"LargeVariance", Rule::tensor_variance, {4, 0.01}, [](RuleRun& run) { with_weight(run, both_signs(2.01)); }, "the variance of fc2.weight is 4.04", "fc2.weight", "fc2"},
      {"VarianceBelowTheMost", Rule::tensor_variance, {4, 0.01}, [](RuleRun& run) { with_weight(run, both_signs(1.99)); }},
      {"SmallVariance", Rule::tensor_variance, {4, 0.01}, [](RuleRun& run) { with_weight(run, both_signs(0.099)); }, "the variance of fc2.weight is 0.009801", "fc2.weight", "fc2"},
      {"VarianceAboveTheLeast", Rule::tensor_variance, {4, 0.01}, [](RuleRun& run) { with_weight(run, both_signs(0.101)); }},
      {"GrownNorm", Rule::norm_drift, {10}, [](RuleRun& run) { with_weight(run, both_signs(1)); with_weight(run, both_signs(10.1)); },
       "the norm of fc2.weight is 28.57; in the first sample it was 2.828", "fc2.weight", "fc2"},
      {"ShrunkNorm", Rule::norm_drift, {10}, [](RuleRun& run) { with_weight(run, both_signs(1)); with_weight(run, both_signs(1 / 10.1)); }, "the norm of fc2.weight is 0.28", "fc2.weight", "fc2"},
      {"NormGrownByLess", Rule::norm_drift, {10}, [](RuleRun& run) { with_weight(run, both_signs(1)); with_weight(run, both_signs(9.9)); with_weight(run, both_signs(1 / 9.9)); }},
      {"NormFromZero", Rule::norm_drift, {10}, [](RuleRun& run) { with_weight(run, all_of(8, 0)); with_weight(run, both_signs(5)); }},
      {"NormFromNearZero", Rule::norm_drift, {10}, [](RuleRun& run) { with_weight(run, both_signs(0.9e-4)); with_weight(run, both_signs(5)); }},
      {"NormFromSmall", Rule::norm_drift, {10}, [](RuleRun& run) { with_weight(run, both_signs(1.1e-4)); with_weight(run, both_signs(5)); }, "the norm of fc2.weight is 14.14", "fc2.weight", "fc2"},
      {"HalfOfFloat16", Rule::number_format_overflow, {0.5}, [](RuleRun& run) { with_format(run, DType::float16, -32753); },
       "an element of fc2.weight is 3.275e+04; float16 ends at 6.55e+04", "fc2.weight", "fc2"},
      {"LessThanHalfOfFloat16", Rule::number_format_overflow, {0.5}, [](RuleRun& run) { with_format(run, DType::float16, -32751); }},
      {"HalfOfBfloat16", Rule::number_format_overflow, {0.5}, [](RuleRun& run) { with_format(run, DType::bfloat16, 1.7e38, Row::fc1_bias_gradient); },
       "an element of the gradient of fc1.bias is 1.7e+38; bfloat16 ends at 3.39e+38", "fc1.bias", "fc1"},
      {"LessThanHalfOfBfloat16", Rule::number_format_overflow, {0.5}, [](RuleRun& run) { with_format(run, DType::bfloat16, 1.69e38); }},
      {"HugeFloat32", Rule::number_format_overflow, {0.5}, [](RuleRun& run) { with_format(run, DType::float32, 3.4e38); }},
      {"ConstantMatrix", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { with_weight(run, all_of(8, 0.5)); }, "every element of fc2.weight begins as 0.5", "fc2.weight", "fc2"},
      {"ConstantMatrixInAContinuedRun", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.schema.is_continued = true; with_weight(run, all_of(8, 0.5)); }},
      {"ConstantBias", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { with_weight(run, all_of(4, 0.5), Row::fc1_bias); }},
      {"ZeroMatrixWithoutGradient", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.values[Row::fc2_gradient] = all_of(8, 0); run.drifts = false; with_weight(run, all_of(8, 0)); run.samples(2); }, "begins as 0", "fc2.weight", "fc2"},
      {"ZeroMatrixWithGradientFromTheThirdSampleOn", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.values[Row::fc2_gradient] = all_of(8, 0); run.drifts = false; with_weight(run, all_of(8, 0)); run.sample(); run.values[Row::fc2_gradient] = both_signs(1); run.samples(3); }},
      {"ConstantScaleOfALayer", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.schema.rows[Row::fc2_weight].shape = "[8, 1, 1]"; with_weight(run, all_of(8, 1e-6)); }},
      {"MaskThatIsInfiniteFromTheStart", Rule::nonfinite_parameter, {}, [](RuleRun& run) { run.schema.rows[Row::buffer].infinite = 2; run.values[Row::buffer] = {0, 0, -kInf, -kInf}; run.sample(); }},
      {"ZeroMatrixWithGradient", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { with_weight(run, all_of(8, 0)); run.samples(2); }},
      {"MatrixThatBecomesConstant", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.sample(); with_weight(run, all_of(8, 0.5)); }},
      {"OutputsOfVeryDifferentSpread", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.activations[RuleRun::fc1].moments = moments_of({1e-3, -1e-3}); run.activations[RuleRun::fc2].moments = moments_of({10.1, -10.1}); run.sample(); },
       "the standard deviation of the output is 0.001 in fc1 and 10.1 in fc2", "", "fc1"},
      {"OutputOfALayerWithoutMatrixIsSmallOnPurpose", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.schema.rows[Row::fc1_weight].shape = "[8]"; run.activations[RuleRun::fc1].moments = moments_of({1e-9, -1e-9}); run.sample(); }},
      {"OutputsOfVeryDifferentSpreadInAContinuedRun", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.schema.is_continued = true; run.activations[RuleRun::fc1].moments = moments_of({1e-3, -1e-3}); run.activations[RuleRun::fc2].moments = moments_of({10.1, -10.1}); run.sample(); }},
      {"OutputsOfDifferentSpread", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.activations[RuleRun::fc1].moments = moments_of({1e-3, -1e-3}); run.activations[RuleRun::fc2].moments = moments_of({9.9, -9.9}); run.sample(); }},
      {"OutputOfAnOperatorOfOtherSpread", Rule::poor_initialisation, {1e4}, [](RuleRun& run) { run.activations[RuleRun::fc1_relu].moments = moments_of({1e9, -1e9}); run.sample(); }},
  };
}

std::vector<RuleCase> gradients() {
  return {
      {"VanishedGradient", Rule::vanishing_gradient, {1e-7, 1}, [](RuleRun& run) { with_gradient(run, both_signs(0.99e-7)); }, "the mean magnitude of the gradient of fc2.weight is 9.9e-08", "fc2.weight", "fc2"},
      {"VanishedBesideALargeOne", Rule::vanishing_gradient, {1e-7, 1e-3}, [](RuleRun& run) { run.values[Row::fc1_gradient] = both_signs(1e-4 * 1.01); with_gradient(run, both_signs(0.99e-7)); }, "the largest of a layer is 0.000101", "fc2.weight", "fc2"},
      {"SmallInAllLayersAlike", Rule::vanishing_gradient, {1e-7, 1e-3}, [](RuleRun& run) { run.values[Row::fc1_gradient] = both_signs(0.98e-4); with_gradient(run, both_signs(0.99e-7)); }},
      {"FewElementsWithGradient", Rule::vanishing_gradient, {1e-7, 1}, [](RuleRun& run) { with_gradient(run, {0, 0, 0, 0, 0, 0, 0, 2e-7}); }},
      {"SmallGradient", Rule::vanishing_gradient, {1e-7, 1}, [](RuleRun& run) { with_gradient(run, both_signs(1.01e-7)); }},
      {"ZeroGradientHasNotVanished", Rule::vanishing_gradient, {1e-7, 1}, [](RuleRun& run) { with_gradient(run, all_of(8, 0)); }},
      {"VanishedGradientOfABias", Rule::vanishing_gradient, {1e-7, 1}, [](RuleRun& run) { run.values[Row::fc2_bias_gradient] = all_of(2, 1e-20); run.drifts = false; run.sample(); }},
      {"NanGradient", Rule::vanishing_gradient, {1e-7, 1}, [](RuleRun& run) { with_gradient(run, all_of(8, kNan)); }},
      {"ZeroGradient", Rule::zero_gradient, {1}, [](RuleRun& run) { with_gradient(run, all_of(8, 0)); }, "100 % of the gradient of fc2.weight is zero", "fc2.weight", "fc2"},
      {"NearlyZeroGradient", Rule::zero_gradient, {1}, [](RuleRun& run) { with_gradient(run, {0, 0, 0, 0, 0, 0, 0, 1e-30}); }},
      {"FrozenParameter", Rule::frozen_parameter, {3}, [](RuleRun& run) { run.rows[Row::fc2_bias_gradient].state = TensorRow::absent; run.samples(3); }, "fc2.bias has had no gradient in 3 samples", "fc2.bias", "fc2"},
      {"ParameterWithoutGradientInTwoSamples", Rule::frozen_parameter, {3}, [](RuleRun& run) {
         for (int i = 0; i < 9; ++i) { run.rows[Row::fc2_bias_gradient].state = i % 3 == 2 ? TensorRow::present : TensorRow::absent; run.sample(); } }},
      {"NoParameterHasAGradient", Rule::frozen_parameter, {3}, [](RuleRun& run) {
         for (const std::size_t row : {Row::fc1_gradient, Row::fc1_bias_gradient, Row::fc2_gradient, Row::fc2_bias_gradient}) run.rows[row].state = TensorRow::absent;
         run.samples(3); }, "no parameter has had a gradient in 3 samples"},
      {"ParametersThatAreFrozenOnPurpose", Rule::frozen_parameter, {3}, [](RuleRun& run) {
         for (const std::size_t row : {Row::fc1_gradient, Row::fc1_bias_gradient}) run.rows[row].state = TensorRow::frozen;
         run.samples(6); }},
      {"GradientsInOneOfThreeSamples", Rule::frozen_parameter, {3}, [](RuleRun& run) {
         for (int i = 0; i < 9; ++i) {
           for (const std::size_t row : {Row::fc1_gradient, Row::fc1_bias_gradient, Row::fc2_gradient, Row::fc2_bias_gradient}) run.rows[row].state = i % 3 == 2 ? TensorRow::present : TensorRow::absent;
           run.sample();
         } }},
      {"GradientThatCannotBeRead", Rule::frozen_parameter, {3}, [](RuleRun& run) { run.rows[Row::fc2_bias_gradient].state = TensorRow::unreadable; run.samples(6); }},
  };
}

std::vector<RuleCase> layers() {
  return {
      {"NanOutput", Rule::nonfinite_activation, {}, [](RuleRun& run) { run.activations[RuleRun::fc1_relu].moments = moments_of({1, kNan, kNan, kInf}); run.sample(); },
       "the output of fc1/relu holds 2 NaN and 1 infinite values", "", "fc1/relu"},
      {"NanFromALayerOn", Rule::nonfinite_activation, {}, [](RuleRun& run) { run.activations[RuleRun::fc1_relu].moments = run.activations[RuleRun::fc2].moments = moments_of({1, kNan}); run.sample(); },
       "the output of fc1/relu holds 1 NaN", "", "fc1/relu"},
      {"InfiniteOutputOfALayer", Rule::nonfinite_activation, {}, [](RuleRun& run) { run.activations[RuleRun::fc2].moments = moments_of({1, -kInf}); run.sample(); }, "the output of fc2 holds 0 NaN and 1 infinite values", "", "fc2"},
      {"InfiniteOutputOfAnOperator", Rule::nonfinite_activation, {}, [](RuleRun& run) { run.activations[RuleRun::fc1_relu].moments = moments_of({1, -kInf}); run.sample(); }},
      {"DeadUnits", Rule::dead_units, {0.5, 2}, [](RuleRun& run) { observe(run, &ActivationRow::dead_ratio, {0.51, 0.52}); }, "52 % of the units are 0 for all of the batch in fc1/relu", "", "fc1/relu"},
      {"DeadUnitsOnTheLimit", Rule::dead_units, {0.5, 2}, [](RuleRun& run) { observe(run, &ActivationRow::dead_ratio, {0.5, 0.5, 0.5}); }},
      {"DeadUnitsNotInARow", Rule::dead_units, {0.5, 2}, [](RuleRun& run) { observe(run, &ActivationRow::dead_ratio, {0.9, 0.4, 0.9, 0.4}); }},
      {"SaturatedInputs", Rule::saturated_activation, {0.5, 2}, [](RuleRun& run) { observe(run, &ActivationRow::saturated_ratio, {0.9, 0.51}); }, "51 % of the inputs are saturated in fc1/relu", "", "fc1/relu"},
      {"SaturatedInputsOnTheLimit", Rule::saturated_activation, {0.5, 2}, [](RuleRun& run) { observe(run, &ActivationRow::saturated_ratio, {0.9, 0.5, 0.9}); }},
  };
}
// clang-format on

}  // namespace

std::vector<RuleCase> tensor_rule_cases() {
  std::vector<RuleCase> all = parameters();
  for (const auto& more : {gradients(), layers()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace vigil::test
