// A module in memory and in its files is the same to what looks at it; and what validate_parameters() throws.
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "files.h"
#include "markup.h"
#include "vigil/inspection/fingerprint.h"
#include "vigil/inspection/model_difference.h"
#include "vigil/inspection/model_report.h"
#include "vigil/inspection/model_totals.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/model/module_tensors.h"
#include "vigil/model/validation.h"

namespace vigil {
namespace {

constexpr double kNotFinite = std::numeric_limits<double>::quiet_NaN();

struct InspectedNetImpl : torch::nn::Module {
  torch::nn::Conv2d stem = register_module("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 4, 3)));
  torch::nn::BatchNorm2d norm = register_module("norm", torch::nn::BatchNorm2d(4));
  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(5, 4));
  torch::Tensor tied = register_parameter("tied", embedding->weight);
  torch::Tensor half = register_buffer("half", torch::linspace(-1, 1, 9, torch::kHalf));
};
TORCH_MODULE(InspectedNet);

// The same tensors under the same names.
torch::jit::Module scripted(const torch::nn::Module& module, const std::string& name) {
  torch::jit::Module script(name);
  for (const auto& item : module.named_parameters(false)) script.register_parameter(item.key(), item.value(), false);
  for (const auto& item : module.named_buffers(false)) script.register_parameter(item.key(), item.value(), true);
  for (const auto& item : module.named_children()) script.register_module(item.key(), scripted(*item.value(), name + item.key()));
  return script;
}

struct Fingerprints {
  std::string architecture, values;
  bool operator==(const Fingerprints& other) const { return architecture == other.architecture && values == other.values; }
};
Fingerprints fingerprints_of(const std::vector<ModelTensor>& tensors) {
  return {architecture_fingerprint(tensors), value_fingerprint(tensors, read_tensors(tensors))};
}

TEST(ModuleInspection, FingerprintsAreTheSameInMemoryAndInFiles) {
  torch::manual_seed(1);
  InspectedNet net;
  const test::TemporaryFolder folder;
  torch::save(net, folder.file("archive.pt"));
  scripted(*net, "Net").save(folder.file("script.pt"));
  const Fingerprints expected = fingerprints_of(tensors_of(*net));
  EXPECT_EQ(expected.values.size(), 32U);
  for (const char* name : {"archive.pt", "script.pt"}) {
    SCOPED_TRACE(name);
    const SavedModel saved = open_saved_model(folder.file(name));
    EXPECT_EQ(fingerprints_of(saved.tensors).architecture, expected.architecture);
    EXPECT_EQ(fingerprints_of(saved.tensors).values, expected.values);
    for (const TensorDifference& one : compare_models(tensors_of(*net), saved.tensors))
      EXPECT_EQ(one.kind, TensorDifference::Kind::unchanged) << one.name << ' ' << one.error;
    const ModelTotals totals = totals_of(saved.tensors);
    // Of stem 4 * 9 + 4, of norm 2 * 4, of the embedding, which is counted once, 5 * 4.
    EXPECT_EQ(totals.trainable.elements, 68U);
    EXPECT_EQ(totals.shared.elements, 20U);
    EXPECT_EQ(totals.buffers.elements, 4U + 4U + 1U + 9U);
  }
  const torch::NoGradGuard no_grad;
  net->norm->running_mean[2] += 1e-7;
  EXPECT_EQ(fingerprints_of(tensors_of(*net)).architecture, expected.architecture);
  EXPECT_NE(fingerprints_of(tensors_of(*net)).values, expected.values);
}

TEST(ModuleInspection, OfATransposedViewTheElementsAreInItsOwnOrder) {
  torch::nn::Linear straight(3, 2), other(2, 3);
  const torch::NoGradGuard no_grad;
  other->weight.set_data(straight->weight.t());
  const auto tensor_of = [](const torch::nn::Linear& module) { return tensors_of(*module)[0]; };
  ModelTensor transposed = tensor_of(other);
  const torch::Tensor copied = straight->weight.t().contiguous();
  torch::nn::Linear contiguous(2, 3);
  contiguous->weight.copy_(copied);
  EXPECT_EQ(read_tensors({transposed})[0].hash, read_tensors({tensor_of(contiguous)})[0].hash);
  EXPECT_NE(read_tensors({transposed})[0].hash, read_tensors({tensor_of(straight)})[0].hash);
}

TEST(ValidateParameters, LetsAFreshModuleAndATrainedOnePass) {
  InspectedNet net;
  EXPECT_NO_THROW(validate_parameters(*net));
  ValidationOptions all;
  all.zeros = all.constants = all.denormals = all.duplicates = true;
  EXPECT_NO_THROW(validate_parameters(*net, all));
}

TEST(ValidateParameters, NamesAllOffendersAtOnce) {
  InspectedNet net;
  {
    const torch::NoGradGuard no_grad;
    net->stem->weight[2][0][1][0] = kNotFinite;
    net->stem->weight[3][0][1][0] = std::numeric_limits<double>::infinity();
    net->embedding->weight[4][3] = kNotFinite;
    net->norm->running_var[1] = -1;
  }
  try {
    validate_parameters(*net);
    FAIL() << "nothing was thrown";
  } catch (const ModelValidationError& error) {
    EXPECT_STREQ(error.what(),
                 "3 tensors are not fit to be used:\n"
                 "  tied: 1 of 20 elements is NaN, the first at [4, 3]\n"
                 "  stem.weight: 1 of 36 elements is NaN, the first at [2, 0, 1, 0]\n"
                 "  stem.weight: 1 of 36 elements is infinite, the first at [3, 0, 1, 0]\n"
                 "  norm.running_var: is a variance, and its smallest element is -1");
    ASSERT_EQ(error.findings().size(), 4U);
    EXPECT_EQ(error.findings()[1].tensor, "stem.weight");
    EXPECT_EQ(error.findings()[1].check, TensorCheck::nan);
    EXPECT_EQ(error.findings()[1].first, 2U * 9 + 3);
  }
  ValidationOptions parameters_only;
  parameters_only.buffers = false;
  try {
    validate_parameters(*net, parameters_only);
    FAIL() << "nothing was thrown";
  } catch (const ModelValidationError& error) {
    EXPECT_EQ(error.findings().size(), 3U);
  }
}

TEST(ValidateParameters, LooksForTheRestWhenAsked) {
  torch::nn::Sequential net(torch::nn::Linear(3, 3), torch::nn::Linear(3, 3), torch::nn::Linear(3, 3), torch::nn::Linear(3, 3));
  {
    const torch::NoGradGuard no_grad;
    const auto parameters = net->parameters();
    at::Tensor(parameters[0]).fill_(0);
    at::Tensor(parameters[2]).fill_(0.5);
    at::Tensor(parameters[6]).copy_(parameters[4]);
  }
  EXPECT_NO_THROW(validate_parameters(*net));
  const auto found = [&](bool ValidationOptions::*option) {
    ValidationOptions options;
    options.*option = true;
    try {
      validate_parameters(*net, options);
    } catch (const ModelValidationError& error) {
      return error.findings().size() == 1 ? error.findings()[0].tensor + ": " + error.findings()[0].text : std::string("several");
    }
    return std::string("nothing");
  };
  EXPECT_EQ(found(&ValidationOptions::zeros), "0.weight: all 9 elements are zero");
  EXPECT_EQ(found(&ValidationOptions::constants), "1.weight: all 9 elements are 0.5");
  EXPECT_EQ(found(&ValidationOptions::duplicates), "3.weight: has the same 9 values as 2.weight, and does not share its memory");
  EXPECT_EQ(found(&ValidationOptions::denormals), "nothing");
}

// The program of docs/models/report.md.
TEST(ModuleInspection, AModuleAndItsGradientsMakeOneReport) {
  torch::manual_seed(4);
  torch::nn::Sequential net(torch::nn::Linear(8, 16), torch::nn::ReLU(), torch::nn::Linear(16, 1));
  net->forward(torch::randn({4, 8})).pow(2).mean().backward();
  ModelReport report = report_of(tensors_of(*net));
  for (ReportTensor& tensor : report_tensors(gradients_of(*net), kGradientGroup)) report.tensors.push_back(std::move(tensor));
  report.title = "after an epoch";
  const test::Element page = test::MarkupReader::read(report_html(report));
  const test::Element& group = page.with_id("group-0");
  EXPECT_EQ(group.all("h2").at(0)->text, "Parameters and their gradients");
  EXPECT_EQ(group.all("tbody").at(0)->children.size(), 8U);
  // Against libtorch: the deviation of the population.
  const ReportTensor& gradient = report.tensors.at(4);
  EXPECT_EQ(gradient.name, "0.weight");
  ASSERT_TRUE(gradient.distribution);
  const double wanted = net->named_parameters()["0.weight"].grad().to(torch::kDouble).std(false).item<double>();
  EXPECT_NEAR(gradient.distribution->standard_deviation, wanted, 1e-9 * wanted);
  EXPECT_EQ(report.whole->counts.elements, 8U * 16 + 16 + 16 + 1);
}

}  // namespace
}  // namespace vigil
