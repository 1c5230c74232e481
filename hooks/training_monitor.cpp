#include "vigil/hooks/training_monitor.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <exception>
#include <mutex>
#include <optional>
#include <stdexcept>

#include <torch/csrc/jit/api/module.h>
#include <torch/version.h>
#include <unistd.h>

#include "vigil/exporters/export_thread.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/metric_value.h"
#include "vigil/exporters/prometheus_collectable.h"
#include "vigil/hooks/launch_environment.h"
#include "vigil/hooks/model_fingerprint.h"
#include "vigil/hooks/optimizer_state.h"
#include "vigil/hooks/step_recorder.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/crash_mark.h"
#include "vigil/monitor/float_environment.h"
#include "vigil/monitor/fork_guard.h"
#include "vigil/monitor/reduction.h"
#include "vigil/monitor/ring_file.h"
#include "vigil/monitor/run_channel.h"

namespace vigil {
namespace {

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

RunIdentity identity_of(const RunConfig& run, const std::string& model, const LaunchEnvironment& launch) {
  RunIdentity identity;
  identity.run = run.name.empty() ? program_invocation_short_name : run.name;
  identity.rank = launch.rank;
  identity.world_size = launch.world_size;
  identity.model = run.model.empty() ? model : run.model;
  identity.libtorch = TORCH_VERSION;
  identity.host = host_name();
  identity.pid = getpid();
  identity.attempt = launch.attempt;
  identity.start_time_ns = wall_time_ns();
  return identity;
}

// "Net" for "(anonymous namespace)::Net": the compiler's word for a place that has no name says nothing to a reader of a dashboard.
std::string type_name(const torch::nn::Module& module) {
  static constexpr std::string_view kUnnamed = "(anonymous namespace)::";
  std::string name = module.name();
  for (auto at = name.find(kUnnamed); at != std::string::npos; at = name.find(kUnnamed)) name.erase(at, kUnnamed.size());
  return name;
}

// `automatic` leaves what is in use: it is that from the start, or the choice of another monitor.
void choose_kernel(Kernel kernel) {
  const std::string_view name = kKernelNames[static_cast<std::size_t>(kernel)];
  if (kernel == Kernel::automatic || use_kernel(name)) return;
  std::string available;
  for (const std::string_view other : available_kernels()) available += (available.empty() ? "" : ", ") + std::string(other);
  throw std::invalid_argument("watch: sampling.kernel: this machine cannot run " + std::string(name) + ", only " + available +
                              "; set auto");
}

// A port of its own for each rank of a host; 0 stays "any".
std::int64_t port_of_rank(std::int64_t port, const LaunchEnvironment& launch) {
  if (port == 0) return 0;
  if (port + launch.local_rank > 65535) {
    throw std::invalid_argument("watch: exporters.prometheus.port " + std::to_string(port) + " plus the local rank " +
                                std::to_string(launch.local_rank) + " is above 65535; choose a lower port, or 0");
  }
  return port + launch.local_rank;
}

std::string with_prefix(const std::string& prefix, const std::string& name) { return prefix.empty() ? name : prefix + "." + name; }

NamedTensors list_of(const torch::OrderedDict<std::string, torch::Tensor>& tensors) {
  NamedTensors list;
  for (const auto& item : tensors) list.emplace_back(item.key(), item.value());
  return list;
}

NamedTensors prefixed(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors list;
  for (const auto& [name, tensor] : tensors) list.emplace_back(with_prefix(prefix, name), tensor);
  return list;
}

template <class JitList>
NamedTensors list_of_jit(const JitList& tensors) {
  NamedTensors list;
  for (const auto& item : tensors) list.emplace_back(item.name, item.value);
  return list;
}

// Where a collectable finds the export thread, also when it was handed out before watch().
struct ExportSlot {
  std::mutex mutex;
  std::weak_ptr<ExportThread> thread;
};

}  // namespace

class TrainingMonitor::Impl {
 public:
  explicit Impl(Config config) : config_(std::move(config)) { validate(config_); }

