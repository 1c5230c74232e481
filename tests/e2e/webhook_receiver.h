// What Alertmanager delivers to: an HTTP server on a free port that keeps every alert it is sent.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <microhttpd.h>
#include <nlohmann/json.hpp>

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
  static MHD_Result receive(void* self, MHD_Connection* connection, const char* url, const char* method, const char* version,
                            const char* data, std::size_t* size, void** body);
  static void forget(void* self, MHD_Connection* connection, void** body, MHD_RequestTerminationCode code);
  void keep(const std::string& body);

  MHD_Daemon* server_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<nlohmann::json> alerts_;
};

}  // namespace vigil
