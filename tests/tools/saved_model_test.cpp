// `vigil inspect`, `vigil diff` and `vigil verify` as a user runs them, over files made here byte by byte.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "tools/command.h"
#include "tools/small_model.h"

namespace vigil::test {
namespace {

const float kNotNumber = std::numeric_limits<float>::quiet_NaN();

const NamedFloats kWeight{"fc.weight", {0.5F, -1, 0.25F, 0, 2, -0.125F}, {2, 3}};
const NamedFloats kBias{"fc.bias", {0.5F, -0.5F}, {2}};

class SavedModelCommands : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::vector<NamedFloats>& tensors) {
    return folder.write(name, file_of(tensors)).string();
  }

  TemporaryFolder folder;
};

TEST_F(SavedModelCommands, InspectShowsFactsAndEveryTensor) {
  const CommandResult result = run_vigil({"inspect", write("model.pt", {kWeight, kBias})});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  position(result.out, "tensors     8 in 32 bytes; the file does not say which are parameters");
  position(result.out, "types       float32 32 bytes");
  // Mean and standard deviation of 0.5, -1, 0.25, 0, 2, -0.125: 1.625 / 6, and sqrt(5.328125 / 6 - 0.2708333²).
  position(result.out, "fc.weight  -     [2, 3]  float32  0.2708  0.9026    -1    2  16.67 %");
  position(result.out, "fc.bias    -     [2]     float32       0     0.5  -0.5  0.5        0");
  EXPECT_EQ(result.out.find("FINDING"), std::string::npos);
}

TEST_F(SavedModelCommands, InspectSortsAndShowsOneTensor) {
  const std::string file = write("model.pt", {kBias, kWeight});
  const std::string by_size = run_vigil({"inspect", file, "--sort", "size"}).out;
  EXPECT_LT(position(by_size, "fc.weight"), position(by_size, "fc.bias"));
  const CommandResult one = run_vigil({"inspect", file, "--tensor", "fc.weight"});
  EXPECT_EQ(one.code, 0);
  position(one.out, "what        float32 [2, 3], 6 elements in 24 bytes");
  position(one.out, "range       -1 to 2");
  position(one.out, "zeros       1 (16.67 %)");
  EXPECT_EQ(one.out.find("fc.bias"), std::string::npos);
  const CommandResult none = run_vigil({"inspect", file, "--tensor", "fc.weigth"});
  EXPECT_EQ(none.code, 1);
  position(none.err, "has no tensor 'fc.weigth' (did you mean 'fc.weight'?)");
}

TEST_F(SavedModelCommands, InspectAsJsonHasTheFigures) {
  const auto lines = json_lines(run_vigil({"inspect", "--json", write("model.pt", {kWeight, {"nan", {1, kNotNumber}, {2}}})}).out);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["tensors"][0]["role"], "other");  // a text, as what is no parameter by itself
  const auto& model = lines[0];
  EXPECT_EQ(model["others"]["elements"], 8);
  EXPECT_EQ(model["architecture_fingerprint"].get<std::string>().size(), 32U);
  const auto& tensor = model["tensors"][0];
  EXPECT_EQ(tensor["name"], "fc.weight");
  EXPECT_EQ(tensor["shape"], (std::vector<int>{2, 3}));
  EXPECT_NEAR(tensor["mean"].get<double>(), 1.625 / 6, 1e-7);
  EXPECT_NEAR(tensor["l2_norm"].get<double>(), std::sqrt(5.328125), 1e-6);
  EXPECT_EQ(tensor["zeros"], 1);
  EXPECT_EQ(model["tensors"][1]["nan"], 1);
  EXPECT_EQ(model["findings"][0]["check"], "nan");
  EXPECT_EQ(model["findings"][0]["first"], 1);
  EXPECT_EQ(model["precision"][0]["format"], "float16");
}

