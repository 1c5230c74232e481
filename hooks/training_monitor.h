// The one header that a training program includes.
//
//   vigil::TrainingMonitor monitor;            // settings from the file that $VIGIL_CONFIG names, else defaults
//   monitor.watch(*model, optimizer);          // starts the export thread; may throw
//   for (auto& batch : *loader) {
//     ...
//     loss.backward();
//     if (monitor.after_backward(loss) == vigil::Verdict::proceed) optimizer.step();
//     monitor.after_step();
//   }
//
// Or, instead of the last three lines, `monitor.step(optimizer, loss)`; or, for all of it, `monitor.train_step(optimizer, closure)`, which
// can also run the batch of a non-finite step again and name the operation that made it so.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torch/nn/module.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>

#include "vigil/config/config_reader.h"
#include "vigil/hooks/loss_closure.h"
#include "vigil/hooks/verdict.h"
#include "vigil/monitor/rules/alert_notice.h"
#include "vigil/monitor/snapshot.h"

namespace prometheus {
class Collectable;
}
namespace torch::jit {
struct Module;
}

namespace vigil {

/// A model, or a part of one, that an optimizer of its own steps: the generator of a GAN, a critic, an encoder.
struct WatchedPart {
  /// `name` stands in front of each tensor's: "generator" makes "generator.conv1.weight". Unlike that of any other part, and not empty.
  WatchedPart(std::string name, torch::nn::Module& module, torch::optim::Optimizer& optimizer);
  WatchedPart(std::string name, const std::vector<std::pair<std::string, torch::Tensor>>& parameters, torch::optim::Optimizer& optimizer);

  std::string name;
  std::vector<std::pair<std::string, torch::Tensor>> parameters, buffers;
  torch::optim::Optimizer* optimizer;
};

/// Watches one model's training, or that of several that are trained together. Every member is called from the training thread unless it
/// says otherwise.
///
/// From `watch()` on, the calls of the loop never throw, lock, wait, print or abort, and allocate nothing after the first
/// sample (but for sparse gradients and tensors outside the CPU, which are reduced by ATen; steps that are observed for activations,
/// replayed or traced; and parameters that come later). What fails is counted in `vigil_hook_errors_total` and logged once by the export
/// thread; what fails ten times in a row (a tensor, the loss, the learning rates) is left out from then on.
///
/// With the environment variable VIGIL_DISABLE set to anything but "" or "0", every call is a no-op that costs a branch: no
/// thread, no port, no file; `after_backward` answers `proceed`. In a child made by fork(2) the same holds.
class TrainingMonitor {
 public:
  /// Settings from the file that $VIGIL_CONFIG names, or the defaults.
  /// @throws ConfigError when that file is not as it should be.
  TrainingMonitor();
  /// @throws ConfigError when a value is out of its range.
  explicit TrainingMonitor(Config config);
  /// Calls `finish()`. During stack unwinding the run's last state is *failed* instead of *finished*.
  ~TrainingMonitor();
  TrainingMonitor(const TrainingMonitor&) = delete;
  TrainingMonitor& operator=(const TrainingMonitor&) = delete;

  // --- set-up --------------------------------------------------------------------------------------------------------------

  /// Takes in names, shapes and buffers of `module` and the parameter groups of `optimizer`, allocates everything and starts the
  /// export thread. Tied parameters count once, under their first name. `optimizer` outlives the loop; the tensors are shared, so
  /// the module may go earlier. Nothing is started or kept when it throws, so it may be called again.
  /// @throws std::invalid_argument without parameters; when two of them have the same name, or one is computed from others; when the
  ///         optimizer holds none or others than the module's; when called twice.
  /// @throws std::runtime_error when the port or a file cannot be had; the message says what to change.
  void watch(torch::nn::Module& module, torch::optim::Optimizer& optimizer);
  void watch(torch::jit::Module& module, torch::optim::Optimizer& optimizer);
  /// Any list of named tensors, such as `module.named_parameters()` of a part of a model. `name` stands for the model and, unless
  /// empty, in front of each tensor's: "encoder" makes "encoder.conv1.weight".
  void watch(const std::string& name, const torch::OrderedDict<std::string, torch::Tensor>& parameters, torch::optim::Optimizer& optimizer);
  void watch(const std::string& name, const std::vector<std::pair<std::string, torch::Tensor>>& parameters,
             torch::optim::Optimizer& optimizer);

