#include "vigil/model/checkpoint_manifest.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace vigil {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kFormat = "vigil-checkpoint";
constexpr int kVersion = 1;

ordered_json number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

ordered_json numbers(const std::map<std::string, double>& values) {
  ordered_json object = ordered_json::object();
  for (const auto& [name, value] : values) object[name] = number(value);
  return object;
}

double to_number(const json& value) {
  if (value == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (value == "Infinity") return std::numeric_limits<double>::infinity();
  if (value == "-Infinity") return -std::numeric_limits<double>::infinity();
  return value.get<double>();
}

std::map<std::string, double> to_numbers(const json& object) {
  std::map<std::string, double> values;
  for (const auto& [name, value] : object.get<json::object_t>()) values[name] = to_number(value);
  return values;
}

std::uint64_t to_count(const json& value, const char* key) {
  if (!value.is_number_unsigned()) throw std::runtime_error(std::string(key) + " is no whole number from 0 on");
  return value.get<std::uint64_t>();
}

CheckpointManifest read(const json& root) {
  if (root.at("format") != kFormat) throw std::runtime_error("it is not a manifest of a checkpoint");
  if (root.at("version") != kVersion)
    throw std::runtime_error("it is of version " + root.at("version").dump() + ", and this vigil reads version 1");
  CheckpointManifest manifest;
  manifest.sequence = to_count(root.at("sequence"), "sequence");
  manifest.step = to_count(root.at("step"), "step");
  manifest.run = root.at("run").get<std::string>();
  manifest.commit = root.at("commit").get<std::string>();
  manifest.configuration = root.at("configuration").get<std::string>();
  manifest.libtorch = root.at("libtorch").get<std::string>();
  manifest.architecture_fingerprint = root.value("architecture_fingerprint", "");
  manifest.value_fingerprint = root.value("value_fingerprint", "");
  manifest.wall_time = to_number(root.at("wall_time"));
  if (!root.at("metric").is_null()) manifest.metric = to_number(root.at("metric"));
  for (const json& rate : root.at("learning_rates").get<json::array_t>()) manifest.learning_rates.push_back(to_number(rate));
  manifest.statistics = to_numbers(root.at("statistics"));
  manifest.parameter_norms = to_numbers(root.at("parameter_norms"));
  for (const std::string_view name : {CheckpointManifest::kModel, CheckpointManifest::kOptimizer, CheckpointManifest::kGenerator}) {
    const json& file = root.at("files").at(std::string(name));
    FileDigest digest{to_count(file.at("bytes"), "bytes"), file.at("sha256").get<std::string>()};
    if (digest.sha256.size() != 64) throw std::runtime_error("the hash of " + std::string(name) + " is none");
    manifest.files[std::string(name)] = std::move(digest);
  }
  return manifest;
}

}  // namespace

std::string to_json(const CheckpointManifest& manifest) {
  ordered_json root;
  root["format"] = kFormat;
  root["version"] = kVersion;
  root["sequence"] = manifest.sequence;
  root["step"] = manifest.step;
  root["run"] = manifest.run;
  root["commit"] = manifest.commit;
  root["configuration"] = manifest.configuration;
  root["libtorch"] = manifest.libtorch;
  if (!manifest.architecture_fingerprint.empty()) root["architecture_fingerprint"] = manifest.architecture_fingerprint;
  if (!manifest.value_fingerprint.empty()) root["value_fingerprint"] = manifest.value_fingerprint;
  root["wall_time"] = manifest.wall_time;
  root["metric"] = manifest.metric ? number(*manifest.metric) : ordered_json();
  root["learning_rates"] = ordered_json::array();
  for (const double rate : manifest.learning_rates) root["learning_rates"].push_back(number(rate));
  root["statistics"] = numbers(manifest.statistics);
  root["files"] = ordered_json::object();
  for (const auto& [name, digest] : manifest.files) root["files"][name] = {{"bytes", digest.bytes}, {"sha256", digest.sha256}};
  root["parameter_norms"] = numbers(manifest.parameter_norms);
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

CheckpointManifest parse_manifest(const std::string& text) {
  try {
    return read(json::parse(text));
  } catch (const json::exception& error) {
    throw std::runtime_error("its manifest cannot be read: " + std::string(error.what()));
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("its manifest cannot be used: " + std::string(error.what()));
  }
}

}  // namespace vigil
