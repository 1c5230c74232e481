// Checkpoints: what is in them comes back bit for bit, what is damaged is skipped with a reason, what is broken is never written.
#include "vigil/model/checkpointer.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "files.h"
#include "vigil/inspection/fingerprint.h"
#include "vigil/inspection/saved_model.h"

namespace vigil {
namespace {

namespace fs = std::filesystem;
namespace nn = torch::nn;
using torch::Tensor;
using Outcome = CheckpointSaved::Outcome;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct NetImpl : nn::Module {
  Tensor forward(const Tensor& x) { return fc2->forward(torch::dropout(torch::relu(norm->forward(fc1->forward(x))), 0.3, is_training())); }
  nn::Linear fc1 = register_module("fc1", nn::Linear(5, 7));
  nn::BatchNorm1d norm = register_module("norm", nn::BatchNorm1d(7));
  nn::Linear fc2 = register_module("fc2", nn::Linear(7, 2));
  Tensor scale = register_parameter("scale", torch::ones({1}));
};
TORCH_MODULE(Net);

void train(Net& net, torch::optim::Optimizer& optimizer, int steps) {
  for (int i = 0; i < steps; ++i) {
    optimizer.zero_grad();
    (net->forward(torch::randn({8, 5})) * net->scale).pow(2).mean().backward();
    optimizer.step();
  }
}

std::vector<Tensor> state_of(Net& net) {
  std::vector<Tensor> tensors;
  for (const auto& item : net->named_parameters()) tensors.push_back(item.value().detach().clone());
  for (const auto& item : net->named_buffers()) tensors.push_back(item.value().detach().clone());
  return tensors;
}

bool equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!torch::equal(a[i], b[i])) return false;
  }
  return a.size() == b.size();
}

class Checkpoints : public testing::Test {
 protected:
  Checkpoints() { torch::manual_seed(6); }
  CheckpointOptions options() const {
    CheckpointOptions made;
    made.directory = folder.path() / "checkpoints";
    made.run = "test";
    made.commit = "abc123";
    made.configuration = "lr: 0.1\n";
    return made;
  }
  static std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory)) {
      if (entry.path().filename() != ".vigil-lock") names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  test::TemporaryFolder folder;
  Net net;
  torch::optim::Adam adam{net->parameters(), 1e-2};
};

TEST_F(Checkpoints, AContinuedRunIsTheUninterruptedOneBitForBit) {
  Checkpointer checkpoints(options());
  train(net, adam, 5);
  ASSERT_TRUE(checkpoints.save(*net, adam, 5).ok());
  train(net, adam, 7);
  const auto uninterrupted = state_of(net);

  torch::manual_seed(99);
  Net other;
  torch::optim::Adam others(other->parameters(), 0.5);
  const auto loaded = checkpoints.load_latest_good(*other, others, true);
  ASSERT_TRUE(loaded.loaded);
  EXPECT_EQ(loaded.step, 5U);
  train(other, others, 7);
  EXPECT_TRUE(equal(state_of(other), uninterrupted));
}

template <class Optimizer, class Options>
void expect_continues(Checkpointer& checkpoints, Options options) {
  torch::manual_seed(6);
  Net net;
  Optimizer optimizer(net->parameters(), options);
  train(net, optimizer, 3);
  ASSERT_TRUE(checkpoints.save(*net, optimizer, 3).ok());
  train(net, optimizer, 3);
  const auto uninterrupted = state_of(net);
  Net other;
  Optimizer others(other->parameters(), options);
  ASSERT_EQ(checkpoints.load_latest_good(*other, others, true).step, 3U);
  train(other, others, 3);
  EXPECT_TRUE(equal(state_of(other), uninterrupted)) << typeid(Optimizer).name();
}