  /// Several models and optimizers, such as a GAN's; the first one's loss is that of the records, those of the others become the user
  /// scalars "<name>/loss". @throws std::invalid_argument also for names that are empty or equal, and for an optimizer that is given twice.
  void watch(const std::vector<WatchedPart>& parts);

  /// What `guard.on_nonfinite: rollback` calls, on the training thread, from within the call that saw the non-finite step: it restores the
  /// last good parameters and optimizer state, and returns the step that they are of; 0 when it has none, which ends the run. It may throw,
  /// which is counted as an error of the hook "rollback". Call it before or after `watch()`.
  void set_rollback(std::function<std::uint64_t()> restore);

  /// What the action `checkpoint` of an alert rule calls, on the training thread, at the end of the step after which the alert was seen: it
  /// saves what the program wants saved. What it throws is counted as an error of the hook "checkpoint". Call it before or after `watch()`.
  void set_checkpoint(std::function<void(std::uint64_t step)> save);

  /// The program has saved a checkpoint of the parameters as they are now: the page and the history mark it. Checkpoints that
  /// `set_checkpoint` saves are marked by themselves.
  void checkpoint_saved() noexcept;

  /// What the action `callback` calls when an alert begins to fire and when it is over (docs/alerts.md): on a thread of its own, one call
  /// after the other, so that a slow one holds nobody up; `finish()` waits for the call under way, and for pending ones at most three
  /// seconds. The call may use what is for any thread, and end the run with `finish()`. In place of what was given before; an empty one for
  /// none. What it throws is counted in `vigil_exporter_errors_total`. Call it before or after `watch()`.
  void on_alert(std::function<void(const AlertNotice&)> call);

  // --- the loop ------------------------------------------------------------------------------------------------------------

  /// After `loss.backward()` and before clipping and `optimizer.step()`. Looks at the loss and, as configured, at every gradient;
  /// on sampled steps computes the statistics of all watched tensors. A `loss` that is undefined, not floating-point or has other
  /// than one element is counted as an error of the hook "loss"; the gradients are guarded all the same.
  Verdict after_backward(const torch::Tensor& loss) noexcept;
  /// The same of one of several parts: `optimizer` tells which. Each has its turn before `after_step()` ends the step; a part that has none
  /// has no gradients in the step's sample.
  Verdict after_backward(const torch::Tensor& loss, const torch::optim::Optimizer& optimizer) noexcept;

  /// Ends the step, whether the optimizer ran or not, and publishes its record.
  void after_step() noexcept;

  /// `after_backward`, then `optimizer.step()` if the verdict is `proceed`, then `after_step`.
  /// What `optimizer.step()` throws passes through, after the step's record has been published.
  /// Of several parts: the step ends when each has had its turn, or when one comes again.
  Verdict step(torch::optim::Optimizer& optimizer, const torch::Tensor& loss);

  /// A whole step: `optimizer.zero_grad()`, `closure`, which computes the loss from this step's batch and returns it, its backward pass,
  /// `after_backward`, `optimizer.step()` if the verdict is `proceed`, `after_step`. What closure and optimizer throw passes through; a
  /// step whose closure throws is no step.
  ///
  /// With `guard.replay`, which is the default, the first step of a streak of non-finite ones is run once more under observation before the
  /// verdict: random generators of libtorch and buffers of the model are set back to where the step began, `closure` and its backward pass
  /// run again, and generators, buffers and gradients are put back bit for bit. So `closure` is called twice on such a step: it takes its
  /// batch from outside, not from the loader. Calls of this monitor within it do nothing the second time. Of several ranks none replays.
  template <class Closure>
  TrainStep<torch::Tensor> train_step(torch::optim::Optimizer& optimizer, Closure&& closure) {
    return run_train_step(optimizer, LossClosure(closure));
  }
  /// The same for LBFGS, which evaluates the closure several times a step. The first evaluation is the step's loss and is guarded; the
  /// gradients of the others are its own matter.
  template <class Closure>
  TrainStep<torch::Tensor> train_step(torch::optim::LBFGS& optimizer, Closure&& closure) {
    return run_train_step(optimizer, LossClosure(closure));
  }

