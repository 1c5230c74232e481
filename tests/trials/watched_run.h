// One training under vigil, and the alerts that it made.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trials/trainings.h"
#include "vigil/monitor/rules/alert_notice.h"

namespace vigil {

/// Settings of a trial: the defaults, without port and files, with rules that are asked for more often.
Config trial_config();

/// What a JSON lines file says of a run, or of its replay.
struct RecordedRun {
  std::uint64_t steps = 0;
  std::vector<AlertNotice> alerts;  ///< that began to fire, in order
};
/// @throws nlohmann::json::exception when it holds another thing
RecordedRun read_jsonl(const std::string& path);

/// Trains up to `steps` steps; ends `settle` steps after `ends_at` has begun to fire (empty: never). Returns every alert that began to
/// fire, in order. One callback only is made at a time.
std::vector<AlertNotice> watch_run(Training& training, const Config& config, std::uint64_t steps, const std::string& ends_at = {},
                                   std::uint64_t settle = 30);

}  // namespace vigil