TEST_F(Checkpoints, EveryOptimizerGoesOnFromItsState) {
  Checkpointer checkpoints(options());
  expect_continues<torch::optim::SGD>(checkpoints, torch::optim::SGDOptions(0.01).momentum(0.9));
  expect_continues<torch::optim::Adam>(checkpoints, torch::optim::AdamOptions(0.01).amsgrad(true));
  expect_continues<torch::optim::AdamW>(checkpoints, torch::optim::AdamWOptions(0.01));
  expect_continues<torch::optim::RMSprop>(checkpoints, torch::optim::RMSpropOptions(0.001).momentum(0.5).centered(true));
  expect_continues<torch::optim::Adagrad>(checkpoints, torch::optim::AdagradOptions(0.01));
}

TEST_F(Checkpoints, TheModelIsWhatTorchLoadReads) {
  Checkpointer checkpoints(options());
  train(net, adam, 2);
  const auto saved = checkpoints.save(*net, adam, 2);
  ASSERT_TRUE(saved.ok());
  Net other;
  torch::load(other, (saved.path / "model.pt").string());
  EXPECT_TRUE(equal(state_of(other), state_of(net)));
}

TEST_F(Checkpoints, TheManifestHoldsWhatWasGivenAndWhatIsThere) {
  Checkpointer checkpoints(options());
  CheckpointNotes notes;
  notes.metric = 0.25;
  notes.statistics = {{"accuracy", 0.5}, {"odd", std::nan("")}};
  const auto saved = checkpoints.save(*net, adam, 12, notes);
  ASSERT_TRUE(saved.ok());
  const auto manifest = nlohmann::json::parse(test::read_text(saved.path / "manifest.json"));
  EXPECT_EQ(manifest["step"], 12);
  EXPECT_EQ(manifest["run"], "test");
  EXPECT_EQ(manifest["commit"], "abc123");
  EXPECT_EQ(manifest["configuration"], "lr: 0.1\n");
  EXPECT_EQ(manifest["statistics"]["odd"], "NaN");
  EXPECT_NEAR(manifest["parameter_norms"]["fc1.weight"].get<double>(), net->fc1->weight.to(torch::kDouble).norm().item<double>(), 1e-9);
  // The hash is that of sha256sum.
  const std::string command = "sha256sum " + (saved.path / "model.pt").string();
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  char hash[65] = "";
  ASSERT_EQ(fread(hash, 1, 64, pipe.get()), 64U);
  EXPECT_EQ(manifest["files"]["model.pt"]["sha256"], hash);
  const SavedModel file = open_saved_model(saved.path / "model.pt");
  EXPECT_EQ(manifest["architecture_fingerprint"], architecture_fingerprint(file.tensors));
  EXPECT_EQ(manifest["value_fingerprint"], value_fingerprint(file.tensors, read_tensors(file.tensors)));
  EXPECT_EQ(manifest["files"]["model.pt"]["bytes"], fs::file_size(saved.path / "model.pt"));

  Net other;
  torch::optim::Adam others(other->parameters());
  const auto loaded = checkpoints.load_latest_good(*other, others);
  EXPECT_EQ(loaded.metric, 0.25);
  EXPECT_EQ(loaded.statistics.at("accuracy"), 0.5);
  EXPECT_TRUE(std::isnan(loaded.statistics.at("odd")));
  EXPECT_EQ(loaded.commit, "abc123");
}

TEST_F(Checkpoints, TheNewestAndTheBestAreKept) {
  CheckpointOptions some = options();
  some.keep_latest = 2;
  some.keep_best = 2;
  Checkpointer checkpoints(some);
  const std::vector<double> losses{0.1, 0.9, 0.2, std::nan(""), 0.8, 0.7};
  for (std::size_t i = 0; i < losses.size(); ++i) {
    CheckpointNotes notes;
    notes.metric = losses[i];
    ASSERT_TRUE(checkpoints.save(*net, adam, i + 1, notes).ok());
  }
  EXPECT_EQ(names_in(some.directory), (std::vector<std::string>{"checkpoint-00000001-step-1", "checkpoint-00000003-step-3",
                                                                "checkpoint-00000005-step-5", "checkpoint-00000006-step-6"}));
}