  void watch(const std::string& model_name, const std::vector<PartTensors>& parts);
  bool active() const noexcept { return recorder_ != nullptr && !finished_.load(std::memory_order_relaxed) && !forked(); }
  /// Whether a call of the loop is to be taken note of.
  bool listens() const noexcept { return active() && !recorder_->is_replaying(); }
  void finish(RunState state) noexcept;

  bool forked() const noexcept { return fork_generation() != generation_; }
  // Null before watch(). A forked child lets go of the thread, which does not exist there, before it asks anything of it.
  ExportThread* exporting() const noexcept {
    if (export_ != nullptr && forked()) export_->abandon();
    return export_.get();
  }

  Config config_;
  std::uint64_t generation_ = fork_generation();
  const int exceptions_in_flight_ = std::uncaught_exceptions();  // a monitor may be made while the stack unwinds
  std::atomic<bool> finished_{false};  // relaxed: what the end of the run wrote is published by the export thread's lock
  std::shared_ptr<RunChannel> channel_;
  std::optional<CrashMark> crash_mark_;
  std::unique_ptr<StepRecorder> recorder_;
  std::function<std::uint64_t()> restore_;  // given before watch(), like these
  std::function<void(std::uint64_t)> save_;
  std::function<void(const AlertNotice&)> on_alert_;
  std::shared_ptr<ExportThread> export_;
  const std::shared_ptr<ExportSlot> slot_ = std::make_shared<ExportSlot>();
};

void TrainingMonitor::Impl::watch(const std::string& model_name, const std::vector<PartTensors>& parts) {
  if (channel_ != nullptr) throw std::invalid_argument("watch: this monitor watches a model already; create one TrainingMonitor per model");
  const LaunchEnvironment launch = read_launch_environment();
  Config config = config_;
  config.exporters.prometheus.port = port_of_rank(config.exporters.prometheus.port, launch);
  // Appending to one file from several processes would mix their lines.
  if (launch.world_size > 1) config.exporters.jsonl.path += ".rank" + std::to_string(launch.rank);

  WatchedModel model = watch_tensors(parts, config.sampling);
  model.schema.identity = identity_of(config.run, model_name, launch);
  model.schema.identity.model_fingerprint = model_fingerprint(parts);
  model.schema.is_continued = model.schema.identity.attempt > 0 ||
                              std::any_of(parts.begin(), parts.end(), [](const PartTensors& part) { return has_stepped(*part.optimizer); });
  model.schema.peak_flops = static_cast<double>(config.work.peak_gflops) * 1e9;
  const std::vector<std::string> left_out = model.left_out, unmatched = model.unmatched, without_update = model.without_update,
                                 without_copy = model.without_copy, without_state = model.without_state;
  const ChannelBounds bounds{static_cast<std::size_t>(config.ring.step_records), static_cast<std::size_t>(config.ring.frame_bytes)};
  // Of a watch() that fails no file stays.
  struct NewRing : SharedChannel {
    ~NewRing() {
      if (!is_kept && !path.empty()) remove_ring_file(path);
    }
    bool is_kept = false;
  } shared;
  if (config.ring.shared)
    static_cast<SharedChannel&>(shared) = make_shared_channel(model.schema, bounds, ring_directory(config.ring.directory));
  auto channel = shared.channel != nullptr ? shared.channel : std::make_shared<RunChannel>(model.schema, bounds);
  // Another rank would wait for a collective operation that this one runs again alone.
  const bool can_replay = launch.world_size == 1;
  auto recorder = std::make_unique<StepRecorder>(*channel, std::move(model), parts, config.sampling, config.guard, can_replay);
  if (restore_) recorder->set_rollback(restore_);
  if (save_) recorder->set_checkpoint(save_);
  set_log_level(config.log.level);
  choose_kernel(config.sampling.kernel);  // of the process: not by a watch() that fails before this
  auto exporting = std::make_shared<ExportThread>(channel, config, on_alert_);
  // Nothing below throws but for want of memory: from here on the model is watched.
  channel_ = std::move(channel);
  if (config.ring.shared && config.ring.crash_signals) crash_mark_.emplace(channel_->live());
  recorder_ = std::move(recorder);
  export_ = std::move(exporting);
  shared.is_kept = true;
  {
    const std::lock_guard lock(slot_->mutex);
    slot_->thread = export_;
  }

  const Schema& schema = channel_->schema();
  vigil::log(LogLevel::info, "watching " + schema.identity.model + " (" + std::to_string(schema.parameters.size()) + " parameters, " +
                                 std::to_string(schema.trainable.elements + schema.frozen.elements) + " elements) as run '" +
                                 schema.identity.run + "', statistics by the kernel " + std::string(kernel_in_use()));
  if (!shared.path.empty()) vigil::log(LogLevel::info, "its rings are in " + shared.path);
  for (const std::string& pattern : unmatched) {
    vigil::log(LogLevel::warning, pattern + " matches no tensor of the model that it could be of");
  }
  if (!without_update.empty()) {
    vigil::log(LogLevel::warning, "sampling.update_ratio_bytes has no room for a copy of " + std::to_string(without_update.size()) +
                                      " parameters, which get no update ratio, first: " + without_update.front());
  }
  if (!without_copy.empty()) {
    vigil::log(LogLevel::warning, "sampling.copy_bytes has no room for " + std::to_string(without_copy.size()) +
                                      " copies that distance and gradient_cosine need, first: " + without_copy.front());
  }
  for (const std::string& part : without_state) {
    vigil::log(LogLevel::warning,
               "sampling.optimizer_state: the optimizer" + (part.empty() ? part : " of " + part) +
                   " keeps no state of single parameters that vigil knows (Adam, AdamW, RMSprop, Adagrad, SGD with momentum do)");
  }
  if (!left_out.empty()) {
    vigil::log(LogLevel::warning, "no statistics for " + std::to_string(left_out.size()) +
                                      " parameters whose type is not a floating-point one, first: " + left_out.front());
  }
}

void TrainingMonitor::Impl::finish(RunState state) noexcept {
  if (exporting() == nullptr || forked()) return;
  if (export_->is_calling()) {
    // On the thread of on_alert(): the recorder is the training thread's, which may be within a call of it.
    if (finished_.exchange(true, std::memory_order_relaxed)) return;
    channel_->live().state.store(state, std::memory_order_relaxed);  // a lone word
  } else if (!finished_.load(std::memory_order_relaxed)) {
    recorder_->finish(state);
  }
  export_->stop();
  finished_.store(true, std::memory_order_relaxed);
}

TrainingMonitor::TrainingMonitor() {
  if (!is_disabled_by_environment()) impl_ = std::make_unique<Impl>(load_config_from_environment());
}

TrainingMonitor::TrainingMonitor(Config config) {
  if (!is_disabled_by_environment()) impl_ = std::make_unique<Impl>(std::move(config));
}

TrainingMonitor::~TrainingMonitor() {
  if (impl_ == nullptr) return;
  const bool unwinding = std::uncaught_exceptions() > impl_->exceptions_in_flight_;
  impl_->finish(unwinding ? RunState::failed : RunState::finished);
}

void TrainingMonitor::watch(torch::nn::Module& module, torch::optim::Optimizer& optimizer) {
  if (impl_ == nullptr) return;
  impl_->watch(type_name(module), {{"", list_of(module.named_parameters()), list_of(module.named_buffers()), &optimizer}});
}

void TrainingMonitor::watch(torch::jit::Module& module, torch::optim::Optimizer& optimizer) {
  if (impl_ == nullptr) return;
  const auto type = module.type()->name();
  impl_->watch(type ? type->name() : "ScriptModule",
               {{"", list_of_jit(module.named_parameters()), list_of_jit(module.named_buffers()), &optimizer}});
}

void TrainingMonitor::watch(const std::string& name, const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                            torch::optim::Optimizer& optimizer) {
  watch(name, list_of(parameters), optimizer);
}

void TrainingMonitor::watch(const std::string& name, const std::vector<std::pair<std::string, torch::Tensor>>& parameters,
                            torch::optim::Optimizer& optimizer) {
  if (impl_ == nullptr) return;
  impl_->watch(name, {{"", prefixed(name, parameters), {}, &optimizer}});
}

void TrainingMonitor::watch(const std::vector<WatchedPart>& parts) {
  if (impl_ == nullptr) return;
  if (parts.empty()) throw std::invalid_argument("watch: the list of parts is empty; give at least one");
  std::string model;
  std::vector<PartTensors> tensors;
  for (const WatchedPart& part : parts) {
    if (part.name.empty()) throw std::invalid_argument("watch: a part has no name; each needs one of its own");
    for (const PartTensors& other : tensors) {
      if (other.name == part.name)
        throw std::invalid_argument("watch: two parts are called '" + part.name + "'; give each a name of its own");
      if (other.optimizer == part.optimizer) {
        throw std::invalid_argument("watch: '" + other.name + "' and '" + part.name +
                                    "' have the same optimizer; parts that are stepped together are one part");
      }
    }
    tensors.push_back({part.name, part.parameters, part.buffers, part.optimizer});
    model += (model.empty() ? "" : "+") + part.name;
  }
  impl_->watch(model, tensors);
}

WatchedPart::WatchedPart(std::string its_name, torch::nn::Module& module, torch::optim::Optimizer& its_optimizer)
    : name(std::move(its_name)),
      parameters(prefixed(name, list_of(module.named_parameters()))),
      buffers(prefixed(name, list_of(module.named_buffers()))),
      optimizer(&its_optimizer) {}

WatchedPart::WatchedPart(std::string its_name, const std::vector<std::pair<std::string, torch::Tensor>>& its_parameters,
                         torch::optim::Optimizer& its_optimizer)
    : name(std::move(its_name)), parameters(prefixed(name, its_parameters)), optimizer(&its_optimizer) {}

void TrainingMonitor::set_rollback(std::function<std::uint64_t()> restore) {
  if (impl_ == nullptr) return;
  impl_->restore_ = std::move(restore);
  if (impl_->recorder_ != nullptr) impl_->recorder_->set_rollback(impl_->restore_);
}

void TrainingMonitor::set_checkpoint(std::function<void(std::uint64_t step)> save) {
  if (impl_ == nullptr) return;
  impl_->save_ = std::move(save);
  if (impl_->recorder_ != nullptr) impl_->recorder_->set_checkpoint(impl_->save_);
}

void TrainingMonitor::checkpoint_saved() noexcept {
  if (listening()) impl_->recorder_->checkpoint_saved();
}

void TrainingMonitor::on_alert(std::function<void(const AlertNotice&)> call) {
  if (impl_ == nullptr) return;
  impl_->on_alert_ = std::move(call);
  if (ExportThread* const exporting = impl_->exporting()) exporting->set_on_alert(impl_->on_alert_);
}

Verdict TrainingMonitor::after_backward(const torch::Tensor& loss) noexcept {
  if (!listening()) return Verdict::proceed;
  const DefaultFloatEnvironment environment;
  return impl_->recorder_->after_backward(loss, nullptr, nullptr);
}

Verdict TrainingMonitor::after_backward(const torch::Tensor& loss, const torch::optim::Optimizer& optimizer) noexcept {
  if (!listening()) return Verdict::proceed;
  const DefaultFloatEnvironment environment;
  return impl_->recorder_->after_backward(loss, &optimizer, nullptr);
}

void TrainingMonitor::after_step() noexcept {
  if (!listening()) return;
  const DefaultFloatEnvironment environment;
  impl_->recorder_->after_step();
}

void TrainingMonitor::begin_step() noexcept {
  if (listening()) impl_->recorder_->begin_step(false);
}

void TrainingMonitor::micro_batch(const torch::Tensor& loss) noexcept {
  if (!listening()) return;
  const DefaultFloatEnvironment environment;
  impl_->recorder_->micro_batch(loss);
}

void TrainingMonitor::phase(std::string_view name) noexcept {
  if (!listening()) return;
  const DefaultFloatEnvironment environment;
  impl_->recorder_->phase(name);
}

void TrainingMonitor::examples(std::uint64_t count) noexcept {
  if (listening()) impl_->recorder_->examples(count);
}

void TrainingMonitor::clip_norm(double max_norm) noexcept {
  if (listening()) impl_->recorder_->clip_norm(max_norm);
}

namespace {

// Ends the step on every way out.
template <class End>
struct AtEnd {
  End end;
  ~AtEnd() { end(); }
};
template <class End>
AtEnd(End) -> AtEnd<End>;

}  // namespace

Verdict TrainingMonitor::step(torch::optim::Optimizer& optimizer, const torch::Tensor& loss) {
  if (!listening()) {
    optimizer.step();
    return Verdict::proceed;
  }
  impl_->recorder_->end_before(optimizer);
  const Verdict verdict = after_backward(loss, optimizer);
  const AtEnd end{[this] {
    if (impl_->recorder_->all_parts_done()) after_step();
  }};
  if (verdict == Verdict::proceed) optimizer.step();
  return verdict;
}

TrainStep<torch::Tensor> TrainingMonitor::run_train_step(torch::optim::Optimizer& optimizer, LossClosure closure) {
  const OptimizerStep step = [&optimizer](const torch::Tensor&) { optimizer.step(); };
  return run_train_step(optimizer, closure, step);
}

TrainStep<torch::Tensor> TrainingMonitor::run_train_step(torch::optim::LBFGS& optimizer, LossClosure closure) {
  // Its first evaluation has been made; it makes the others itself.
  const OptimizerStep step = [&optimizer, &closure](const torch::Tensor& first) {
    bool is_first = true;
    optimizer.step([&]() -> torch::Tensor {
      if (std::exchange(is_first, false)) return first;
      optimizer.zero_grad();
      torch::Tensor loss = closure();
      loss.backward();
      return loss;
    });
  };
  return run_train_step(optimizer, closure, step);
}

TrainStep<torch::Tensor> TrainingMonitor::run_train_step(torch::optim::Optimizer& optimizer, LossClosure closure,
                                                         const OptimizerStep& step) {
  const bool listens = listening();
  if (listens) {
    impl_->recorder_->end_before(optimizer);
    impl_->recorder_->begin_step(true);
  }
  optimizer.zero_grad();
  TrainStep<torch::Tensor> made;
  made.loss = closure();
  made.loss.backward();
  if (!listens) {
    step(made.loss);
    return made;
  }
  {
    const DefaultFloatEnvironment environment;
    made.verdict = impl_->recorder_->after_backward(made.loss, &optimizer, &closure);
  }
  const AtEnd end{[this] {
    if (impl_->recorder_->all_parts_done()) after_step();
  }};
  if (made.verdict == Verdict::proceed) step(made.loss);
  return made;
}

void TrainingMonitor::log(std::string_view name, double value) noexcept {
  if (listening()) impl_->recorder_->log(name, value);
}

bool TrainingMonitor::active() const noexcept { return impl_ != nullptr && impl_->active(); }

bool TrainingMonitor::listening() const noexcept { return impl_ != nullptr && impl_->listens(); }

std::optional<NonfiniteOrigin> TrainingMonitor::nonfinite_origin() const {
  if (impl_ == nullptr || impl_->recorder_ == nullptr) return std::nullopt;
  return impl_->recorder_->nonfinite_origin();
}

std::shared_ptr<const Snapshot> TrainingMonitor::snapshot() const {
  if (impl_ == nullptr || impl_->exporting() == nullptr) return nullptr;
  return impl_->active() ? impl_->exporting()->refresh() : impl_->exporting()->snapshot();
}

std::optional<double> TrainingMonitor::value(std::string_view metric, std::string_view parameter) const {
  const auto latest = snapshot();
  return latest == nullptr ? std::nullopt : find_value(*latest, impl_->config_.exporters.prometheus, metric, parameter);
}

std::string TrainingMonitor::endpoint() const {
  return impl_ == nullptr || impl_->export_ == nullptr || impl_->forked() ? std::string() : impl_->export_->endpoint();
}

std::shared_ptr<prometheus::Collectable> TrainingMonitor::collectable() const {
  if (impl_ == nullptr) return std::make_shared<PrometheusCollectable>([] { return nullptr; });
  return std::make_shared<PrometheusCollectable>(
      [slot = impl_->slot_]() -> std::shared_ptr<const Snapshot> {
        const std::lock_guard lock(slot->mutex);
        const auto thread = slot->thread.lock();
        return thread == nullptr ? nullptr : thread->snapshot();
      },
      impl_->config_.exporters.prometheus);
}

void TrainingMonitor::finish() noexcept {
  if (impl_ != nullptr) impl_->finish(RunState::finished);
}

}  // namespace vigil
