// `vigil initialise` and `vigil audit` as a user runs them, over files that libtorch wrote and reads again.
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/torch.h>

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "files.h"
#include "tools/command.h"
#include "vigil/model/initialisation.h"
#include "vigil/model_tools/example_input.h"

namespace vigil::test {
namespace {

struct ConvNetImpl : torch::nn::Module {
  torch::nn::Conv2d conv = register_module("conv", torch::nn::Conv2d(3, 8, 3));
  torch::nn::BatchNorm2d norm = register_module("norm", torch::nn::BatchNorm2d(8));
  torch::nn::Linear fc = register_module("fc", torch::nn::Linear(64, 32));
};
TORCH_MODULE(ConvNet);

torch::jit::Module scripted_linear(std::int64_t in, std::int64_t out, double std) {
  torch::jit::Module linear("__torch__.Linear");
  linear.register_parameter("weight", torch::randn({out, in}) * std, /*is_buffer=*/false);
  linear.register_parameter("bias", torch::zeros({out}), /*is_buffer=*/false);
  linear.define("def forward(self, x):\n  return torch.addmm(self.bias, x, torch.t(self.weight))\n");
  return linear;
}

// Two layers with a relu between, the first with a std of its own.
std::string scripted_file(const TemporaryFolder& folder, double std) {
  torch::manual_seed(1);
  torch::jit::Module net("__torch__.Net");
  net.register_module("first", scripted_linear(64, 64, std));
  net.register_module("second", scripted_linear(64, 10, std::sqrt(2.0 / 74)));
  net.define("def forward(self, x):\n  return self.second.forward(torch.relu(self.first.forward(x)))\n");
  net.save(folder.file("net.pt"));
  return folder.file("net.pt");
}

TEST(InitialiseCommand, WritesWhatTorchLoadReadsIntoTheSameModule) {
  const TemporaryFolder folder;
  ConvNet net;
  net->norm->running_mean.fill_(0.25);
  torch::save(net, folder.file("net.pt"));
  const CommandResult result =
      run_vigil({"initialise", folder.file("net.pt"), "--preset", "kaiming_relu", "--seed", "9", "-o", folder.file("fresh.pt")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out.find("kaiming_normal"), std::string::npos) << result.out;
  ConvNet loaded;
  torch::load(loaded, folder.file("fresh.pt"));
  // The same as in the program itself.
  InitialisationPolicy policy = initialisation_preset("kaiming_relu");
  policy.seed = 9;
  initialise(*net, policy);
  for (const auto& item : net->named_parameters()) {
    EXPECT_TRUE(torch::equal(loaded->named_parameters()[item.key()], item.value())) << item.key();
  }
  EXPECT_EQ(loaded->norm->running_mean.min().item<float>(), 0.25F) << "buffers are copied";
}

TEST(InitialiseCommand, LosesNothingWhereItCannotWrite) {
  const TemporaryFolder folder;
  const std::string file = folder.file("net.pt");
  ConvNet net;
  torch::save(net, file);
  const std::string before = read_text(file);
  CommandResult result = run_vigil({"initialise", file, "--preset", "default", "-o", file});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "vigil: '" + file + "' is the model itself; name another file, or give --force\n");
  EXPECT_EQ(read_text(file), before);
  result = run_vigil({"initialise", file, "--preset", "default", "-o", "/dev/full"});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("'/dev/full'"), std::string::npos) << result.err;
  EXPECT_EQ(run_vigil({"initialise", file, "--preset", "gpt2", "--activation", "tanh", "-o", folder.file("fresh.pt")}).code, 2);
  EXPECT_EQ(run_vigil({"initialise", file, "--preset", "default", "-o", file, "--force"}).code, 0);
  EXPECT_NE(read_text(file), before);
}

TEST(InitialiseCommand, KeepsTheCodeOfTorchScript) {
  const TemporaryFolder folder;
  const std::string file = scripted_file(folder, 1);
  const std::string policy =
      folder.write("p.yml", "initialisation:\n  rules:\n    - {module: Linear, parameter: weight, scheme: ones}\n").string();
  const CommandResult result = run_vigil({"initialise", file, "--policy", policy, "-o", folder.file("ones.pt")});
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("No rule matches these; they stayed as they were:\n  first.bias\n  second.bias\n"), std::string::npos)
      << result.out;
  torch::jit::Module loaded = torch::jit::load(folder.file("ones.pt"));
  EXPECT_EQ(loaded.forward({torch::ones({1, 64})}).toTensor().max().item<float>(), 64 * 64);
}

