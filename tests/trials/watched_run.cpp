#include "trials/watched_run.h"

#include <fstream>
#include <mutex>

#include <nlohmann/json.hpp>

#include "vigil/hooks/training_monitor.h"

namespace vigil {

Config trial_config() {
  Config config;
  config.run.name = "trial";
  config.exporters.prometheus.enabled = false;
  config.exporters.report.enabled = false;
  config.exporters.interval_ms = 20;
  config.rules.actions = {"callback"};
  config.log.level = LogLevel::error;
  return config;
}

RecordedRun read_jsonl(const std::string& path) {
  RecordedRun run;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    if (entry.at("type") == "step") ++run.steps;
    if (entry.at("type") != "alert" || entry.at("state") != "firing") continue;
    AlertNotice& alert = run.alerts.emplace_back();
    alert.alert = entry.at("alert");
    alert.severity = entry.at("severity");
    alert.sentence = entry.at("sentence");
    alert.step = entry.at("step");
  }
  return run;
}

std::vector<AlertNotice> watch_run(Training& training, const Config& config, std::uint64_t steps, const std::string& ends_at,
                                   std::uint64_t settle) {
  std::mutex mutex;
  std::vector<AlertNotice> seen;
  bool has_fired = false;
  TrainingMonitor monitor(config);
  monitor.on_alert([&](const AlertNotice& alert) {
    if (alert.is_over) return;
    const std::lock_guard<std::mutex> lock(mutex);
    seen.push_back(alert);
    has_fired |= alert.alert == ends_at;
  });
  monitor.watch(*training.model, *training.optimizer);
  std::uint64_t last = steps;
  for (std::uint64_t step = 1; step <= last; ++step) {
    training.fetch(training);
    if (training.fault) training.fault(training, step);
    if (monitor.train_step(*training.optimizer, [&] { return training.loss(); }).verdict == Verdict::stop) break;
    if (training.validate_every > 0 && step % training.validate_every == 0) {
      monitor.phase("validation");
      monitor.log("loss", training.validation_loss());
      monitor.phase("train");
    }
    const std::lock_guard<std::mutex> lock(mutex);
    if (has_fired && last == steps) last = std::min(steps, step + settle);
  }
  monitor.finish();
  const std::lock_guard<std::mutex> lock(mutex);
  return seen;
}

}  // namespace vigil
