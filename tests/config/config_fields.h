// All leaf members of a Config as one tuple. A new member breaks the structured bindings here, so that it cannot be left out of the
// table of settings, of default.yml or of a comparison without a compiler or a test saying so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>

#include "vigil/config/config.h"

namespace vigil {

inline auto rule_fields(const RuleConfig& rule) {
  const auto& [enabled, severity, for_steps, for_ms, keep_firing_steps, actions, parameters] = rule;
  return std::tie(enabled, severity, for_steps, for_ms, keep_firing_steps, actions, parameters);
}

inline bool operator==(const RuleConfig& a, const RuleConfig& b) { return rule_fields(a) == rule_fields(b); }

inline auto fields_of(const Config& config) {
  const auto& [run, work, sampling, guard, ring, exporters, rules, log] = config;
  const auto& [name, model] = run;
  const auto& [peak_gflops] = work;
  const auto& [sample_every, parameters, gradients, buffers, include, exclude, histogram, update_ratio, update_ratio_bytes, distance,
               gradient_cosine, copy_bytes, optimizer_state, activations_every, max_activations, kernel] = sampling;
  const auto& [guard_every, on_nonfinite, max_rollbacks, stop_after, replay, trace_next] = guard;
  const auto& [step_records, frame_bytes, shared, ring_directory, crash_signals] = ring;
  const auto& [interval_ms, prometheus, jsonl, report, webhook, alertmanager] = exporters;
  const auto& [http_enabled, address, port, threads, max_series, per_parameter, precision, linger_ms, web_config_file, history_bytes,
               assets_directory] = prometheus;
  const auto& [file_enabled, path, max_bytes] = jsonl;
  const auto& [report_enabled, directory, max_files] = report;
  const auto& [webhook_url, secret_file, webhook_timeout_ms, queue_size] = webhook;
  const auto& [alertmanager_url, alertmanager_timeout_ms, resend_ms] = alertmanager;
  const auto& [rules_enabled, actions, max_instances, validation_scalar, disk_directory, threshold, catalogue] = rules;
  const auto& [level] = log;
  return std::tie(name, model, peak_gflops, sample_every, parameters, gradients, buffers, include, exclude, histogram, update_ratio,
                  update_ratio_bytes, distance, gradient_cosine, copy_bytes, optimizer_state, activations_every, max_activations, kernel,
                  guard_every, on_nonfinite, max_rollbacks, stop_after, replay, trace_next, step_records, frame_bytes, shared,
                  ring_directory, crash_signals, interval_ms, http_enabled, address, port, threads, max_series, per_parameter, precision,
                  linger_ms, web_config_file, history_bytes, assets_directory, file_enabled, path, max_bytes, report_enabled, directory,
                  max_files, webhook_url, secret_file, webhook_timeout_ms, queue_size, alertmanager_url, alertmanager_timeout_ms, resend_ms,
                  rules_enabled, actions, max_instances, validation_scalar, disk_directory, threshold, level, catalogue);
}

/// Settings that a file may hold: of the catalogue, each member of each rule.
inline std::size_t setting_count() {
  std::size_t count = std::tuple_size_v<decltype(fields_of(Config{}))> - 1;
  for (const RuleRow& row : kRules) {
    count += std::tuple_size_v<decltype(rule_fields(RuleConfig{}))> - 1;
    for (const RuleParameter& parameter : row.parameters) count += parameter.name.empty() ? 0 : 1;
  }
  return count;
}

/// A valid Config that differs from the default in every member.
inline Config changed_config() {
  Config config;
  config.run = {"näch\"ste\\ Run # 1: 'x'", "null"};
  config.work = {1000};
  config.sampling = {7,
                     false,
                     false,
                     false,
                     {"*.weight", "layer[0-9].b?as", "yes", "~"},
                     {"a, b", "- c"},
                     {"*"},
                     {"fc.*", "x"},
                     65536,
                     {"d"},
                     {"e", "f"},
                     65537,
                     {"g"},
                     3,
                     0,
                     Kernel::portable};
  config.guard = {0, OnNonfinite::stop, 7, 5, false, 12};
  config.ring = {16, 65537, true, "/run/user/1/rings", false};
  config.exporters.interval_ms = 60000;
  config.exporters.prometheus = {false, "::1", 0, 64, 0, PerParameter::none, true, 20000, "/etc/vigil/web.yml", 0, "/srv/page"};
  config.exporters.jsonl = {true, "/var/log/ vigil.jsonl", std::int64_t{1} << 40};
  config.exporters.report = {false, "/tmp", 3};
  config.exporters.webhook = {"https://example.org/hook?a=1", "/etc/vigil/secret", 100, 100000};
  config.exporters.alertmanager = {"http://[::1]:9093", 60000, 1000};
  config.rules.enabled = false;
  config.rules.actions = {"dump", "stop"};
  config.rules.max_instances = 64;
  config.rules.validation_scalar = "valid loss";
  config.rules.disk_directory = "/srv";
  config.rules.threshold = {"vigil_loss > 3 for 10 steps"};
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    RuleConfig& rule = config.rules.catalogue[i];
    const Severity severity = rule.severity == Severity::info ? Severity::critical : Severity::info;
    rule = {false, severity, rule.for_steps + 1, rule.for_ms + 1, rule.keep_firing_steps + 1, {"log"}, rule.parameters};
    for (std::size_t j = 0; j < kMaxRuleParameters; ++j) {
      const RuleParameter& parameter = kRules[i].parameters[j];
      if (!parameter.name.empty()) rule.parameters[j] = parameter.value == parameter.min ? parameter.max : parameter.min;
    }
  }
  config.log.level = LogLevel::off;
  return config;
}

}  // namespace vigil
