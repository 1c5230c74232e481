// Reads a YAML file into a `Config`, strictly: what it does not know is an error, and every error of a file is reported at once.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"

namespace vigil {

/// One thing wrong with a configuration, at the place where the user wrote it.
struct ConfigProblem {
  std::string file;  ///< as given by the caller
  int line = 0;      ///< 1-based; 0 where the file as a whole is meant
  int column = 0;    ///< 1-based, in bytes; 0 as above
  std::string key;   ///< dotted path, e.g. `sampling.every_steps`; empty for the document itself
  std::string text;  ///< `expected …, got …`, with the nearest known key for an unknown one

  /// `file:line:column: key: text`, leaving out the parts that are empty.
  std::string message() const;
};

/// Thrown with every problem of a configuration; `what()` is one problem a line.
class ConfigError : public std::runtime_error {
 public:
  explicit ConfigError(std::vector<ConfigProblem> problems);
  const std::vector<ConfigProblem>& problems() const noexcept { return problems_; }

 private:
  std::vector<ConfigProblem> problems_;
};

/// Reads `path`, a regular file of at most 1 MiB. Keys that the file leaves out keep their defaults; an empty file is all defaults.
/// Whole numbers are plain decimals; keys ending in `_bytes` also take KiB, MiB, GiB or TiB, keys ending in `_ms` also ms or s. A text is
/// taken as it is written. Not read, and so errors: anchors, aliases, merge keys, tags, directives, a key with nothing behind it.
/// @throws ConfigError when the file cannot be read, is not one YAML mapping, or has any unknown or duplicate key, wrong
///         type or value out of range. After a syntax error only that one is reported; else every problem, up to 100.
Config load_config(const std::filesystem::path& path);

/// The same for YAML text; `name` stands in messages for the file.
Config parse_config(std::string_view yaml, const std::string& name = "<text>");

/// A configuration file as a whole, right or wrong, for who tells of it what only its user can find wrong.
struct ConfigReading {
  Config config;                        ///< what could be read; else the defaults
  std::vector<ConfigProblem> problems;  ///< those of load_config; empty: there is nothing wrong with it

  /// Something else that is wrong with the setting `key` (`rules.actions`, `rules.threshold[0]`), at its place, or at that of the nearest
  /// section that the file has.
  ConfigProblem problem_at(const std::string& key, std::string text) const;

  std::string file, source;
  std::map<std::string, std::size_t> places;  ///< of keys, as offsets into `source`
};

/// Reads `path` like load_config. Never throws but `std::bad_alloc`.
ConfigReading read_config(const std::filesystem::path& path);

/// The file that the environment variable VIGIL_CONFIG names, or `Config{}` when it is unset or empty.
/// @throws ConfigError as `load_config`.
Config load_config_from_environment();

/// Checks a `Config` made by a program as `load_config` checks a file.
/// @throws ConfigError naming each key whose value no file could set; file and line are empty.
void validate(const Config& config);

/// Every setting as YAML, in the order of config.h. `parse_config` reads it back to the same `Config`, provided that `validate` accepts it.
std::string to_yaml(const Config& config);

}  // namespace vigil
