#include "vigil/exporters/export_thread.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "vigil/config/threshold.h"
#include "vigil/exporters/alert_rules.h"
#include "vigil/exporters/exporter.h"
#include "vigil/exporters/host_reading.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/run_log.h"
#include "vigil/exporters/signal_mask.h"
#include "vigil/monitor/float_environment.h"

namespace vigil {
namespace {

using Clock = std::chrono::steady_clock;

// A row of the exporter table at work; `exporter` is null when the configuration has it off.
struct RunningExporter {
  std::string_view name;
  std::unique_ptr<Exporter> exporter;
  std::uint64_t errors = 0;
  LogGate gate;
};

}  // namespace

struct ExportThread::State {
  State(std::shared_ptr<const RunChannel> run_channel, const Config& configuration);

  void start_exporters();
  void run() noexcept;
  void poll() noexcept;
  void publish();
  void log_unmatched();
  std::shared_ptr<const Snapshot> copy_latest() const;
  void add_alerts(Snapshot& snapshot) const;
  void tell(const Alert& alert) noexcept;
  template <class Call>
  void guarded(RunningExporter& running, Call call) noexcept;

  const std::shared_ptr<const RunChannel> channel;
  const Config config;

  // Only the export thread uses these once it runs.
  RunFollower follower;
  std::vector<AlertRule> rules;
  std::unique_ptr<AlertEngine> engine;  // null: no rules are evaluated
  HostReader host;
  const std::shared_ptr<AlertCallback> callback = std::make_shared<AlertCallback>();
  RunLog run_log;
  LogGate poll_error_gate;

  mutable std::mutex mutex;  // of what follows
  std::condition_variable wake, polled;
  std::shared_ptr<const Snapshot> latest;
  std::uint64_t polls_wanted = 0, polls_done = 0;
  bool stopping = false, ended = false;

  std::shared_ptr<const Snapshot> first;  // never changes once the thread runs
  std::vector<RunningExporter> exporters;

  std::mutex stop_mutex;  // one stop() at a time
  std::thread thread;
};

ExportThread::State::State(std::shared_ptr<const RunChannel> run_channel, const Config& configuration)
    : channel(std::move(run_channel)), config(configuration), follower(*channel), host(config.rules.disk_directory) {
  if (!config.rules.enabled) return;
  rules = alert_rules(config);
  engine = make_alert_engine(channel->schema(), config.rules);
  engine->set_on_alert([this](const Alert& alert) { tell(alert); });
}

void ExportThread::State::add_alerts(Snapshot& snapshot) const {
  if (engine == nullptr) return;
  const AlertBook& book = engine->book();
  for (const Alert& alert : book.firing()) snapshot.active_alerts.push_back(notice_of(message_of(alert, rules[alert.rule])));
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].enabled)
      snapshot.alert_counts.push_back(
          {rules[i].name, std::string(kSeverityNames[static_cast<std::size_t>(rules[i].severity)]), book.fired()[i]});
  }
  snapshot.alerts_dropped = book.suppressed();
  for (const RunningExporter& running : exporters) {
    if (running.exporter) snapshot.alerts_dropped += running.exporter->dropped();
  }
}

void ExportThread::State::tell(const Alert& alert) noexcept {
  try {
    const AlertMessage message = message_of(alert, rules[alert.rule]);
    if (alert.state == AlertState::firing) {
      // relaxed: lone words.
      if (message.has(AlertAction::stop)) channel->requests().stop.store(true, std::memory_order_relaxed);
      if (message.has(AlertAction::checkpoint)) channel->requests().checkpoints.fetch_add(1, std::memory_order_relaxed);
    }
    if (message.has(AlertAction::log)) {
      const bool is_quiet = alert.state == AlertState::resolved || message.severity == kSeverityNames.front();
      log(is_quiet ? LogLevel::info : LogLevel::warning, log_line(message));
    }
    for (RunningExporter& running : exporters) {
      guarded(running, [&](Exporter& exporter) { exporter.on_alert(message); });
    }
  } catch (...) {
    log(LogLevel::error, "an alert could not be told: there is no memory for its text");
  }
}

