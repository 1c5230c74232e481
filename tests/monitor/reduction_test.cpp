// Every kernel that this machine can run against long double, for every element type, over sizes, alignments and distributions: moments,
// the guard's norm, histograms of magnitudes, and updates.
#include "vigil/monitor/reduction.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "monitor/element_types.h"
#include "monitor/reference_figures.h"

namespace vigil {
namespace {

using namespace test;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// What a kernel promises: float64, and everything in the portable one, is summed in double.
long double tolerance_of(std::string_view kernel, DType dtype) { return kernel == "portable" || dtype == DType::float64 ? 1e-12L : 1e-6L; }

// Puts the fastest kernel back.
struct KernelChoice {
  ~KernelChoice() { use_kernel("auto"); }
};

template <class Body>
void with_every_kernel(Body body) {
  const KernelChoice restored;
  for (const std::string_view kernel : available_kernels()) {
    SCOPED_TRACE(kernel);
    ASSERT_TRUE(use_kernel(kernel));
    ASSERT_EQ(kernel_in_use(), kernel);
    body(kernel);
  }
}

template <class Element>
class Reduction : public testing::Test {
 public:
  static constexpr std::size_t kSize = element_size(Element::kDType);

  // Elements at `offset` bytes past an aligned address, and nothing behind them that could be read unnoticed.
  static std::vector<unsigned char> stored(const std::vector<double>& values, std::size_t offset = 0) {
    std::vector<unsigned char> memory(offset, 0xa5);
    for (const double x : values) {
      const auto element = Element::store(x);
      memory.insert(memory.end(), element.begin(), element.end());
    }
    memory.shrink_to_fit();
    return memory;
  }
  static std::vector<double> loaded(const std::vector<unsigned char>& memory, std::size_t offset = 0) {
    std::vector<double> values;
    for (std::size_t at = offset; at < memory.size(); at += kSize) values.push_back(Element::load(memory.data() + at));
    return values;
  }

  static void expect_close(long double expected, double actual, long double most, const char* what) {
    // A result among the subnormals of double cannot be nearer than their spacing.
    const long double spacing = std::numeric_limits<double>::denorm_min();
    EXPECT_LE(std::fabs(expected - static_cast<long double>(actual)), std::fmax(most, spacing))
        << what << ": expected " << static_cast<double>(expected) << ", got " << actual;
  }

  static void expect_matches(const reference::Figures& f, const Moments& m, long double tolerance) {
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
    const long double n = static_cast<long double>(f.finite);
    // The mean is measured against the deviations. Below that is the rounding of double at the size of the elements.
    expect_close(f.mean, m.mean, tolerance * f.std + 1e-14L * f.l1 / n, "mean");
    expect_close(f.l1, m.l1, tolerance * f.l1, "l1");
    expect_close(f.l2, l2_norm(m), tolerance * f.l2, "l2");
    // Deviations far below the mean cancel: their floor is the rounding of double at the size of the elements.
    expect_close(f.std, standard_deviation(m), tolerance * f.std + 1e-15L * f.l2 / std::sqrt(n), "std");
  }

  static void expect_equal(const MagnitudeHistogram& expected, const MagnitudeHistogram& actual) {
    EXPECT_EQ(expected.underflow, actual.underflow);
    EXPECT_EQ(expected.buckets, actual.buckets);
    EXPECT_EQ(expected.overflow, actual.overflow);
  }

  // All reductions of one list of numbers, with every kernel.
  static void check(const std::vector<double>& values, std::size_t offset = 0) {
    const auto memory = stored(values, offset);
    const auto numbers = loaded(memory, offset);
    const auto figures = reference::figures_of(numbers);
    const auto magnitudes = reference::histogram_of(numbers);
    const void* data = memory.data() + offset;
    with_every_kernel([&](std::string_view kernel) {
      const long double tolerance = tolerance_of(kernel, Element::kDType);
      expect_matches(figures, compute_moments(Element::kDType, data, values.size()), tolerance);
      MagnitudeHistogram histogram;
      expect_matches(figures, compute_moments(Element::kDType, data, values.size(), &histogram), tolerance);
      expect_equal(magnitudes, histogram);
      const FiniteNorm norm = compute_finite_norm(Element::kDType, data, values.size());
      EXPECT_EQ(norm.all_finite, figures.nan + figures.inf == 0);
      if (norm.all_finite) {
        expect_close(figures.l2, norm.l2_norm, tolerance * figures.l2, "guard norm");
      } else if (figures.nan > 0) {
        EXPECT_TRUE(std::isnan(norm.l2_norm));
      } else {
        EXPECT_EQ(norm.l2_norm, kInf);
      }
    });
  }

