// Trainings with a fault that a rule is to see.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "trials/trainings.h"

namespace vigil {

struct FaultTrial {
  std::string rule;                             ///< that is to fire
  std::string model;                            ///< in words
  std::string fault;                            ///< in words
  std::uint64_t at;                             ///< first step that has the fault
  std::uint64_t within;                         ///< steps after it within which the rule fires
  std::string names;                            ///< layer or parameter that the first alert of the rule names; empty: an alert of the run
  std::function<Training()> make;               ///< with the fault in it
  std::vector<std::string> also = {};           ///< other critical rules that this very fault may fire
  std::function<void(Config&)> configure = {};  ///< settings other than the defaults
  std::string settings = {};                    ///< the same in words
  /// In place of `make`, where the rule sees several ranks: two of them train on the same batches, and `vigil replay` reads their files.
  std::function<Training(int rank)> make_rank = {};
};

/// At least one of each rule.
std::vector<FaultTrial> fault_trials();

}  // namespace vigil