std::shared_ptr<const Snapshot> ExportThread::State::copy_latest() const {
  const std::lock_guard<std::mutex> lock(mutex);
  return latest;
}

void ExportThread::State::start_exporters() {
  std::uint32_t actions = 0;
  for (const AlertRule& rule : rules) actions |= rule.enabled ? rule.actions : 0;
  const ExporterContext context{*channel, config.exporters, actions, callback, [this] { return copy_latest(); }};
  exporters.reserve(exporter_table().size());
  for (const ExporterRow& row : exporter_table()) exporters.push_back({row.name, nullptr, 0, {}});
  publish();  // what an exporter that starts can already be asked for
  for (std::size_t i = 0; i < exporters.size(); ++i) exporters[i].exporter = exporter_table()[i].make(context);
  poll();  // what is in the rings already, for all of them
  first = latest;
}

template <class Call>
void ExportThread::State::guarded(RunningExporter& running, Call call) noexcept {
  if (!running.exporter) return;
  std::string reason;
  try {
    try {
      call(*running.exporter);
      return;
    } catch (const std::exception& error) {
      reason = error.what();
    }
  } catch (...) {
    // What was thrown is not an exception, or there is no memory for its text.
  }
  ++running.errors;
  if (!running.gate.open(Clock::now())) return;
  try {
    log(LogLevel::error,
        "exporter '" + std::string(running.name) + "' failed (" + std::to_string(running.errors) + " times so far): " + reason);
  } catch (...) {
    log(LogLevel::error, "an exporter failed, and there is no memory to say why");
  }
}

void ExportThread::State::publish() {
  const std::shared_ptr<Snapshot> snapshot = follower.snapshot();
  for (const RunningExporter& running : exporters) snapshot->exporter_errors.emplace_back(running.name, running.errors);
  add_alerts(*snapshot);
  const std::lock_guard<std::mutex> lock(mutex);
  latest = snapshot;
}

void ExportThread::State::poll() noexcept {
  try {
    std::vector<NonfiniteEvent> events;  // of the log, which first sees what the guard answered to them
    follower.poll(
        [this](const StepRecord& record, const double* scalars) {
          run_log.look_at_step(record);
          for (RunningExporter& running : exporters) {
            guarded(running, [&](Exporter& exporter) { exporter.on_step(record, scalars); });
          }
          if (engine != nullptr) engine->on_step(record, scalars, channel->scalar_names());
        },
        [this](const Frame& frame) {
          for (RunningExporter& running : exporters) {
            guarded(running, [&](Exporter& exporter) { exporter.on_frame(frame); });
          }
          if (engine != nullptr) engine->on_frame(frame);
        },
        [this, &events](const NonfiniteEvent& event) {
          events.push_back(event);
          for (RunningExporter& running : exporters) {
            guarded(running, [&](Exporter& exporter) { exporter.on_event(event); });
          }
          if (engine != nullptr) engine->on_event(event);
        });
    for (const NonfiniteEvent& event : events) run_log.look_at_event(event, Clock::now());
    if (engine != nullptr) engine->on_host(host.read(*channel));
    publish();
    std::uint64_t errors_before = 0, errors_after = 0;
    for (RunningExporter& running : exporters) {
      errors_before += running.errors;
      guarded(running, [](Exporter& exporter) { exporter.on_poll(); });
      errors_after += running.errors;
    }
    // A slow disk does not hold up the figures; only new errors need a second snapshot.
    if (errors_after != errors_before) publish();
    run_log.look_at(*channel, *copy_latest(), Clock::now());
    if (engine != nullptr) log_unmatched();
  } catch (const std::exception& error) {
    if (poll_error_gate.open(Clock::now())) log(LogLevel::error, error.what());
  } catch (...) {
    if (poll_error_gate.open(Clock::now())) log(LogLevel::error, "reading the rings failed");
  }
}

// Labels with a mistake in them would never be noticed.
void ExportThread::State::log_unmatched() {
  for (const std::size_t i : engine->take_unmatched_thresholds()) {
    const Threshold threshold = parse_threshold(config.rules.threshold[i]);
    log(LogLevel::warning, "rule " + threshold.name + " has seen no series of " + selector_text(threshold.metric, threshold.labels) +
                               " so far; look at the metric and its labels in /metrics (rules.threshold[" + std::to_string(i) + "])");
  }
}

