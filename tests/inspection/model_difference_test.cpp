// Two models compared, against the definitions in long double.
#include "vigil/inspection/model_difference.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "inspection/memory_tensor.h"

namespace vigil {
namespace {

using Kind = TensorDifference::Kind;

constexpr float kNanFloat = std::numeric_limits<float>::quiet_NaN(), kInfFloat = std::numeric_limits<float>::infinity();

TensorDifference difference_of(const ModelTensor& a, const ModelTensor& b) {
  const auto differences = compare_models({a}, {b});
  EXPECT_EQ(differences.size(), 1U);
  return differences.at(0);
}
TensorDifference difference_of(const std::vector<float>& a, const std::vector<float>& b) {
  return difference_of(memory_tensor("w", ElementType::float32, a), memory_tensor("w", ElementType::float32, b));
}

// In pieces of another length than those of memory_tensor().
class OddPieces : public TensorElements {
 public:
  OddPieces(std::shared_ptr<const TensorElements> elements, std::size_t size) : elements_(std::move(elements)), size_(size) {}
  void for_each_piece(const std::function<void(const void*, std::size_t)>& use) const override {
    elements_->for_each_piece([&](const void* data, std::size_t count) {
      const auto* bytes = static_cast<const unsigned char*>(data);
      for (std::size_t done = 0; done < count; done += 1'234) use(bytes + done * size_, std::min<std::size_t>(1'234, count - done));
    });
  }

 private:
  std::shared_ptr<const TensorElements> elements_;
  std::size_t size_;
};

class FailingElements : public TensorElements {
 public:
  void for_each_piece(const std::function<void(const void*, std::size_t)>& use) const override {
    const float values[2]{1, 2};
    use(values, 2);
    throw std::runtime_error("its checksum does not match");
  }
};

TEST(ModelDifference, HasTheFiguresOfTheDefinitions) {
  std::mt19937 engine(3);
  std::normal_distribution<double> normal(0, 0.05);
  std::vector<float> a(50'021), b(a.size());
  std::uint64_t changed = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(normal(engine));
    b[i] = i % 3 == 0 ? static_cast<float>(a[i] + 0.1 * normal(engine)) : a[i];
    changed += a[i] != b[i];
  }
  long double difference = 0, of_a = 0, of_b = 0, product = 0, largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const long double x = a[i], y = b[i];
    difference += (y - x) * (y - x);
    of_a += x * x;
    of_b += y * y;
    product += x * y;
    largest = std::max(largest, std::fabs(y - x));
  }
  ModelTensor left = memory_tensor("w", ElementType::float32, a), right = memory_tensor("w", ElementType::float32, b);
  right.elements = std::make_shared<OddPieces>(right.elements, sizeof(float));
  const TensorDifference found = difference_of(left, right);
  EXPECT_EQ(found.kind, Kind::changed);
  EXPECT_EQ(found.elements, a.size());
  EXPECT_EQ(found.changed_elements, changed);
  EXPECT_EQ(found.largest, static_cast<double>(largest));
  EXPECT_NEAR(found.l2, static_cast<double>(std::sqrt(difference)), 1e-9 * found.l2);
  EXPECT_NEAR(found.relative_l2, static_cast<double>(std::sqrt(difference / of_a)), 1e-9 * found.relative_l2);
  EXPECT_NEAR(found.cosine, static_cast<double>(product / std::sqrt(of_a * of_b)), 1e-9);
  EXPECT_LT(found.cosine, 1);
}

TEST(ModelDifference, IsBitwise) {
  EXPECT_EQ(difference_of({1, kNanFloat, kInfFloat}, {1, kNanFloat, kInfFloat}).kind, Kind::unchanged);
  const TensorDifference signs = difference_of({1, 0}, {1, -0.0F});
  EXPECT_EQ(signs.kind, Kind::changed);
  EXPECT_EQ(signs.changed_elements, 1U);
  EXPECT_EQ(signs.relative_l2, 0);
}

TEST(ModelDifference, CountsWhatIsNotFiniteAndLeavesItOut) {
  const TensorDifference found = difference_of({3, 1, kNanFloat, kInfFloat, 4}, {3, kNanFloat, kNanFloat, 1, 5});
  EXPECT_EQ(found.changed_elements, 3U);
  EXPECT_EQ(found.nonfinite_a, 2U);
  EXPECT_EQ(found.nonfinite_b, 2U);
  EXPECT_EQ(found.changed_nonfinite, 2U);
  EXPECT_EQ(found.largest, 1);
  // Over the first and the last element: a = (3, 4), b = (3, 5).
  EXPECT_DOUBLE_EQ(found.relative_l2, 1.0 / 5);
  EXPECT_DOUBLE_EQ(found.cosine, 29 / (5 * std::sqrt(34.0)));
}

