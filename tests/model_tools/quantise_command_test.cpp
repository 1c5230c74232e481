// vigil quantise: its figures against libtorch's integers, and what it writes as libtorch and vigil read it back.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "files.h"
#include "tools/command.h"
#include "vigil/model/quantisation.h"

namespace vigil {
namespace {

using test::CommandResult;
using test::run_vigil;

struct QuantisedNetImpl : torch::nn::Module {
  torch::nn::Conv1d conv = register_module("conv", torch::nn::Conv1d(6, 8, 3));
  torch::nn::BatchNorm1d norm = register_module("norm", torch::nn::BatchNorm1d(8));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(8, 5));
};
TORCH_MODULE(QuantisedNet);

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

class QuantiseCommand : public testing::Test {
 protected:
  QuantiseCommand() {
    torch::manual_seed(1);
    torch::save(net, in);
  }
  // Two layers and dropout, which would make two runs in training mode differ.
  void save_script() {
    torch::jit::Module script("net");
    script.register_attribute("training", c10::BoolType::get(), true);
    script.register_parameter("first", torch::randn({16, 6}), false);
    script.register_parameter("last", torch::randn({5, 16}), false);
    script.define(
        "def forward(self, x):\n    h = torch.dropout(torch.relu(x @ self.first.t()), 0.5, self.training)\n    return h @ self.last.t()\n");
    script.save(in, {{"labels.txt", "cat\ndog\n"}});
  }
  static CommandResult quantise_file(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "quantise");
    return run_vigil(arguments);
  }

  QuantisedNet net;
  const test::TemporaryFolder folder;
  const std::string in = folder.file("net.pt"), out = folder.file("int8.pt");
};

TEST_F(QuantiseCommand, TellsWhatEachWeightLoses) {
  const CommandResult result = quantise_file({in, "--per-channel", "--json", "--exclude", "head.*"});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json all = test::json_lines(result.out).at(0);
  ASSERT_EQ(all["weights"].size(), 2u);
  const nlohmann::json& conv = all["weights"][0];
  EXPECT_EQ(conv["name"], "conv.weight");
  EXPECT_EQ(conv["shape"], (std::vector<int>{8, 6, 3}));
  EXPECT_EQ(conv["bytes_before"], 4 * 144);
  EXPECT_EQ(conv["bytes_after"], 144 + 8 * 8);
  const torch::Tensor weight = net->conv->weight.detach();
  const torch::Tensor scale = weight.reshape({8, 18}).abs().amax({1}) / 127.5;
  const torch::Tensor integers =
      at::quantize_per_channel(weight, scale.to(torch::kDouble), torch::zeros({8}, torch::kLong), 0, torch::kQInt8);
  const torch::Tensor x = weight.to(torch::kDouble), error = x - integers.dequantize().to(torch::kDouble);
  EXPECT_NEAR(conv["sqnr_db"].get<double>(), 10 * std::log10((x.square().sum() / error.square().sum()).item<double>()), 1e-6);
  EXPECT_NEAR(conv["max_error"].get<double>(), error.abs().max().item<double>(), 1e-9);
  EXPECT_EQ(all["weights"][1]["quantised"], false);
  // 144 + 8 of conv, 4 · 8 of the norm and its counter, 40 + 5 of the head.
  EXPECT_EQ(all["bytes_before"], 4 * (152 + 32 + 45) + 8);
  EXPECT_EQ(all["bytes_after"], all["bytes_before"].get<int>() - (576 - 208));

  const CommandResult text = quantise_file({in});
  EXPECT_TRUE(contains(text.out, "conv.weight")) << text.out;
  EXPECT_TRUE(contains(text.out, "2 weights, int8 symmetric per tensor; model 924 bytes, as integers 388 bytes (42.0 %)")) << text.out;
  EXPECT_EQ(text.err, "");
  EXPECT_TRUE(contains(quantise_file({in, "--bits", "4", "--affine"}).out, "int4 affine per tensor"));
}

