// vigil prune: what it writes is loaded back by libtorch, and judged there.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "files.h"
#include "tools/command.h"

namespace vigil {
namespace {

using test::CommandResult;
using test::run_vigil;

struct SavedNetImpl : torch::nn::Module {
  torch::nn::Embedding words = register_module("words", torch::nn::Embedding(20, 6));
  torch::nn::Conv1d conv = register_module("conv", torch::nn::Conv1d(6, 8, 3));
  torch::nn::BatchNorm1d norm = register_module("norm", torch::nn::BatchNorm1d(8));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(8, 5));
};
TORCH_MODULE(SavedNet);

std::int64_t zeros_of(const torch::Tensor& tensor) { return tensor.eq(0).sum().item<std::int64_t>(); }
bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class PruneCommand : public testing::Test {
 protected:
  PruneCommand() {
    torch::manual_seed(1);
    net = SavedNet();
    torch::save(net, in);
  }
  CommandResult prune(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"prune", in});
    arguments.insert(arguments.end(), {"-o", out});
    return run_vigil(arguments);
  }

  const test::TemporaryFolder folder;
  const std::string in = (folder.path() / "net.pt").string(), out = (folder.path() / "pruned.pt").string();
  SavedNet net{nullptr};
};

TEST_F(PruneCommand, WritesWhatTorchLoadTakesIntoTheSameModule) {
  const CommandResult result = prune({"--amount", "0.75", "--exclude", "words.*"});
  ASSERT_EQ(result.code, 0) << result.err;
  SavedNet pruned;
  torch::load(pruned, out);
  EXPECT_EQ(zeros_of(pruned->conv->weight) + zeros_of(pruned->head->weight), 138);  // 0.75 * (144 + 40)
  for (const auto& item : net->named_parameters()) {
    const torch::Tensor now = pruned->named_parameters()[item.key()];
    EXPECT_EQ(now.requires_grad(), item.value().requires_grad());
    EXPECT_TRUE(torch::equal(now, torch::where(now.eq(0), torch::zeros_like(now), item.value()))) << item.key();
  }
  EXPECT_TRUE(torch::equal(pruned->words->weight, net->words->weight));
  EXPECT_TRUE(torch::equal(pruned->norm->running_var, net->norm->running_var));
  // The largest that went is not above the smallest that stayed.
  const torch::Tensor before = torch::cat({net->conv->weight.flatten(), net->head->weight.flatten()}).abs();
  const torch::Tensor after = torch::cat({pruned->conv->weight.flatten(), pruned->head->weight.flatten()});
  EXPECT_LE(before.masked_select(after.eq(0)).max().item<float>(), before.masked_select(after.ne(0)).min().item<float>());

  EXPECT_TRUE(holds(result.out, "conv.weight         [8, 6, 3]       144        0.00 %")) << result.out;
  EXPECT_TRUE(holds(result.out, "Pruned 138 of 184 weights (75.00 %), the smallest by magnitude of all layers together;")) << result.out;
  EXPECT_EQ(result.err, "");
}

