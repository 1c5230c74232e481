#include "vigil/hooks/work_shares.h"

#include <algorithm>
#include <tuple>

#include "vigil/monitor/kernel_table.h"

namespace vigil {
namespace {

constexpr std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
constexpr std::size_t round_up(std::size_t a, std::size_t unit) { return divide_up(a, unit) * unit; }

}  // namespace

std::size_t WorkShares::add(std::uint32_t tensor, std::size_t count, std::size_t element_size, std::size_t part_bytes) {
  std::size_t step = std::max<std::size_t>(count, 1);
  if (const std::size_t bytes = count * element_size; bytes > part_bytes) {
    const std::size_t parts = round_up(divide_up(bytes, part_bytes), 2);
    step = round_up(divide_up(count, parts), kBlock);
  }
  const std::size_t places = divide_up(std::max<std::size_t>(count, 1), step);
  for (std::size_t place = 0; place < places; ++place) {
    const std::size_t begin = place * step, part_count = std::min(step, count - begin);
    parts_.push_back(
        {tensor, 0, static_cast<std::uint32_t>(place), static_cast<std::uint32_t>(places), begin, part_count, part_count * element_size});
  }
  return places;
}

void WorkShares::share_out(std::size_t threads) {
  constexpr std::uint32_t kNone = ~std::uint32_t{0};
  std::size_t bytes_in_all = 0;
  for (const Part& part : parts_) bytes_in_all += part.bytes;
  const std::size_t shares = std::clamp<std::size_t>(bytes_in_all / kLeastShareBytes, 1, threads), fair = bytes_in_all / shares;
  load_of_share_.assign(shares, 0);
  const auto is_full = [&](std::size_t share, const Part& part) { return load_of_share_[share] + part.bytes / 2 >= fair; };

  // Parts of a large tensor go by their place in it, as at::parallel_for would share out the elements; but tensors that are not much
  // larger would all give the same shares a part more.
  for (Part& part : parts_) {
    const std::size_t share = std::size_t{part.place} * shares / part.places;
    part.share = kNone;
    if (part.places == 1 || part.places < threads || is_full(share, part)) continue;
    part.share = static_cast<std::uint32_t>(share);
    load_of_share_[share] += part.bytes;
  }
  // The others fill up the shares one after the other: what lies together stays together.
  std::size_t share = 0;
  for (Part& part : parts_) {
    if (part.share != kNone) continue;
    while (share + 1 < shares && is_full(share, part)) ++share;
    part.share = static_cast<std::uint32_t>(share);
    load_of_share_[share] += part.bytes;
  }
  std::sort(parts_.begin(), parts_.end(),
            [](const Part& a, const Part& b) { return std::tuple(a.share, a.tensor, a.place) < std::tuple(b.share, b.tensor, b.place); });
  first_of_share_.assign(shares + 1, parts_.size());
  for (std::size_t p = parts_.size(); p-- > 0;) first_of_share_[parts_[p].share] = p;
  for (std::size_t s = shares; s-- > 0;) first_of_share_[s] = std::min(first_of_share_[s], first_of_share_[s + 1]);  // an empty one
}

}  // namespace vigil
