// What libtorch saved, read without it and compared with what libtorch has in memory.
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "files.h"
#include "vigil/inspection/saved_model.h"

namespace vigil {
namespace {

using Role = ModelTensor::Role;

std::string bytes_of(const ModelTensor& tensor) {
  std::string bytes;
  tensor.elements->for_each_piece(
      [&](const void* data, std::size_t count) { bytes.append(static_cast<const char*>(data), count * element_size(tensor.type)); });
  return bytes;
}

std::string bytes_of(const torch::Tensor& tensor) {
  const torch::Tensor dense = tensor.detach().contiguous();
  return {static_cast<const char*>(dense.data_ptr()), dense.nbytes()};
}

// The name of a scalar type as Python has it.
std::string type_name(torch::ScalarType type) {
  static const std::map<torch::ScalarType, std::string> kNames{{torch::kBool, "bool"},
                                                               {torch::kByte, "uint8"},
                                                               {torch::kChar, "int8"},
                                                               {torch::kShort, "int16"},
                                                               {torch::kInt, "int32"},
                                                               {torch::kLong, "int64"},
                                                               {torch::kHalf, "float16"},
                                                               {torch::kBFloat16, "bfloat16"},
                                                               {torch::kFloat, "float32"},
                                                               {torch::kDouble, "float64"},
                                                               {torch::kComplexFloat, "complex64"},
                                                               {torch::kComplexDouble, "complex128"}};
  return kNames.at(type);
}

void expect_same(const ModelTensor& read, const torch::Tensor& saved, Role role) {
  EXPECT_EQ(read.sizes, saved.sizes().vec()) << read.name;
  EXPECT_EQ(std::string(name_of(read.type)), type_name(saved.scalar_type())) << read.name;
  EXPECT_EQ(read.requires_grad, saved.requires_grad()) << read.name;
  EXPECT_EQ(read.role, role) << read.name;
  EXPECT_EQ(bytes_of(read), bytes_of(saved)) << read.name;
}

std::string parameter_name(const torch::OrderedDict<std::string, torch::Tensor>::Item& item) { return item.key(); }
torch::Tensor parameter_value(const torch::OrderedDict<std::string, torch::Tensor>::Item& item) { return item.value(); }
std::string parameter_name(const torch::jit::NameTensor& item) { return item.name; }
torch::Tensor parameter_value(const torch::jit::NameTensor& item) { return item.value; }

// Every parameter and buffer of a module stands in the file, and nothing else does.
template <class Module>
void expect_module(const SavedModel& model, const Module& module) {
  std::map<std::string, const ModelTensor*> read;
  for (const ModelTensor& tensor : model.tensors) EXPECT_TRUE(read.emplace(tensor.name, &tensor).second) << tensor.name;
  std::size_t count = 0;
  const auto expect = [&](const std::string& name, const torch::Tensor& saved, Role role) {
    ASSERT_EQ(read.count(name), 1u) << name;
    expect_same(*read.at(name), saved, role);
    ++count;
  };
  for (const auto& each : module.named_parameters()) expect(parameter_name(each), parameter_value(each), Role::parameter);
  for (const auto& each : module.named_buffers()) expect(parameter_name(each), parameter_value(each), Role::buffer);
  EXPECT_EQ(count, model.tensors.size());
  EXPECT_TRUE(model.passed_over.empty());
}

struct ManyTypes : torch::nn::Module {
  ManyTypes() {
    const torch::Tensor plain = torch::arange(24, torch::kFloat).reshape({4, 6});
    register_parameter("frozen", plain.clone(), false);
    register_parameter("scalar", torch::tensor(2.5));
    register_parameter("none_of", torch::zeros({0, 3}));
    register_parameter("transposed", plain.t());
    register_parameter("strided", plain.slice(0, 1, 4, 2).slice(1, 0, 6, 3));
    register_parameter("permuted", torch::randn({2, 3, 4, 5}).permute({3, 1, 0, 2}));
    register_buffer("expanded", torch::ones({1, 3}).expand({4, 3}));
    for (const torch::ScalarType type : {torch::kBool, torch::kByte, torch::kChar, torch::kShort, torch::kInt, torch::kLong, torch::kHalf,
                                         torch::kBFloat16, torch::kDouble, torch::kComplexFloat, torch::kComplexDouble})
      register_buffer("of_" + type_name(type), plain.to(type));
  }
};

struct Nested : torch::nn::Module {
  Nested() {
    first = register_module("first", torch::nn::Linear(4, 6));
    layers = register_module("layers", torch::nn::Sequential(torch::nn::Conv2d(2, 3, 3), torch::nn::BatchNorm2d(3), torch::nn::LSTM(4, 5)));
    types = register_module("types", std::make_shared<ManyTypes>());
    tied = register_parameter("tied", first->weight);
  }
  torch::nn::Linear first{nullptr};
  torch::nn::Sequential layers{nullptr};
  std::shared_ptr<ManyTypes> types;
  torch::Tensor tied;
};

TEST(SavedByLibtorch, AModuleIsReadAsItWasSaved) {
  const test::TemporaryFolder folder;
  const auto module = std::make_shared<Nested>();
  torch::save(module, folder.file("m.pt"));
  const SavedModel model = open_saved_model(folder.file("m.pt"));
  EXPECT_EQ(model.format, SavedModel::Format::archive);
  EXPECT_EQ(model.root_type, "");
  EXPECT_EQ(model.file_bytes, std::filesystem::file_size(folder.file("m.pt")));
  expect_module(model, *module);
  std::map<std::string, std::uint64_t> memory;
  for (const ModelTensor& tensor : model.tensors) memory[tensor.name] = tensor.memory;
  EXPECT_NE(memory.at("tied"), 0u);
  EXPECT_EQ(memory.at("tied"), memory.at("first.weight"));
  EXPECT_EQ(memory.at("first.bias"), 0u);
  std::vector<std::string> paths;
  for (const SavedModule& each : model.modules) paths.push_back(each.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"first", "layers", "layers.0", "layers.1", "layers.2", "types"}));
  EXPECT_TRUE(check_integrity(folder.file("m.pt")).empty());
}

