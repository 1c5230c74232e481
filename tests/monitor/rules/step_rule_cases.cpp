// Runs for the rules over step records: in each pair the second is just on the quiet side of the limit.
#include "monitor/rules/rule_run.h"

namespace vigil::test {
namespace {

constexpr std::uint64_t kMiB = 1048576;

void with_losses(RuleRun& run, double level, double last, int count = 64) {
  run.record.loss = level;
  run.steps(count);
  run.record.loss = last;
  run.step();
}
void with_norms(RuleRun& run, double level, double last, int count = 64) {
  run.record.gradient_norm = level;
  run.steps(count);
  run.record.gradient_norm = last;
  run.step();
}
// Norms that are noisy by nature: e and 1/e in turn, whose logarithms have a MAD of 1.
void with_noisy_norms(RuleRun& run, double last) {
  for (int i = 0; i < 64; ++i) with_norms(run, 1, i % 2 == 0 ? std::exp(1) : std::exp(-1), 0);
  with_norms(run, 1, last, 0);
}
// `before` for as long as a warm-up may take strides.
void with_rates(RuleRun& run, double before, double after, int steps = 10) {
  static_cast<void>(run.engine());
  run.scalars[0] = run.scalars[1] = before;
  run.steps(steps);
  run.scalars[1] = after;
  run.step();
}
void with_validations(RuleRun& run, const std::vector<double>& losses, double training = 1) {
  run.record.loss = training;
  run.steps(40);
  for (const double loss : losses) {
    run.log("validation/loss", loss);
    run.steps(3);
  }
}
void with_times(RuleRun& run, double usual_ms, double last_ms, int count) {
  run.record.total_ns = static_cast<std::uint64_t>(usual_ms * 1e6);
  run.steps(128);
  run.record.total_ns = static_cast<std::uint64_t>(last_ms * 1e6);
  run.steps(count);
}
// 128 steps of 10 ms, 1 of them for data, but for the last `waits`, of which all but 5 are.
void with_waits(RuleRun& run, int waits, std::uint64_t total_ms = 100) {
  run.steps(128 - waits);
  run.record.total_ns = total_ms * 1'000'000;
  run.record.data_ns = (total_ms - 5) * 1'000'000;
  run.steps(waits);
}
// Eight readings, 50 steps apart, from 1 GiB; `more` MiB each.
void with_memory(RuleRun& run, std::uint64_t more, int equal_at = -1) {
  std::uint64_t mib = 1024;
  run.steps_until(100);
  for (int reading = 0; reading < 8; ++reading) {
    run.host.anonymous_bytes = static_cast<double>(mib * kMiB);
    run.read_host(0.5);
    if (reading != equal_at) mib += more;
    run.steps(50);
  }
}
void with_device_memory(RuleRun& run, std::uint64_t more) {
  run.record.flags |= StepRecord::has_device_memory;
  for (int step = 1; step <= 460; ++step) {
    ++run.record.totals.samples;
    run.record.device_allocated = (1024 + more * static_cast<std::uint64_t>(step) / 50) * kMiB;
    run.step();
  }
}
void idle(RuleRun& run, double usual_seconds, double idle_seconds, int steps = 60) {
  run.record.total_ns = static_cast<std::uint64_t>(usual_seconds * 1e9);
  run.steps(steps);
  run.read_host(0);
  run.read_host(0.5 * idle_seconds);
  run.read_host(0.5 * idle_seconds);
}
void with_disk(RuleRun& run, double bytes) {
  run.steps(3);
  run.host.disk_free_bytes = bytes;
  run.read_host(1);
  run.host.disk_free_bytes = kNan;  // most readings have none
  run.read_host(1);
}

// clang-format off
std::vector<RuleCase> numbers() {
  return {
      {"NanInAGradient", Rule::nonfinite_gradient, {}, [](RuleRun& run) {
         run.steps(5);
         run.nonfinite(NonfiniteIn::gradient) = {3, 1};
         run.record.origin = 2;
         run.record.origin_step = 6;
         run.step();
       }, "3 NaN and 1 infinite values in gradients", "fc2.weight", "fc2"},
      {"NanInAGradientThatAReplayNamed", Rule::nonfinite_gradient, {}, [](RuleRun& run) {
         run.steps(5);
         NonfiniteEvent event;
         event.step = 6;
         event.layer.assign("fc2/log");
         event.parameter.assign("fc2.weight");
         event.message.assign("aten::log made it");
         run.engine().on_event(event);
         run.nonfinite(NonfiniteIn::gradient).nan = 3;
         run.step();
       }, "gradients; aten::log made it", "fc2.weight", "fc2/log"},
      {"GradientCountsThatStay", Rule::nonfinite_gradient, {}, [](RuleRun& run) { run.nonfinite(NonfiniteIn::loss).nan = 1; run.steps(9); }},
      {"NanLoss", Rule::nonfinite_loss, {}, [](RuleRun& run) { run.steps(4); run.nonfinite(NonfiniteIn::loss).nan = 1; run.record.loss = kNan; run.step(); },
       "1 NaN and 0 infinite values in the loss"},
      {"FiniteLossBesideNanGradients", Rule::nonfinite_loss, {}, [](RuleRun& run) { run.nonfinite(NonfiniteIn::gradient).nan = 1; run.steps(9); }},
      {"RatesOfZero", Rule::learning_rate_zero, {}, [](RuleRun& run) { static_cast<void>(run.engine()); run.scalars[0] = run.scalars[1] = 0; run.step(); },
       "every learning rate is 0"},
      {"OneRateOfTwoIsZero", Rule::learning_rate_zero, {}, [](RuleRun& run) { with_rates(run, 0.01, 0); }},
      {"NegativeRate", Rule::learning_rate_nonfinite, {}, [](RuleRun& run) { with_rates(run, 0.01, -1e-9); }, "the learning rate of group 1 is -1e-09"},
      {"RateOfZeroIsFinite", Rule::learning_rate_nonfinite, {}, [](RuleRun& run) { with_rates(run, 0.01, 0); }},
      {"RateThatIsNan", Rule::learning_rate_zero, {}, [](RuleRun& run) { with_rates(run, kNan, kNan); }},
      {"RateTenTimesItsHighest", Rule::learning_rate_jump, {10}, [](RuleRun& run) { with_rates(run, 0.01, 0.101); },
       "the learning rate of group 1 jumped to 0.101; its highest so far was 0.01"},
      {"JumpOfAWarmUpInItsFirstSteps", Rule::learning_rate_jump, {10}, [](RuleRun& run) { with_rates(run, 0.01, 0.101, 9); }},
      {"RateNineTimesItsHighest", Rule::learning_rate_jump, {10}, [](RuleRun& run) { with_rates(run, 0.01, 0.0999); }},
      {"WarmUpFromZero", Rule::learning_rate_jump, {10}, [](RuleRun& run) { with_rates(run, 0, 0.1); }},
      {"BackToTheHighestRate", Rule::learning_rate_jump, {10}, [](RuleRun& run) { with_rates(run, 0.1, 1e-9); run.scalars[1] = 0.1; run.step(); }},
      {"RateJumpsToInfinity", Rule::learning_rate_jump, {10}, [](RuleRun& run) { with_rates(run, 0.01, kInf); }},
      {"NanRate", Rule::learning_rate_nonfinite, {}, [](RuleRun& run) { with_rates(run, 0.01, kNan); }, "the learning rate of group 1 is nan"},
      {"InfiniteRate", Rule::learning_rate_nonfinite, {}, [](RuleRun& run) { with_rates(run, 0.01, -kInf); }, "the learning rate of group 1 is -inf"},
      {"HugeRate", Rule::learning_rate_nonfinite, {}, [](RuleRun& run) { with_rates(run, 0.01, 1e30); }},
  };
}

std::vector<RuleCase> series() {
  return {
      {"NormAboveTheBound", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 1001, 1001, 50); }, "the gradient norm is 1001, above 1000"},
      {"NormAboveTheBoundAtFirst", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 5000, 1001, 49); }},
      {"NormOnTheBound", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 1000, 1000, 60); }},
      {"NoisyNormAboveItsLevel", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_noisy_norms(run, std::exp(5.9)); }},
      {"NoisyNormOutOfItsNoise", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_noisy_norms(run, std::exp(6)); }, "the gradient norm is 403.4, above 15.43"},
      {"NormAboveItsLevel", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 2, 20.1); }, "the gradient norm is 20.1, above 20; its median over 64 steps is 2"},
      {"NormBelowTenTimesItsLevel", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 2, 19.9); }},
      {"SmallNormAboveItsLevel", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 0.01, 9.9); }},
      {"NanNorm", Rule::exploding_gradient, {1000, 10}, [](RuleRun& run) { with_norms(run, 1, kNan); with_norms(run, kInf, 1, 5); }},
      {"NormSpike", Rule::gradient_spike, {8, 10}, [](RuleRun& run) { with_norms(run, 1, 10.1); }, "the gradient norm spiked to 10.1: 46.25 deviations above its median 1"},
      {"NormBelowTheRatio", Rule::gradient_spike, {8, 10}, [](RuleRun& run) { with_norms(run, 1, 9.9); }},
      {"NoisyNormSpike", Rule::gradient_spike, {8, 10}, [](RuleRun& run) { with_noisy_norms(run, std::exp(11.9)); }, "8.026 deviations above"},
      {"NoisyNormBelowTheDeviations", Rule::gradient_spike, {8, 10}, [](RuleRun& run) { with_noisy_norms(run, std::exp(11.8)); }},
      {"NormSpikeBeforeThereIsALevel", Rule::gradient_spike, {8, 10}, [](RuleRun& run) { with_norms(run, 1, 1e6, 31); }},
      {"NanNormsHideNoSpike", Rule::gradient_spike, {8, 10}, [](RuleRun& run) { with_norms(run, 1, 1); with_norms(run, kNan, 11, 40); }, "spiked to 11: 47.96 deviations above its median 1"},
      {"LossSpike", Rule::loss_spike, {8, 2}, [](RuleRun& run) { with_losses(run, 1, 2.01); }, "the loss spiked to 2.01: 13.96 deviations above its median 1"},
      {"LossBelowTheRatio", Rule::loss_spike, {8, 2}, [](RuleRun& run) { with_losses(run, 1, 1.99); }},
      {"NegativeLossSpike", Rule::loss_spike, {8, 2}, [](RuleRun& run) { with_losses(run, -1, -0.59); }, "the loss spiked to -0.59: 8.2 deviations above its median -1"},
      {"NegativeLossBelowTheDeviations", Rule::loss_spike, {8, 2}, [](RuleRun& run) { with_losses(run, -1, -0.61); }},
      {"NanLossIsNoSpike", Rule::loss_spike, {8, 2}, [](RuleRun& run) { with_losses(run, 1, kNan); with_losses(run, kInf, 1, 40); }},
      {"LossThatStays", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { with_losses(run, 1, 0.981, 16); run.steps(200); }, "the loss is 0.981 (median of 128 steps); it began at 1"},
      {"LossThatFallsEnough", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { with_losses(run, 1, 0.979, 16); run.steps(200); }},
      {"LossThatStaysBeforeItsTime", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { run.steps(199); }},
      {"LossThatStaysInAContinuedRun", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { run.schema.is_continued = true; run.steps(400); }},
      {"LossThatDiverges", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { with_losses(run, 3, 30.3, 1); run.steps(18); }, "the loss is 30.3 (median of the latest 16 steps); in the first step it was 3"},
      {"LossThatRisesByLess", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { with_losses(run, 3, 29.9, 1); run.steps(18); }},
      {"NanLossesAreNoLevel", Rule::loss_not_decreasing, {200, 0.02}, [](RuleRun& run) { with_losses(run, kNan, kNan, 400); }},
      {"LossOnAPlateau", Rule::loss_plateau, {256, 0.01}, [](RuleRun& run) { run.steps(384); }, "the loss has not fallen for 256 steps: it is 1, its best 1"},
      {"LossOnAShorterPlateau", Rule::loss_plateau, {256, 0.01}, [](RuleRun& run) { run.steps(383); }},
      {"LossThatFallsByMoreThanTheShare", Rule::loss_plateau, {256, 0.01}, [](RuleRun& run) {
         for (int i = 0; i < 1280; ++i) { run.record.loss = std::pow(0.989, i / 128); run.step(); } }},
      {"LossThatFallsByLessThanTheShare", Rule::loss_plateau, {256, 0.01}, [](RuleRun& run) {
         for (int i = 0; i < 384; ++i) { run.record.loss = i < 128 ? 1 : 0.991; run.step(); } }, "has not fallen for 256 steps: it is 0.991, its best 1"},
      {"Overfit", Rule::overfit, {0.1, 0.1, 2}, [](RuleRun& run) { with_validations(run, {1, 1.11, 1.12}); }, "the validation loss is 1.12, its best was 1, and the training loss is 1"},
      {"ValidationRisesLess", Rule::overfit, {0.1, 0.1, 2}, [](RuleRun& run) { with_validations(run, {1, 1.09, 1.095, 1.08}); }},
      {"ValidationRisesOnceAtATime", Rule::overfit, {0.1, 0.1, 2}, [](RuleRun& run) { with_validations(run, {1, 1.2, 1.05, 1.3, 1.01}); }},
      {"TrainingRisesToo", Rule::overfit, {0.1, 0.1, 2}, [](RuleRun& run) { with_validations(run, {1, 1.11, 1.12, 1.13}, 1.1); }},
      {"NanValidationsAreSkipped", Rule::overfit, {0.1, 0.1, 2}, [](RuleRun& run) { with_validations(run, {1, kNan, 1.11, kInf, kNan, 1.12}); }, "the validation loss is 1.12"},
      {"Overtraining", Rule::overtraining, {0.001, 3}, [](RuleRun& run) { with_validations(run, {1, 0.9995, 0.9994, 0.99935}); }, "3 validations without a better loss than 0.9994"},
      {"ValidationThatGainsInTime", Rule::overtraining, {0.001, 3}, [](RuleRun& run) { with_validations(run, {1, 0.9995, 0.9994, 0.998, 0.9979, 0.99785}); }},
      {"OneValueIsOneValidation", Rule::overtraining, {0.001, 3}, [](RuleRun& run) { with_validations(run, {1, 1.1, 1.1, 1.1, 1.1, 1.2}); }},
  };
}

