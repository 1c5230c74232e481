// The one piece of memory that a run's channel lies in: the process's own, or a file that others read too.
#pragma once

#include <cstddef>
#include <memory>

namespace vigil {

/// `bytes` zeroed bytes, aligned for a cache line at least. Whoever holds `owner` keeps them.
struct Segment {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::shared_ptr<void> owner;
};

/// Memory of this process. Every page of it has been touched, so that the training loop takes no page fault. @throws std::bad_alloc
Segment make_segment(std::size_t bytes);

}  // namespace vigil
