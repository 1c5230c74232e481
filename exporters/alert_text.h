// Alerts as those who receive them read them.
#pragma once

#include <string>
#include <vector>

#include "vigil/exporters/alert_rules.h"
#include "vigil/monitor/rules/alert_notice.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// An alert with all that a receiver is told; a copy, so that it may wait in a queue.
struct AlertMessage {
  Alert alert;
  std::string name, severity, advice;
  std::uint32_t actions = 0;

  bool has(AlertAction action) const noexcept { return (actions >> static_cast<unsigned>(action) & 1) != 0; }
};

AlertMessage message_of(const Alert& alert, const AlertRule& rule);

/// The same in a program's words.
AlertNotice notice_of(const AlertMessage& message);

/// One line for a log: `alert loss_spike (warning) at step 120: …. <advice>`.
std::string log_line(const AlertMessage& message);

/// Members of one alert: docs/alerts.md.
void append_alert(std::string& out, const AlertMessage& message);

/// The body that the webhook posts: `{"version":1,"run":{…},"alert":{…}}`.
std::string webhook_body(const RunIdentity& identity, const AlertMessage& message);

/// The body of POST /api/v2/alerts of Alertmanager. What fires ends at `ends_ns` unless it is sent again; what is over ended when it did.
/// Labels: alertname (Vigil and the rule's name in CamelCase), severity, run, rank, and parameter, layer and subject where there are such.
std::string alertmanager_body(const RunIdentity& identity, const std::vector<AlertMessage>& alerts, std::int64_t ends_ns);

/// "VigilLossSpike" for "loss_spike".
std::string alertmanager_name(std::string_view rule);

}  // namespace vigil
