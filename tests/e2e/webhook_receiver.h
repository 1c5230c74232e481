// What Alertmanager delivers to: an HTTP server on a free port that keeps every alert it is sent.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

struct mg_context;
struct mg_connection;

namespace vigil {

class WebhookReceiver {
 public:
  WebhookReceiver();
  ~WebhookReceiver();
  WebhookReceiver(const WebhookReceiver&) = delete;
  WebhookReceiver& operator=(const WebhookReceiver&) = delete;

  std::string url() const;
  /// Waits until an alert that was delivered satisfies `wanted`; empty after `seconds` without one.
  std::optional<nlohmann::json> wait_for(double seconds, const std::function<bool(const nlohmann::json&)>& wanted);
  /// Everything delivered so far, for the message of a failed test.
  std::string delivered();

 private:
  static int receive(mg_connection* connection, void* self);

  mg_context* server_ = nullptr;
  int port_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<nlohmann::json> alerts_;
};

}  // namespace vigil