  // A tensor and what it was before.
  static void check_update(const std::vector<double>& now, const std::vector<double>& before, std::size_t offset = 0) {
    const auto memory = stored(now, offset), previous = stored(before, offset);
    const auto numbers = loaded(memory, offset), numbers_before = loaded(previous, offset);
    const auto figures = reference::figures_of(numbers);
    const long double expected = reference::update_norm_of(numbers, numbers_before);
    with_every_kernel([&](std::string_view kernel) {
      const long double tolerance = tolerance_of(kernel, Element::kDType);
      for (const bool keep : {false, true}) {
        SCOPED_TRACE(keep ? "keep" : "compare only");
        auto copy = previous;
        const MomentsAndUpdate result =
            compute_moments_and_update(Element::kDType, memory.data() + offset, copy.data() + offset, now.size(), keep);
        expect_matches(figures, result.moments, tolerance);
        expect_close(expected, result.update_norm, tolerance * expected, "update norm");
        EXPECT_EQ(copy, keep ? memory : previous);
      }
    });
  }
};

using Elements = testing::Types<F32, F64, BF16, F16>;
TYPED_TEST_SUITE(Reduction, Elements);

std::vector<double> random_values(std::size_t count, double mean, double std, unsigned seed = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(mean, std);
  std::vector<double> values(count);
  for (double& x : values) x = normal(engine);
  return values;
}

TYPED_TEST(Reduction, MatchesTheDefinitionAtEverySizeUpTo600) {
  const auto values = random_values(600, 0.01, 0.02);
  for (std::size_t size = 0; size <= 600; ++size) {
    SCOPED_TRACE("size " + std::to_string(size));
    this->check({values.begin(), values.begin() + static_cast<std::ptrdiff_t>(size)});
  }
}

TYPED_TEST(Reduction, MatchesTheDefinitionAroundTheBlockSize) {
  for (const std::size_t size : {4095u, 4096u, 4097u, 8191u, 8192u, 8193u, 50000u}) {
    SCOPED_TRACE("size " + std::to_string(size));
    this->check(random_values(size, -0.5, 2.0, static_cast<unsigned>(size)));
  }
}

// From eight blocks on, the vector kernels read several streams side by side, at most 64 blocks of each.
TYPED_TEST(Reduction, MatchesTheDefinitionWhereStreamsBeginAndEnd) {
  for (const std::size_t blocks : {8u, 12u, 256u, 264u, 300u}) {
    for (const int difference : {-1, 0, 1}) {
      const std::size_t size = blocks * 4096 + static_cast<std::size_t>(difference);
      SCOPED_TRACE("size " + std::to_string(size));
      this->check(random_values(size, -0.5, 2.0, static_cast<unsigned>(size)));
    }
  }
}

TYPED_TEST(Reduction, ReadsFromAnyAlignment) {
  for (std::size_t offset = 0; offset < 64; ++offset) {
    SCOPED_TRACE("offset " + std::to_string(offset));
    this->check(random_values(517, 0, 1), offset);
  }
  for (const std::size_t offset : {1u, 31u, 63u}) this->check(random_values(40000, 0, 1), offset);
}

// Blocks that are summed together need have nothing in common.
TYPED_TEST(Reduction, BlocksOfDifferentKindsSideBySide) {
  const double scales[] = {1, 1e-20, 0, 1e4, 1e-38, 1e-3, 30};
  for (const double center : {0.0, 3.0}) {
    auto values = random_values(50 * 4096, center, 0.5);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= scales[i / 4096 % std::size(scales)];
    SCOPED_TRACE(center);
    this->check(values);
    values[13 * 4096 + 77] = kNan;
    values[40 * 4096] = -kInf;
    this->check(values);
  }
}

TYPED_TEST(Reduction, MatchesTheDefinitionOnHardDistributions) {
  for (const std::size_t n : {20000u, 150001u}) {
    std::mt19937 engine(7);
    std::uniform_real_distribution<double> exponent(-6, 6);
    std::vector<double> heavy(n), outlier(n, 1e-3), negative_first = random_values(n, 100, 1);
    for (double& x : heavy) x = std::pow(10.0, exponent(engine)) * ((engine() & 1) ? 1 : -1);
    outlier[n / 2] = 1e6;
    negative_first[0] = -1e8;
    std::vector<double> large_first(n, 100), uniform(n);
    large_first[0] = 1e8;
    for (double& x : uniform) x = std::uniform_real_distribution<double>(0, 1)(engine);
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
        {"1e8 then 100", large_first},
        {"uniform", uniform},
    };
    for (const auto& [name, values] : cases) {
      SCOPED_TRACE(name + (" of " + std::to_string(n)));
      this->check(values);
    }
  }
}

// All roundings of the squares go one way, and the deviations are of the mean's size: what is left after the subtraction is little.
TYPED_TEST(Reduction, OneSidedRoundingIsNotMagnifiedByTheMean) {
  std::vector<double> values(4096, 0x1.cea598p+0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i / 64 % 27 == 0) values[i] = -0x1.496baep+0;
  }
  this->check(values);
}

