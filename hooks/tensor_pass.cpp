#include "vigil/hooks/tensor_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include <ATen/Parallel.h>

#include "vigil/monitor/kernel_table.h"
#include "vigil/monitor/reduction.h"

// Without it at::parallel_for, a template, is a plain loop, and says nothing.
#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "compile with OpenMP: CMake finds it with find_package(OpenMP)"
#endif

namespace vigil {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
// Parts whose beginning is asked for while one is reduced: small tensors lie anywhere, and no prefetcher knows where.
constexpr std::size_t kPartsAhead = 4;
constexpr std::size_t kBeginning = 512, kPage = 4096;

constexpr std::size_t divide_up(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
constexpr std::size_t round_up(std::size_t a, std::size_t unit) { return divide_up(a, unit) * unit; }

std::size_t bytes_of(const DenseMemory& memory) noexcept { return memory.count * element_size(memory.dtype); }

void prefetch(const unsigned char* data, std::size_t bytes) noexcept {
  for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(data + line);
}

}  // namespace

TensorPass::TensorPass(std::size_t slots) : slots_(slots) {}

void TensorPass::keep_previous(std::size_t i, std::size_t bytes) { slots_[i].previous.resize(bytes); }

bool TensorPass::set(std::size_t i, const std::optional<DenseMemory>& memory) noexcept {
  Slot& slot = slots_[i];
  if (!memory) {
    clear(i);
    return false;
  }
  if (!slot.is_set || slot.memory.count != memory->count || slot.memory.dtype != memory->dtype) {
    shared_for_ = 0;
    slot.has_previous = false;
  }
  slot.is_set = true;
  slot.memory = *memory;
  return true;
}

void TensorPass::clear(std::size_t i) noexcept {
  Slot& slot = slots_[i];
  if (!slot.is_set) return;
  shared_for_ = 0;
  slot.is_set = slot.has_previous = false;
}

void TensorPass::split() {
  parts_.clear();
  if (part_bytes_ == 0) {
    std::size_t bytes_in_all = 0;
    for (const Slot& slot : slots_) bytes_in_all += slot.is_set ? bytes_of(slot.memory) : 0;
    part_bytes_ = std::clamp(bytes_in_all / 64, kLeastPartBytes, kMostPartBytes);
  }
  std::size_t figures = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.is_set) continue;
    const std::size_t count = slot.memory.count, bytes = bytes_of(slot.memory);
    std::size_t step = std::max<std::size_t>(count, 1);
    if (bytes > part_bytes_) {
      const std::size_t parts = round_up(divide_up(bytes, part_bytes_), 2);
      step = round_up(divide_up(count, parts), kBlock);  // whole blocks, but for the end
    }
    slot.parts = divide_up(std::max<std::size_t>(count, 1), step);
    slot.first_figures = figures;
    for (std::size_t p = 0; p < slot.parts; ++p) {
      const std::uint32_t waits_at = slot.parts == 1 ? Part::kWhole : static_cast<std::uint32_t>(figures++);
      parts_.push_back({static_cast<std::uint32_t>(i), waits_at, 0, p * step, std::min(step, count - p * step)});
    }
  }
  figures_.resize(figures);
}

void TensorPass::share_out() {
  split();
  const auto threads = static_cast<std::size_t>(at::get_num_threads());
  const auto bytes_of_part = [this](const Part& part) { return part.count * element_size(slots_[part.slot].memory.dtype); };
  const auto has_place = [this, threads](const Part& part) { return slots_[part.slot].parts >= threads && slots_[part.slot].parts > 1; };
  std::size_t bytes_in_all = 0;
  for (const Part& part : parts_) bytes_in_all += bytes_of_part(part);
  const std::size_t shares = std::clamp<std::size_t>(bytes_in_all / kLeastPartBytes, 1, threads), fair = bytes_in_all / shares;

  // Parts of a large tensor go by their place in it, as at::parallel_for would share out the elements.
  loads_.assign(shares, 0);
  for (Part& part : parts_) {
    if (!has_place(part)) continue;
    const Slot& slot = slots_[part.slot];
    part.share = static_cast<std::uint32_t>((part.figures - slot.first_figures) * shares / slot.parts);
    loads_[part.share] += bytes_of_part(part);
  }
  // The others fill up the shares one after the other: what lies together stays together.
  std::size_t share = 0;
  for (Part& part : parts_) {
    if (has_place(part)) continue;
    const std::size_t bytes = bytes_of_part(part);
    while (share + 1 < shares && loads_[share] + bytes / 2 >= fair) ++share;
    part.share = static_cast<std::uint32_t>(share);
    loads_[share] += bytes;
  }
  std::sort(parts_.begin(), parts_.end(),
            [](const Part& a, const Part& b) { return std::tuple(a.share, a.slot, a.begin) < std::tuple(b.share, b.slot, b.begin); });
  shares_.assign(shares + 1, parts_.size());
  for (std::size_t p = parts_.size(); p-- > 0;) shares_[parts_[p].share] = p;
  for (std::size_t s = shares; s-- > 0;) shares_[s] = std::min(shares_[s], shares_[s + 1]);  // an empty one
  shared_for_ = static_cast<int>(threads);  // last: an allocation may have failed
}

