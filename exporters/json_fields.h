// Members of a JSON object, read strictly: each is there and is what it is expected to be, or an error names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace vigil::json_fields {

// All throw std::invalid_argument: `"loss": expected a number, got a text`.

/// Parses one object. Before that, its nesting and the number of its values are counted, so that what the result takes is bounded.
/// @throws std::invalid_argument when it is nested deeper than 8 or has more than 2^21 values; nlohmann::json::parse_error when it is no
/// JSON
nlohmann::json parse_bounded(std::string_view text);

const nlohmann::json& member(const nlohmann::json& object, const char* key);
bool has(const nlohmann::json& object, const char* key);

/// A number, or one of the texts "NaN", "Infinity" and "-Infinity".
double number(const nlohmann::json& object, const char* key);
double number(const nlohmann::json& value, const std::string& name);
double number_or(const nlohmann::json& object, const char* key, double otherwise);

/// A whole number from 0 to `max`.
inline constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 62;
std::uint64_t count(const nlohmann::json& object, const char* key, std::uint64_t max = kMaxCount);
std::uint64_t count_or(const nlohmann::json& object, const char* key, std::uint64_t otherwise);

/// Seconds, from 0 to 10^9 of a duration, as nanoseconds.
std::uint64_t duration_ns(const nlohmann::json& object, const char* key);
/// Seconds since the epoch, of any year up to 2262, as nanoseconds. A double has them to a quarter of a microsecond.
std::int64_t time_ns(const nlohmann::json& object, const char* key);

bool flag(const nlohmann::json& object, const char* key);
const std::string& text(const nlohmann::json& object, const char* key);
std::string text_or(const nlohmann::json& object, const char* key, std::string_view otherwise);
std::vector<std::string> texts(const nlohmann::json& object, const char* key);
const nlohmann::json& list(const nlohmann::json& object, const char* key);
/// `item`, an element of the list `key`.
const nlohmann::json& object_in(const nlohmann::json& item, const char* key);
const nlohmann::json& object(const nlohmann::json& object, const char* key);

}  // namespace vigil::json_fields