  /// Optional, for loops without train_step: the step's data are there, its forward pass begins. With it a record tells the time for the
  /// data from that for forward and backward.
  void begin_step() noexcept;

  /// After each `loss.backward()` of a step but the last, where gradients are accumulated over several batches; `after_backward` takes the
  /// last one's loss. The loss of the step is the mean of theirs, so give each as it was before it was divided by their number. The
  /// gradients are looked at in `after_backward` only.
  void micro_batch(const torch::Tensor& loss) noexcept;

  /// What runs from now on: "validation", "test", and "train" again (1 to 32 bytes, 8 names a run). Outside of "train", which it is from
  /// the start, the time belongs to no step, `log("loss", …)` becomes "validation/loss", activations of the first batch are kept apart, no
  /// gradient is looked at, and `after_backward` is a misuse (counted as an error of the hook "sequence").
  void phase(std::string_view name) noexcept;

  /// The batch of this step has so many examples, more with every call until `after_step`. Without it, the size of the first dimension of
  /// what went into the first layer on the latest observed step counts.
  void examples(std::uint64_t count) noexcept;

  /// The norm that the program clips the gradients to (`torch::nn::utils::clip_grad_norm_`) from now on: for the clip ratio
  /// min(1, max_norm / (norm + 1e-6)) of each step.
  void clip_norm(double max_norm) noexcept;

  /// Keeps `value` as the user's scalar `name` (1 to 96 bytes, 64 names a run) from the next published step on, or from `finish()`.
  /// NaN and infinities are kept as they are. Too many or too long names are counted as errors of the hook "scalars".
  void log(std::string_view name, double value) noexcept;

  // --- for the program ------------------------------------------------------------------------------------------------------

  /// False when VIGIL_DISABLE is set, in a forked child, before `watch()` and after `finish()`.
  bool active() const noexcept;

  /// The latest non-finite origin; empty while every step was finite.
  std::optional<NonfiniteOrigin> nonfinite_origin() const;

  /// The state of the run including every step that `after_step` has ended. Waits for the export thread, up to some
  /// milliseconds: not for the loop. Null before `watch()`. Any thread once `watch()` has returned.
  std::shared_ptr<const Snapshot> snapshot() const;

  /// The latest value of a metric of the contract (docs/metrics.md), e.g. `value("vigil_gradient_norm")` or
  /// `value("vigil_gradient_l2_norm", "conv1.weight")`; empty when there is none. Of metrics with other labels than `parameter` the
  /// sum over these. Costs as `snapshot()`, plus a rendering: not for the loop. Any thread once `watch()` has returned.
  std::optional<double> value(std::string_view metric, std::string_view parameter = {}) const;

  /// "address:port" that is served, with the port that the system chose where the setting is 0; empty when nothing is. Any thread
  /// once `watch()` has returned.
  std::string endpoint() const;

  /// For a program that already has a `prometheus::Exposer`: `exposer.RegisterCollectable(monitor.collectable())`, where the result
  /// is kept alive by the caller as the exposer holds only a weak reference. It has no metrics before `watch()` and when the monitor is
  /// gone. Any thread.
  std::shared_ptr<prometheus::Collectable> collectable() const;

  /// Ends the run: publishes what is pending, writes it out, stops the export thread and closes the port. Idempotent, never throws.
  /// The figures remain readable through `snapshot()` and `value()`. Also from within the function of `on_alert()`, whose call it does not
  /// wait for then (the next `finish()`, or the destructor, does): the loop's calls are no-ops from there on, and what the training thread
  /// had not published yet is left out.
  void finish() noexcept;

 private:
  TrainStep<torch::Tensor> run_train_step(torch::optim::Optimizer& optimizer, LossClosure closure);
  TrainStep<torch::Tensor> run_train_step(torch::optim::LBFGS& optimizer, LossClosure closure);
  using OptimizerStep = std::function<void(const torch::Tensor& loss)>;
  TrainStep<torch::Tensor> run_train_step(torch::optim::Optimizer& optimizer, LossClosure closure, const OptimizerStep& step);
  /// Whether calls of the loop are taken note of: not within a closure that is run again.
  bool listening() const noexcept;

  class Impl;
  std::unique_ptr<Impl> impl_;  // null when disabled
};

}  // namespace vigil
