#include "e2e/webhook_receiver.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include <microhttpd.h>

namespace vigil {

WebhookReceiver::WebhookReceiver() {
  server_ = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, nullptr, nullptr, &WebhookReceiver::receive, this,
                             MHD_OPTION_NOTIFY_COMPLETED, &WebhookReceiver::forget, nullptr, MHD_OPTION_END);
  if (server_ == nullptr) throw std::runtime_error("the webhook receiver could not listen");
}

WebhookReceiver::~WebhookReceiver() { MHD_stop_daemon(server_); }

std::string WebhookReceiver::url() const {
  return "http://127.0.0.1:" + std::to_string(MHD_get_daemon_info(server_, MHD_DAEMON_INFO_BIND_PORT)->port);
}

void WebhookReceiver::forget(void*, MHD_Connection*, void** body, MHD_RequestTerminationCode) { delete static_cast<std::string*>(*body); }

// Called with the headers, with each piece of the body, and once more at its end.
MHD_Result WebhookReceiver::receive(void* self, MHD_Connection* connection, const char*, const char*, const char*, const char* data,
                                    std::size_t* size, void** body) {
  if (*body == nullptr) {
    *body = new std::string();
    return MHD_YES;
  }
  auto& text = *static_cast<std::string*>(*body);
  if (*size > 0) {
    text.append(data, *size);
    *size = 0;
    return MHD_YES;
  }
  static_cast<WebhookReceiver*>(self)->keep(text);
  MHD_Response* response = MHD_create_response_from_buffer(0, nullptr, MHD_RESPMEM_PERSISTENT);
  const MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
  MHD_destroy_response(response);
  return result;
}

void WebhookReceiver::keep(const std::string& body) {
  const auto message = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object() || !message.contains("alerts")) return;
  const std::lock_guard lock(mutex_);
  for (const auto& alert : message["alerts"]) alerts_.push_back(alert);
  changed_.notify_all();
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
