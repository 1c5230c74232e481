// One tensor against a pure read of the same memory: each kernel, each element type, in DRAM and in cache.
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "bench/equal_ranges.h"
#include "bench/fixture.h"
#include "bench/pure_read.h"
#include "bench/random_tensors.h"
#include "bench/reference.h"
#include "bench/registration.h"
#include "bench/statistics_under_test.h"

namespace vigil::bench {
namespace {

constexpr std::size_t kCacheBytes = std::size_t{4} << 20, kNanBytes = std::size_t{64} << 20;
constexpr std::int64_t kUnit = 4096;  // elements: ranges of threads begin where the kernels' blocks do

struct ElementType {
  const char* name;
  DType dtype;
  at::ScalarType scalar_type;
};
constexpr ElementType kTypes[] = {{"float32", DType::float32, at::kFloat},
                                  {"float64", DType::float64, at::kDouble},
                                  {"bfloat16", DType::bfloat16, at::kBFloat16},
                                  {"float16", DType::float16, at::kHalf}};

struct Buffer {
  Buffer(const ElementType& type, std::size_t bytes, double nan_share)
      : dtype(type.dtype),
        tensor(random_tensor({static_cast<std::int64_t>(bytes / element_size(type.dtype)) / kUnit * kUnit}, type.scalar_type)),
        data(static_cast<const unsigned char*>(tensor.data_ptr())),
        count(static_cast<std::size_t>(tensor.numel())),
        units(tensor.numel() / kUnit) {
    if (nan_share > 0) tensor.masked_fill_(tensor.clone().uniform_().lt(nan_share), std::numeric_limits<double>::quiet_NaN());
  }

  const Reference& reference() {
    if (!reference_) reference_ = reference_of(tensor);
    return *reference_;
  }

  const MagnitudeHistogram& reference_histogram() {
    if (!reference_histogram_) reference_histogram_ = reference_histogram_of(tensor);
    return *reference_histogram_;
  }

  DType dtype;
  at::Tensor tensor;
  const unsigned char* data;
  std::size_t count;
  std::int64_t units;

 private:
  std::optional<Reference> reference_;
  std::optional<MagnitudeHistogram> reference_histogram_;
};

struct Place {
  const char* name;
  std::size_t bytes;
  double nan_share = 0;  // of the elements
};

Buffer& buffer_for(const ElementType& type, const Place& place) {
  return FixtureShelf::instance().get<Buffer>(std::string(type.name) + "/" + place.name,
                                              [&] { return std::make_shared<Buffer>(type, place.bytes, place.nan_share); });
}

// The results of `of(data, count)` over one range for each thread.
template <class Result, class Of>
void over_ranges(const Buffer& buffer, std::vector<Result>& results, Of of) {
  const std::size_t size = element_size(buffer.dtype);
  results.assign(static_cast<std::size_t>(at::get_num_threads()), Result{});
  for_equal_ranges(buffer.units, [&](std::int64_t begin, std::int64_t end, int thread) {
    results[static_cast<std::size_t>(thread)] =
        of(buffer.data + static_cast<std::size_t>(begin * kUnit) * size, static_cast<std::size_t>((end - begin) * kUnit));
  });
}

struct Both {
  Moments moments;
  MagnitudeHistogram histogram;
};

using XorWords = std::uint64_t (*)(const void*, std::size_t) noexcept;

std::uint64_t read(XorWords xor_all, const Buffer& buffer, std::vector<std::uint64_t>& sums) {
  const std::size_t size = element_size(buffer.dtype);
  over_ranges(buffer, sums, [&](const void* data, std::size_t count) { return xor_all(data, count * size); });
  std::uint64_t sum = 0;
  for (const std::uint64_t part : sums) sum ^= part;
  return sum;
}

void check_read(const std::string& name, const Buffer& buffer, std::uint64_t actual) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(buffer.data);
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < buffer.count * element_size(buffer.dtype) / sizeof expected; ++i) expected ^= words[i];
  if (actual != expected) fail(name, "the XOR over the words differs");
}