TYPED_TEST(Reduction, CountsNanInfAndZerosWithoutLettingThemIntoTheSums) {
  for (const std::size_t n : {10000u, 100000u}) {
    auto values = random_values(n, 3, 1);
    std::mt19937 engine(3);
    for (int i = 0; i < 100; ++i) values[engine() % values.size()] = kNan;
    for (int i = 0; i < 10; ++i) values[engine() % values.size()] = (i & 1) ? kInf : -kInf;
    for (int i = 0; i < 50; ++i) values[engine() % values.size()] = (i & 1) ? 0.0 : -0.0;
    this->check(values);
  }
}

TYPED_TEST(Reduction, OneNonFiniteElementAnywhereIsFound) {
  for (const double bad : {kNan, kInf, -kInf}) {
    for (std::size_t at = 0; at < 130; ++at) {
      auto values = random_values(130, 0, 1);
      values[at] = bad;
      this->check(values);
    }
    // And in each stream of a long one, first, in the midst and last.
    for (const std::size_t at : {0u, 8191u, 8192u, 20000u, 24575u, 24576u, 32767u, 32768u, 33000u}) {
      auto values = random_values(33001, 0, 1);
      values[at] = bad;
      this->check(values);
    }
  }
}

TYPED_TEST(Reduction, AllNonFiniteHasNoMomentsButCounts) {
  this->check(std::vector<double>(77, kNan));
  this->check(std::vector<double>(4100, kInf));
}

TYPED_TEST(Reduction, ConstantHasStandardDeviationZero) {
  const auto memory = this->stored(std::vector<double>(100000, 0.3));
  with_every_kernel([&](std::string_view) { EXPECT_EQ(standard_deviation(compute_moments(TypeParam::kDType, memory.data(), 100000)), 0); });
}

TYPED_TEST(Reduction, MergeOfAnySplitEqualsTheWhole) {
  auto values = random_values(9000, 1e3, 0.5);
  values[17] = kNan;
  values[8999] = kInf;
  values[4000] = 0;
  const auto memory = this->stored(values);
  const auto figures = reference::figures_of(this->loaded(memory));
  with_every_kernel([&](std::string_view kernel) {
    std::mt19937 engine(11);
    for (int trial = 0; trial < 50; ++trial) {
      Moments merged;
      for (std::size_t begin = 0; begin < values.size();) {
        const std::size_t size = std::min<std::size_t>(engine() % 2000, values.size() - begin);
        merge(merged, compute_moments(TypeParam::kDType, memory.data() + begin * this->kSize, size));
        begin += size;
      }
      this->expect_matches(figures, merged, tolerance_of(kernel, TypeParam::kDType));
    }
  });
}

// Magnitudes on both sides of every bound, and every kind of number beside them.
std::vector<double> values_around_bounds() {
  std::vector<double> values{0.0, -0.0, kNan, kInf, -kInf, 4.9e-324, 1e-40, 1e-300, 1e300, 3.4e38};
  for (int exponent = -40; exponent <= 10; ++exponent) {
    const double bound = std::ldexp(1.0, exponent);
    for (const double x : {bound, bound * (1 + 0x1p-7), bound * (1 - 0x1p-8), std::nextafter(bound, kInf), std::nextafter(bound, 0.0),
                           static_cast<double>(std::nextafter(static_cast<float>(bound), 0.0f)),
                           static_cast<double>(std::nextafter(static_cast<float>(bound), HUGE_VALF)), bound * 1.5}) {
      values.push_back(x);
      values.push_back(-x);
    }
  }
  return values;
}

