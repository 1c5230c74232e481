// What one pass tells of a tensor, against the definitions in long double, and that neither pieces nor threads change it.
#include "vigil/inspection/tensor_reading.h"

#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "inspection/memory_tensor.h"
#include "monitor/element_types.h"
#include "monitor/reference_figures.h"
#include "vigil/inspection/fingerprint.h"

namespace vigil {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();

TensorReading reading_of(const ModelTensor& tensor) { return read_tensors({tensor}).at(0); }

// Its elements in pieces of a length of its own.
class CutElements : public TensorElements {
 public:
  CutElements(std::vector<float> values, std::size_t piece) : values_(std::move(values)), piece_(piece) {}
  void for_each_piece(const std::function<void(const void*, std::size_t)>& use) const override {
    ++times_read;
    for (std::size_t done = 0; done < values_.size(); done += piece_) use(values_.data() + done, std::min(piece_, values_.size() - done));
  }
  mutable std::atomic<int> times_read{0};

 private:
  std::vector<float> values_;
  std::size_t piece_;
};

ModelTensor cut_tensor(std::vector<float> values, std::size_t piece) {
  ModelTensor tensor;
  tensor.sizes = {static_cast<std::int64_t>(values.size())};
  tensor.elements = std::make_shared<CutElements>(std::move(values), piece);
  return tensor;
}

class BrokenElements : public TensorElements {
 public:
  void for_each_piece(const std::function<void(const void*, std::size_t)>&) const override {
    throw std::runtime_error("its checksum does not match");
  }
};

std::vector<float> some_values(std::size_t count, unsigned seed = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.1F, 2);
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

void expect_figures(const TensorReading& reading, const std::vector<double>& values, double tolerance) {
  ASSERT_EQ(reading.error, "");
  const reference::Figures expected = reference::figures_of(values);
  EXPECT_EQ(reading.moments.count, expected.count);
  EXPECT_EQ(reading.moments.nan_count, expected.nan);
  EXPECT_EQ(reading.moments.inf_count, expected.inf);
  EXPECT_EQ(reading.moments.zero_count, expected.zero);
  EXPECT_EQ(reading.moments.min, static_cast<double>(expected.min));
  EXPECT_EQ(reading.moments.max, static_cast<double>(expected.max));
  const auto std = static_cast<double>(expected.std);
  EXPECT_NEAR(reading.moments.mean, static_cast<double>(expected.mean), tolerance * std);
  EXPECT_NEAR(standard_deviation(reading.moments), std, tolerance * std);
  const MagnitudeHistogram histogram = reference::histogram_of(values);
  EXPECT_EQ(reading.magnitudes.buckets, histogram.buckets);
  EXPECT_EQ(reading.magnitudes.underflow, histogram.underflow);
  EXPECT_EQ(reading.magnitudes.overflow, histogram.overflow);
}

TEST(TensorReading, HasTheFiguresOfTheDefinitions) {
  std::vector<float> values = some_values(100'000);
  values[7] = 0;
  values[70'001] = static_cast<float>(kNaN);
  values[70'002] = static_cast<float>(kNaN);
  values[4'999] = static_cast<float>(-kInf);
  const TensorReading reading = reading_of(memory_tensor("weight", ElementType::float32, values));
  expect_figures(reading, {values.begin(), values.end()}, 1e-6);
  EXPECT_EQ(reading.first_nan, 70'001U);
  EXPECT_EQ(reading.first_inf, 4'999U);
  EXPECT_FALSE(reading.is_constant);
}

TEST(TensorReading, ConvertsIntegersAndBoolExactly) {
  std::vector<std::int64_t> wide{0, -3, 7, 7, 1'000'000'007, 0, -8};
  expect_figures(reading_of(memory_tensor("a", ElementType::int64, wide)), {0, -3, 7, 7, 1'000'000'007, 0, -8}, 1e-12);
  expect_figures(reading_of(memory_tensor("b", ElementType::boolean, std::vector<std::uint8_t>{0, 1, 1, 0, 1})), {0, 1, 1, 0, 1}, 1e-12);
  expect_figures(reading_of(memory_tensor("c", ElementType::int8, std::vector<std::int8_t>{-128, 127, 0})), {-128, 127, 0}, 1e-12);
  // The real and the imaginary parts: 3 - 4i, NaN + 0i.
  ModelTensor complex = memory_tensor("d", ElementType::complex64, std::vector<float>{3, -4, static_cast<float>(kNaN), 0});
  complex.sizes = {2};
  class Pairs : public TensorElements {
   public:
    void for_each_piece(const std::function<void(const void*, std::size_t)>& use) const override {
      const float values[]{3, -4, static_cast<float>(kNaN), 0};
      use(values, 2);
    }
  };
  complex.elements = std::make_shared<Pairs>();
  const TensorReading reading = reading_of(complex);
  expect_figures(reading, {3, -4, kNaN, 0}, 1e-12);
  EXPECT_EQ(reading.first_nan, 1U);
}

TEST(TensorReading, CountsDenormalsOfEveryTypeBelowItsSmallestNormalNumber) {
  const float normal = 0x1p-126F;
  EXPECT_EQ(reading_of(memory_tensor("a", ElementType::float32, std::vector<float>{0, -0.0F, normal, -normal, normal / 2, -0x1p-149F, 1}))
                .denormals,
            2U);
  EXPECT_EQ(reading_of(memory_tensor("b", ElementType::float64, std::vector<double>{0, 0x1p-1022, 0x1p-1023, -0x1p-1074, 3})).denormals,
            2U);
  // binary16: 0x0400 is the smallest normal number, 2^-14; bfloat16: 0x0080, 2^-126.
  EXPECT_EQ(
      reading_of(memory_tensor("c", ElementType::float16, std::vector<std::uint16_t>{0, 0x8000, 0x0400, 0x03ff, 0x8001, 0x3c00})).denormals,
      2U);
  EXPECT_EQ(reading_of(memory_tensor("d", ElementType::bfloat16, std::vector<std::uint16_t>{0, 0x0080, 0x007f, 0x8001, 0x3f80})).denormals,
            2U);
}

TEST(TensorReading, KnowsWhetherAllElementsAreEqual) {
  const auto is_constant = [](ElementType type, auto values) { return reading_of(memory_tensor("t", type, values)).is_constant; };
  EXPECT_TRUE(is_constant(ElementType::float32, std::vector<float>(30'000, 0.25F)));
  EXPECT_TRUE(is_constant(ElementType::float32, std::vector<float>{0, -0.0F}));
  EXPECT_FALSE(is_constant(ElementType::float32, std::vector<float>(3, static_cast<float>(kNaN))));
  EXPECT_FALSE(is_constant(ElementType::float32, std::vector<float>{}));
  // In double both are 2^60.
  EXPECT_FALSE(is_constant(ElementType::int64, std::vector<std::int64_t>{std::int64_t{1} << 60, (std::int64_t{1} << 60) + 1}));
  std::vector<std::int64_t> late(30'000, 5);
  EXPECT_TRUE(is_constant(ElementType::int64, late));
  late.back() = 6;
  EXPECT_FALSE(is_constant(ElementType::int64, late));
}

TEST(TensorReading, HashIsThatOfTheBytesHoweverTheyAreCut) {
  const std::vector<float> values = some_values(5'000);
  const Hash128 whole = reading_of(cut_tensor(values, values.size())).hash;
  for (const std::size_t piece : {1UL, 7UL, 256UL, 4'999UL}) EXPECT_EQ(reading_of(cut_tensor(values, piece)).hash, whole) << piece;
  std::vector<float> other = values;
  other[4'321] = -other[4'321];
  EXPECT_NE(reading_of(cut_tensor(other, 256)).hash, whole);
  // XXH3-128 of nothing, as the specification of xxHash has it (`printf '' | xxh128sum`).
  EXPECT_EQ(hex_of(reading_of(cut_tensor({}, 1)).hash), "99aa06d3014798d86001c324468d497f");
}

TEST(TensorReading, IsTheSameOnAnyNumberOfThreads) {
  std::vector<ModelTensor> tensors;
  for (unsigned i = 0; i < 40; ++i) tensors.push_back(cut_tensor(some_values(1 + 997 * (i % 13), i), 512));
  ReadingOptions one, many;
  one.threads = 1;
  many.threads = 8;
  std::mutex mutex;
  std::uint64_t last = 0, all = 0;
  many.progress = [&](std::uint64_t done, std::uint64_t of) {
    const std::lock_guard lock(mutex);
    EXPECT_GE(done, last);
    last = done;
    all = of;
  };
  const auto expected = read_tensors(tensors, one), actual = read_tensors(tensors, many);
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].hash, expected[i].hash);
    EXPECT_EQ(actual[i].moments.mean, expected[i].moments.mean);
    EXPECT_EQ(actual[i].moments.m2, expected[i].moments.m2);
  }
  EXPECT_EQ(last, all);
  EXPECT_GT(all, 0U);
}

TEST(TensorReading, ReadsTheElementsOfTiedTensorsOnce) {
  ModelTensor tensor = cut_tensor(some_values(100), 10), tied = tensor;
  tied.name = "other";
  const auto readings = read_tensors({tensor, tied});
  EXPECT_EQ(readings[0].hash, readings[1].hash);
  EXPECT_EQ(static_cast<const CutElements&>(*tensor.elements).times_read, 1);
}

TEST(TensorReading, OfWhatCannotBeReadIsItsError) {
  ModelTensor broken;
  broken.sizes = {4};
  broken.elements = std::make_shared<BrokenElements>();
  ModelTensor absent;
  ModelTensor wrong = cut_tensor({1, 2, 3}, 2);
  wrong.sizes = {2, 2};
  const auto readings = read_tensors({broken, absent, wrong, cut_tensor({1, 2}, 1)});
  EXPECT_EQ(readings[0].error, "its checksum does not match");
  EXPECT_EQ(readings[1].error, "its elements are not at hand");
  EXPECT_EQ(readings[2].error, "its sizes say 4 elements, and 3 are there");
  EXPECT_EQ(readings[3].error, "");
  EXPECT_EQ(readings[3].moments.count, 2U);
}

std::vector<ModelTensor> small_model() {
  ModelTensor weight = memory_tensor("fc.weight", ElementType::float32, std::vector<float>{1, 2, 3, 4});
  weight.sizes = {2, 2};
  ModelTensor bias = memory_tensor("fc.bias", ElementType::float32, std::vector<float>{5, 6});
  ModelTensor steps = memory_tensor("steps", ElementType::int64, std::vector<std::int64_t>{9});
  steps.role = ModelTensor::Role::buffer;
  return {weight, bias, steps};
}

std::string values_of(const std::vector<ModelTensor>& tensors) { return value_fingerprint(tensors, read_tensors(tensors)); }

TEST(Fingerprint, TellsArchitecturesApartAndNotTheOrderOfTensors) {
  const std::vector<ModelTensor> model = small_model();
  const std::string expected = architecture_fingerprint(model);
  EXPECT_EQ(expected.size(), 32U);
  EXPECT_EQ(architecture_fingerprint({model[2], model[0], model[1]}), expected);
  std::vector<ModelTensor> other = model;
  other[0].sizes = {4, 1};
  EXPECT_NE(architecture_fingerprint(other), expected);
  other = model;
  other[1].type = ElementType::int32;
  EXPECT_NE(architecture_fingerprint(other), expected);
  other = model;
  other[1].name = "fc.bia";
  EXPECT_NE(architecture_fingerprint(other), expected);
  EXPECT_NE(architecture_fingerprint({model[0], model[1]}), expected);
}

TEST(Fingerprint, OfAStateDictIsThatOfTheModel) {
  const std::vector<ModelTensor> model = small_model();
  std::vector<ModelTensor> dictionary = model;
  for (ModelTensor& tensor : dictionary) {
    tensor.role = ModelTensor::Role::other;
    tensor.requires_grad = false;
  }
  EXPECT_EQ(architecture_fingerprint(dictionary), architecture_fingerprint(model));
  EXPECT_EQ(values_of(dictionary), values_of(model));
  // A constant of a module's code is neither parameter nor buffer.
  std::vector<ModelTensor> scripted = model;
  scripted.push_back(memory_tensor("constant", ElementType::float32, std::vector<float>{1}));
  scripted.back().role = ModelTensor::Role::other;
  EXPECT_EQ(architecture_fingerprint(scripted), architecture_fingerprint(model));
}

TEST(Fingerprint, OfValuesChangesWithTheLastBit) {
  const std::vector<ModelTensor> model = small_model();
  std::vector<ModelTensor> other = model;
  other[1].elements = memory_tensor("", ElementType::float32, std::vector<float>{5, std::nextafter(6.0F, 7.0F)}).elements;
  EXPECT_EQ(architecture_fingerprint(other), architecture_fingerprint(model));
  EXPECT_NE(values_of(other), values_of(model));
  other[1].elements = std::make_shared<BrokenElements>();
  EXPECT_EQ(values_of(other), "");
}

// Files and runs keep them: no later version may make others of the same model. By `xxhsum -H2` over the bytes that Python's struct made.
TEST(Fingerprint, StaysWhatItIs) {
  EXPECT_EQ(architecture_fingerprint(small_model()), "5c778b333177811b86c0c8eabede7a37");
  EXPECT_EQ(values_of(small_model()), "1aeb899cd14ed7f45df5c184e0207dea");
}

}  // namespace
}  // namespace vigil
