// Memory that comes back to who frees and allocates it in turn.
#pragma once

#include <limits>  // also tells whether this is glibc

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace vigil::bench {

/// While it lives, freed memory stays with the process. glibc takes large blocks from the system and gives them back each time, and the
/// peers here make a temporary for each operation: over the 154 MB of GPT-2's embedding the page faults are dearer than the arithmetic,
/// four times so in a virtual machine, and a third to a half of prometheus-cpp's time for a large exposition. vigil allocates next to
/// nothing, so a ratio to that would flatter it. Does nothing without glibc.
class KeptHeap {
 public:
  KeptHeap() {
#ifdef __GLIBC__
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
#endif
  }
  /// To where glibc's own adaption of its thresholds ends in a program that uses large blocks.
  ~KeptHeap() {
#ifdef __GLIBC__
    constexpr int kMiB = 1 << 20;
    mallopt(M_MMAP_MAX, 65536);
    mallopt(M_MMAP_THRESHOLD, 32 * kMiB);
    mallopt(M_TRIM_THRESHOLD, 64 * kMiB);
    malloc_trim(0);
#endif
  }
  KeptHeap(const KeptHeap&) = delete;
  KeptHeap& operator=(const KeptHeap&) = delete;
};

}  // namespace vigil::bench
