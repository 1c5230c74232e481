#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "tools/command.h"

namespace vigil {
namespace {

using test::CommandResult;
using test::run_program;
using test::run_vigil;

CommandResult run_example(const std::string& name, std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--port", "0"});
  unsetenv("VIGIL_CONFIG");
  return run_program(std::string(VIGIL_EXAMPLES) + "/" + name, arguments);
}

struct Line {
  double accuracy = 0, sparsity = 0;  // in percent
  double bytes_dense = 0, bytes_sparse = 0;
};

double number(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), ','), text.end());
  return std::stod(text);
}

// The line of the table of models that begins with a name.
Line line_of(const std::string& text, const std::string& name) {
  std::smatch match;
  const std::regex pattern("\n" + name + " +([0-9.]+) % +([0-9.]+) % +([0-9,]+) +([0-9,]+) ");
  if (!std::regex_search(text, match, pattern)) {
    ADD_FAILURE() << "no line for " << name << " in\n" << text;
    return {};
  }
  return {number(match[1]), number(match[2]), number(match[3]), number(match[4])};
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(PruneAndQuantise, KeepsTheAccuracyOfMnistWithNineTenthsOfTheWeightsGoneAndIntegersForTheRest) {
  const test::TemporaryFolder folder;
  const CommandResult result = run_example("prune_and_quantise", {"--data", VIGIL_MNIST_DATA, "--save", folder.path().string()});
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  const Line dense = line_of(result.out, "dense"), pruned = line_of(result.out, "pruned"), integers = line_of(result.out, "pruned, int8");
  EXPECT_GT(dense.accuracy, 97);  // what this network reaches in an epoch, whatever the seed
  EXPECT_GE(pruned.sparsity, 80);
  EXPECT_GE(integers.sparsity, 80);
  EXPECT_LE(dense.accuracy - integers.accuracy, 1);
  // By hand: weights 400 + 12,800 + 65,536 + 1,280, biases 16 + 32 + 128 + 10, norm 16 * 4, of 4 bytes, and a counter of 8.
  EXPECT_EQ(dense.bytes_dense, 4 * (80'016 + 186 + 64) + 8);
  EXPECT_EQ(pruned.bytes_dense, dense.bytes_dense);
  // Three of the four bytes of 66,816 weights are gone; 138 outputs have a scale and a zero point of 4 bytes each.
  EXPECT_EQ(integers.bytes_dense, dense.bytes_dense - 3 * 66'816 + 138 * 8);
  EXPECT_LT(pruned.bytes_sparse, 0.2 * dense.bytes_dense);
  EXPECT_LT(integers.bytes_sparse, pruned.bytes_sparse);

  // What it kept is what it says.
  const std::string before = folder.file("dense.pt"), after = folder.file("pruned.pt"), int8 = folder.file("int8.pt");
  EXPECT_EQ(run_vigil({"verify", before}).code, 0);
  const CommandResult inspected = run_vigil({"inspect", int8});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_TRUE(holds(inspected.out, "qint8")) << inspected.out;
  const CommandResult difference = run_vigil({"diff", before, after});
  EXPECT_TRUE(holds(difference.out, "fc1.weight")) << difference.out << difference.err;
}

TEST(PruneAndQuantise, SaysWhatIsWrongWithItsData) {
  const CommandResult result = run_example("prune_and_quantise", {"--data", "/nowhere"});
  EXPECT_EQ(result.code, 2);
  EXPECT_TRUE(holds(result.err, "/nowhere")) << result.err;
}

TEST(CharTransformer, ShowsItsModelItsBeginningAndWhatSmallerFormatsWouldLose) {
  const CommandResult result = run_example("char_transformer", {"--made-text", "--steps", "20", "--validate-every", "20"});
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  // A block by hand, of 1024 characters: six products with weights (64x64 four times, 64x256 twice), and with heads of 16 in a context of
  // 64 those of queries with keys and of what comes out with values.
  const std::uint64_t block = 1024 * (4 * 64 * 64 + 2 * 64 * 256) + 2 * (16 * 4) * 64 * 64 * 16;
  EXPECT_EQ(block, 58'720'256);
  EXPECT_TRUE(std::regex_search(result.out, std::regex("\nblock1 .* 49,984 .* 58,720,256 "))) << result.out;
  EXPECT_TRUE(holds(result.out, "Verdict: good.")) << result.out;
  // Every one of the 38 parameters, and its gradient, has its place in each format.
  std::size_t lines = 0;
  const std::regex counts("\n  (?:float16|bfloat16|float8_e4m3|float8_e5m2|int8) +([0-9]+) +([0-9]+) +([0-9]+) +([0-9]+) ");
  for (std::sregex_iterator line(result.out.begin(), result.out.end(), counts), end; line != end; ++line, ++lines) {
    EXPECT_EQ(number((*line)[1]) + number((*line)[2]) + number((*line)[3]) + number((*line)[4]), 38) << line->str();
  }
  EXPECT_EQ(lines, 10) << result.out;
}

TEST(CharTransformer, LearnsFromLicenceTextsOrSaysThatThereAreNone) {
  const CommandResult result = run_example("char_transformer", {"--steps", "1", "--layers", "1"});
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  const bool has_texts = std::filesystem::exists("/usr/share/common-licenses/GPL-3");
  EXPECT_NE(holds(result.err, "taking --made-text"), has_texts) << result.err;
}

TEST(CharTransformer, RefusesATextThatIsTooShort) {
  const test::TemporaryFolder folder;
  const CommandResult result = run_example("char_transformer", {"--text", folder.write("short.txt", "abc").string()});
  EXPECT_EQ(result.code, 1);
  EXPECT_TRUE(holds(result.err, "too short")) << result.err;
}

}  // namespace
}  // namespace vigil
