// Files that Python's torch 1.13 and 2.6 wrote, and small ones made here.
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "inspection/small_archive.h"
#include "vigil/inspection/saved_model.h"

namespace vigil {
namespace {

using namespace test;

SavedModel golden(const std::string& name) { return open_saved_model(std::filesystem::path(VIGIL_GOLDEN) / name); }

std::map<std::string, ModelTensor> by_name(const SavedModel& model) {
  std::map<std::string, ModelTensor> tensors;
  for (const ModelTensor& tensor : model.tensors) EXPECT_TRUE(tensors.emplace(tensor.name, tensor).second) << tensor.name;
  return tensors;
}

template <class T>
std::vector<T> elements_of(const ModelTensor& tensor) {
  EXPECT_EQ(element_size(tensor.type), sizeof(T));
  std::vector<T> elements;
  tensor.elements->for_each_piece([&](const void* data, std::size_t count) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % alignof(T), 0u);
    elements.resize(elements.size() + count);
    std::memcpy(elements.data() + elements.size() - count, data, count * sizeof(T));
  });
  return elements;
}

// The module that all of them hold: Conv2d(1, 3, 3), two residual blocks, Linear(3, 4) with a frozen bias, a buffer `scale` of 2.
void expect_net(const SavedModel& model, const std::string& prefix, bool says_roles) {
  const auto tensors = by_name(model);
  const auto at = [&](const std::string& name) { return tensors.at(prefix + name); };
  EXPECT_EQ(at("stem.weight").sizes, (std::vector<std::int64_t>{3, 1, 3, 3}));
  EXPECT_EQ(at("layer1.1.bn.num_batches_tracked").type, ElementType::int64);
  EXPECT_EQ(elements_of<float>(at("scale")), std::vector<float>{2});
  EXPECT_EQ(elements_of<float>(at("fc.bias")).size(), 4u);
  if (!says_roles) return;
  EXPECT_EQ(at("scale").role, ModelTensor::Role::buffer);
  EXPECT_EQ(at("layer1.0.bn.running_var").role, ModelTensor::Role::buffer);
  EXPECT_EQ(at("layer1.0.bn.weight").role, ModelTensor::Role::parameter);
  EXPECT_TRUE(at("layer1.0.bn.weight").requires_grad);
  EXPECT_FALSE(at("fc.bias").requires_grad);
}

TEST(SavedModel, TorchScriptOfBothVersionsTellsRolesAndClasses) {
  for (const char* name : {"script_1_13.pt", "script_2_6.pt"}) {
    const SavedModel model = golden(name);
    EXPECT_EQ(model.format, SavedModel::Format::torchscript);
    EXPECT_EQ(model.root_type, "Net");
    EXPECT_EQ(model.archive_version, 3);
    EXPECT_EQ(model.tensors.size(), 17u);
    EXPECT_TRUE(model.passed_over.empty());
    expect_net(model, "", true);
    std::vector<std::string> modules;
    for (const SavedModule& module : model.modules) modules.push_back(module.path + ' ' + module.type);
    EXPECT_EQ(modules, (std::vector<std::string>{
                           "stem torch.nn.modules.conv.Conv2d", "layer1 torch.nn.modules.container.Sequential", "layer1.0 Block",
                           "layer1.0.conv torch.nn.modules.conv.Conv2d", "layer1.0.bn torch.nn.modules.batchnorm.BatchNorm2d",
                           "layer1.1 Block", "layer1.1.conv torch.nn.modules.conv.Conv2d",
                           "layer1.1.bn torch.nn.modules.batchnorm.BatchNorm2d", "fc torch.nn.modules.linear.Linear"}));
  }
}

TEST(SavedModel, StateDictsAndCheckpointsOfPythonAreNamedByTheirKeys) {
  const SavedModel state = golden("state_2_6.pt");
  EXPECT_EQ(state.format, SavedModel::Format::python);
  EXPECT_EQ(state.tensors.size(), 17u);
  EXPECT_EQ(state.modules.size(), 9u);
  expect_net(state, "", false);
  const SavedModel checkpoint = golden("checkpoint_1_13.pt");
  expect_net(checkpoint, "model.", false);
  EXPECT_EQ(checkpoint.tensors.size(), 17u + 3 * 9);  // step, exp_avg and exp_avg_sq of nine trained parameters
  EXPECT_EQ(elements_of<float>(by_name(checkpoint).at("optimizer.state.0.step")), std::vector<float>{1});
}

