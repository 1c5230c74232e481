// vigil summary over files that libtorch has written.
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "files.h"
#include "tools/command.h"

namespace vigil {
namespace {

using test::CommandResult;
using test::run_vigil;

class SummaryCommand : public testing::Test {
 protected:
  SummaryCommand() {
    torch::jit::Module embed("Embedding"), net("Tagger");
    embed.register_parameter("weight", torch::zeros({20, 6}), false);
    embed.define("def forward(self, x):\n  return torch.embedding(self.weight, x)\n");
    net.register_module("embed", embed);
    net.register_parameter("head", torch::zeros({6, 5}), false);
    net.define("def forward(self, x):\n  return self.embed.forward(x) @ self.head\n");
    net.save(script);
  }
  static bool shows(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

  const test::TemporaryFolder folder;
  const std::string script = (folder.path() / "tagger.pt").string(), saved = (folder.path() / "saved.pt").string();
};

TEST_F(SummaryCommand, RunsTheModelOnInputsOfTheGivenSizes) {
  const CommandResult result = run_vigil({"summary", script, "--input-size", "2x7:int64:20"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_TRUE(shows(result.out, "(all)   Tagger     [2, 7]  [2, 7, 5]  -              150  100.00 %   420")) << result.out;
  EXPECT_TRUE(shows(result.out, "embed   Embedding  [2, 7]  [2, 7, 6]  -              120   80.00 %     -")) << result.out;
  EXPECT_FALSE(shows(run_vigil({"summary", script, "--input-size", "2,7:int64", "--depth", "0"}).out, "embed"));
  const CommandResult json = run_vigil({"summary", script, "--input-size", "2x7:int64", "--json"});
  ASSERT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(nlohmann::json::parse(json.out)["total"]["macs"], 2 * 7 * 6 * 5);
}

TEST_F(SummaryCommand, SaysWhatIsNeededForMoreThanParameters) {
  CommandResult result = run_vigil({"summary", script});
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(shows(result.out, "(all)   Tagger            150  100.00 %")) << result.out;
  EXPECT_EQ(result.err, "vigil: sizes and MACs need a forward pass: give --input-size, such as 1x3x224x224, for each input\n");
  torch::save(torch::nn::Linear(3, 2), saved);
  result = run_vigil({"summary", saved, "--input-size", "1x3"});
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(shows(result.out, "The parameters alone: no forward pass was run.")) << result.out;
  EXPECT_EQ(result.err, "vigil: the file has no forward() to run (torch::save writes no code): --input-size was not used\n");
}

TEST_F(SummaryCommand, WhatCannotBeReadOrRunIsAnErrorInALine) {
  const auto error = [&](const std::string& file, const std::string& size) {
    const CommandResult result = run_vigil({"summary", file, "--input-size", size});
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
    return result.err;
  };
  EXPECT_TRUE(shows(error(script, "2x7"), "vigil: the model cannot be run: ")) << "an embedding of floats";
  EXPECT_TRUE(shows(error(script, "2x7:int64:21x"), "--input-size"));
  EXPECT_TRUE(shows(error((folder.path() / "none.pt").string(), "1"), "none.pt"));
  std::ofstream(saved) << "not a model";
  EXPECT_TRUE(shows(error(saved, "1"), saved));
}

}  // namespace
}  // namespace vigil