TYPED_TEST(Reduction, HistogramCountsABoundInTheBucketThatItEnds) {
  const auto values = values_around_bounds();
  this->check(values);
  for (std::size_t shift = 1; shift < 40; ++shift) this->check({values.begin() + static_cast<std::ptrdiff_t>(shift), values.end()});
}

TYPED_TEST(Reduction, HistogramOfManyElementsCountsEach) {
  // More than 255 * 256 vectors of the widest kernel: all its levels of counting overflow into the next.
  std::mt19937 engine(5);
  std::uniform_real_distribution<double> exponent(-31, 6);
  std::vector<double> few(4099), many;
  for (double& x : few) x = std::exp2(exponent(engine)) * ((engine() & 1) ? 1 : -1);
  while (many.size() < 1200000) many.insert(many.end(), few.begin(), few.end());
  const auto memory = this->stored(many);
  const auto expected = reference::histogram_of(this->loaded(memory));
  with_every_kernel([&](std::string_view) {
    MagnitudeHistogram histogram;
    compute_moments(TypeParam::kDType, memory.data(), many.size(), &histogram);
    this->expect_equal(expected, histogram);
  });
}

TYPED_TEST(Reduction, HistogramIsAddedToWhatWasThere) {
  const auto memory = this->stored(random_values(700, 0, 1));
  const auto once = reference::histogram_of(this->loaded(memory));
  MagnitudeHistogram twice = once;
  merge(twice, once);
  with_every_kernel([&](std::string_view) {
    MagnitudeHistogram histogram = once;
    compute_moments(TypeParam::kDType, memory.data(), 700, &histogram);
    this->expect_equal(twice, histogram);
  });
}

TYPED_TEST(Reduction, UpdateNormIsThatOfTheDifferenceAtEverySize) {
  const auto now = random_values(600, 0.1, 0.02, 21), before = random_values(600, 0.1, 0.02, 22);
  for (std::size_t size = 0; size <= 600; ++size) {
    SCOPED_TRACE("size " + std::to_string(size));
    const auto end = static_cast<std::ptrdiff_t>(size);
    this->check_update({now.begin(), now.begin() + end}, {before.begin(), before.begin() + end}, size % 7);
  }
  for (const std::size_t size : {4095u, 4097u, 20000u}) this->check_update(random_values(size, 1, 1, 23), random_values(size, 1, 1, 24));
}

TYPED_TEST(Reduction, UpdateNormOfTinyStepsIsNotLostToUnderflow) {
  const auto before = random_values(5000, 0, 1e-22);
  auto now = before;
  for (double& x : now) x *= 1.5;
  this->check_update(now, before);
  this->check_update(before, before);
  this->check_update(std::vector<double>(5000, 1e-41), std::vector<double>(5000, 2e-41));
}

TYPED_TEST(Reduction, UpdateNormLeavesOutWhatIsNotFiniteNowOrBefore) {
  auto now = random_values(9000, 0, 1, 31), before = random_values(9000, 0, 1, 32);
  now[3] = kNan;
  now[5000] = kInf;
  before[700] = -kInf;
  before[701] = kNan;
  this->check_update(now, before);
}

TEST(Float64Update, KeepsItsAccuracyWhereSquaresLeaveTheRangeOfDouble) {
  for (const double size : {1e200, 1e-200, 1e-300, 1e303}) {
    SCOPED_TRACE(size);
    Reduction<F64>::check_update(random_values(5000, 0, size, 41), random_values(5000, 0, size, 42));
  }
}

TEST(Float64Reduction, KeepsItsAccuracyWhereSquaresLeaveTheRangeOfDouble) {
  for (const double size : {1e200, 1e-200, 1e300, 1e-300, 4e-320, 1e-125, 1e-110}) {
    SCOPED_TRACE(size);
    Reduction<F64>::check(random_values(10000, 0, size));
  }
}