TEST(SavedByLibtorch, ATorchScriptModuleIsReadAsItWasSaved) {
  const test::TemporaryFolder folder;
  torch::jit::Module child("Scaled");
  child.register_parameter("weight", torch::randn({3, 2}).t().requires_grad_(), false);
  child.register_buffer("scale", torch::tensor(4.0));
  child.define("def forward(self, x):\n    return x * self.weight * self.scale\n");
  torch::jit::Module module("Outer");
  module.register_module("child", child);
  module.register_parameter("bias", torch::randn({7}), false);
  module.register_attribute("steps", c10::IntType::get(), 3);
  module.define("def forward(self, x):\n    return self.child.forward(x)\n");
  module.save(folder.file("m.pt"));
  const SavedModel model = open_saved_model(folder.file("m.pt"));
  EXPECT_EQ(model.format, SavedModel::Format::torchscript);
  EXPECT_EQ(model.root_type, "Outer");
  ASSERT_EQ(model.modules.size(), 1u);
  EXPECT_EQ(model.modules[0].path, "child");
  EXPECT_EQ(model.modules[0].type, "Scaled");
  expect_module(model, module);
}

TEST(SavedByLibtorch, TensorsAloneAndOptimizersAreRead) {
  const test::TemporaryFolder folder;
  const torch::Tensor tensor = torch::randn({3, 5});
  torch::save(tensor, folder.file("tensor.pt"));
  const SavedModel alone = open_saved_model(folder.file("tensor.pt"));
  ASSERT_EQ(alone.tensors.size(), 1u);
  EXPECT_EQ(bytes_of(alone.tensors[0]), bytes_of(tensor));
  const std::vector<torch::Tensor> list{tensor, tensor.t(), torch::ones({2}, torch::kLong)};
  torch::save(list, folder.file("list.pt"));
  const SavedModel several = open_saved_model(folder.file("list.pt"));
  ASSERT_EQ(several.tensors.size(), list.size());
  for (std::size_t i = 0; i < list.size(); ++i) expect_same(several.tensors[i], list[i], Role::parameter);
  EXPECT_EQ(several.tensors[0].memory, several.tensors[1].memory);
  torch::nn::Linear linear(2, 3);
  torch::optim::Adam optimizer(linear->parameters());
  linear->forward(torch::ones({1, 2})).sum().backward();
  optimizer.step();
  torch::save(optimizer, folder.file("optimizer.pt"));
  std::size_t moments = 0;
  for (const ModelTensor& each : open_saved_model(folder.file("optimizer.pt")).tensors) {
    if (each.name.find(".exp_avg") != std::string::npos) moments += static_cast<std::size_t>(element_count(each));
  }
  EXPECT_EQ(moments, 2u * (6 + 3));
}

TEST(SavedByLibtorch, ValuesPickledByLibtorchAreNamedByTheirKeys) {
  const test::TemporaryFolder folder;
  c10::Dict<std::string, torch::Tensor> dict;
  const torch::Tensor tensor = torch::randn({4});
  dict.insert("weights", tensor);
  const std::vector<char> bytes = torch::pickle_save(dict);
  folder.write("m.pt", std::string(bytes.data(), bytes.size()));
  const SavedModel model = open_saved_model(folder.file("m.pt"));
  EXPECT_EQ(model.format, SavedModel::Format::python);
  ASSERT_EQ(model.tensors.size(), 1u);
  EXPECT_EQ(model.tensors[0].name, "weights");
  EXPECT_EQ(bytes_of(model.tensors[0]), bytes_of(tensor));
}

}  // namespace
}  // namespace vigil
