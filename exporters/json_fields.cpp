#include "vigil/exporters/json_fields.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include "vigil/monitor/dtype.h"

namespace vigil::json_fields {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxDepth = 8, kMaxValues = std::size_t{1} << 21;

std::string got(const json& value) {
  switch (value.type()) {
    case json::value_t::null: return "null";
    case json::value_t::object: return "an object";
    case json::value_t::array: return "a list";
    case json::value_t::string: return "a text";
    case json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float: return value.dump();
    case json::value_t::binary:
    case json::value_t::discarded: break;
  }
  return "something else";
}

[[noreturn]] void unexpected(const std::string& name, const std::string& expected, const json& value) {
  throw std::invalid_argument('"' + name + "\": expected " + expected + ", got " + got(value));
}

}  // namespace

json parse_bounded(std::string_view text) {
  std::size_t depth = 0, values = 1;
  bool in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_text) {
      if (c == '\\') ++i;
      in_text = c != '"';
    } else if (c == '"') {
      in_text = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth)
        throw std::invalid_argument("expected at most " + std::to_string(kMaxDepth) + " levels of nesting, got more");
      ++values;
    } else if (c == '}' || c == ']') {
      depth -= depth > 0 ? 1 : 0;
    } else if (c == ',' && ++values > kMaxValues) {
      throw std::invalid_argument("expected at most " + std::to_string(kMaxValues) + " values, got more");
    }
  }
  return json::parse(text);
}

bool has(const json& object, const char* key) { return object.contains(key); }

const json& member(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw std::invalid_argument(std::string("expected \"") + key + "\", got an object without it");
  return *found;
}

double number(const json& value, const std::string& name) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  }
  unexpected(name, "a number", value);
}

double number(const json& object, const char* key) { return number(member(object, key), std::string(key)); }

double number_or(const json& object, const char* key, double otherwise) { return has(object, key) ? number(object, key) : otherwise; }

std::uint64_t count(const json& object, const char* key, std::uint64_t max) {
  const json& value = member(object, key);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max)
    unexpected(key, "a whole number from 0 to " + std::to_string(max), value);
  return value.get<std::uint64_t>();
}

std::uint64_t count_or(const json& object, const char* key, std::uint64_t otherwise) {
  return has(object, key) ? count(object, key) : otherwise;
}

std::uint64_t duration_ns(const json& object, const char* key) {
  const double seconds = number(object, key);
  if (!(seconds >= 0 && seconds <= 1e9)) unexpected(key, "a duration of 0 to 1e9 seconds", member(object, key));
  return static_cast<std::uint64_t>(std::llround(seconds * 1e9));
}

std::int64_t time_ns(const json& object, const char* key) {
  const double seconds = number(object, key);
  // Differences of two of them have to be nanoseconds of 64 bits as well.
  if (!(std::fabs(seconds) <= 4.6e9)) unexpected(key, "seconds since the epoch, at most 4.6e9", member(object, key));
  const double whole = std::floor(seconds);
  return static_cast<std::int64_t>(whole) * 1'000'000'000 + std::llround((seconds - whole) * 1e9);
}

bool flag(const json& object, const char* key) {
  const json& value = member(object, key);
  if (!value.is_boolean()) unexpected(key, "true or false", value);
  return value.get<bool>();
}

const std::string& text(const json& object, const char* key) {
  const json& value = member(object, key);
  if (!value.is_string()) unexpected(key, "a text", value);
  return value.get_ref<const std::string&>();
}

std::string text_or(const json& object, const char* key, std::string_view otherwise) {
  return has(object, key) ? text(object, key) : std::string(otherwise);
}

const json& list(const json& object, const char* key) {
  const json& value = member(object, key);
  if (!value.is_array()) unexpected(key, "a list", value);
  return value;
}

std::vector<std::string> texts(const json& object, const char* key) {
  std::vector<std::string> made;
  for (const json& item : list(object, key)) {
    if (!item.is_string()) unexpected(key, "a list of texts", item);
    made.push_back(item.get<std::string>());
  }
  return made;
}

const json& object_in(const json& item, const char* key) {
  if (!item.is_object()) unexpected(key, "a list of objects", item);
  return item;
}

const json& object(const json& outer, const char* key) {
  const json& value = member(outer, key);
  if (!value.is_object()) unexpected(key, "an object", value);
  return value;
}

}  // namespace vigil::json_fields
