// How threads share the reduction of many tensors: in which parts, and which thread does which. Knows sizes only, no memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace vigil {

/// The parts that tensors are reduced in, and shares of them, about equal in bytes, one for each thread. Parts depend on the tensors
/// alone, so figures that are merged part by part are the same for any number of threads.
class WorkShares {
 public:
  /// Least bytes of a share, but for the only one: less is not worth a thread.
  static constexpr std::size_t kLeastShareBytes = std::size_t{256} << 10;

  struct Part {
    std::uint32_t tensor = 0;  // as add() was told
    std::uint32_t share = 0;
    std::uint32_t place = 0, places = 1;  // which of its tensor's parts, of how many
    std::size_t begin = 0, count = 0;     // elements
    std::size_t bytes = 0;
  };
  struct Range {
    const Part *first, *last;
    const Part* begin() const noexcept { return first; }
    const Part* end() const noexcept { return last; }
  };

  /// Forgets all tensors, and keeps their memory for others.
  void clear() noexcept { parts_.clear(); }
  /// Adds a tensor of `count` elements: in one part when it has `part_bytes` at most, else in parts of about one size, each but the last of
  /// whole blocks of the kernels; an even number of them where these blocks divide so. Returns how many. @throws std::bad_alloc
  std::size_t add(std::uint32_t tensor, std::size_t count, std::size_t element_size, std::size_t part_bytes);

  /// Shares out what was added among `threads` threads or fewer. A share holds that part of a large tensor which libtorch's element-wise
  /// operations give to the thread, so the tensor's memory stays in the caches where backward left it and the optimizer looks for it;
  /// small tensors, and what would be more than a share, fill the others up. @throws std::bad_alloc
  void share_out(std::size_t threads);

  /// As share_out() made them: never 0, and a share may be empty.
  std::size_t size() const noexcept { return first_of_share_.size() - 1; }
  /// The parts of the shares from `begin` to before `end`, by share and then as they were added.
  Range parts(std::size_t begin, std::size_t end) const noexcept {
    return {parts_.data() + first_of_share_[begin], parts_.data() + first_of_share_[end]};
  }

 private:
  std::vector<Part> parts_;
  std::vector<std::size_t> first_of_share_{0, 0};  // and one behind the last
  std::vector<std::size_t> load_of_share_;         // bytes
};

}  // namespace vigil