TEST(InitialiseCommand, SaysWhatIsWrongAndWritesNothing) {
  const TemporaryFolder folder;
  const std::string file = scripted_file(folder, 1), out = folder.file("out.pt");
  const std::string bad = folder.write("bad.yml", "initialisation:\n  rules:\n    - {scheme: orthogonal, gain: x}\n").string();
  CommandResult result = run_vigil({"initialise", file, "--policy", bad, "-o", out});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "vigil: " + bad + ":3:34: initialisation.rules[0].gain: expected a number from 0 to 1000, got 'x'\n");
  const std::string wide = folder.write("wide.yml", "initialisation:\n  rules:\n    - {scheme: orthogonal}\n").string();
  result = run_vigil({"initialise", file, "--policy", wide, "-o", out});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("vigil:   first.bias (rules[0]): orthogonal needs at least 2 dimensions, it has 1"), std::string::npos)
      << result.err;
  result = run_vigil({"initialise", folder.write("text.pt", "no model").string(), "--preset", "torch", "-o", out});
  EXPECT_EQ(result.code, 2);
  EXPECT_NE(result.err.find("text.pt"), std::string::npos) << result.err;
  EXPECT_EQ(run_vigil({"initialise", file, "-o", out}).code, 2) << "neither a policy nor a preset";
  EXPECT_EQ(run_vigil({"initialise", file, "--preset", "he", "-o", out}).code, 2);
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(AuditCommand, JudgesASavedModelByWhatItsBatchDoes) {
  const TemporaryFolder folder;
  CommandResult result = run_vigil({"audit", scripted_file(folder, std::sqrt(2.0 / 64)), "--input-size", "64,64"});
  EXPECT_EQ(result.code, 0) << result.out << result.err;
  EXPECT_NE(result.out.find("Verdict: good."), std::string::npos);
  result = run_vigil({"audit", scripted_file(folder, 0.001), "--input-size", "64,64"});
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_NE(result.out.find("first: first.weight is too small"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("use kaiming_normal (fan in, relu): std 0.1768 expected"), std::string::npos) << result.out;
}

TEST(AuditCommand, LooksAtTheWeightsAloneWhereThereIsNoCode) {
  const TemporaryFolder folder;
  ConvNet net;
  torch::save(net, folder.file("net.pt"));
  const CommandResult result = run_vigil({"audit", folder.file("net.pt"), "--input-size", "8,3,10,10"});
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_NE(result.out.find("The weights alone: no forward pass was run."), std::string::npos) << result.out;
  EXPECT_EQ(result.err, "vigil: the file has no forward() to run (torch::save writes no code): --input-size was not used\n");
}

TEST(AuditCommand, SaysWhyAModelCannotBeRun) {
  const TemporaryFolder folder;
  const std::string file = scripted_file(folder, 1);
  CommandResult result = run_vigil({"audit", file, "--input-size", "64,63"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err, "vigil: the model cannot be run: RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x63 and 64x64)\n");
  result = run_vigil({"audit", file, "--input-size", "64,x"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(
      result.err,
      "vigil: --input-size '64,x': expected sizes from 1 to 1000000000 between commas or x (write sizes and, where it is not float32, the "
      "type: 1,3,224,224 or 1,128:int64)\n");
}

TEST(ExampleInputs, AreWhatTheirSpecsSayAndAlwaysTheSame) {
  const auto inputs = model_tools::example_inputs({"2,3", "4,5:int64:7", "3:int32", "2,2:bool", "8:bfloat16", "2:float64"});
  ASSERT_EQ(inputs.size(), 6u);
  EXPECT_EQ(inputs[0].toTensor().sizes(), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(inputs[0].toTensor().scalar_type(), torch::kFloat);
  EXPECT_LT(inputs[1].toTensor().max().item<std::int64_t>(), 7);
  EXPECT_GE(inputs[1].toTensor().min().item<std::int64_t>(), 0);
  EXPECT_EQ(inputs[2].toTensor().abs().sum().item<std::int64_t>(), 0);
  EXPECT_EQ(inputs[2].toTensor().scalar_type(), torch::kInt);
  EXPECT_TRUE(inputs[3].toTensor().all().item<bool>());
  EXPECT_EQ(inputs[4].toTensor().scalar_type(), torch::kBFloat16);
  EXPECT_EQ(inputs[5].toTensor().scalar_type(), torch::kDouble);
  EXPECT_TRUE(torch::equal(inputs[0].toTensor(), model_tools::example_inputs({"2,3"})[0].toTensor()));
  for (const char* bad : {"", "0", "-1", "1,,2", "1,", "4:", "4:int9", "4:float32:7", "4:int64:0", "1,1,1,1,1,1,1,1,1",
                          "100000,100000,100000", "99999999999999999999"}) {
    EXPECT_THROW(model_tools::example_inputs({bad}), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace vigil::test
