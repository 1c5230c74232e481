// One row of the catalogue of bad inputs: YAML that must be refused, and all that the user is told about it.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>

#include "vigil/config/config_reader.h"

namespace vigil {

struct BadInput {
  std::string name;
  std::string yaml;
  std::string message;  // whole, with file:line:column; one problem a line
};

inline void PrintTo(const BadInput& input, std::ostream* out) { *out << input.yaml.substr(0, 200); }

inline std::string name_of_row(const testing::TestParamInfo<BadInput>& info) { return info.param.name; }

inline void expect_refused(const BadInput& input) {
  try {
    parse_config(input.yaml, "v.yml");
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.what(), input.message);
    return;
  }
  ADD_FAILURE() << "accepted";
}

}  // namespace vigil