std::vector<RuleCase> times() {
  return {
      {"LongStep", Rule::step_time_outlier, {8, 5}, [](RuleRun& run) { with_times(run, 10, 50.1, 1); }, "a step took 0.0501 s; the median is 0.01 s"},
      {"StepBelowTheRatio", Rule::step_time_outlier, {8, 5}, [](RuleRun& run) { with_times(run, 10, 49.9, 1); }},
      {"StepOfTheLeastTime", Rule::step_time_outlier, {8, 5, 0.06}, [](RuleRun& run) { with_times(run, 10, 60, 1); }, "a step took 0.06 s"},
      {"StepOfLessThanTheLeastTime", Rule::step_time_outlier, {8, 5, 0.06}, [](RuleRun& run) { with_times(run, 10, 59.9, 1); }},
      {"SlowSteps", Rule::throughput_drop, {3}, [](RuleRun& run) { with_times(run, 10, 30.1, 65); }, "0.0301 s"},
      {"StepsBelowTheDrop", Rule::throughput_drop, {3}, [](RuleRun& run) { with_times(run, 10, 29.9, 200); }},
      {"FewSlowSteps", Rule::throughput_drop, {3}, [](RuleRun& run) { with_times(run, 10, 300, 63); }},
      {"WaitsForData", Rule::input_starvation, {0.5}, [](RuleRun& run) { run.record.data_ns = 5'100'000; run.steps(128); }, "51 % of the time of the latest 128 steps"},
      {"WaitsLessForData", Rule::input_starvation, {0.5}, [](RuleRun& run) { run.record.data_ns = 4'900'000; run.steps(300); }},
      {"ATenthOfTheStepsWaitsForData", Rule::input_starvation, {0.5}, [](RuleRun& run) { with_waits(run, 13); }, "55.1 % of the time of the latest 128 steps"},
      {"FewerStepsWaitLonger", Rule::input_starvation, {0.5}, [](RuleRun& run) { with_waits(run, 12, 120); }},
      {"DataTimeIsNotKnown", Rule::input_starvation, {0.5}, [](RuleRun& run) { run.record.data_ns = 9'000'000; run.record.flags &= ~std::uint64_t{StepRecord::has_data_time}; run.steps(300); }},
      {"ProcessGrows", Rule::memory_growth, {0.1, 64.0 * kMiB}, [](RuleRun& run) { with_memory(run, 15); }, "memory of the process grew at each of 8 readings, from 1024 to 1129 MiB"},
      {"ProcessGrowsByLessThanTheShare", Rule::memory_growth, {0.1, 64.0 * kMiB}, [](RuleRun& run) { with_memory(run, 14); }},
      {"ProcessGrowsByLessThanTheBytes", Rule::memory_growth, {0.01, 64.0 * kMiB}, [](RuleRun& run) { with_memory(run, 9); }},
      {"ProcessPausesGrowing", Rule::memory_growth, {0.1, 64.0 * kMiB}, [](RuleRun& run) { with_memory(run, 100, 4); }},
      {"DeviceGrows", Rule::memory_growth, {0.1, 64.0 * kMiB}, [](RuleRun& run) { with_device_memory(run, 20); }, "memory of the device grew at each of 8 readings, from 1064 to 1204 MiB"},
      {"DeviceGrowsLess", Rule::memory_growth, {0.1, 64.0 * kMiB}, [](RuleRun& run) { with_device_memory(run, 14); }},
      {"Stalls", Rule::stalled, {30, 300}, [](RuleRun& run) { idle(run, 0.01, 301); }, "no step has ended for 301 s since step 60; the usual step takes 0.01 s"},
      {"WaitsShorter", Rule::stalled, {30, 300}, [](RuleRun& run) { idle(run, 0.01, 299); }},
      {"StallsOfLongSteps", Rule::stalled, {30, 300}, [](RuleRun& run) { idle(run, 20, 601); }, "since step 60; the usual step takes 20 s"},
      {"WaitsShorterThanThirtyLongSteps", Rule::stalled, {30, 300}, [](RuleRun& run) { idle(run, 20, 599); }},
      {"StallsBeforeTheFirstStep", Rule::stalled, {30, 300}, [](RuleRun& run) { idle(run, 0.01, 1201, 0); }, "since step 0"},
      {"PreparesBeforeTheFirstStep", Rule::stalled, {30, 300}, [](RuleRun& run) { idle(run, 0.01, 1199, 0); }},
      {"TakesLongForTheSecondStep", Rule::stalled, {30, 300}, [](RuleRun& run) { run.record.flags &= ~std::uint64_t{StepRecord::has_total_time}; idle(run, 0.01, 1199, 1); }},
      {"StallsInTheSecondStep", Rule::stalled, {30, 300}, [](RuleRun& run) { run.record.flags &= ~std::uint64_t{StepRecord::has_total_time}; idle(run, 0.01, 1201, 1); }, "since step 1"},
      {"Evaluates", Rule::stalled, {30, 300}, [](RuleRun& run) { run.host.is_evaluating = true; idle(run, 0.01, 4000); run.host.is_evaluating = false; run.read_host(299); }},
      {"HasFinished", Rule::stalled, {30, 300}, [](RuleRun& run) { run.host.is_running = false; idle(run, 0.01, 4000); }},
      {"FullDisk", Rule::disk_full, {1024.0 * kMiB}, [](RuleRun& run) { with_disk(run, 1023.0 * kMiB); }, "only 1023 MiB are free where the checkpoints lie"},
      {"DiskWithRoom", Rule::disk_full, {1024.0 * kMiB}, [](RuleRun& run) { with_disk(run, 1024.0 * kMiB); }},
  };
}
// clang-format on

}  // namespace

std::vector<RuleCase> step_rule_cases() {
  std::vector<RuleCase> all = numbers();
  for (const auto& more : {series(), times()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace vigil::test