TEST_F(Checkpoints, WhatIsNotFiniteIsNeverWrittenAndRotatesNothingAway) {
  CheckpointOptions one = options();
  one.keep_latest = 1;
  Checkpointer checkpoints(one);
  train(net, adam, 2);
  ASSERT_TRUE(checkpoints.save(*net, adam, 1).ok());
  const auto before = names_in(one.directory);
  const torch::NoGradGuard no_grad;
  const auto expect_refused = [&](const std::string& what) {
    const auto saved = checkpoints.save(*net, adam, 2);
    EXPECT_EQ(saved.outcome, Outcome::refused);
    EXPECT_NE(saved.message.find(what), std::string::npos) << saved.message;
    EXPECT_TRUE(saved.removed.empty());
    EXPECT_EQ(names_in(one.directory), before);
  };
  const Tensor weight = net->fc1->weight.detach().clone();
  net->fc1->weight[0][0] = kNaN;
  expect_refused("parameter fc1.weight");
  net->fc1->weight.copy_(weight);
  net->norm->running_var[1] = std::numeric_limits<float>::infinity();
  expect_refused("buffer norm.running_var");
  net->norm->running_var.fill_(1);
  for (auto& [key, state] : adam.state()) static_cast<torch::optim::AdamParamState&>(*state).exp_avg().view(-1)[0] = kNaN;
  expect_refused("the optimizer's state");
}

TEST_F(Checkpoints, CopiesAreMadeAndFoundWhenTheDirectoryIsGone) {
  CheckpointOptions with = options();
  with.copies = {folder.path() / "second", folder.path() / "third"};
  Checkpointer checkpoints(with);
  train(net, adam, 2);
  ASSERT_TRUE(checkpoints.save(*net, adam, 2).ok());
  const auto expected = state_of(net);
  for (const fs::path& copy : with.copies) EXPECT_EQ(names_in(copy).size(), 1U);
  fs::remove_all(with.directory);
  fs::resize_file(with.copies[0] / "checkpoint-00000001-step-2" / "model.pt", 100);
  train(net, adam, 2);
  const auto loaded = checkpoints.load_latest_good(*net, adam);
  EXPECT_EQ(loaded.path, with.copies[1] / "checkpoint-00000001-step-2");
  ASSERT_EQ(loaded.skipped.size(), 1U);
  EXPECT_NE(loaded.skipped[0].reason.find("model.pt has 100 bytes instead of"), std::string::npos) << loaded.skipped[0].reason;
  EXPECT_TRUE(equal(state_of(net), expected));
}

TEST_F(Checkpoints, ACopyThatCannotBeMadeIsToldAndTheCheckpointIsThere) {
  CheckpointOptions with = options();
  with.copies = {folder.path() / "missing" / "deep", folder.path() / "good"};
  Checkpointer checkpoints(with);
  const auto saved = checkpoints.save(*net, adam, 2);
  EXPECT_EQ(saved.outcome, Outcome::saved);
  EXPECT_FALSE(saved.ok());
  ASSERT_EQ(saved.copy_failures.size(), 1U);
  EXPECT_EQ(saved.copy_failures[0].directory, with.copies[0]);
  EXPECT_EQ(names_in(with.copies[1]).size(), 1U);
}