TEST(ModelDifference, FromAndToZeroHasNoCosine) {
  const TensorDifference from = difference_of({0, 0}, {3, 4}), to = difference_of({3, 4}, {0, 0});
  EXPECT_TRUE(std::isinf(from.relative_l2));
  EXPECT_EQ(from.l2, 5);
  EXPECT_TRUE(std::isnan(from.cosine));
  EXPECT_EQ(to.relative_l2, 1);
  EXPECT_TRUE(std::isnan(to.cosine));
}

TEST(ModelDifference, HoldsNumbersWhoseSquaresLeaveTheRangeOfDouble) {
  const auto of = [](std::vector<double> a, std::vector<double> b) {
    return difference_of(memory_tensor("w", ElementType::float64, std::move(a)), memory_tensor("w", ElementType::float64, std::move(b)));
  };
  const TensorDifference large = of({3e200, 4e200}, {3e200, 4.5e200}), small = of({3e-200, 4e-200}, {3e-200, 4.5e-200});
  for (const TensorDifference& found : {large, small}) {
    EXPECT_NEAR(found.relative_l2, 0.1, 1e-12);
    EXPECT_NEAR(found.cosine, 27 / (5 * std::hypot(3.0, 4.5)), 1e-12);
  }
}

TEST(ModelDifference, ComparesEveryElementType) {
  const auto changed = [](ElementType type, auto a, auto b) {
    const TensorDifference found = difference_of(memory_tensor("w", type, a), memory_tensor("w", type, b));
    return std::pair(found.changed_elements, found.largest);
  };
  EXPECT_EQ(changed(ElementType::int64, std::vector<std::int64_t>{1, 2, 3}, std::vector<std::int64_t>{1, 5, 3}),
            std::pair(std::uint64_t{1}, 3.0));
  EXPECT_EQ(changed(ElementType::int8, std::vector<std::int8_t>{-128, 2}, std::vector<std::int8_t>{127, 2}),
            std::pair(std::uint64_t{1}, 255.0));
  EXPECT_EQ(changed(ElementType::float16, std::vector<std::uint16_t>{0x3c00, 0x4000}, std::vector<std::uint16_t>{0x3c00, 0x4200}),
            std::pair(std::uint64_t{1}, 1.0));
  EXPECT_EQ(changed(ElementType::boolean, std::vector<std::uint8_t>{0, 1}, std::vector<std::uint8_t>{1, 1}),
            std::pair(std::uint64_t{1}, 1.0));
}

TEST(ModelDifference, PairsTensorsByName) {
  const auto vector = [](std::string name, std::size_t size) {
    return memory_tensor(std::move(name), ElementType::float32, std::vector<float>(size, 1));
  };
  const ModelTensor integer = memory_tensor("d", ElementType::int32, std::vector<std::int32_t>{1, 1});
  const auto differences = compare_models({vector("a", 2), vector("b", 2), vector("c", 2), vector("d", 2), vector("a", 3)},
                                          {vector("e", 1), vector("c", 3), vector("a", 2), vector("a", 3), integer});
  std::string text;
  for (const TensorDifference& one : differences)
    text += one.name + ' ' + std::string(kTensorDifferenceNames[static_cast<std::size_t>(one.kind)]) + '\n';
  EXPECT_EQ(text, "a unchanged\nb only_in_a\nc sizes\nd type\na unchanged\ne only_in_b\n");
}

TEST(ModelDifference, OfWhatCannotBeReadIsItsError) {
  ModelTensor whole = memory_tensor("w", ElementType::float32, std::vector<float>{1, 2}), broken = whole, longer = whole;
  broken.elements = std::make_shared<FailingElements>();
  longer.elements = memory_tensor("w", ElementType::float32, std::vector<float>{1, 2, 3}).elements;
  for (const auto& found : {difference_of(whole, broken), difference_of(broken, whole)}) {
    EXPECT_EQ(found.kind, Kind::unreadable);
    EXPECT_EQ(found.error, "its checksum does not match");
  }
  EXPECT_EQ(difference_of(whole, longer).error, "B has more elements than its sizes say");
  EXPECT_EQ(difference_of(longer, whole).error, "B has fewer elements than its sizes say");
}

TEST(ModelDifference, IsTheSameOnAnyNumberOfThreads) {
  std::vector<ModelTensor> a, b;
  for (int i = 0; i < 30; ++i) {
    std::vector<float> values(20'000 + 37 * static_cast<std::size_t>(i), 0.5F);
    a.push_back(memory_tensor(std::to_string(i), ElementType::float32, values));
    values[static_cast<std::size_t>(i)] = 1;
    b.push_back(memory_tensor(std::to_string(i), ElementType::float32, values));
  }
  for (const unsigned threads : {1U, 6U}) {
    ReadingOptions options;
    options.threads = threads;
    for (const TensorDifference& one : compare_models(a, b, options)) {
      EXPECT_EQ(one.changed_elements, 1U) << one.name;
      EXPECT_EQ(one.largest, 0.5) << one.name;
    }
  }
}

}  // namespace
}  // namespace vigil
