#include "e2e/webhook_receiver.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include <civetweb.h>

namespace vigil {

WebhookReceiver::WebhookReceiver() {
  const char* options[] = {"listening_ports", "127.0.0.1:0", "num_threads", "2", nullptr};
  const mg_callbacks callbacks{};
  server_ = mg_start(&callbacks, this, options);
  mg_server_port port{};
  if (server_ == nullptr || mg_get_server_ports(server_, 1, &port) != 1) throw std::runtime_error("the webhook receiver could not listen");
  port_ = port.port;
  mg_set_request_handler(server_, "/", receive, this);
}

WebhookReceiver::~WebhookReceiver() { mg_stop(server_); }

std::string WebhookReceiver::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

int WebhookReceiver::receive(mg_connection* connection, void* self) {
  auto& receiver = *static_cast<WebhookReceiver*>(self);
  std::string body;
  char buffer[4096];
  for (int size; (size = mg_read(connection, buffer, sizeof buffer)) > 0;) body.append(buffer, static_cast<std::size_t>(size));
  const auto message = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (message.is_object() && message.contains("alerts")) {
    const std::lock_guard lock(receiver.mutex_);
    for (const auto& alert : message["alerts"]) receiver.alerts_.push_back(alert);
    receiver.changed_.notify_all();
  }
  mg_send_http_ok(connection, "text/plain", 0);
  return 200;
}

std::optional<nlohmann::json> WebhookReceiver::wait_for(double seconds, const std::function<bool(const nlohmann::json&)>& wanted) {
  std::unique_lock lock(mutex_);
  std::optional<nlohmann::json> found;
  changed_.wait_for(lock, std::chrono::duration<double>(seconds), [&] {
    const auto alert = std::find_if(alerts_.begin(), alerts_.end(), wanted);
    if (alert != alerts_.end()) found = *alert;
    return found.has_value();
  });
  return found;
}

std::string WebhookReceiver::delivered() {
  const std::lock_guard lock(mutex_);
  return nlohmann::json(alerts_).dump(1);
}

}  // namespace vigil