// Adds one benchmark: `pass(buffer)` is measured, `check(name, buffer)` runs once before.
template <class Pass, class Check>
void add(const ElementType& type, const Place& place, int threads, const std::string& subject, bool quick, std::string_view kernel,
         Pass pass, Check check) {
  const std::string name = benchmark_name(std::string(type.name) + "/" + place.name, threads, subject);
  register_benchmark(name, threads, [=](benchmark::State& state) mutable {
    Buffer& buffer = buffer_for(type, place);
    if (!kernel.empty()) force_kernel(kernel);
    if (FixtureShelf::instance().is_unchecked(name)) check(name, buffer);
    for (auto _ : state) benchmark::DoNotOptimize(pass(buffer));
    use_automatic_kernel();
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(buffer.tensor.nbytes()));
  })->MinTime(min_seconds(quick));
}

void add_read(const ElementType& type, const Place& place, int threads, bool quick, const std::string& subject, XorWords xor_all) {
  auto pass = [xor_all, sums = std::vector<std::uint64_t>()](const Buffer& buffer) mutable { return read(xor_all, buffer, sums); };
  add(type, place, threads, subject, quick, {}, pass,
      [pass](const std::string& name, const Buffer& buffer) mutable { check_read(name, buffer, pass(buffer)); });
}

void add_kernel(const ElementType& type, const Place& place, int threads, bool quick, std::string_view kernel) {
  auto statistics = [results = std::vector<Moments>()](const Buffer& buffer) mutable {
    over_ranges(buffer, results, [&](const void* data, std::size_t count) { return compute(buffer.dtype, data, count, nullptr); });
    Moments all = results[0];
    for (std::size_t i = 1; i < results.size(); ++i) merge(all, results[i]);
    return all;
  };
  const std::string subject(kernel);
  add(type, place, threads, subject, quick, kernel, statistics,
      [statistics](const std::string& name, Buffer& buffer) mutable { expect_right(name, buffer.reference(), statistics(buffer)); });

  if (type.dtype != DType::float32) return;
  auto guard = [results = std::vector<FiniteNorm>()](const Buffer& buffer) mutable {
    over_ranges(buffer, results, [&](const void* data, std::size_t count) { return compute_norm(buffer.dtype, data, count); });
    FiniteNorm all = results[0];
    for (std::size_t i = 1; i < results.size(); ++i) {
      all.l2_norm = std::hypot(all.l2_norm, results[i].l2_norm);
      all.all_finite = all.all_finite && results[i].all_finite;
    }
    return all;
  };
  add(type, place, threads, subject + "_guard", quick, kernel, guard,
      [guard](const std::string& name, Buffer& buffer) mutable { expect_right(name, buffer.reference(), guard(buffer)); });

  auto with_histogram = [results = std::vector<Both>()](const Buffer& buffer) mutable {
    over_ranges(buffer, results, [&](const void* data, std::size_t count) {
      Both both;
      both.moments = compute(buffer.dtype, data, count, &both.histogram);
      return both;
    });
    Both all = results[0];
    for (std::size_t i = 1; i < results.size(); ++i) {
      merge(all.moments, results[i].moments);
      merge(all.histogram, results[i].histogram);
    }
    return all;
  };
  add(type, place, threads, subject + "_histogram", quick, kernel, with_histogram,
      [with_histogram](const std::string& name, Buffer& buffer) mutable {
        const Both both = with_histogram(buffer);
        expect_right(name, buffer.reference(), both.moments);
        expect_right(name, buffer.reference_histogram(), both.histogram);
      });
}

}  // namespace

void register_statistics(bool quick) {
  for (const Place& place : {Place{"dram", dram_bytes()}, Place{"cache", kCacheBytes}, Place{"nan", kNanBytes, 0.01}}) {
    for (const ElementType& type : kTypes) {
      if (place.nan_share > 0 && type.dtype != DType::float32) continue;
      for (const int threads : {1, 2}) {
        add_read(type, place, threads, quick, "read", xor_words);
        add_read(type, place, threads, quick, "read_in_streams", xor_words_in_streams);
        for (const std::string_view kernel : kKernels) {
          // The kernel of that name differs from avx512 for this type only.
          if (kernel == "avx512_bf16" && type.dtype != DType::bfloat16) continue;
          if (force_kernel(kernel)) add_kernel(type, place, threads, quick, kernel);
        }
        use_automatic_kernel();
      }
    }
  }
}

}  // namespace vigil::bench