TEST_F(Checkpoints, DamagedOnesAreSkippedWithTheReasonAndLeaveEverythingAsItIs) {
  Checkpointer checkpoints(options());
  train(net, adam, 1);
  const auto good = checkpoints.save(*net, adam, 1).path;
  const auto expected = state_of(net);
  train(net, adam, 1);
  const fs::path newest = checkpoints.save(*net, adam, 2).path;
  const auto present = state_of(net);
  const fs::path pristine = folder.path() / "pristine";
  fs::copy(newest, pristine, fs::copy_options::recursive);
  const auto with_manifest = [&](const std::string& text) { std::ofstream(newest / "manifest.json") << text; };
  const std::string manifest = test::read_text(newest / "manifest.json");
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = manifest;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  const std::vector<std::pair<std::string, std::function<void()>>> damages{
      {"has another SHA-256",
       [&] {
         std::fstream file(newest / "model.pt", std::ios::in | std::ios::out | std::ios::binary);
         file.seekg(200);
         const char byte = static_cast<char>(file.get() ^ 1);
         file.seekp(200);
         file.put(byte);
       }},
      {"has 0 bytes instead of", [&] { std::ofstream(newest / "optimizer.pt", std::ios::trunc); }},
      {"optimizer.pt", [&] { fs::remove(newest / "optimizer.pt"); }},
      {"manifest.json", [&] { fs::remove(newest / "manifest.json"); }},
      {"cannot be read", [&] { with_manifest("{"); }},
      {"cannot be read", [&] { with_manifest("[]"); }},
      {"cannot be used", [&] { with_manifest(replaced("\"step\": 2", "\"step\": -2")); }},
      {"cannot be used", [&] { with_manifest(replaced("\"step\": 2", "\"step\": 1e300")); }},
      {"name is not that of its manifest", [&] { with_manifest(replaced("\"step\": 2", "\"step\": 3")); }},
      {"of version 2", [&] { with_manifest(replaced("\"version\": 1", "\"version\": 2")); }},
      {"cannot be read", [&] { with_manifest(replaced("\"model.pt\"", "\"../model.pt\"")); }},
      {"instead of", [&] { with_manifest(replaced("\"bytes\": ", "\"bytes\": 9")); }},
      {"model.pt",
       [&] {
         fs::rename(newest / "model.pt", newest / "real.pt");
         fs::create_symlink("real.pt", newest / "model.pt");
       }},
      {"no regular file",
       [&] {
         fs::remove(newest / "model.pt");
         ASSERT_EQ(mkfifo((newest / "model.pt").c_str(), 0600), 0);
       }},
      {"it is no directory",
       [&] {
         fs::remove_all(newest);
         fs::create_symlink(pristine, newest);
       }},
      {"it is no directory",
       [&] {
         fs::remove_all(newest);
         std::ofstream(newest) << "x";
       }},
  };
  for (const auto& [reason, damage] : damages) {
    fs::remove_all(newest);
    fs::copy(pristine, newest, fs::copy_options::recursive);
    damage();
    const torch::NoGradGuard no_grad;
    for (Tensor& parameter : net->parameters()) parameter.zero_();
    const auto loaded = checkpoints.load_latest_good(*net, adam);
    EXPECT_EQ(loaded.path, good) << reason;
    ASSERT_EQ(loaded.skipped.size(), 1U) << reason;
    EXPECT_NE(loaded.skipped[0].reason.find(reason), std::string::npos) << loaded.skipped[0].reason << " instead of " << reason;
    EXPECT_TRUE(equal(state_of(net), expected)) << reason;
  }
}

TEST_F(Checkpoints, OfAnotherModelAreRefusedAndChangeNothing) {
  Checkpointer checkpoints(options());
  ASSERT_TRUE(checkpoints.save(*net, adam, 1).ok());
  struct OtherImpl : nn::Module {
    nn::Linear fc1 = register_module("fc1", nn::Linear(5, 8));
    nn::Linear fc3 = register_module("fc3", nn::Linear(8, 2));
  };
  OtherImpl other;
  torch::optim::Adam others(other.parameters());
  const Tensor weight = other.fc1->weight.detach().clone();
  const auto loaded = checkpoints.load_latest_good(other, others);
  EXPECT_FALSE(loaded.loaded);
  EXPECT_EQ(loaded.step, 0U);
  ASSERT_EQ(loaded.skipped.size(), 1U);
  EXPECT_NE(loaded.skipped[0].reason.find("'fc1.weight' is of shape [7, 5], and the model's of [8, 5]"), std::string::npos)
      << loaded.skipped[0].reason;
  EXPECT_TRUE(torch::equal(other.fc1->weight, weight));
}