TEST_F(QuantiseCommand, WritesIntegersThatVigilReadsAndRoundedFloatsThatTorchLoads) {
  CommandResult result = quantise_file({in, "--per-channel", "-o", out});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(contains(result.out, "saved as integers")) << result.out;
  EXPECT_TRUE(contains(result.out, "Written to " + out)) << result.out;
  ModelQuantisation how;
  how.layer.grid.per_channel = true;
  QuantisedNet loaded, expected;
  load_quantised(*loaded, out);
  torch::load(expected, in);
  quantise_weights(*expected, how);
  for (const auto& item : expected->named_parameters()) {
    EXPECT_TRUE(torch::equal(loaded->named_parameters()[item.key()], item.value())) << item.key();
  }
  EXPECT_TRUE(torch::equal(loaded->norm->running_var, net->norm->running_var));
  const CommandResult inspected = run_vigil({"inspect", out});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_TRUE(contains(inspected.out, "qint8")) << inspected.out;

  result = quantise_file({in, "--per-channel", "-o", out, "--rounded", "--quiet"});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  torch::load(loaded, out);
  EXPECT_TRUE(torch::equal(loaded->conv->weight, expected->conv->weight));
}

TEST_F(QuantiseCommand, ComparesTheOutputsOfTorchScriptAndKeepsItsCode) {
  save_script();
  torch::jit::Module script = torch::jit::load(in);
  script.eval();
  const torch::Tensor x = torch::randn({200, 6});
  torch::save(x, folder.file("inputs.pt"));
  const CommandResult result = quantise_file({in, "--inputs", folder.file("inputs.pt"), "--bits", "4", "--json", "-o", out});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json outputs = test::json_lines(result.out).at(0)["outputs"];
  torch::jit::ExtraFilesMap extra{{"labels.txt", ""}};
  torch::jit::Module written = torch::jit::load(out, at::kCPU, extra);
  EXPECT_EQ(extra["labels.txt"], "cat\ndog\n");
  EXPECT_TRUE(written.is_training()) << "as it was saved";
  written.eval();
  const torch::Tensor a = script.forward({x}).toTensor().to(torch::kDouble), b = written.forward({x}).toTensor().to(torch::kDouble);
  const double top1 = a.argmax(1).eq(b.argmax(1)).sum().item<double>() / 200;
  EXPECT_EQ(outputs["examples"], 200);
  EXPECT_NEAR(outputs["top1_agreement"].get<double>(), top1, 1e-12);
  EXPECT_LT(top1, 1);
  EXPECT_NEAR(outputs["sqnr_db"].get<double>(), 10 * std::log10((a.square().sum() / (a - b).square().sum()).item<double>()), 1e-6);
  EXPECT_NEAR(outputs["max_difference"].get<double>(), (a - b).abs().max().item<double>(), 1e-6);
  const torch::Tensor first = script.attr("first").toTensor();
  const QuantisationGrid grid{4, true, true, false};
  EXPECT_TRUE(torch::equal(written.attr("first").toTensor(), quantised(first, parameters_for(first, grid)).dequantize()));

  const CommandResult made_up = quantise_file({in, "--input-size", "64,6"});
  EXPECT_TRUE(contains(made_up.out, "Outputs: the same class is first in 6")) << made_up.out;
  EXPECT_TRUE(contains(made_up.out, " of 64 (")) << made_up.out;
}

