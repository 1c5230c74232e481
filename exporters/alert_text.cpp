#include "vigil/exporters/alert_text.h"

#include <algorithm>
#include <ctime>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/seconds.h"

namespace vigil {
namespace {

// RFC 3339 with milliseconds.
std::string time_text(std::int64_t ns) {
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  const std::string milliseconds = std::to_string(1000 + ns / 1'000'000 % 1000);
  return std::string(text, size) + "." + milliseconds.substr(1) + "Z";
}

}  // namespace

AlertMessage message_of(const Alert& alert, const AlertRule& rule) {
  return {alert, rule.name, std::string(kSeverityNames[static_cast<std::size_t>(rule.severity)]), rule.advice, rule.actions};
}

AlertNotice notice_of(const AlertMessage& message) {
  const Alert& alert = message.alert;
  return {message.name,
          message.severity,
          alert.state == AlertState::resolved,
          std::string(alert.parameter.view()),
          std::string(alert.layer.view()),
          std::string(alert.subject.view()),
          std::string(alert.sentence.view()),
          message.advice,
          alert.value,
          alert.limit,
          alert.since_step,
          alert.step};
}

std::string log_line(const AlertMessage& message) {
  const Alert& alert = message.alert;
  if (alert.state == AlertState::resolved)
    return "alert " + message.name + " is over at step " + std::to_string(alert.step) + "; it was: " + std::string(alert.sentence.view());
  std::string line = "alert " + message.name + " (" + message.severity + ") at step " + std::to_string(alert.step) + ": " +
                     std::string(alert.sentence.view());
  if (alert.since_step != alert.step) line += ", since step " + std::to_string(alert.since_step);
  return message.advice.empty() ? line : line + ". " + message.advice;
}

void append_alert(std::string& out, const AlertMessage& message) {
  const Alert& alert = message.alert;
  append_member(out, "alert", message.name);
  append_member(out, "severity", message.severity);
  append_member(out, "state", kAlertStateNames[static_cast<std::size_t>(alert.state)]);
  append_member(out, "parameter", alert.parameter.view());
  append_member(out, "layer", alert.layer.view());
  append_member(out, "subject", alert.subject.view());
  append_member(out, "sentence", alert.sentence.view());
  append_member(out, "advice", message.advice);
  append_member(out, "value", alert.value);
  append_member(out, "limit", alert.limit);
  append_member(out, "since_step", alert.since_step);
  append_member(out, "since_time", to_seconds(alert.since_time_ns));
  append_member(out, "fired_step", alert.fired_step);
  append_member(out, "fired_time", to_seconds(alert.fired_time_ns));
  append_member(out, "step", alert.step);
  append_member(out, "time", to_seconds(alert.time_ns));
}

std::string webhook_body(const RunIdentity& identity, const AlertMessage& message) {
  std::string out = "{\"version\":1,\"run\":{";
  append_run(out, identity);
  out += "},\"alert\":{";
  append_alert(out, message);
  return out + "}}";
}

std::string alertmanager_name(std::string_view rule) {
  std::string name = "Vigil";
  bool is_first = true;
  for (const char c : rule) {
    if (c == '_') {
      is_first = true;
      continue;
    }
    name += is_first && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    is_first = false;
  }
  return name;
}

std::string alertmanager_body(const RunIdentity& identity, const std::vector<AlertMessage>& alerts, std::int64_t ends_ns) {
  std::string out = "[";
  for (const AlertMessage& message : alerts) {
    const Alert& alert = message.alert;
    out += out.size() > 1 ? ",{" : "{";
    out += "\"labels\":{";
    append_member(out, "alertname", alertmanager_name(message.name));
    append_member(out, "severity", message.severity);
    append_member(out, "run", identity.run);
    append_member(out, "rank", std::to_string(identity.rank));
    if (!alert.parameter.view().empty()) append_member(out, "parameter", alert.parameter.view());
    if (!alert.layer.view().empty()) append_member(out, "layer", alert.layer.view());
    if (!alert.subject.view().empty()) append_member(out, "subject", alert.subject.view());
    out += "},\"annotations\":{";
    append_member(out, "summary", alert.sentence.view());
    std::string description = "Run " + identity.run + ", rank " + std::to_string(identity.rank) + ", since step " +
                              std::to_string(alert.since_step) + ": " + std::string(alert.sentence.view()) + ".";
    append_member(out, "description", description);
    if (!message.advice.empty()) append_member(out, "advice", message.advice);
    out += '}';
    append_member(out, "startsAt", time_text(alert.fired_time_ns));
    // Not before its start, which Alertmanager refuses: a clock may have been set back meanwhile.
    append_member(out, "endsAt", time_text(std::max(alert.fired_time_ns, alert.state == AlertState::resolved ? alert.time_ns : ends_ns)));
    out += '}';
  }
  return out + "]";
}

}  // namespace vigil
