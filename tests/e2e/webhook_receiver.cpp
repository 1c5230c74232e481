#include "e2e/webhook_receiver.h"

#include <algorithm>

namespace vigil {
namespace {

// The alerts of all messages, in the order in which they came.
std::vector<nlohmann::json> alerts_in(const std::vector<test::RecordedRequest>& requests) {
  std::vector<nlohmann::json> alerts;
  for (const test::RecordedRequest& request : requests) {
    const auto message = nlohmann::json::parse(request.body, nullptr, /*allow_exceptions=*/false);
    if (!message.is_object() || !message.contains("alerts")) continue;
    for (const auto& alert : message["alerts"]) alerts.push_back(alert);
  }
  return alerts;
}

}  // namespace

std::optional<nlohmann::json> WebhookReceiver::wait_for(double seconds, const std::function<bool(const nlohmann::json&)>& wanted) {
  std::optional<nlohmann::json> found;
  recorder_.wait_for(seconds, [&](const std::vector<test::RecordedRequest>& requests) {
    const std::vector<nlohmann::json> alerts = alerts_in(requests);
    const auto alert = std::find_if(alerts.begin(), alerts.end(), wanted);
    if (alert != alerts.end()) found = *alert;
    return found.has_value();
  });
  return found;
}

std::string WebhookReceiver::delivered() { return nlohmann::json(alerts_in(recorder_.requests())).dump(1); }

}  // namespace vigil