void TensorPass::do_part(const Part& part, Work work) noexcept {
  Slot& slot = slots_[part.slot];
  Figures* const figures = part.figures == Part::kWhole ? nullptr : &figures_[part.figures];
  const DType dtype = slot.memory.dtype;
  const std::size_t offset = part.begin * element_size(dtype), bytes = part.count * element_size(dtype);
  const auto* const data = static_cast<const unsigned char*>(slot.memory.data) + offset;
  unsigned char* const previous = slot.previous.empty() ? nullptr : slot.previous.data() + offset;
  if (work == Work::norms) {
    (figures == nullptr ? slot.norm : figures->norm) = compute_finite_norm(dtype, data, part.count);
    return;
  }
  if (work != Work::keep) {
    Moments& moments = figures == nullptr ? slot.moments : figures->moments;
    double& update_norm = figures == nullptr ? slot.update_norm : figures->update_norm;
    MagnitudeHistogram* const histogram = slot.histogram == nullptr || figures == nullptr ? slot.histogram : &figures->histogram;
    if (slot.compares) {
      const MomentsAndUpdate both = compute_moments_and_update(dtype, data, previous, part.count, slot.keeps);
      moments = both.moments;
      update_norm = both.update_norm;
    }
    if (histogram != nullptr) *histogram = MagnitudeHistogram{};
    // After a comparison only for the histogram, from the second-level cache.
    if (!slot.compares || histogram != nullptr) moments = compute_moments(dtype, data, part.count, histogram);
    if (slot.compares) return;
  }
  if (slot.keeps && bytes > 0) std::memcpy(previous, data, bytes);
}

void TensorPass::merge_parts(Slot& slot, Work work) noexcept {
  const Figures* const parts = figures_.data() + slot.first_figures;
  if (work == Work::norms) {
    slot.norm = parts[0].norm;
    for (std::size_t p = 1; p < slot.parts; ++p) merge(slot.norm, parts[p].norm);
    return;
  }
  slot.moments = parts[0].moments;
  slot.update_norm = parts[0].update_norm;
  if (slot.histogram != nullptr) *slot.histogram = parts[0].histogram;
  for (std::size_t p = 1; p < slot.parts; ++p) {
    merge(slot.moments, parts[p].moments);
    slot.update_norm = std::hypot(slot.update_norm, parts[p].update_norm);
    if (slot.histogram != nullptr) merge(*slot.histogram, parts[p].histogram);
  }
}

void TensorPass::do_all(Work work) {
  for (Slot& slot : slots_) {
    slot.compares = slot.has_previous && (work == Work::moments || work == Work::moments_and_keep);
    slot.keeps = (work == Work::keep || work == Work::moments_and_keep) && !slot.previous.empty() && slot.is_set &&
                 slot.previous.size() == bytes_of(slot.memory);
    // A copy serves one pass, also one that comes to nothing.
    slot.has_previous = slot.has_previous && work == Work::norms;
  }
  if (shared_for_ != at::get_num_threads()) share_out();
  // relaxed: parallel_for joins its threads.
  threads_.store(0, std::memory_order_relaxed);
  at::parallel_for(0, static_cast<std::int64_t>(shares_.size()) - 1, 1, [this, work](std::int64_t begin, std::int64_t end) {
    threads_.fetch_add(1, std::memory_order_relaxed);
    const std::size_t last = shares_[static_cast<std::size_t>(end)];
    const auto prefetch_part = [this](const Part& part, std::size_t most) {
      const DenseMemory& memory = slots_[part.slot].memory;
      const std::size_t size = element_size(memory.dtype);
      prefetch(static_cast<const unsigned char*>(memory.data) + part.begin * size, std::min(part.count * size, most));
    };
    for (std::size_t p = shares_[static_cast<std::size_t>(begin)]; p < last; ++p) {
      if (p + kPartsAhead < last) prefetch_part(parts_[p + kPartsAhead], kBeginning);
      // All lines of the first page at once; from the second on the kernels do it.
      prefetch_part(parts_[p], kPage);
      do_part(parts_[p], work);
    }
  });
  for (Slot& slot : slots_) {
    if (slot.is_set && slot.parts > 1 && work != Work::keep) merge_parts(slot, work);
    if (work == Work::norms) continue;  // the copies are as they were
    if (!slot.compares && work != Work::keep) slot.update_norm = kNone;
    slot.has_previous = slot.keeps;
  }
}

void TensorPass::prepare() {
  share_out();
  for (std::size_t i = 0; i < slots_.size(); ++i) clear(i);
}

void TensorPass::run(Mode mode, bool keep) { do_all(mode == Mode::norms ? Work::norms : keep ? Work::moments_and_keep : Work::moments); }

void TensorPass::keep() { do_all(Work::keep); }

}  // namespace vigil
