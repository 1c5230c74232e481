#include "vigil/hooks/tensor_pass.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <ATen/Parallel.h>

#include "vigil/monitor/reduction.h"

// Without it at::parallel_for, a template, is a plain loop, and says nothing.
#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "compile with OpenMP: CMake finds it with find_package(OpenMP)"
#endif

namespace vigil {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
// Parts whose beginning is asked for while one is reduced: small tensors lie anywhere, and no prefetcher knows where.
constexpr std::ptrdiff_t kPartsAhead = 4;
constexpr std::size_t kBeginning = 512, kPage = 4096;

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

void TensorPass::share_out() {
  if (part_bytes_ == 0) {
    std::size_t bytes_in_all = 0;
    for (const Slot& slot : slots_) bytes_in_all += slot.is_set ? bytes_of(slot.memory) : 0;
    part_bytes_ = std::clamp(bytes_in_all / 64, kLeastPartBytes, kMostPartBytes);
  }
  work_.clear();
  std::size_t figures = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.is_set) continue;
    slot.first_figures = figures;
    slot.parts = work_.add(static_cast<std::uint32_t>(i), slot.memory.count, element_size(slot.memory.dtype), part_bytes_);
    if (slot.parts > 1) figures += slot.parts;
  }
  figures_.resize(figures);
  const int threads = at::get_num_threads();
  work_.share_out(static_cast<std::size_t>(threads));
  shared_for_ = threads;  // last: an allocation may have failed
}

void TensorPass::do_part(const WorkShares::Part& part, Work work) noexcept {
  Slot& slot = slots_[part.tensor];
  Figures* const figures = part.places == 1 ? nullptr : &figures_[slot.first_figures + part.place];  // nullptr: they are the slot's
  const DType dtype = slot.memory.dtype;
  const std::size_t offset = part.begin * element_size(dtype);
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
    if (histogram != nullptr) *histogram = MagnitudeHistogram{};
    if (slot.compares) {
      const MomentsAndUpdate both = compute_moments_and_update(dtype, data, previous, part.count, slot.keeps, histogram);
      moments = both.moments;
      update_norm = both.update_norm;
      return;
    }
    moments = compute_moments(dtype, data, part.count, histogram);
  }
  if (slot.keeps && part.bytes > 0) std::memcpy(previous, data, part.bytes);
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
  at::parallel_for(0, static_cast<std::int64_t>(work_.size()), 1, [this, work](std::int64_t begin, std::int64_t end) {
    threads_.fetch_add(1, std::memory_order_relaxed);
    const auto prefetch_part = [this](const WorkShares::Part& part, std::size_t most) {
      const DenseMemory& memory = slots_[part.tensor].memory;
      prefetch(static_cast<const unsigned char*>(memory.data) + part.begin * element_size(memory.dtype), std::min(part.bytes, most));
    };
    const WorkShares::Range parts = work_.parts(static_cast<std::size_t>(begin), static_cast<std::size_t>(end));
    for (const WorkShares::Part* part = parts.begin(); part != parts.end(); ++part) {
      if (parts.end() - part > kPartsAhead) prefetch_part(part[kPartsAhead], kBeginning);
      // All lines of the first page at once; from the second on the kernels do it.
      prefetch_part(*part, kPage);
      do_part(*part, work);
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