TEST(SavedModel, APickledModuleOfPythonTellsRolesAndClasses) {
  const SavedModel model = golden("module_2_6.pt");
  EXPECT_EQ(model.root_type, "__main__.Net");
  EXPECT_EQ(model.modules.size(), 9u);
  expect_net(model, "", true);
}

// arange(24) as 4 x 6 in every element type.
TEST(SavedModel, EveryElementTypeAndViewIsReadOrSaidToBePassedOver) {
  const SavedModel model = golden("types_2_6.pt");
  const auto tensors = by_name(model);
  std::vector<float> plain;
  std::vector<float> transposed;
  for (int i = 0; i < 24; ++i) plain.push_back(static_cast<float>(i));
  for (int i = 0; i < 24; ++i) transposed.push_back(static_cast<float>(i % 4 * 6 + i / 4));
  EXPECT_EQ(elements_of<float>(tensors.at("a")), plain);
  EXPECT_EQ(elements_of<float>(tensors.at("t")), transposed);
  EXPECT_EQ(elements_of<float>(tensors.at("part")), (std::vector<float>{6, 8, 10, 12, 14, 16}));
  EXPECT_EQ(elements_of<float>(tensors.at("expand")), std::vector<float>(25, 1));
  EXPECT_EQ(elements_of<std::int64_t>(tensors.at("scalar")), std::vector<std::int64_t>{3});
  EXPECT_TRUE(elements_of<float>(tensors.at("empty")).empty());
  EXPECT_EQ(elements_of<double>(tensors.at("f64"))[23], 23);
  EXPECT_EQ(elements_of<std::uint16_t>(tensors.at("half"))[2], 0x4000);
  EXPECT_EQ(elements_of<std::uint16_t>(tensors.at("bf"))[2], 0x4000);
  EXPECT_EQ(elements_of<std::int16_t>(tensors.at("i16"))[5], 5);
  EXPECT_EQ(elements_of<std::int8_t>(tensors.at("bool"))[4], 1);
  EXPECT_EQ(elements_of<std::uint8_t>(tensors.at("f8"))[1], 0x38);
  EXPECT_EQ(tensors.at("f85").type, ElementType::float8_e5m2);
  EXPECT_EQ(tensors.at("c128").type, ElementType::complex128);
  EXPECT_EQ(tensors.at("param").role, ModelTensor::Role::parameter);
  EXPECT_TRUE(tensors.at("param").requires_grad);
  EXPECT_FALSE(tensors.at("frozen").requires_grad);
  for (const char* name : {"t", "part", "param", "list.1.1.x", "list.1.1.3"})
    EXPECT_EQ(tensors.at(name).memory, tensors.at("a").memory) << name;
  EXPECT_NE(tensors.at("a").memory, 0u);
  EXPECT_EQ(tensors.at("half").memory, 0u);
  EXPECT_EQ(elements_of<std::uint8_t>(tensors.at("q"))[2], 2 / 0.5 + 3);
  EXPECT_EQ(elements_of<double>(tensors.at("qc.scales")).size(), 4u);
  ASSERT_EQ(model.quantised.size(), 2u);
  EXPECT_EQ(model.quantised[0].scale, 0.5);
  EXPECT_EQ(model.quantised[0].zero_point, 3);
  EXPECT_TRUE(model.quantised[1].per_channel);
  EXPECT_EQ(tensors.at("sparse.indices").sizes, (std::vector<std::int64_t>{2, 23}));
  EXPECT_EQ(elements_of<float>(tensors.at("csr.values"))[22], 23);
  std::vector<std::string> passed_over;
  for (const PassedOver& each : model.passed_over) passed_over.push_back(each.name + ": " + each.reason);
  EXPECT_EQ(passed_over,
            (std::vector<std::string>{"conj: its values are kept as their negative or conjugate", "u16: its element type is uint16",
                                      "neg: its values are kept as their negative or conjugate"}));
}

TEST(SavedModel, AFileOfBefore2020SaysSo) {
  try {
    golden("legacy.pt");
    FAIL();
  } catch (const InspectionError& error) {
    EXPECT_NE(std::string(error.what()).find("before PyTorch 1.6"), std::string::npos) << error.what();
  }
}

TEST(SavedModel, WhatWasWrittenHasNoDamage) {
  for (const auto& file : std::filesystem::directory_iterator(VIGIL_GOLDEN)) {
    if (file.path().filename() == "legacy.pt") continue;
    EXPECT_TRUE(check_integrity(file.path()).empty()) << file.path();
  }
}

