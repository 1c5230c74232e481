// The portable kernel against long double, for every element type, over sizes, alignments and distributions.
#include "vigil/monitor/moments.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "monitor/reference_moments.h"

namespace vigil {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Element types: how a number is stored (rounded), written by the test itself so that it does not lean on dtype.h.
struct F32 {
  static constexpr DType kDType = DType::float32;
  static std::vector<unsigned char> store(double x) { return bytes(static_cast<float>(x)); }
  static double load(const unsigned char* p) {
    float x;
    std::memcpy(&x, p, 4);
    return x;
  }
  template <class T>
  static std::vector<unsigned char> bytes(T x) {
    std::vector<unsigned char> out(sizeof x);
    std::memcpy(out.data(), &x, sizeof x);
    return out;
  }
};
struct F64 {
  static constexpr DType kDType = DType::float64;
  static std::vector<unsigned char> store(double x) { return F32::bytes(x); }
  static double load(const unsigned char* p) {
    double x;
    std::memcpy(&x, p, 8);
    return x;
  }
};
struct BF16 {  // truncation is a rounding too: the test compares with what was stored
  static constexpr DType kDType = DType::bfloat16;
  static std::vector<unsigned char> store(double x) {
    const float wide = static_cast<float>(x);
    std::uint32_t bits;
    std::memcpy(&bits, &wide, 4);
    std::uint16_t upper = static_cast<std::uint16_t>(bits >> 16);
    if (std::isnan(x)) upper |= 0x40;
    return F32::bytes(upper);
  }
  static double load(const unsigned char* p) {
    std::uint16_t upper;
    std::memcpy(&upper, p, 2);
    const std::uint32_t bits = static_cast<std::uint32_t>(upper) << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }
};
// binary16 by its definition: sign, 5 bits of exponent, 10 of fraction.
struct F16 {
  static constexpr DType kDType = DType::float16;
  static double load(const unsigned char* p) {
    std::uint16_t b;
    std::memcpy(&b, p, 2);
    const int exponent = (b >> 10) & 31, fraction = b & 1023;
    double x = exponent == 31  ? (fraction ? kNan : kInf)
               : exponent == 0 ? std::ldexp(fraction, -24)
                               : std::ldexp(1024 + fraction, exponent - 25);
    return (b & 0x8000) ? -x : x;
  }
  static std::vector<unsigned char> store(double x) {
    const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
    const double m = std::fabs(x);
    std::uint16_t b;
    if (std::isnan(x)) {
      b = 0x7e00;
    } else if (m >= 65520) {
      b = 0x7c00;
    } else if (m < std::ldexp(1.0, -14)) {
      b = static_cast<std::uint16_t>(std::nearbyint(std::ldexp(m, 24)));
    } else {
      int e = std::ilogb(m);
      double fraction = std::nearbyint(std::ldexp(m, 10 - e));
      if (fraction == 2048) {
        fraction = 1024;
        ++e;
      }
      b = static_cast<std::uint16_t>(((e + 15) << 10) + static_cast<int>(fraction) - 1024);
    }
    return F32::bytes(static_cast<std::uint16_t>(b | sign));
  }
};

template <class Element>
class MomentsTest : public testing::Test {
 public:
  static constexpr std::size_t kSize = element_size(Element::kDType);

  // Elements at `offset` bytes past an aligned address.
  static std::vector<unsigned char> stored(const std::vector<double>& values, std::size_t offset = 0) {
    std::vector<unsigned char> memory(offset, 0xa5);
    for (const double x : values) {
      const auto element = Element::store(x);
      memory.insert(memory.end(), element.begin(), element.end());
    }
    return memory;
  }
  static std::vector<double> loaded(const std::vector<unsigned char>& memory, std::size_t offset = 0) {
    std::vector<double> values;
    for (std::size_t at = offset; at < memory.size(); at += kSize) values.push_back(Element::load(memory.data() + at));
    return values;
  }

  static void expect_close(long double expected, double actual, long double scale, const char* what) {
    // A result among the subnormals of double cannot be nearer than their spacing.
    const long double spacing = std::numeric_limits<double>::denorm_min();
    EXPECT_LE(std::fabs(expected - static_cast<long double>(actual)), std::fmax(1e-12L * scale, spacing))
        << what << ": expected " << static_cast<double>(expected) << ", got " << actual;
  }

