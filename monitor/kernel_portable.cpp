// The portable kernel: blocks in double precision, in plain C++ that compilers vectorise for the instruction set they are told.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "vigil/monitor/kernel_table.h"

namespace vigil {
namespace {

#include "vigil/monitor/scalar_blocks.h"

// Calls `use(block, size, begin)` for each block, whose first element is number `begin`.
template <class Element, class Use>
void for_each_block(const unsigned char* data, std::size_t count, Use use) noexcept {
  for (std::size_t begin = 0; begin < count; begin += kBlock) use(data + bytes_of<Element>(begin), std::min(kBlock, count - begin), begin);
}

template <class Element>
Moments moments(const unsigned char* data, std::size_t count) noexcept {
  Moments total;
  for_each_block<Element>(
      data, count, [&](const unsigned char* block, std::size_t size, std::size_t) { merge(total, block_moments<Element>(block, size)); });
  return total;
}

template <class Element>
Moments moments_and_histogram(const unsigned char* data, std::size_t count, MagnitudeHistogram& histogram) noexcept {
  Moments total;
  for_each_block<Element>(data, count, [&](const unsigned char* block, std::size_t size, std::size_t) {
    merge(total, block_moments<Element>(block, size));
    block_histogram<Element>(block, size, histogram);
  });
  return total;
}

template <class Element>
Moments moments_and_update(const unsigned char* data, unsigned char* previous, std::size_t count, bool keep, double& squares) noexcept {
  Moments total;
  for_each_block<Element>(data, count, [&](const unsigned char* block, std::size_t size, std::size_t begin) {
    unsigned char* before = previous + bytes_of<Element>(begin);
    merge(total, block_moments<Element>(block, size));
    squares += block_update_squares<Element>(block, before, size);
    if (keep) std::memcpy(before, block, bytes_of<Element>(size));
  });
  return total;
}

template <class Element>
double squares(const unsigned char* data, std::size_t count) noexcept {
  double total = 0;
  for_each_block<Element>(data, count,
                          [&](const unsigned char* block, std::size_t size, std::size_t) { total += block_squares<Element>(block, size); });
  return total;
}

template <class Element>
constexpr KernelFunctions functions_of() noexcept {
  return {moments<Element>, moments_and_histogram<Element>, moments_and_update<Element>, squares<Element>};
}

}  // namespace

const Kernel* portable_kernel() noexcept {
  static constexpr Kernel kernel{"portable",
                                 []() noexcept { return true; },
                                 {functions_of<Float32>(), functions_of<Float64>(), functions_of<BFloat16>(), functions_of<Float16>()}};
  return &kernel;
}

}  // namespace vigil
