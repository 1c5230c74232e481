// JSON as vigil writes it: one member after the other into a string, with numbers that come back as they were. JSON has no NaN and no
// infinity, so these are the strings "NaN", "Infinity" and "-Infinity".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "vigil/monitor/records.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// `text` in quotes, with escapes; bytes that are not UTF-8 become U+FFFD.
std::string to_json(std::string_view text);

void append(std::string& out, double value);
void append(std::string& out, std::string_view text);
inline void append(std::string& out, const std::string& text) { append(out, std::string_view(text)); }
inline void append(std::string& out, const char* text) { append(out, std::string_view(text)); }  // not as a bool
inline void append(std::string& out, bool value) { out += value ? "true" : "false"; }
template <class Integer, std::enable_if_t<std::is_integral_v<Integer>, int> = 0>
void append(std::string& out, Integer value) {
  out += std::to_string(value);
}

/// `"key":value`, with a comma in front but at the beginning of an object; keys are ours and need no escapes.
template <class Value>
void append_member(std::string& out, std::string_view key, const Value& value) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":";
  append(out, value);
}

/// `"key":[…]`, likewise; each element is written by `write(out, element)`.
template <class Range, class Write>
void append_list(std::string& out, std::string_view key, const Range& range, Write write) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":[";
  bool is_first = true;
  for (const auto& element : range) {
    if (!is_first) out += ',';
    is_first = false;
    write(out, element);
  }
  out += ']';
}

/// `"key":[value,…]`, likewise.
void append_member(std::string& out, std::string_view key, const double* values, std::size_t count);
void append_member(std::string& out, std::string_view key, const std::vector<std::string>& texts);

/// Members that tell who runs.
void append_run(std::string& out, const RunIdentity& identity);
/// The first members of a step: its number, time, loss, norms and learning rates, of which there are `rates`.
void append_step(std::string& out, const StepRecord& record, const double* learning_rates, std::size_t rates);
/// Members of one layer's activations.
void append_activation(std::string& out, const ActivationRow& row, const LayerLabel& label);
/// Members of an event: docs/nan-report.md.
void append_event(std::string& out, const NonfiniteEvent& event);

}  // namespace vigil
