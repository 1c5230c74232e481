// Trainings without a fault: every example, with several seeds, optimizers and sampling intervals.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "files.h"

namespace vigil {

struct HealthyTrial {
  std::string example;  ///< minimal, mnist, char_transformer; or another training of this folder
  std::string optimizer;
  int every_steps = 1;  ///< sampling.every_steps
  std::uint64_t seed = 1, steps = 0;
};

/// What one of them made.
struct HealthyResult {
  std::uint64_t steps = 0;          ///< that were recorded
  std::vector<std::string> alerts;  ///< of severity warning and critical: "rule: sentence"
  std::vector<std::string> infos;   ///< of severity info
};

/// All examples x `seeds` x optimizers x every step and every 10th.
std::vector<HealthyTrial> healthy_trials(std::uint64_t seeds);

/// Runs the example's own program (minimal, whose optimizer is part of its text, and what is no example: the training here) from the folder
/// `examples`, with its files in `folder`. @throws std::runtime_error when the program fails
HealthyResult run_healthy(const HealthyTrial& trial, const std::string& examples, const std::string& mnist,
                          const test::TemporaryFolder& folder);

}  // namespace vigil