TEST_F(Checkpoints, OfAnotherOptimizerChangeNeitherModelNorOptimizer) {
  Checkpointer checkpoints(options());
  train(net, adam, 2);
  ASSERT_TRUE(checkpoints.save(*net, adam, 2).ok());
  torch::optim::Adam fewer({net->fc1->weight}, 0.125);
  train(net, fewer, 1);
  const auto before = state_of(net);
  const auto loaded = checkpoints.load_latest_good(*net, fewer);
  EXPECT_FALSE(loaded.loaded);
  EXPECT_TRUE(equal(state_of(net), before));
  EXPECT_EQ(fewer.param_groups()[0].options().get_lr(), 0.125);
}

TEST_F(Checkpoints, TensorsAreWrittenInPlaceSoThatWhoSharesThemSeesIt) {
  Checkpointer checkpoints(options());
  ASSERT_TRUE(checkpoints.save(*net, adam, 1).ok());
  const Tensor shared = net->fc1->weight;
  const void* const memory = shared.data_ptr();
  train(net, adam, 1);
  EXPECT_EQ(checkpoints.restorer(*net, adam)(), 1U);
  EXPECT_EQ(net->fc1->weight.data_ptr(), memory);
}

TEST_F(Checkpoints, ASecondWriterIsToldSo) {
  Checkpointer first(options()), second(options());
  ASSERT_TRUE(first.save(*net, adam, 1).ok());
  const auto saved = second.save(*net, adam, 2);
  EXPECT_EQ(saved.outcome, Outcome::failed);
  EXPECT_NE(saved.message.find("another Checkpointer writes into"), std::string::npos) << saved.message;
  EXPECT_EQ(second.load_latest_good(*net, adam).step, 1U) << "reading needs no lock";
}

TEST_F(Checkpoints, WhatAKilledWriterLeftIsRemovedAndNothingElse) {
  fs::create_directories(options().directory / ".vigil-tmp-12345");
  std::ofstream(options().directory / ".vigil-tmp-12345" / "model.pt") << "half";
  std::ofstream(options().directory / "notes.txt") << "mine";
  Checkpointer checkpoints(options());
  ASSERT_TRUE(checkpoints.save(*net, adam, 1).ok());
  EXPECT_EQ(names_in(options().directory), (std::vector<std::string>{"checkpoint-00000001-step-1", "notes.txt"}));
}

TEST_F(Checkpoints, AFullDiskFailsAndLeavesTheOlderOne) {
  Checkpointer checkpoints(options());
  ASSERT_TRUE(checkpoints.save(*net, adam, 1).ok());
  // As a full disk does, writes beyond this size fail.
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto saved = checkpoints.save(*net, adam, 2);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_action);
  EXPECT_EQ(saved.outcome, Outcome::failed);
  EXPECT_NE(saved.message.find("cannot write"), std::string::npos) << saved.message;
  EXPECT_EQ(names_in(options().directory), std::vector<std::string>{"checkpoint-00000001-step-1"});
  EXPECT_TRUE(checkpoints.save(*net, adam, 2).ok());
}

TEST_F(Checkpoints, OptionsThatCannotBeMeantAreRefused) {
  CheckpointOptions bad;
  EXPECT_THROW(Checkpointer{bad}, std::invalid_argument);
  bad = options();
  bad.keep_latest = 0;
  EXPECT_THROW(Checkpointer{bad}, std::invalid_argument);
  bad = options();
  bad.copies = {folder.path() / "x" / ".." / "checkpoints"};
  EXPECT_THROW(Checkpointer{bad}, std::invalid_argument);
  Checkpointer checkpoints(options());
  EXPECT_EQ(checkpoints.save(*net, adam, 0).outcome, Outcome::failed);
}

}  // namespace
}  // namespace vigil