void ExportThread::State::run() noexcept {
  pthread_setname_np(pthread_self(), "vigil-export");
  const auto interval = std::chrono::milliseconds(config.exporters.interval_ms);
  std::unique_lock<std::mutex> lock(mutex);
  for (bool last = false; !last;) {
    wake.wait_until(lock, Clock::now() + interval, [this] { return stopping || polls_wanted != polls_done; });
    last = stopping;
    const std::uint64_t serving = polls_wanted;
    lock.unlock();
    poll();
    lock.lock();
    polls_done = serving;
    polled.notify_all();
  }
  ended = true;
  polled.notify_all();
}

ExportThread::ExportThread(std::shared_ptr<const RunChannel> channel, const Config& config,
                           std::function<void(const AlertNotice&)> on_alert)
    : state_(std::make_unique<State>(std::move(channel), config)) {
  set_on_alert(std::move(on_alert));
  set_log_level(config.log.level);
  const SignalMask all_blocked;               // the thread inherits it
  const DefaultFloatEnvironment environment;  // and this
  state_->start_exporters();
  for (const RunningExporter& running : state_->exporters) {
    if (running.exporter && endpoint_.empty()) endpoint_ = running.exporter->endpoint();
  }
  if (state_->engine != nullptr) {
    for (const std::string& action : unused_receivers(config.exporters, state_->rules))
      log(LogLevel::warning, "exporters." + action + ".url is set, but no rule uses it: add " + action + " to rules.actions");
  }
  if (!endpoint_.empty()) log(LogLevel::info, "serving metrics on http://" + endpoint_ + "/metrics");
  // Last: what would throw after it would leave the thread behind.
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

ExportThread::~ExportThread() { stop(); }

std::shared_ptr<const Snapshot> ExportThread::snapshot() const { return state_ ? state_->copy_latest() : left_behind_; }

std::shared_ptr<const Snapshot> ExportThread::refresh() {
  if (!state_) return left_behind_;
  std::unique_lock<std::mutex> lock(state_->mutex);
  const std::uint64_t ticket = ++state_->polls_wanted;
  state_->wake.notify_one();
  state_->polled.wait(lock, [this, ticket] { return state_->polls_done >= ticket || state_->ended; });
  return state_->latest;
}

void ExportThread::set_on_alert(std::function<void(const AlertNotice&)> call) {
  if (!state_) return;
  auto made = call ? std::make_shared<const std::function<void(const AlertNotice&)>>(std::move(call)) : nullptr;
  const std::lock_guard<std::mutex> lock(state_->callback->mutex);
  state_->callback->call = std::move(made);
}

void ExportThread::stop() noexcept {
  if (!state_) return;
  std::unique_lock<std::mutex> one_at_a_time(state_->stop_mutex, std::defer_lock);
  if (!is_calling()) {
    one_at_a_time.lock();
  } else if (!one_at_a_time.try_lock()) {
    return;  // the other one waits for this very call
  }
  if (!state_->thread.joinable()) {
    for (const RunningExporter& running : state_->exporters) {
      if (running.exporter) running.exporter->wait_for_call();
    }
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  state_->thread.join();
  for (const RunningExporter& running : state_->exporters) {
    if (running.exporter) running.exporter->begin_stop();
  }
  for (const RunningExporter& running : state_->exporters) {
    if (running.exporter) running.exporter->stop();
  }
}

bool ExportThread::is_calling() const noexcept {
  return state_ && std::any_of(state_->exporters.begin(), state_->exporters.end(),
                               [](const RunningExporter& running) { return running.exporter && running.exporter->is_calling(); });
}

void ExportThread::abandon() noexcept {
  if (!state_) return;
  // The export thread may have held the lock at the fork; in the child nobody would ever release it.
  if (state_->mutex.try_lock()) {
    left_behind_ = state_->latest;
    state_->mutex.unlock();
  } else {
    left_behind_ = state_->first;
  }
  for (const RunningExporter& running : state_->exporters) {
    if (running.exporter) running.exporter->abandon();
  }
  static_cast<void>(state_.release());
}

}  // namespace vigil
