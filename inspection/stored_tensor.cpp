#include "vigil/inspection/stored_tensor.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "vigil/inspection/piece_buffer.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

constexpr std::int64_t kTooMany = std::int64_t{1} << 62;

// Copies elements of a view in row-major order, with the places of all dimensions but the last as an odometer.
class Gatherer {
 public:
  // `data` holds the elements from the view's first on.
  Gatherer(const StoredView& view, const std::byte* data) : view_(view), data_(data), place_(view.sizes.size(), 0) {}

  void copy(std::byte* into, std::size_t count) {
    switch (element_size(view_.type)) {
      case 1: return copy_sized<1>(into, count);
      case 2: return copy_sized<2>(into, count);
      case 4: return copy_sized<4>(into, count);
      case 8: return copy_sized<8>(into, count);
      default: return copy_sized<16>(into, count);
    }
  }

 private:
  template <std::size_t Size>
  void copy_sized(std::byte* into, std::size_t count) {
    const std::size_t last = view_.sizes.size() - 1;
    const std::int64_t stride = view_.strides[last];
    while (count > 0) {
      if (const std::size_t rows = rows_at_once(count); rows > 1) {
        copy_rows<Size>(into, rows);
        into += rows * static_cast<std::size_t>(view_.sizes[last]) * Size;
        count -= rows * static_cast<std::size_t>(view_.sizes[last]);
        continue;
      }
      const auto row = static_cast<std::size_t>(std::min<std::int64_t>(view_.sizes[last] - place_[last], static_cast<std::int64_t>(count)));
      for (std::size_t i = 0; i < row; ++i) {
        std::memcpy(into, data_ + at_ * static_cast<std::int64_t>(Size), Size);
        into += Size;
        at_ += stride;
      }
      place_[last] += static_cast<std::int64_t>(row);
      count -= row;
      carry(last);
    }
  }

  // How many rows of a transposed matrix to copy together, as their elements lie side by side: by itself each would fetch a cache line for
  // every element. 0: this is none.
  std::size_t rows_at_once(std::size_t count) const {
    const std::size_t last = view_.sizes.size() - 1;
    if (last == 0 || place_[last] != 0 || view_.strides[last - 1] >= view_.strides[last]) return 0;
    return std::min(static_cast<std::size_t>(view_.sizes[last - 1] - place_[last - 1]),
                    count / static_cast<std::size_t>(view_.sizes[last]));
  }

  template <std::size_t Size>
  void copy_rows(std::byte* into, std::size_t rows) {
    const std::size_t last = view_.sizes.size() - 1;
    const auto columns = static_cast<std::size_t>(view_.sizes[last]);
    for (std::size_t column = 0; column < columns; ++column) {
      std::int64_t from = at_ + static_cast<std::int64_t>(column) * view_.strides[last];
      for (std::size_t row = 0; row < rows; ++row) {
        std::memcpy(into + (row * columns + column) * Size, data_ + from * static_cast<std::int64_t>(Size), Size);
        from += view_.strides[last - 1];
      }
    }
    place_[last - 1] += static_cast<std::int64_t>(rows);
    at_ += static_cast<std::int64_t>(rows) * view_.strides[last - 1];
    carry(last - 1);
  }

  void carry(std::size_t dimension) {
    while (place_[dimension] == view_.sizes[dimension]) {
      at_ -= view_.strides[dimension] * view_.sizes[dimension];
      place_[dimension] = 0;
      if (dimension == 0) return;
      --dimension;
      ++place_[dimension];
      at_ += view_.strides[dimension];
    }
  }

  const StoredView& view_;
  const std::byte* data_;
  std::vector<std::int64_t> place_;
  std::int64_t at_ = 0;
};

class StoredElements final : public TensorElements {
 public:
  StoredElements(std::shared_ptr<const ZipArchive> archive, StoredView view) : archive_(std::move(archive)), view_(std::move(view)) {}

  void for_each_piece(const std::function<void(const void* data, std::size_t count)>& use) const override {
    const ByteRange range = *range_of(view_);
    const std::size_t size = element_size(view_.type);
    if (range.begin == range.end) return;
    if (is_contiguous(view_)) {
      archive_->stream(*view_.entry, range.begin, range.end - range.begin,
                       [&](const std::byte* data, std::size_t bytes) { use(data, bytes / size); });
      return;
    }
    const std::vector<std::byte> data = read(range);
    const std::size_t piece = ZipArchive::kPieceBytes / size;
    const PieceBuffer buffer = piece_buffer(ZipArchive::kPieceBytes);
    Gatherer gatherer(view_, data.data());
    for (std::uint64_t left = bounded_count(view_.sizes); left > 0;) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece));
      gatherer.copy(buffer.get(), count);
      use(buffer.get(), count);
      left -= count;
    }
  }

 private:
  std::vector<std::byte> read(ByteRange range) const {
    std::vector<std::byte> data;
    try {
      data.reserve(static_cast<std::size_t>(range.end - range.begin));
    } catch (const std::bad_alloc&) {
      archive_->fail(*view_.entry, "has a strided tensor that needs " + bytes_text(range.end - range.begin) + " of memory; free some");
    }
    archive_->stream(*view_.entry, range.begin, range.end - range.begin,
                     [&](const std::byte* piece, std::size_t bytes) { data.insert(data.end(), piece, piece + bytes); });
    return data;
  }

  std::shared_ptr<const ZipArchive> archive_;
  StoredView view_;
};

}  // namespace

std::uint64_t bounded_count(const std::vector<std::int64_t>& sizes) noexcept {
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    if (__builtin_mul_overflow(count, size, &count) || count > kTooMany) return static_cast<std::uint64_t>(kTooMany);
  }
  return static_cast<std::uint64_t>(count);
}

std::optional<ByteRange> range_of(const StoredView& view) noexcept {
  const auto is_negative = [](std::int64_t number) { return number < 0; };
  if (view.offset < 0 || std::any_of(view.sizes.begin(), view.sizes.end(), is_negative) ||
      std::any_of(view.strides.begin(), view.strides.end(), is_negative)) {
    return std::nullopt;
  }
  const auto size = static_cast<std::int64_t>(element_size(view.type));
  const std::uint64_t count = bounded_count(view.sizes);
  if (count == 0) return ByteRange{};
  if (count >= static_cast<std::uint64_t>(kTooMany / size)) return std::nullopt;
  std::int64_t last = view.offset;
  for (std::size_t i = 0; i < view.sizes.size(); ++i) {
    std::int64_t step;
    if (__builtin_mul_overflow(view.sizes[i] - 1, view.strides[i], &step) || __builtin_add_overflow(last, step, &last)) return std::nullopt;
  }
  if (last >= kTooMany / size || static_cast<std::uint64_t>((last + 1) * size) > view.entry->bytes) return std::nullopt;
  return ByteRange{static_cast<std::uint64_t>(view.offset * size), static_cast<std::uint64_t>((last + 1) * size)};
}

bool is_contiguous(const StoredView& view) noexcept {
  std::int64_t expected = 1;
  for (std::size_t i = view.sizes.size(); i > 0; --i) {
    if (view.sizes[i - 1] == 1) continue;
    if (view.strides[i - 1] != expected) return false;
    expected *= view.sizes[i - 1];
  }
  return true;
}

std::shared_ptr<const TensorElements> stored_elements(std::shared_ptr<const ZipArchive> archive, StoredView view) {
  return std::make_shared<StoredElements>(std::move(archive), std::move(view));
}

}  // namespace vigil
