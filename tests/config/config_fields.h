// All leaf members of a Config as one tuple. A new member breaks the structured bindings here, so that it cannot be left out of the
// table of settings, of default.yml or of a comparison without a compiler or a test saying so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>

#include "vigil/config/config.h"

namespace vigil {

inline auto fields_of(const Config& config) {
  const auto& [run, sampling, guard, ring, exporters, log] = config;
  const auto& [name, model] = run;
  const auto& [sample_every, parameters, gradients, buffers, include, exclude, histogram, update_ratio, update_ratio_bytes, kernel] =
      sampling;
  const auto& [guard_every, on_nonfinite] = guard;
  const auto& [step_records, frame_bytes] = ring;
  const auto& [interval_ms, prometheus, jsonl] = exporters;
  const auto& [http_enabled, address, port, threads, max_series, per_parameter, linger_ms] = prometheus;
  const auto& [file_enabled, path, max_bytes] = jsonl;
  const auto& [level] = log;
  return std::tie(name, model, sample_every, parameters, gradients, buffers, include, exclude, histogram, update_ratio, update_ratio_bytes,
                  kernel, guard_every, on_nonfinite, step_records, frame_bytes, interval_ms, http_enabled, address, port, threads,
                  max_series, per_parameter, linger_ms, file_enabled, path, max_bytes, level);
}

inline constexpr std::size_t kFieldCount = std::tuple_size_v<decltype(fields_of(Config{}))>;

/// A valid Config that differs from the default in every member.
inline Config changed_config() {
  Config config;
  config.run = {"näch\"ste\\ Run # 1: 'x'", "null"};
  config.sampling = {7,     false,         false, false,           {"*.weight", "layer[0-9].b?as", "yes", "~"}, {"a, b", "- c"},
                     {"*"}, {"fc.*", "x"}, 65536, Kernel::portable};
  config.guard = {0, OnNonfinite::stop};
  config.ring = {16, 65537};
  config.exporters.interval_ms = 60000;
  config.exporters.prometheus = {false, "::1", 0, 64, 0, PerParameter::none, 20000};
  config.exporters.jsonl = {true, "/var/log/ vigil.jsonl", std::int64_t{1} << 40};
  config.log.level = LogLevel::off;
  return config;
}

}  // namespace vigil