  static void expect_matches(const reference::Figures& f, const Moments& m) {
    EXPECT_EQ(m.count, f.count);
    EXPECT_EQ(m.nan_count, f.nan);
    EXPECT_EQ(m.inf_count, f.inf);
    EXPECT_EQ(m.zero_count, f.zero);
    if (f.finite == 0) {
      EXPECT_TRUE(std::isnan(standard_deviation(m)));
      EXPECT_EQ(l2_norm(m), 0);
      return;
    }
    EXPECT_EQ(m.min, static_cast<double>(f.min));
    EXPECT_EQ(m.max, static_cast<double>(f.max));
    // A mean near zero of wide data has no relative accuracy to ask for: it is measured against the elements' size.
    expect_close(f.mean, m.mean, f.l1 / static_cast<long double>(f.finite), "mean");
    expect_close(f.l1, m.l1, f.l1, "l1");
    expect_close(f.l2, l2_norm(m), f.l2, "l2");
    // Deviations far below the mean cancel: their floor is the rounding of double at the size of the elements.
    expect_close(f.std, standard_deviation(m), f.std + 1e-3L * f.l2 / std::sqrt(static_cast<long double>(f.finite)), "std");
  }

  static void check(const std::vector<double>& values, std::size_t offset = 0) {
    const auto memory = stored(values, offset);
    const auto figures = reference::figures_of(loaded(memory, offset));
    const void* data = memory.data() + offset;
    const Moments m = compute_moments(Element::kDType, data, values.size());
    expect_matches(figures, m);
    const FiniteNorm norm = compute_finite_norm(Element::kDType, data, values.size());
    EXPECT_EQ(norm.all_finite, figures.nan + figures.inf == 0);
    if (norm.all_finite) {
      expect_close(figures.l2, norm.l2_norm, figures.l2, "guard norm");
    } else if (figures.nan > 0) {
      EXPECT_TRUE(std::isnan(norm.l2_norm));
    } else {
      EXPECT_EQ(norm.l2_norm, kInf);
    }
  }
};

using Elements = testing::Types<F32, F64, BF16, F16>;
TYPED_TEST_SUITE(MomentsTest, Elements);

std::vector<double> random_values(std::size_t count, double mean, double std, unsigned seed = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(mean, std);
  std::vector<double> values(count);
  for (double& x : values) x = normal(engine);
  return values;
}

TYPED_TEST(MomentsTest, MatchesTheDefinitionAtEverySizeUpTo600) {
  const auto values = random_values(600, 0.01, 0.02);
  for (std::size_t size = 0; size <= 600; ++size) {
    SCOPED_TRACE("size " + std::to_string(size));
    this->check({values.begin(), values.begin() + static_cast<std::ptrdiff_t>(size)});
  }
}

TYPED_TEST(MomentsTest, MatchesTheDefinitionAroundTheBlockSize) {
  for (const std::size_t size : {4095u, 4096u, 4097u, 8191u, 8192u, 8193u, 50000u}) {
    SCOPED_TRACE("size " + std::to_string(size));
    this->check(random_values(size, -0.5, 2.0, static_cast<unsigned>(size)));
  }
}

TYPED_TEST(MomentsTest, ReadsFromAnyAlignment) {
  for (std::size_t offset = 0; offset < 64; ++offset) {
    SCOPED_TRACE("offset " + std::to_string(offset));
    this->check(random_values(517, 0, 1), offset);
  }
}

TYPED_TEST(MomentsTest, MatchesTheDefinitionOnHardDistributions) {
  const std::size_t n = 20000;
  std::mt19937 engine(7);
  std::uniform_real_distribution<double> exponent(-6, 6);
  std::vector<double> heavy(n), outlier(n, 1e-3), negative_first = random_values(n, 100, 1);
  for (double& x : heavy) x = std::pow(10.0, exponent(engine)) * ((engine() & 1) ? 1 : -1);
  outlier[n / 2] = 1e6;
  negative_first[0] = -1e8;
  const std::pair<const char*, std::vector<double>> cases[] = {
      {"N(0, 0.02)", random_values(n, 0, 0.02)},
      {"1e4 + 0.01z", random_values(n, 1e4, 0.01)},
      {"1 + 1e-4z", random_values(n, 1, 1e-4)},
      {"1e30z", random_values(n, 0, 1e30)},
      {"1e-41z", random_values(n, 0, 1e-41)},
      {"1e-22z", random_values(n, 0, 1e-22)},
      {"heavy tails", heavy},
      {"one outlier", outlier},
      {"constant", std::vector<double>(n, 0.1)},
      {"zeros", std::vector<double>(n, 0.0)},
      {"-1e8 then N(100, 1)", negative_first},
  };
  for (const auto& [name, values] : cases) {
    SCOPED_TRACE(name);
    this->check(values);
  }
}

TYPED_TEST(MomentsTest, CountsNanInfAndZerosWithoutLettingThemIntoTheSums) {
  auto values = random_values(10000, 3, 1);
  std::mt19937 engine(3);
  for (int i = 0; i < 100; ++i) values[engine() % values.size()] = kNan;
  for (int i = 0; i < 10; ++i) values[engine() % values.size()] = (i & 1) ? kInf : -kInf;
  for (int i = 0; i < 50; ++i) values[engine() % values.size()] = (i & 1) ? 0.0 : -0.0;
  this->check(values);
}

TYPED_TEST(MomentsTest, OneNonFiniteElementAnywhereIsFound) {
  for (const double bad : {kNan, kInf, -kInf}) {
    for (std::size_t at = 0; at < 130; ++at) {
      auto values = random_values(130, 0, 1);
      values[at] = bad;
      this->check(values);
    }
  }
}

TYPED_TEST(MomentsTest, AllNonFiniteHasNoMomentsButCounts) {
  this->check(std::vector<double>(77, kNan));
  this->check(std::vector<double>(4100, kInf));
}

TYPED_TEST(MomentsTest, ConstantHasStandardDeviationZero) {
  const auto memory = this->stored(std::vector<double>(100000, 0.3));
  EXPECT_EQ(standard_deviation(compute_moments(TypeParam::kDType, memory.data(), 100000)), 0);
}

TYPED_TEST(MomentsTest, MergeOfAnySplitEqualsTheWhole) {
  auto values = random_values(9000, 1e3, 0.5);
  values[17] = kNan;
  values[8999] = kInf;
  values[4000] = 0;
  const auto memory = this->stored(values);
  const auto figures = reference::figures_of(this->loaded(memory));
  std::mt19937 engine(11);
  for (int trial = 0; trial < 50; ++trial) {
    Moments merged;
    for (std::size_t begin = 0; begin < values.size();) {
      const std::size_t size = std::min<std::size_t>(engine() % 2000, values.size() - begin);
      merge(merged, compute_moments(TypeParam::kDType, memory.data() + begin * this->kSize, size));
      begin += size;
    }
    this->expect_matches(figures, merged);
  }
}

TEST(Float64Moments, KeepsItsAccuracyWhereSquaresLeaveTheRangeOfDouble) {
  for (const double size : {1e200, 1e-200, 1e300, 1e-300, 4e-320}) {
    SCOPED_TRACE(size);
    MomentsTest<F64>::check(random_values(10000, 0, size));
  }
}

TEST(Float64Moments, MergesBlocksOfVeryDifferentSize) {
  auto values = random_values(4096, 0, 1);
  const auto large = random_values(4096, 0, 1e200);
  const auto small = random_values(4096, 0, 1e-250);
  values.insert(values.end(), large.begin(), large.end());
  values.insert(values.end(), small.begin(), small.end());
  MomentsTest<F64>::check(values);
  // Zeros take no side: a tiny tensor padded with zeros keeps its norm.
  std::vector<double> padded(4096, 0.0);
  padded.insert(padded.end(), small.begin(), small.end());
  MomentsTest<F64>::check(padded);
}

TEST(Float16Moments, EveryBitPatternIsReadAsItsDefinitionSays) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    unsigned char memory[2];
    std::memcpy(memory, &pattern, 2);
    const double expected = F16::load(memory);
    const double actual = static_cast<double>(float_from_float16(pattern));
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(actual)) << bits;
    } else {
      ASSERT_EQ(expected, actual) << bits;
      ASSERT_EQ(std::signbit(expected), std::signbit(actual)) << bits;
    }
  }
}

TEST(MomentsOfNothing, NullPointerWithoutElementsIsFine) {
  EXPECT_EQ(compute_moments(DType::float32, nullptr, 0).count, 0u);
  EXPECT_TRUE(compute_finite_norm(DType::float64, nullptr, 0).all_finite);
}

}  // namespace
}  // namespace vigil
