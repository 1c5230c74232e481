// One static split of work for baselines and subjects alike, so that a ratio between them does not measure the scheduler.
#pragma once

#include <cstdint>

#include <ATen/Parallel.h>

#ifndef _OPENMP
#error "at::parallel_for is silently serial in a file that is compiled without OpenMP"
#endif

namespace vigil::bench {

/// Calls `body(begin, end, thread)` once on each of at::get_num_threads() threads (fewer when there are fewer units), with ranges of
/// equal length that together are 0 to `units`.
template <class Body>
void for_equal_ranges(std::int64_t units, const Body& body) {
  at::parallel_for(0, units, 1, [&](std::int64_t begin, std::int64_t end) { body(begin, end, at::get_thread_num()); });
}

}  // namespace vigil::bench
