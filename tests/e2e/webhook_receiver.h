// What Alertmanager delivers to: an HTTP server on a free port that keeps every alert it is sent.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "http/http_recorder.h"

namespace vigil {

class WebhookReceiver {
 public:
  std::string url() const { return recorder_.url(); }
  /// Waits until an alert that was delivered satisfies `wanted`; empty after `seconds` without one.
  std::optional<nlohmann::json> wait_for(double seconds, const std::function<bool(const nlohmann::json&)>& wanted);
  /// Everything delivered so far, for the message of a failed test.
  std::string delivered();

 private:
  test::HttpRecorder recorder_;
};

}  // namespace vigil
