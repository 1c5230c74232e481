// How far parameters have come, whether their gradients agree, and what the optimizer keeps of them: the measures that take a copy, or read
// as much memory again, and are therefore asked for by name.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "vigil/hooks/optimizer_state.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/records.h"

namespace vigil {

/// Training thread only. Memory is allocated at construction only, but for state that ATen has to reduce (other devices).
class ProgressMeasures {
 public:
  /// Of the parameters that `schema` says are measured so; copies them as they are now. `parts`' optimizers outlive this.
  /// @throws std::bad_alloc
  ProgressMeasures(const Schema& schema, const WatchedModel& model, const std::vector<PartTensors>& parts);

  /// Fills distance and state norms of the rows. The state is that before the step that is to come. @throws what ATen throws
  void measure_weights(std::vector<TensorRow>& rows);
  /// Fills the cosines of part `part`, between the gradients now and those at the last call; then keeps these.
  void measure_gradients(std::size_t part, std::vector<TensorRow>& rows) noexcept;

 private:
  struct Measured {
    at::Tensor parameter;
    std::size_t part = 0;
    int row = WatchedTensor::kNoRow, gradient_row = WatchedTensor::kNoRow;
    std::vector<unsigned char> initial;   // of the parameter; empty: no distance
    std::vector<unsigned char> gradient;  // the one before; empty: no cosine
    bool has_gradient = false;            // that it holds one
    std::optional<OptimizerState> state;
  };
  static void measure_distance(Measured& measured, TensorRow& row) noexcept;
  static void measure_state(const OptimizerState& state, TensorRow& row);
  static void measure_cosine(Measured& measured, TensorRow& row) noexcept;

  std::vector<Measured> measured_;
};

}  // namespace vigil
