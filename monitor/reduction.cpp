#include "vigil/monitor/reduction.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "vigil/monitor/float_environment.h"
#include "vigil/monitor/kernel_table.h"

namespace vigil {
namespace {

// Slowest first; null where one is not compiled in.
std::array<const Kernel*, 5> all_kernels() noexcept {
  return {portable_kernel(), vector128_kernel(), avx2_kernel(), avx512_kernel(), avx512_bf16_kernel()};
}

bool is_available(const Kernel* kernel) noexcept { return kernel != nullptr && kernel->is_supported(); }

const Kernel* find_kernel(std::string_view name) noexcept {
  const Kernel* found = nullptr;
  for (const Kernel* kernel : all_kernels()) {
    if (is_available(kernel) && (name == "auto" || name == kernel->name)) found = kernel;
  }
  return found;
}

std::atomic<const Kernel*> kernel_of_process{nullptr};

const Kernel& active_kernel() noexcept {
  // relaxed: it points to a constant.
  const Kernel* kernel = kernel_of_process.load(std::memory_order_relaxed);
  if (kernel == nullptr) {
    const Kernel* const fastest = find_kernel("auto");
    // Not over one that use_kernel has set meanwhile.
    if (kernel_of_process.compare_exchange_strong(kernel, fastest, std::memory_order_relaxed)) kernel = fastest;
  }
  return *kernel;
}

const KernelFunctions& functions_for(DType dtype) noexcept { return active_kernel().functions[static_cast<std::size_t>(dtype)]; }

// Squares of float64 can leave the range of double on either side; those of the narrower types cannot.
bool in_range(DType dtype, double squares) noexcept { return is_finite_bits(squares) && (dtype != DType::float64 || squares >= 1e-280); }

// Blocks that are looked at twice before the next: 256 KiB of float32 and as much of what it was, half of a small second-level cache.
constexpr std::size_t kBlocksOfTwoLooks = 16;

// Norm of the difference of float64 tensors of any size: relative to the largest one.
double scaled_update_norm(const unsigned char* data, const unsigned char* previous, std::size_t count) noexcept {
  double largest = 0, squares = 0;
  for (const bool measuring : {true, false}) {
    for (std::size_t i = 0; i < count && (measuring || largest > 0); ++i) {
      double x, before;
      std::memcpy(&x, data + 8 * i, 8);
      std::memcpy(&before, previous + 8 * i, 8);
      if (!is_finite_bits(x) || !is_finite_bits(before)) continue;
      const double difference = std::fabs(x / 2 - before / 2);  // half of it cannot overflow
      if (measuring) {
        largest = std::fmax(largest, difference);
      } else {
        squares += (difference / largest) * (difference / largest);
      }
    }
  }
  return 2 * (largest * std::sqrt(squares));
}

}  // namespace

bool has_f16c() noexcept {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
#else
  return false;
#endif
}

Moments compute_moments(DType dtype, const void* data, std::size_t count, MagnitudeHistogram* histogram) noexcept {
  const DefaultFloatEnvironment environment;
  const KernelFunctions& functions = functions_for(dtype);
  const auto* bytes = static_cast<const unsigned char*>(data);
  return histogram == nullptr ? functions.moments(bytes, count) : functions.moments_and_histogram(bytes, count, *histogram);
}

MomentsAndUpdate compute_moments_and_update(DType dtype, const void* data, void* previous, std::size_t count, bool keep,
                                            MagnitudeHistogram* histogram) noexcept {
  const DefaultFloatEnvironment environment;
  const KernelFunctions& functions = functions_for(dtype);
  // A histogram is another look at the elements, and the previous values of float64 are needed until it is known that no square left the
  // range: both from the cache.
  const bool again = histogram != nullptr || (keep && dtype == DType::float64);
  const std::size_t most = again ? kBlocksOfTwoLooks * kBlock : std::max<std::size_t>(count, 1);
  MomentsAndUpdate result;
  for (std::size_t begin = 0; begin < count; begin += most) {
    const std::size_t here = std::min(most, count - begin), size = element_size(dtype);
    const auto* bytes = static_cast<const unsigned char*>(data) + begin * size;
    auto* before = static_cast<unsigned char*>(previous) + begin * size;
    const bool keep_at_once = keep && dtype != DType::float64;
    double squares = 0;
    Moments moments = functions.moments_and_update(bytes, before, here, keep_at_once, squares);
    const double update_norm = in_range(dtype, squares) ? std::sqrt(squares) : scaled_update_norm(bytes, before, here);
    if (keep && !keep_at_once) std::memcpy(before, bytes, here * size);
    if (histogram != nullptr) moments = functions.moments_and_histogram(bytes, here, *histogram);
    merge(result.moments, moments);
    result.update_norm = begin == 0 ? update_norm : std::hypot(result.update_norm, update_norm);
  }
  return result;
}

FiniteNorm compute_finite_norm(DType dtype, const void* data, std::size_t count) noexcept {
  const DefaultFloatEnvironment environment;
  const double squares = functions_for(dtype).squares(static_cast<const unsigned char*>(data), count);
  // A NaN or an infinity among the elements makes the sum of their squares one too, so that a finite sum proves that there is none. Nothing
  // else makes it NaN, and nothing else makes that of the narrower types infinite.
  if (in_range(dtype, squares)) return {std::sqrt(squares), true};
  if (dtype != DType::float64 || is_nan_bits(squares)) return {squares, false};
  return finite_norm_of(functions_for(dtype).moments(static_cast<const unsigned char*>(data), count));
}

std::vector<std::string_view> available_kernels() {
  std::vector<std::string_view> names;
  for (const Kernel* kernel : all_kernels()) {
    if (is_available(kernel)) names.push_back(kernel->name);
  }
  return names;
}

bool use_kernel(std::string_view name) noexcept {
  const Kernel* const kernel = find_kernel(name);
  if (kernel != nullptr) kernel_of_process.store(kernel, std::memory_order_relaxed);  // it points to a constant
  return kernel != nullptr;
}

std::string_view kernel_in_use() noexcept { return active_kernel().name; }

}  // namespace vigil
