// An alert to deliver.
#pragma once

#include <initializer_list>
#include <string>

#include "vigil/exporters/alert_text.h"

namespace vigil::test {

/// With every action that goes out; told apart by its step.
inline AlertMessage make_alert(std::uint64_t step, AlertState state = AlertState::firing, const std::string& layer = "fc",
                               const std::string& subject = "") {
  AlertMessage message;
  message.name = "dead_units";
  message.severity = "warning";
  for (const AlertAction action : {AlertAction::webhook, AlertAction::alertmanager, AlertAction::callback})
    message.actions |= 1U << static_cast<unsigned>(action);
  message.alert.rule = static_cast<std::size_t>(Rule::dead_units);
  message.alert.state = state;
  message.alert.fired_step = message.alert.step = step;
  message.alert.fired_time_ns = message.alert.time_ns = 1'700'000'000'000'000'000;
  message.alert.layer.assign(layer);
  message.alert.subject.assign(subject);
  message.alert.sentence.assign("it is dead");
  return message;
}

}  // namespace vigil::test