TEST_F(SavedModelCommands, NamesCannotActOnATerminal) {
  const std::string file = write("model.pt", {{"w\x1b[31m\n", {1, 2}, {2}}, {"zero\x1b.weight", {0, 0}, {2}}});
  for (const std::string command : {"inspect", "verify"}) {
    const CommandResult result = run_vigil({command, file});
    EXPECT_EQ(result.out.find('\x1b'), std::string::npos) << result.out;
  }
  position(run_vigil({"inspect", file}).out, "w?[31m?");
  position(run_vigil({"diff", file, write("other.pt", {})}).out, "w?[31m?");
  EXPECT_EQ(json_lines(run_vigil({"inspect", file, "--json"}).out).at(0)["tensors"][0]["name"], "w\x1b[31m\n");
}

TEST_F(SavedModelCommands, VerifyIsFineWithAHealthyModelAndNamesEveryFault) {
  const CommandResult fine = run_vigil({"verify", write("model.pt", {kWeight, kBias})});
  EXPECT_EQ(fine.code, 0);
  position(fine.out, "model.pt: fine: 0 faults and 0 notes in 2 tensors");
  const std::string file = write("bad.pt", {kWeight,
                                            {"a.weight", {1, kNotNumber}, {1, 2}},
                                            {"b.weight", {0, 0}, {1, 2}},
                                            {"c.weight", {3, 3}, {1, 2}},
                                            {"d.weight", {1, 1e-40F}, {1, 2}},
                                            {"e.weight", kWeight.values, {2, 3}},
                                            {"n.bias", {0, 0}, {2}}});
  const CommandResult bad = run_vigil({"verify", file});
  EXPECT_EQ(bad.code, 1);
  position(bad.out, "a.weight  1 of 2 elements is NaN, the first at [0, 1]");
  position(bad.out, "b.weight  all 2 elements are zero");
  position(bad.out, "c.weight  all 2 elements are 3");
  position(bad.out, "d.weight  1 of 2 elements that are not zero is denormal in float32");
  position(bad.out, "e.weight  has the same 6 values as fc.weight, and does not share its memory");
  position(bad.out, "bad.pt: not fine: 5 faults and 1 note in 7 tensors");
  const auto json = json_lines(run_vigil({"verify", "--json", file}).out).at(0);
  EXPECT_EQ(json["faults"], 5);
  EXPECT_EQ(json["fine"], false);
}

TEST_F(SavedModelCommands, StrictTakesNotesForFaults) {
  const std::string file = write("model.pt", {kWeight, {"norm.weight", {1, 1}, {2}}});
  EXPECT_EQ(run_vigil({"verify", file}).code, 0);
  EXPECT_EQ(run_vigil({"verify", "--strict", file}).code, 1);
}

TEST_F(SavedModelCommands, VerifyTellsWhichTensorIsDamaged) {
  std::string bytes = file_of({kWeight, kBias});
  std::string elements(8, '\0');
  std::memcpy(elements.data(), kBias.values.data(), 8);
  bytes[bytes.find(elements) + 1] = '\x55';
  const std::string file = folder.write("damaged.pt", bytes).string();
  const CommandResult verified = run_vigil({"verify", file});
  EXPECT_EQ(verified.code, 1);
  position(verified.out, "fc.bias");
  position(verified.out, "checksum");
  position(verified.out, "1 fault ");
  const CommandResult inspected = run_vigil({"inspect", file});
  EXPECT_EQ(inspected.code, 1);
  position(inspected.out, "fc.weight  -     [2, 3]  float32  0.2708");
  position(inspected.err, "not all tensors can be read; vigil verify tells what is damaged");
  EXPECT_EQ(run_vigil({"diff", file, file}).code, 2);
}

