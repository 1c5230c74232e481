#include "vigil/config/config_reader.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "vigil/config/document.h"
#include "vigil/config/document_reader.h"
#include "vigil/config/fault_report.h"
#include "vigil/config/settings.h"
#include "vigil/config/source_file.h"
#include "vigil/config/text.h"

namespace vigil {
namespace {

using namespace config_reader;

ConfigReading read_text(std::string_view yaml, const std::string& file) {
  Document document = parse_document(yaml);
  Reading reading = read_settings(document);
  ConfigReading all;
  all.config = std::move(reading.config);
  all.problems = problems_of(std::move(reading.faults), document.source, file);
  all.file = file;
  all.source = std::move(document.source);
  all.places = std::move(reading.places);
  return all;
}

// `origin` tells where an unusable path came from.
ConfigReading read_file(const std::filesystem::path& path, const std::string& origin) {
  const SourceFile file = read_source_file(path, kMaxSourceBytes + 1);  // one more: the parser says when it is too much
  if (file.problem.empty()) return read_text(file.text, path.string());
  ConfigReading none;
  none.file = path.string();
  none.problems = {{none.file, 0, 0, "", file.problem + origin}};
  return none;
}

Config config_of(ConfigReading reading) {
  if (!reading.problems.empty()) throw ConfigError(std::move(reading.problems));
  return std::move(reading.config);
}

std::vector<Fault> faults_of(const Setting& setting, Config& config) {
  std::vector<Fault> faults;
  const std::string key(setting.key);
  const auto add = [&](const std::string& where, std::string text) {
    if (!text.empty()) faults.push_back({kNowhere, where, std::move(text)});
  };
  const auto add_unexpected = [&](std::int64_t value) {
    add(key, "expected " + expectation(setting) + ", got " + integer_text(setting, value));
  };
  std::visit(Overloaded{
                 [](const Flag&) {},
                 [&](const Integer& integer) {
                   const std::int64_t value = integer.member(config);
                   if (!in_range(integer, value)) add_unexpected(value);
                 },
                 [&](const Number& number) {
                   const double value = number.member(config);
                   if (!in_range(number, value)) add(key, "expected " + expectation(setting) + ", got " + number_text(value));
                 },
                 [&](const Choice& choice) {
                   const int value = choice.get(config);
                   const auto is_value = [&](const Choice::Name& name) { return name.value == value; };
                   if (std::none_of(choice.names.begin(), choice.names.end(), is_value)) add_unexpected(value);
                 },
                 [&](const Text& text) {
                   add(key, text_problem(text.rule, text.member(config)));
                   add(key, missing_text_problem(text, config));
                 },
                 [&](const TextList& list) {
                   const std::vector<std::string>& elements = list.member(config);
                   add(key, length_problem(list, elements.size()));
                   for (std::size_t i = 0; i < elements.size(); ++i) {
                     add(key + "[" + std::to_string(i) + "]", text_problem(list.element, elements[i]));
                   }
                 },
             },
             setting.kind);
  return faults;
}

// Control characters stand only in a Config that `validate` refuses, but should show even then.
std::string yaml_text(const std::string& text) {
  std::string yaml = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      yaml += "\\x" + hex_byte(c);
      continue;
    }
    if (c == '"' || c == '\\') yaml += '\\';
    yaml += c;
  }
  return yaml + "\"";
}

std::string yaml_value(const Setting& setting, Config& config) {
  return std::visit(Overloaded{
                        [&](const Flag& flag) -> std::string { return flag.member(config) ? "true" : "false"; },
                        [&](const Integer& integer) { return integer_text(setting, integer.member(config)); },
                        [&](const Number& number) { return number_text(number.member(config)); },
                        [&](const Choice& choice) {
                          const int value = choice.get(config);
                          for (const Choice::Name& name : choice.names) {
                            if (name.value == value) return std::string(name.name);
                          }
                          return std::to_string(value);
                        },
                        [&](const Text& text) { return yaml_text(text.member(config)); },
                        [&](const TextList& list) {
                          std::vector<std::string> elements;
                          for (const std::string& element : list.member(config)) elements.push_back(yaml_text(element));
                          return "[" + joined(elements, ", ") + "]";
                        },
                    },
                    setting.kind);
}

void write_section(const std::string& section, const std::string& indent, Config& config, std::string& yaml) {
  for (const std::string& name : names_in_section(section)) {
    const std::string path = path_of(section, name);
    if (const Setting* setting = find_setting(path)) {
      yaml += indent + name + ": " + yaml_value(*setting, config) + "\n";
    } else {
      yaml += indent + name + ":\n";
      write_section(path, indent + "  ", config, yaml);
    }
  }
}

std::string messages(const std::vector<ConfigProblem>& problems) {
  std::string text;
  for (const ConfigProblem& problem : problems) {
    if (!text.empty()) text += "\n";
    text += problem.message();
  }
  return text;
}

}  // namespace

std::string ConfigProblem::message() const {
  std::string whole;
  if (!file.empty()) whole += file + ":";
  if (line > 0) whole += std::to_string(line) + ":" + std::to_string(column) + ":";
  if (!whole.empty()) whole += " ";
  if (!key.empty()) whole += key + ": ";
  return whole + text;
}

ConfigError::ConfigError(std::vector<ConfigProblem> problems) : std::runtime_error(messages(problems)), problems_(std::move(problems)) {}

ConfigProblem ConfigReading::problem_at(const std::string& key, std::string text) const {
  for (std::string near = key; !near.empty();) {
    if (const auto place = places.find(near); place != places.end()) {
      const Position position = position_of(source, place->second);
      return {file, position.line, position.column, key, std::move(text)};
    }
    const std::size_t end = near.find_last_of(".[");
    near.resize(end == std::string::npos ? 0 : end);
  }
  return {file, 0, 0, key, std::move(text)};
}

ConfigReading read_config(const std::filesystem::path& path) { return read_file(path, ""); }

Config load_config(const std::filesystem::path& path) { return config_of(read_file(path, "")); }

Config parse_config(std::string_view yaml, const std::string& name) { return config_of(read_text(yaml, name)); }

Config load_config_from_environment() {
  const char* path = std::getenv("VIGIL_CONFIG");
  if (path == nullptr || *path == '\0') return Config{};
  return config_of(read_file(path, " (named by the environment variable VIGIL_CONFIG)"));
}

void validate(const Config& config) {
  Config copy = config;  // the table's accessors take a Config that can be written
  std::vector<Fault> faults;
  for (const Setting& setting : settings()) {
    std::vector<Fault> more = faults_of(setting, copy);
    std::move(more.begin(), more.end(), std::back_inserter(faults));
  }
  if (!faults.empty()) throw_faults(std::move(faults), "", "");
}

std::string to_yaml(const Config& config) {
  Config copy = config;  // as in validate
  std::string yaml;
  write_section("", "", copy, yaml);
  return yaml;
}

}  // namespace vigil