TEST_F(QuantiseCommand, RunsOfModelsThatWriteIntoTheirInputsAndThemselvesAreAlike) {
  torch::jit::Module script("net");
  script.register_parameter("first", torch::randn({16, 6}), false);
  script.register_parameter("last", torch::randn({5, 16}), false);
  script.register_buffer("calls", torch::zeros({1}));
  script.define(
      "def forward(self, x):\n    self.calls = self.calls + 1\n    x.mul_(2.0).add_(self.calls)\n"
      "    return torch.relu(x @ self.first.t()) @ self.last.t()\n");
  script.save(in);
  const torch::Tensor x = torch::randn({300, 6});
  torch::save(x, folder.file("inputs.pt"));
  const CommandResult result = quantise_file({in, "--inputs", folder.file("inputs.pt"), "--bits", "3", "--json"});
  ASSERT_EQ(result.code, 0) << result.err;
  const nlohmann::json all = test::json_lines(result.out).at(0);
  const torch::Tensor first = script.attr("first").toTensor(), last = script.attr("last").toTensor();
  const QuantisationGrid grid{3, true, true, false};
  const auto rounded = [&](const torch::Tensor& weight) { return quantised(weight, parameters_for(weight, grid)).dequantize(); };
  const auto output = [&](const torch::Tensor& a, const torch::Tensor& b) {
    return torch::relu((2 * x + 1).matmul(a.t())).matmul(b.t()).to(torch::kDouble);
  };
  const torch::Tensor reference = output(first, last);
  const auto expect_outputs = [&](const nlohmann::json& found, const torch::Tensor& y) {
    EXPECT_EQ(found["examples"], 300);
    EXPECT_NEAR(found["top1_agreement"].get<double>(), reference.argmax(1).eq(y.argmax(1)).sum().item<double>() / 300, 1e-12);
    const double noise = (reference - y).square().sum().item<double>();
    EXPECT_NEAR(found["sqnr_db"].get<double>(), 10 * std::log10(reference.square().sum().item<double>() / noise), 1e-4);
  };
  expect_outputs(all["outputs"], output(rounded(first), rounded(last)));
  expect_outputs(all["weights"][0]["outputs"], output(rounded(first), last));
  expect_outputs(all["weights"][1]["outputs"], output(first, rounded(last)));
  EXPECT_TRUE(contains(quantise_file({in, "--inputs", folder.file("inputs.pt")}).out, "top-1"));
  EXPECT_FALSE(contains(quantise_file({in}).out, "top-1"));
}

TEST_F(QuantiseCommand, SaysWhatIsWrongAndWritesNothing) {
  const auto error = [&](std::vector<std::string> arguments, int code = 2) {
    arguments.insert(arguments.begin(), in);
    const CommandResult result = quantise_file(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_FALSE(std::filesystem::exists(out));
    return result.err;
  };
  EXPECT_EQ(error({"--exclude", "tail.*", "-o", out}), "vigil: no weight to quantise is named 'tail.*'\n");
  EXPECT_EQ(error({"--exclude", "*", "-o", out}), "vigil: '" + in + "' has no weights to quantise\n");
  EXPECT_EQ(error({"--bits", "9", "-o", out}), "--bits: Value 9 not in range 2 to 8\nRun with --help for more information.\n");
  EXPECT_TRUE(contains(error({"--rounded"}), "--out"));
  EXPECT_EQ(error({"-o", in}), "vigil: '" + in + "' is the model itself; name another file, or give --force\n");
  EXPECT_EQ(error({"--input-size", "4,6"}, 0),
            "vigil: the file has no forward() to run (torch::save writes no code): the inputs were not used\n");
  EXPECT_EQ(error({"--inputs", in}), "vigil: '" + in + "' holds no tensor that torch::save has written\n");
  EXPECT_EQ(quantise_file({in, "-o", "/dev/full"}).code, 2);
  net->head->weight.detach()[0][0] = std::numeric_limits<float>::quiet_NaN();
  torch::save(net, in);
  EXPECT_TRUE(contains(error({"-o", out}), "vigil: head.weight holds 1 NaN and 0 Inf of 40 values"));
  save_script();
  EXPECT_TRUE(contains(error({"--input-size", "4,7", "-o", out}), "vigil: the model cannot be run: "));
  std::filesystem::resize_file(in, 1000);
  EXPECT_TRUE(contains(error({"-o", out}), in));
  std::ofstream(in) << "not a model";
  EXPECT_TRUE(contains(error({"-o", out}), in));
}

}  // namespace
}  // namespace vigil