TEST_F(SavedModelCommands, WhatIsNoModelIsTwo) {
  const std::string model = write("model.pt", {kWeight});
  const std::string text = folder.write("text.pt", "not a model").string(), empty = folder.write("empty.pt", "").string();
  const std::string cut = folder.write("cut.pt", file_of({kWeight}).substr(0, 200)).string();
  for (const std::string& file : {text, empty, cut, folder.file("absent.pt"), folder.path().string()}) {
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"inspect", file}, {"verify", file}, {"diff", model, file}}) {
      const CommandResult result = run_vigil(arguments);
      EXPECT_EQ(result.code, 2) << arguments[0] << ' ' << file;
      EXPECT_EQ(result.out, "");
      EXPECT_EQ(result.err.rfind("vigil: ", 0), 0U) << result.err;
    }
  }
}

TEST_F(SavedModelCommands, DiffSaysWhatChangedAndByHowMuch) {
  NamedFloats changed = kWeight;
  changed.values[1] = -1.5F;
  const std::string a = write("a.pt", {kWeight, kBias, {"old", {1}, {1}}, {"sized", {1, 2}, {2}}});
  const std::string b = write("b.pt", {changed, kBias, {"sized", {1, 2}, {1, 2}}, {"new", {1}, {1}}});
  const CommandResult same = run_vigil({"diff", a, a});
  EXPECT_EQ(same.code, 0);
  EXPECT_EQ(same.out, "equal: 4 tensors the same bit by bit, 0 changed; built alike\n");
  const CommandResult result = run_vigil({"diff", a, b});
  EXPECT_EQ(result.code, 1);
  // 0.5 / sqrt(5.328125); cosine (5.328125 + 0.5) / sqrt(5.328125 * 6.578125).
  position(result.out, "fc.weight  [2, 3]        1  16.67 %       0.2166         0.5  0.9844           -");
  position(result.out, "old     only in A: float32 [1]");
  position(result.out, "new     only in B: float32 [1]");
  position(result.out, "sized   float32 [2] in A, float32 [1, 2] in B");
  position(result.out, "different: 1 tensor the same bit by bit, 1 changed, 3 not to be compared; not built alike");
}

TEST_F(SavedModelCommands, DiffHasAThresholdThatNoNanSlipsUnder) {
  NamedFloats near = kWeight, broken = kWeight;
  near.values[1] = -1.0001F;
  broken.values[3] = kNotNumber;
  const std::string a = write("a.pt", {kWeight}), b = write("b.pt", {near}), c = write("c.pt", {broken});
  EXPECT_EQ(run_vigil({"diff", a, b}).code, 1);
  EXPECT_EQ(run_vigil({"diff", a, b, "--threshold", "1e-5"}).code, 1);
  const CommandResult within = run_vigil({"diff", a, b, "--threshold", "1e-3"});
  EXPECT_EQ(within.code, 0);
  position(within.out, "1 changed (1 by no more than 0.001)");
  EXPECT_EQ(run_vigil({"diff", a, c, "--threshold", "1e9"}).code, 1);
  EXPECT_EQ(run_vigil({"diff", c, c}).code, 0);
  const auto json = json_lines(run_vigil({"diff", "--json", a, b}).out).at(0);
  EXPECT_EQ(json["equal"], false);
  EXPECT_NEAR(json["tensors"][0]["relative_l2"].get<double>(), (1.0001F - 1.0) / std::sqrt(5.328125), 1e-9);
}

TEST_F(SavedModelCommands, HelpHasAnExampleAndUsageIsTwo) {
  for (const std::string command : {"inspect", "diff", "verify"}) {
    const CommandResult help = run_vigil({command, "--help"});
    EXPECT_EQ(help.code, 0);
    position(help.out, "Exit code: 0");
    position(help.out, "Example:   vigil " + command);
    EXPECT_EQ(run_vigil({command}).code, 2);
  }
  EXPECT_EQ(run_vigil({"diff", "a", "b", "--threshold", "-1"}).code, 2);
  EXPECT_EQ(run_vigil({"inspect", "a", "--threads", "0"}).code, 2);
}

}  // namespace
}  // namespace vigil::test
