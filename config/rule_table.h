// The catalogue of alert rules as a user sees it: what each is called, when it fires, what to try, how severe it is and what may be set.
// config.h, the YAML reader, docs/alerts.md and the rules for Prometheus follow this table; monitor/rules/ computes what it says.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vigil {

enum class Severity : std::uint8_t {
  info,      ///< worth knowing; wakes nobody
  warning,   ///< this training is likely to be wasted: look at it today
  critical,  ///< it is being wasted now
};
inline constexpr std::array<std::string_view, 3> kSeverityNames{"info", "warning", "critical"};

/// A number that a rule is measured by.
struct RuleParameter {
  std::string_view name;  ///< key; empty: the rule has fewer parameters
  double value;           ///< default
  double min, max;        ///< range, both included
  std::string_view what;  ///< completes "<name>: "
};
inline constexpr std::size_t kMaxRuleParameters = 3;

struct RuleRow {
  std::string_view name;
  Severity severity;
  std::int64_t for_steps;          ///< steps that the condition holds before it fires; 0: the first time
  std::int64_t for_ms;             ///< likewise in milliseconds; both have to be over
  std::int64_t keep_firing_steps;  ///< steps without the condition after which it is over
  std::array<RuleParameter, kMaxRuleParameters> parameters;
  std::string_view fires;   ///< completes "fires when "
  std::string_view advice;  ///< what to try, whole sentences
};