TEST(SavedModel, DisjointViewsOfOneStorageShareNothing) {
  const TemporaryFolder folder;
  SmallTensor first;
  first.sizes = {3};
  first.strides = {1};
  SmallTensor second = first;
  second.offset = 3;
  const std::string pickle = std::string("\x80\x02]") + pickled(first) + 'a' + pickled(second) + "a.";
  for (const bool is_deflated : {false, true}) {
    const SavedModel model = open_saved_model(folder.write("m.pt", small_model(pickle, is_deflated)));
    ASSERT_EQ(model.tensors.size(), 2u);
    EXPECT_EQ(model.tensors[0].memory, 0u);
    EXPECT_EQ(model.tensors[1].memory, 0u);
    EXPECT_EQ(elements_of<float>(model.tensors[1]), (std::vector<float>{3, 4, 5}));
  }
}

// More rows than a piece holds, in each of two planes.
TEST(SavedModel, ALargeTransposedTensorIsGatheredInRowMajorOrder) {
  const TemporaryFolder folder;
  constexpr std::int64_t kPlanes = 2;
  constexpr std::int64_t kRows = 500;
  constexpr std::int64_t kColumns = 301;
  std::string elements(kPlanes * kRows * kColumns * 4, '\0');
  for (std::int32_t i = 0; i < kPlanes * kRows * kColumns; ++i) std::memcpy(elements.data() + 4 * i, &i, 4);
  const SmallTensor turned{"IntStorage", "0", 0, {kPlanes, kRows, kColumns}, {kRows * kColumns, 1, kRows}};
  const SmallTensor planes_last{"IntStorage", "0", 0, {kRows, kColumns, kPlanes}, {kColumns, 1, kRows * kColumns}};
  const std::string pickle = std::string("\x80\x02]") + pickled(turned) + 'a' + pickled(planes_last) + "a.";
  const SavedModel model = open_saved_model(folder.write("m.pt", small_archive({{"m/data.pkl", pickle}, {"m/data/0", elements}})));
  std::vector<std::int32_t> expected;
  for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
    for (std::int64_t row = 0; row < kRows; ++row) {
      for (std::int64_t column = 0; column < kColumns; ++column)
        expected.push_back(static_cast<std::int32_t>(plane * kRows * kColumns + row + column * kRows));
    }
  }
  EXPECT_TRUE(elements_of<std::int32_t>(model.tensors.at(0)) == expected);
  expected.clear();
  for (std::int64_t i = 0; i < kRows * kColumns; ++i) {
    for (std::int64_t plane = 0; plane < kPlanes; ++plane) expected.push_back(static_cast<std::int32_t>(i + plane * kRows * kColumns));
  }
  EXPECT_TRUE(elements_of<std::int32_t>(model.tensors.at(1)) == expected);
}

TEST(SavedModel, AStorageOfManyPiecesIsReadInOrder) {
  const TemporaryFolder folder;
  constexpr std::int64_t kCount = 300'001;  // of five pieces, the last of which is short
  std::string elements(kCount * 4, '\0');
  for (std::int64_t i = 0; i < kCount; ++i) {
    const auto value = static_cast<std::int32_t>(i);
    std::memcpy(elements.data() + 4 * i, &value, 4);
  }
  SmallTensor whole{"IntStorage", "0", 0, {kCount}, {1}};
  SmallTensor part{"IntStorage", "0", 70'000, {200'000}, {1}};
  SmallTensor strided{"IntStorage", "0", 1, {150'000}, {2}};
  const std::string pickle = std::string("\x80\x02]") + pickled(whole) + 'a' + pickled(part) + 'a' + pickled(strided) + "a.";
  for (const bool is_deflated : {false, true}) {
    const SavedModel model =
        open_saved_model(folder.write("m.pt", small_archive({{"m/data.pkl", pickle}, {"m/data/0", elements, is_deflated}})));
    const auto expect = [&](const ModelTensor& tensor, std::int64_t begin, std::int64_t step) {
      std::int64_t next = begin;
      for (const std::int32_t value : elements_of<std::int32_t>(tensor)) {
        ASSERT_EQ(value, next);
        next += step;
      }
    };
    expect(model.tensors.at(0), 0, 1);
    expect(model.tensors.at(1), 70'000, 1);
    expect(model.tensors.at(2), 1, 2);
  }
}

}  // namespace
}  // namespace vigil
