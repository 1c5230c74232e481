// Memory for a piece of a tensor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace vigil {

struct PieceBufferFree {
  void operator()(std::byte* data) const noexcept { ::operator delete[](data, std::align_val_t{64}); }
};
using PieceBuffer = std::unique_ptr<std::byte[], PieceBufferFree>;

/// Aligned to 64 bytes, not initialised.
inline PieceBuffer piece_buffer(std::size_t bytes) {
  return PieceBuffer(static_cast<std::byte*>(::operator new[](std::max<std::size_t>(bytes, 1), std::align_val_t{64})));
}

}  // namespace vigil