// clang-format off
inline constexpr std::array<RuleRow, 35> kRules{{
    {"nonfinite_gradient", Severity::critical, 0, 0, 100, {},
     "a gradient holds NaN or Inf",
     "Look at the operation that is named, or at the layer between the parameter and the loss: log or division of 0, overflow in half precision, a bad batch. guard.on_nonfinite: skip_step keeps the weights."},
    {"nonfinite_loss", Severity::critical, 0, 0, 100, {},
     "the loss is NaN or infinite",
     "With finite weights look at the batch, the labels and the loss function. Otherwise go back to a checkpoint."},
    {"nonfinite_parameter", Severity::critical, 0, 0, 100, {},
     "a sampled parameter or buffer holds NaN or Inf",
     "The model is broken from here on: stop, and restart from a checkpoint of before. Only buffers: a BatchNorm saw a non-finite batch."},
    {"nonfinite_activation", Severity::critical, 0, 0, 100, {},
     "the output of a layer holds NaN (of one that owns parameters also Inf)",
     "Look at the inputs of the layer that is named first: a bad batch, an overflow, a division by 0."},
    {"vanishing_gradient", Severity::warning, 50, 0, 50, {{{"mean_abs", 1e-7, 0, 1, "mean of |g| over the elements that are not 0"}, {"share", 1e-3, 0, 1, "of that of the layer that has the largest"}}},
     "the largest parameter of a layer has a gradient whose mean magnitude is below mean_abs, and below share of another layer's",
     "Saturated activations, a poor initialisation, too many layers without normalisation or residuals; in half precision underflow without loss scaling."},
    {"exploding_gradient", Severity::warning, 3, 0, 50, {{{"max_norm", 1000, 0, 1e300, "gradient norm before clipping that is too large in any run"}, {"ratio", 10, 1, 1e300, "times the run's own level (median of 128 steps), above a norm of 10 only"}}},
     "the gradient norm is above max_norm for 50 steps more, or above ratio times the run's own level and above 10",
     "Lower the learning rate, lengthen the warm-up, clip. A loss summed over the batch has large norms by nature: raise max_norm."},
    {"gradient_spike", Severity::warning, 0, 0, 20, {{{"deviations", 10, 1, 1e6, "deviations (1.4826 MAD of the logarithm over 128 steps) above the median"}, {"ratio", 20, 1, 1e300, "times the median"}}},
     "the gradient norm of one step is both deviations and ratio times above the median of the steps before",
     "Look at the batch of that step: outliers, a wrong scale, padding. Clip the gradient norm."},
    {"loss_spike", Severity::warning, 0, 0, 20, {{{"deviations", 8, 1, 1e6, "deviations (1.4826 MAD of the logarithm over 128 steps) above the median"}, {"ratio", 2, 1, 1e300, "times the median"}}},
     "the loss of one step is both deviations and ratio times above the median of the steps before",
     "Look at the batch of that step, and whether the update norm grew before it: then lower the learning rate or raise Adam's beta2 warm-up."},
    {"loss_not_decreasing", Severity::warning, 50, 0, 500, {{{"after_steps", 500, 32, 1e9, "steps that training has to get going"}, {"decrease", 0.02, 0, 1, "share of its first level (median of 16 steps) that the loss (median of 128) is to have lost by then"}}},
     "after_steps into the run the loss is not below its first level by the share decrease; or, at any time, it is ten times what it was in the first step",
     "Do labels and inputs belong together? Is the optimizer given the model's parameters, is zero_grad called, is the learning rate right by powers of ten? Can the model overfit one batch?"},
    {"loss_plateau", Severity::info, 0, 0, 0, {{{"patience_steps", 5000, 128, 1e9, "steps without a better loss (median of 128)"}, {"decrease", 0.01, 0, 1, "share by which a better loss is below the best one"}}},
     "the loss has not fallen by the share decrease for patience_steps",
     "Lower the learning rate, or end the run: it has learned what it will."},
    {"overfit", Severity::warning, 0, 0, 0, {{{"rise", 0.1, 0, 1e6, "share by which the validation loss is above its best"}, {"gap", 0.1, 0, 1e6, "share by which it is above the training loss"}, {"patience", 3, 1, 1e6, "validations in a row"}}},
     "the validation loss is above its best by rise and above the training loss by gap in patience validations in a row",
     "Keep the checkpoint of the best validation. More data, augmentation, weight decay or dropout; a smaller model."},
    {"overtraining", Severity::info, 0, 0, 0, {{{"delta", 0.001, 0, 1, "share by which a better validation loss is below the best one"}, {"patience", 10, 1, 1e6, "validations in a row without one"}}},
     "the validation loss has not improved by delta for patience validations",
     "End the run, or lower the learning rate."},
    {"update_ratio", Severity::warning, 10, 0, 50, {{{"max", 0.1, 0, 1e300, "update over parameter that is too much"}, {"min", 1e-8, 0, 1, "and that is too little, above 0"}}},
     "the largest parameter of a layer changes in one step by more than max or less than min of its norm; needs sampling.update_ratio",
     "About 1e-3 is usual. Change the learning rate by the factor that is missing; too small with float16 or bfloat16 weights means that updates are rounded away."},
    {"update_spike", Severity::warning, 0, 0, 20, {{{"deviations", 8, 1, 1e6, "deviations (1.4826 MAD of the logarithm over 128 samples) above the median"}, {"ratio", 8, 1, 1e300, "times the median"}}},
     "the norm of all measured updates is both deviations and ratio times above the median of the samples before; needs sampling.update_ratio",
     "The early warning of a loss spike: keep a checkpoint of before, lower the learning rate or raise Adam's beta2."},
    {"unchanged_tensor", Severity::warning, 20, 0, 0, {{{"samples", 3, 2, 1e6, "samples that are the same"}}},
     "the largest parameter of a layer, which has a gradient, is the same over samples while the learning rate is above 0",
     "Is it in a parameter group of the optimizer? Is its update below the resolution of its type?"},
    {"zero_tensor", Severity::warning, 20, 0, 0, {{{"share", 1, 0, 1, "of its elements"}}},
     "the share of zeros in the largest parameter of a layer is at least share",
     "Is it initialised? Is its gradient zero too, or its mask?"},
    {"zero_gradient", Severity::warning, 20, 0, 0, {{{"share", 1, 0, 1, "of its elements"}}},
     "the share of zeros in the gradient of the largest parameter of a layer is at least share",
     "The layer learns nothing: dead ReLUs behind it, inputs that are all zero, a product with 0, a mask."},
    {"dead_units", Severity::warning, 0, 0, 0, {{{"share", 0.5, 0, 1, "of the units of a layer"}, {"observations", 2, 1, 1e6, "in a row"}}},
     "more than share of the units behind a ReLU are 0 for all of the batch, in observations in a row",
     "Lower the learning rate, look at the biases, or use LeakyReLU or GELU."},
    {"saturated_activation", Severity::warning, 0, 0, 0, {{{"share", 0.5, 0, 1, "of the inputs of a layer"}, {"observations", 2, 1, 1e6, "in a row"}}},
     "more than share of the inputs of a tanh or sigmoid lie where its derivative is 0, in observations in a row",
     "Normalise the inputs, initialise with a smaller gain, or put a normalisation in front."},
    {"poor_initialisation", Severity::warning, 0, 0, 500, {{{"output_ratio", 1e4, 1, 1e300, "largest over smallest standard deviation of the layers' outputs"}}},
     "in the first sample a weight matrix is constant, or the spread of the outputs of layers with a matrix differs by more than output_ratio",
     "Use kaiming (ReLU) or xavier (tanh) initialisation; never a constant for a matrix: its units stay alike for ever."},
    {"tensor_variance", Severity::warning, 20, 0, 50, {{{"max", 1e4, 0, 1e300, "variance that is too large"}, {"min", 0, 0, 1e300, "and that is too small; 0 does not look"}}},
     "the variance of the largest parameter of a layer is above max or below min",
     "Weight decay, a lower learning rate; or set the bounds that are right for this model."},
    {"norm_drift", Severity::warning, 50, 0, 50, {{{"ratio", 100, 1, 1e300, "norm over that of the first sample, or the other way round"}}},
     "the norm of the largest parameter of a layer has grown or shrunk by ratio since the first sample; one that began near zero is not judged",
     "Growing: weight decay, a lower learning rate. Shrinking: too much weight decay, or no gradient."},
    {"learning_rate_zero", Severity::warning, 100, 0, 0, {},
     "every learning rate is 0",
     "Has the schedule ended, or is it stepped once a batch instead of once an epoch?"},
    {"learning_rate_jump", Severity::warning, 0, 0, 100, {{{"ratio", 10, 1, 1e300, "times the highest learning rate of the group so far"}}},
     "a learning rate is above ratio times the highest that its group has had",
     "Is the schedule restarted, or multiplied twice?"},
    {"learning_rate_nonfinite", Severity::critical, 0, 0, 100, {},
     "a learning rate is NaN, infinite or negative",
     "Look at the schedule: a division by the number of steps, a power of a negative number, a line that goes on below 0."},
    {"step_time_outlier", Severity::info, 0, 0, 20, {{{"deviations", 8, 1, 1e6, "deviations (1.4826 MAD of the logarithm over 128 steps) above the median"}, {"ratio", 5, 1, 1e300, "times the median"}, {"min_seconds", 0.1, 0, 1e9, "that it takes at least"}}},
     "one step takes min_seconds, and both deviations and ratio times longer than the median of the steps before",
     "A checkpoint, a page cache that is written back, another job on the host."},
    {"throughput_drop", Severity::warning, 100, 10000, 100, {{{"ratio", 3, 1, 1e300, "times the shortest median of 128 steps so far"}}},
     "the median step takes ratio times longer than it has in this run",
     "Another job on the host, thermal throttling, a slow disk, growing sequences, a graph that is kept over steps."},
    {"input_starvation", Severity::warning, 100, 0, 100, {{{"share", 0.5, 0, 1, "of the time of 128 steps"}}},
     "more than share of the time of 128 steps is spent on loading data, and of each of a tenth of them; needs train_step or begin_step",
     "More workers in the data loader, prefetching, decoded or packed data, a faster disk."},
    {"memory_growth", Severity::warning, 0, 0, 0, {{{"share", 0.1, 0, 1e6, "of the first of 8 readings, 50 steps apart"}, {"min_bytes", 67108864, 0, 1e15, "growth that counts"}}},
     "memory of the process (resident, without files that are mapped) or of the device has grown at each of 8 readings, by share and min_bytes in all",
     "A tensor with its graph that is kept (loss without .item() or .detach()), a list that grows, a cache without bound."},
    {"stalled", Severity::critical, 0, 0, 0, {{{"ratio", 30, 1, 1e300, "times the usual step"}, {"min_seconds", 300, 0.1, 1e9, "and at least"}}},
     "no step has ended for ratio usual steps and min_seconds, outside of evaluation phases",
     "gdb -p PID -batch -ex 'thread apply all bt': often a collective that waits for a dead rank, or storage."},
    {"number_format_overflow", Severity::warning, 0, 0, 100, {{{"share", 0.5, 0, 1, "of the largest number that the type holds"}}},
     "an element of a float16 or bfloat16 tensor is above share of what its type can hold",
     "Loss scaling is too high, or the tensor needs bfloat16 or float32."},
    {"frozen_parameter", Severity::warning, 100, 0, 0, {{{"samples", 3, 2, 1e6, "samples in a row"}}},
     "a parameter that is to be trained has no gradient in samples in a row, while others have; or none has",
     "None: is backward() called, is the forward pass under a NoGradGuard? One: it is not part of the graph: a detach(), a NoGradGuard, a module that forward() does not call. On purpose: set requires_grad(false)."},
    {"disk_full", Severity::warning, 0, 0, 0, {{{"min_bytes", 1073741824, 0, 1e18, "free"}}},
     "less than min_bytes are free where rules.disk_directory lies",
     "Remove old checkpoints, or the next save fails."},
    {"rank_divergence", Severity::critical, 0, 0, 100, {{{"difference", 1e-4, 0, 1, "relative, between the parameter norms of two ranks at the same step"}}},
     "the parameter norms of data-parallel ranks differ at the same step by more than difference; seen by vigil replay over the files of several ranks, and by Prometheus",
     "The ranks train different models: different seeds, a parameter that is not all-reduced, a rank that skipped a step. Broadcast the parameters of rank 0 and look at the first step that differs."},
    {"straggler_rank", Severity::warning, 100, 0, 100, {{{"ratio", 0.75, 0, 1, "of the time of the median rank over that of the rank"}}},
     "the median time that a rank spends outside of forward and backward is so much longer that the median over the ranks is below ratio of it; seen as rank_divergence",
     "Look at that host: its data loader, thermal throttling, another job, a degraded link."},
}};
// clang-format on

}  // namespace vigil
