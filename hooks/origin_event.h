// Puts what is known of the origin of non-finite values into words, and into the record that the exporters read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "vigil/hooks/step_replay.h"
#include "vigil/monitor/records.h"

namespace vigil {

/// The gradients of one backward pass, in the order of the model, which is taken for that of the forward pass.
struct SeenGradient {
  std::string_view name;
  bool exists = false;
  bool is_nonfinite = false;
};

/// What the gradients alone tell: between the nearest to the loss that is not finite and the next one that is, lies the faulty layer.
/// `loss_nonfinite`: the loss was not finite, and of the micro-batches `micro_batch`, from 1; 0 where it was that of the step. Allocates
/// nothing.
NonfiniteEvent bracket_event(std::uint64_t step, std::int64_t wall_time_ns, const std::vector<SeenGradient>& gradients, bool loss_nonfinite,
                             std::uint64_t micro_batch) noexcept;

/// Adds what a replay or a trace has found; `by_bracket` is of the same step. @throws std::bad_alloc
NonfiniteEvent explained_event(const NonfiniteEvent& by_bracket, const Explanation& result, FoundBy found_by);

}  // namespace vigil
