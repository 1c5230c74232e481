// An alert in the words of a program: what a callback gets and a snapshot holds.
#pragma once

#include <cstdint>
#include <string>

namespace vigil {

struct AlertNotice {
  std::string alert;     ///< name of the rule, e.g. "loss_spike" (docs/alerts.md)
  std::string severity;  ///< "info", "warning" or "critical"
  bool is_over = false;  ///< it no longer holds
  std::string parameter, layer;
  std::string subject;           ///< what tells it from others of the rule where these two do not, e.g. "group 1"; or empty
  std::string sentence;          ///< what was seen
  std::string advice;            ///< what to try; empty for the user's own rules
  double value = 0, limit = 0;   ///< what was seen, and what it was held against
  std::uint64_t since_step = 0;  ///< first step of the condition
  std::uint64_t step = 0;        ///< latest step of it, or the step at which it was over
};

}  // namespace vigil