TEST_F(PruneCommand, KeepsTheCodeAndTheExtraFilesOfTorchScript) {
  torch::jit::Module script("net");
  script.register_parameter("weight", torch::randn({4, 3}), false);
  script.define("def forward(self, x):\n    return torch.relu(x @ self.weight.t())\n");
  script.save(in, {{"labels.txt", "cat\ndog\n"}});
  const CommandResult result = prune({"--count", "5", "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  torch::jit::ExtraFilesMap extra{{"labels.txt", ""}};
  torch::jit::Module pruned = torch::jit::load(out, at::kCPU, extra);
  EXPECT_EQ(extra["labels.txt"], "cat\ndog\n");
  const torch::Tensor weight = pruned.attr("weight").toTensor(), x = torch::randn({2, 3});
  EXPECT_EQ(zeros_of(weight), 5);
  EXPECT_TRUE(torch::equal(pruned.forward({x}).toTensor(), torch::relu(x.matmul(weight.t()))));
}

TEST_F(PruneCommand, PrunesChannelsLayersAndAtRandom) {
  CommandResult result = prune({"--amount", "0.5", "--method", "ln", "--norm", "1", "--include", "conv.weight"});
  ASSERT_EQ(result.code, 0) << result.err;
  SavedNet pruned;
  torch::load(pruned, out);
  EXPECT_EQ(zeros_of(pruned->conv->weight.abs().sum(at::IntArrayRef{1, 2})), 4);
  EXPECT_TRUE(holds(result.out, "whole channels that are zero, and a layer without them:")) << result.out;
  EXPECT_TRUE(holds(result.out, "[4, 6, 3]")) << result.out;

  result = prune({"--amount", "0.5", "--scope", "layer", "--exclude", "words.*"});
  torch::load(pruned, out);
  EXPECT_EQ(zeros_of(pruned->conv->weight), 72);
  EXPECT_EQ(zeros_of(pruned->head->weight), 20);

  ASSERT_EQ(prune({"--amount", "0.5", "--method", "random", "--seed", "7"}).code, 0);
  torch::load(pruned, out);
  const torch::Tensor once = pruned->conv->weight.clone();
  ASSERT_EQ(prune({"--amount", "0.5", "--method", "random", "--seed", "7"}).code, 0);
  torch::load(pruned, out);
  EXPECT_TRUE(torch::equal(pruned->conv->weight, once));
  EXPECT_GT(zeros_of(pruned->words->weight), 0) << "torch::save does not say that it is an embedding";
}

TEST_F(PruneCommand, LeavesItsInputAloneUnlessItIsForced) {
  const auto size = std::filesystem::file_size(in);
  CommandResult result = run_vigil({"prune", in, "--amount", "0.5", "-o", in});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "vigil: '" + in + "' is the model itself; name another file, or give --force\n");
  SavedNet loaded;
  torch::load(loaded, in);
  EXPECT_EQ(zeros_of(loaded->conv->weight), 0);
  EXPECT_EQ(std::filesystem::file_size(in), size);
  ASSERT_EQ(run_vigil({"prune", in, "--amount", "0.5", "-o", in, "--force"}).code, 0);
  torch::load(loaded, in);
  EXPECT_GT(zeros_of(loaded->conv->weight), 0);
}

TEST_F(PruneCommand, SaysWhatIsWrongAndWritesNothing) {
  const auto error = [&](const std::vector<std::string>& arguments) {
    const CommandResult result = prune(arguments);
    EXPECT_EQ(result.code, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(std::filesystem::exists(out));
    return result.err;
  };
  EXPECT_TRUE(holds(error({}), "vigil: --amount or --count says how much to prune; give one"));
  EXPECT_TRUE(holds(error({"--amount", "1.5"}), "--amount"));
  EXPECT_TRUE(holds(error({"--amount", "nan"}), "--amount"));
  EXPECT_TRUE(holds(error({"--amount", "0.5", "--count", "3"}), "excludes"));
  EXPECT_EQ(error({"--count", "1000"}), "vigil: 1000 are to be pruned, and only 304 are left\n");
  EXPECT_EQ(error({"--amount", "0.5", "--dim", "1"}), "vigil: --dim is for --method ln and random-channels\n");
  EXPECT_EQ(error({"--amount", "0.5", "--norm", "1"}), "vigil: --norm is for --method ln\n");
  EXPECT_EQ(error({"--amount", "0.5", "--seed", "1"}), "vigil: --seed is for --method random and random-channels\n");
  EXPECT_EQ(error({"--amount", "0.5", "--method", "ln", "--norm", "0"}),
            "vigil: --norm: expected 1, 2, inf or another number above 0, got '0'\n");
  EXPECT_EQ(error({"--amount", "0.5", "--method", "ln", "--dim", "2"}), "vigil: 'words.weight' has 2 dimensions, and none that is 2\n");
  EXPECT_EQ(error({"--amount", "0.5", "--method", "ln", "--scope", "global"}),
            "vigil: --scope global is for --method l1 and random: channels are pruned in each layer\n");
  EXPECT_TRUE(holds(error({"--amount", "0.5", "--include", "tail.*"}), "vigil: no parameter is named 'tail.*'; there are: words.weight"));

  net->head->weight.detach()[0][0] = std::nan("");
  torch::save(net, in);
  EXPECT_EQ(error({"--amount", "0.5"}),
            "vigil: weights that are not finite have no order to prune them by: head.weight (1 NaN, 0 Inf of 40)\n");

  std::filesystem::resize_file(in, 1000);
  EXPECT_TRUE(holds(error({"--amount", "0.5"}), in)) << "a truncated file";
  std::ofstream(in) << "not a model";
  EXPECT_TRUE(holds(error({"--amount", "0.5"}), in));
  std::filesystem::remove(in);
  EXPECT_TRUE(holds(error({"--amount", "0.5"}), in));
}

TEST_F(PruneCommand, AnOutputThatCannotBeWrittenIsAnErrorAndNoCrash) {
  const CommandResult nowhere = run_vigil({"prune", in, "--amount", "0.5", "-o", (folder.path() / "missing" / "out.pt").string()});
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_TRUE(holds(nowhere.err, "missing")) << nowhere.err;
  const CommandResult full = run_vigil({"prune", in, "--amount", "0.5", "-o", "/dev/full"});
  EXPECT_EQ(full.code, 2) << full.err;
}

}  // namespace
}  // namespace vigil