TEST(Float64Reduction, MergesBlocksOfVeryDifferentSize) {
  auto values = random_values(4096, 0, 1);
  const auto large = random_values(4096, 0, 1e200);
  const auto small = random_values(4096, 0, 1e-250);
  values.insert(values.end(), large.begin(), large.end());
  values.insert(values.end(), small.begin(), small.end());
  Reduction<F64>::check(values);
  // Zeros take no side: a tiny tensor padded with zeros keeps its norm.
  std::vector<double> padded(4096, 0.0);
  padded.insert(padded.end(), small.begin(), small.end());
  Reduction<F64>::check(padded);
}

TEST(Float16Elements, EveryBitPatternIsReadAsItsDefinitionSays) {
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

TEST(Kernels, AutoIsTheLastOfThoseAvailable) {
  const KernelChoice restored;
  const auto kernels = available_kernels();
  ASSERT_FALSE(kernels.empty());
  EXPECT_EQ(kernels.front(), "portable");
  EXPECT_EQ(kernel_in_use(), kernels.back());
  ASSERT_TRUE(use_kernel("portable"));
  EXPECT_EQ(kernel_in_use(), "portable");
  ASSERT_TRUE(use_kernel("auto"));
  EXPECT_EQ(kernel_in_use(), kernels.back());
}

TEST(Kernels, AnUnknownNameChangesNothing) {
  const auto before = kernel_in_use();
  for (const char* name : {"", "sse9", "AVX2", "avx", "avx512_bf16 "}) EXPECT_FALSE(use_kernel(name)) << name;
  EXPECT_EQ(kernel_in_use(), before);
}

#if defined(__x86_64__)
TEST(Kernels, OfThisProcessorAreAllThere) {
  const auto kernels = available_kernels();
  const auto has = [&](std::string_view name) { return std::find(kernels.begin(), kernels.end(), name) != kernels.end(); };
  EXPECT_EQ(has("avx2"), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(has("avx512"), __builtin_cpu_supports("avx512bw") != 0);
}

// As after at::globalContext().setFlushDenormal(true), fesetround and feenableexcept.
TEST(FloatEnvironment, OfTheCallerChangesNothingAndIsLeftAsItWas) {
  constexpr unsigned kFlushAndRoundDownAndTrap = 0x8040 | 0x2000 | (0x1f80 & ~0x0080u);
  const auto memory = Reduction<F32>::stored({1e-41, 2e-41, 0.0, 3.0, std::nan(""), -1e-41});
  const unsigned before = __builtin_ia32_stmxcsr();
  with_every_kernel([&](std::string_view) {
    MagnitudeHistogram expected_histogram, histogram;
    const Moments expected = compute_moments(DType::float32, memory.data(), 6, &expected_histogram);
    const FiniteNorm expected_norm = compute_finite_norm(DType::float32, memory.data(), 2);
    auto previous = memory;
    const double expected_update = compute_moments_and_update(DType::float32, memory.data() + 4, previous.data(), 2, false).update_norm;
    __builtin_ia32_ldmxcsr(kFlushAndRoundDownAndTrap);
    const Moments actual = compute_moments(DType::float32, memory.data(), 6, &histogram);
    const FiniteNorm norm = compute_finite_norm(DType::float32, memory.data(), 2);
    const double update = compute_moments_and_update(DType::float32, memory.data() + 4, previous.data(), 2, false).update_norm;
    const unsigned after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    EXPECT_EQ(after, kFlushAndRoundDownAndTrap);
    EXPECT_EQ(std::memcmp(&expected, &actual, sizeof expected), 0);
    EXPECT_EQ(expected_norm.l2_norm, norm.l2_norm);
    EXPECT_GT(norm.l2_norm, 0);
    EXPECT_EQ(expected_update, update);
    EXPECT_GT(update, 0);
    Reduction<F32>::expect_equal(expected_histogram, histogram);
  });
}
#endif

TEST(ReductionOfNothing, NullPointerWithoutElementsIsFine) {
  with_every_kernel([](std::string_view) {
    for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16, DType::float16}) {
      MagnitudeHistogram histogram;
      EXPECT_EQ(compute_moments(dtype, nullptr, 0, &histogram).count, 0u);
      EXPECT_TRUE(compute_finite_norm(dtype, nullptr, 0).all_finite);
      EXPECT_EQ(compute_moments_and_update(dtype, nullptr, nullptr, 0, true).update_norm, 0);
    }
  });
}

}  // namespace
}  // namespace vigil
