// A tensor in an archive: a view of the elements of one entry.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vigil/inspection/model_tensor.h"
#include "vigil/inspection/zip_archive.h"

namespace vigil {

struct StoredView {
  const ZipEntry* entry = nullptr;
  ElementType type = ElementType::float32;
  std::int64_t offset = 0;            ///< of the first element, in elements
  std::vector<std::int64_t> sizes;    ///< at most kMaxDimensions
  std::vector<std::int64_t> strides;  ///< in elements; as many

  static constexpr std::size_t kMaxDimensions = 64;
};

/// In bytes of an entry's contents.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// From the first element of a view to behind its last; empty for one without elements. None: negative numbers, or the view leaves its
/// entry, or has 2^62 bytes and more.
std::optional<ByteRange> range_of(const StoredView& view) noexcept;

/// Product of the sizes, all of which are at least 0; 2^62 where it is larger.
std::uint64_t bounded_count(const std::vector<std::int64_t>& sizes) noexcept;

/// A view that is not contiguous is gathered from a copy in memory of the range it lies in.
inline constexpr std::uint64_t kMaxGatheredBytes = std::uint64_t{1} << 32;
bool is_contiguous(const StoredView& view) noexcept;

/// Its elements; `view` has a range, and lies in `archive`.
std::shared_ptr<const TensorElements> stored_elements(std::shared_ptr<const ZipArchive> archive, StoredView view);

}  // namespace vigil
