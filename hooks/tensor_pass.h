// One pass over the memory of many tensors, on the threads that libtorch computes with.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vigil/hooks/tensor_reduction.h"
#include "vigil/hooks/work_shares.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// Reduces a list of tensors: the large ones in parts, the small ones whole, shared out among the threads of `at::parallel_for` as
/// WorkShares says. A tensor's figures depend on its memory and on the bytes of a part, which are settled once, but not on the number of
/// threads: parts are the same for any number, and merged in their order.
///
/// A slot stays set from pass to pass; setting it to memory of the same size and type as before costs a comparison, and the work is shared
/// out anew only when one of these has changed, or the number of threads. Allocates nothing for slots that are as they were at prepare(),
/// set or not, and as many threads.
class TensorPass {
 public:
  enum class Mode {
    norms,    ///< norm() of every slot: the guard's reduction
    moments,  ///< moments() of every slot, and its histogram where it has one
  };
  /// Most bytes of a part: a 64th of all tensors, within these bounds. Enough that a part's beginning does not count, few enough for an
  /// even share.
  static constexpr std::size_t kLeastPartBytes = WorkShares::kLeastShareBytes, kMostPartBytes = std::size_t{4} << 20;

  explicit TensorPass(std::size_t slots);

  /// Has passes with moments count the magnitudes of slot `i` into `*histogram`, which outlives this, from 0 each time. At set-up.
  void set_histogram(std::size_t i, MagnitudeHistogram* histogram) { slots_[i].histogram = histogram; }
  /// Keeps a copy of slot `i`, of `bytes` bytes, from now on: see update_norm(). At set-up. @throws std::bad_alloc
  void keep_previous(std::size_t i, std::size_t bytes);

  /// Settles the bytes of a part and allocates for the slots that are set now, which is what they are expected to be; then clears them
  /// all. At set-up. Without it the first pass does. @throws std::bad_alloc
  void prepare();

  /// The memory that slot `i` is to be reduced from; it must stay as it is until run() returns. Without one the slot is cleared, and the
  /// answer false.
  bool set(std::size_t i, const std::optional<DenseMemory>& memory) noexcept;
  /// Leaves slot `i` out until it is set again.
  void clear(std::size_t i) noexcept;
  bool is_set(std::size_t i) const noexcept { return slots_[i].is_set; }

  /// Reduces what is set. With `keep`, a pass with moments also copies the slots that keep_previous() named, for the pass after it.
  /// @throws std::bad_alloc when a slot has grown
  void run(Mode mode, bool keep = false);
  /// Copies these slots without reducing anything. The copies of those that are not set are forgotten.
  void keep();

  /// Of the latest pass with norms, for slots that were set.
  FiniteNorm norm(std::size_t i) const noexcept { return slots_[i].norm; }
  /// Of the latest pass with moments, likewise.
  const Moments& moments(std::size_t i) const noexcept { return slots_[i].moments; }
  /// The norm of what changed in slot `i` between the copy and the latest pass with moments; NaN when that pass found none. A copy serves
  /// one such pass.
  double update_norm(std::size_t i) const noexcept { return slots_[i].update_norm; }

  /// Threads that the latest pass ran on, the calling one among them.
  int threads() const noexcept { return threads_.load(std::memory_order_relaxed); }  // a lone count, read by the thread that ran the pass

 private:
  struct Slot {
    DenseMemory memory;
    bool is_set = false;
    bool has_previous = false;                 // that `previous` holds a copy of this size
    bool compares = false, keeps = false;      // in the pass under way
    std::size_t first_figures = 0, parts = 0;  // where those of its parts wait to be merged, if it has several
    MagnitudeHistogram* histogram = nullptr;
    std::vector<unsigned char> previous;
    FiniteNorm norm;
    Moments moments;
    double update_norm = 0;
  };
  struct Figures {
    FiniteNorm norm;
    Moments moments;
    double update_norm = 0;
    MagnitudeHistogram histogram;
  };
  enum class Work { norms, moments, moments_and_keep, keep };

  void share_out();
  void do_all(Work work);
  void do_part(const WorkShares::Part& part, Work work) noexcept;
  void merge_parts(Slot& slot, Work work) noexcept;

  std::vector<Slot> slots_;
  WorkShares work_;               // of the slots that were set
  std::vector<Figures> figures_;  // of the parts of split slots, in their order
  int shared_for_ = 0;            // threads; 0: work_ does not fit slots_
  std::size_t part_bytes_ = 0;    // 0: not settled yet
  std::atomic<int> threads_{0};
};

}  // namespace vigil
