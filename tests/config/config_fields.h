// All leaf members of a Config as one tuple. A new member breaks the structured bindings here, so that it cannot be left out of the
// table of settings, of default.yml or of a comparison without a compiler or a test saying so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>

#include "vigil/config/config.h"

namespace vigil {

inline auto fields_of(const Config& config) {
  const auto& [run, work, sampling, guard, ring, exporters, log] = config;
  const auto& [name, model] = run;
  const auto& [peak_gflops] = work;
  const auto& [sample_every, parameters, gradients, buffers, include, exclude, histogram, update_ratio, update_ratio_bytes, distance,
               gradient_cosine, copy_bytes, optimizer_state, activations_every, max_activations, kernel] = sampling;
  const auto& [guard_every, on_nonfinite, max_rollbacks, stop_after, replay, trace_next] = guard;
  const auto& [step_records, frame_bytes] = ring;
  const auto& [interval_ms, prometheus, jsonl, report] = exporters;
  const auto& [http_enabled, address, port, threads, max_series, per_parameter, linger_ms] = prometheus;
  const auto& [file_enabled, path, max_bytes] = jsonl;
  const auto& [report_enabled, directory, max_files] = report;
  const auto& [level] = log;
  return std::tie(name, model, peak_gflops, sample_every, parameters, gradients, buffers, include, exclude, histogram, update_ratio,
                  update_ratio_bytes, distance, gradient_cosine, copy_bytes, optimizer_state, activations_every, max_activations, kernel,
                  guard_every, on_nonfinite, max_rollbacks, stop_after, replay, trace_next, step_records, frame_bytes, interval_ms,
                  http_enabled, address, port, threads, max_series, per_parameter, linger_ms, file_enabled, path, max_bytes, report_enabled,
                  directory, max_files, level);
}

inline constexpr std::size_t kFieldCount = std::tuple_size_v<decltype(fields_of(Config{}))>;

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
  config.ring = {16, 65537};
  config.exporters.interval_ms = 60000;
  config.exporters.prometheus = {false, "::1", 0, 64, 0, PerParameter::none, 20000};
  config.exporters.jsonl = {true, "/var/log/ vigil.jsonl", std::int64_t{1} << 40};
  config.exporters.report = {false, "/tmp", 3};
  config.log.level = LogLevel::off;
  return config;
}

}  // namespace vigil
