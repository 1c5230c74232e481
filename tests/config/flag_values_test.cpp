// Values that a parser of flags would take for something else.
#include "vigil/config/flag_values.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vigil {
namespace {

// "--flag: text", or empty. --path and -o take a value, --json takes none.
std::string fault_in(std::vector<const char*> words) {
  words.insert(words.begin(), "program");
  const auto fault = find_flag_fault(static_cast<int>(words.size()), words.data(),
                                     [](const std::string& flag) { return flag == "--path" || flag == "-o"; });
  return fault ? fault->flag + ": " + fault->text : "";
}

TEST(FlagValues, AnEmptyValueIsAFault) {
  const std::string expected = "--path: expected a value, got an empty text";
  EXPECT_EQ(fault_in({"--path=", "--json"}), expected);
  EXPECT_EQ(fault_in({"--path", ""}), expected);
  EXPECT_EQ(fault_in({"word", "--json", "--path", "a", "--path="}), expected);
  EXPECT_EQ(fault_in({"-o", ""}), "-o: expected a value, got an empty text");
}

TEST(FlagValues, AFlagIsNoValue) {
  const std::string expected = "--path: expected a value, got '--json' (a file of that name is written ./--json)";
  EXPECT_EQ(fault_in({"--path", "--json"}), expected);
  EXPECT_EQ(fault_in({"--path=--json"}), expected);
  EXPECT_EQ(fault_in({"--path", "--\x1b[31m"}), "--path: expected a value, got '--?[31m' (a file of that name is written ./--?[31m)");
}

TEST(FlagValues, TheRestIsLeftToTheParser) {
  EXPECT_EQ(fault_in({}), "");
  EXPECT_EQ(fault_in({"--path"}), "");
  EXPECT_EQ(fault_in({"--path", "./--json", "--json", "-o", "-", "--path=a=", ""}), "");
  EXPECT_EQ(fault_in({"--path", "-1", "-"}), "");
  EXPECT_EQ(fault_in({"--unknown=", "--json="}), "");
  EXPECT_EQ(fault_in({"--", "--path="}), "");
  EXPECT_EQ(fault_in({"--path", "a", "--path", "b"}), "");
}

}  // namespace
}  // namespace vigil
