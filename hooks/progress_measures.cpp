#include "vigil/hooks/progress_measures.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <ATen/Parallel.h>

#include "vigil/hooks/tensor_reduction.h"
#include "vigil/monitor/dot_product.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

// As the guard has it: NaN or infinite when an element is.
double norm_of(const at::Tensor& tensor) {
  if (const auto memory = dense_memory(tensor)) return compute_finite_norm(memory->dtype, memory->data, memory->count).l2_norm;
  return finite_norm_of(is_in_place(tensor) ? reduce_in_place(tensor) : reduce_elsewhere({tensor}).front()).l2_norm;
}

}  // namespace

ProgressMeasures::ProgressMeasures(const Schema& schema, const WatchedModel& model, const std::vector<PartTensors>& parts) {
  const auto row_of = [&schema](int index) {
    return index == WatchedTensor::kNoRow ? RowSchema() : schema.rows[static_cast<std::size_t>(index)];
  };
  for (const WatchedTensor& watched : model.parameters) {
    const RowSchema row = row_of(watched.row), gradient_row = row_of(watched.gradient_row);
    if (!row.has_distance && !gradient_row.has_cosine && row.optimizer_state.empty()) continue;
    Measured& measured = measured_.emplace_back();
    measured.parameter = watched.tensor;
    measured.part = watched.part;
    measured.row = watched.row;
    measured.gradient_row = watched.gradient_row;
    const auto memory = dense_memory(watched.tensor);
    if (memory && row.has_distance) {
      const auto* const data = static_cast<const unsigned char*>(memory->data);
      measured.initial.assign(data, data + memory->count * element_size(memory->dtype));
    }
    if (memory && gradient_row.has_cosine) measured.gradient.resize(memory->count * element_size(memory->dtype));
    if (!row.optimizer_state.empty()) measured.state.emplace(*parts[watched.part].optimizer, watched.tensor);
  }
}

void ProgressMeasures::measure_distance(Measured& measured, TensorRow& row) noexcept {
  row.distance = TensorRow::kNotMeasured;
  const auto memory = dense_memory(measured.parameter);
  if (!memory || measured.initial.empty() || memory->count * element_size(memory->dtype) != measured.initial.size()) return;
  row.distance = compute_moments_and_update(memory->dtype, memory->data, measured.initial.data(), memory->count, false).update_norm;
}

void ProgressMeasures::measure_state(const OptimizerState& state, TensorRow& row) {
  row.states = 0;
  const OptimizerState::Tensors tensors = state.read();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i] == nullptr || !dtype_of(tensors[i]->scalar_type())) continue;
    row.state_norms[i] = norm_of(*tensors[i]);
    row.states |= std::uint64_t{1} << i;
  }
}

void ProgressMeasures::measure_weights(std::vector<TensorRow>& rows) {
  // Each on one thread, the tensors side by side.
  at::parallel_for(0, static_cast<std::int64_t>(measured_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Measured& measured = measured_[static_cast<std::size_t>(i)];
      if (measured.row == WatchedTensor::kNoRow) continue;
      TensorRow& row = rows[static_cast<std::size_t>(measured.row)];
      measure_distance(measured, row);
      if (measured.state) measure_state(*measured.state, row);
    }
  });
}

void ProgressMeasures::measure_cosine(Measured& measured, TensorRow& row) noexcept {
  row.cosine = TensorRow::kNotMeasured;
  const at::Tensor& gradient = measured.parameter.grad();
  const auto memory = gradient.defined() ? dense_memory(gradient) : std::nullopt;
  const bool fits = memory && memory->count * element_size(memory->dtype) == measured.gradient.size() &&
                    gradient.scalar_type() == measured.parameter.scalar_type() && gradient.strides() == measured.parameter.strides();
  if (!fits) {
    measured.has_gradient = false;
    return;
  }
  if (measured.has_gradient) {
    const DotProduct product = compute_dot_product(memory->dtype, memory->data, measured.gradient.data(), memory->count);
    const double cosine = product.dot / (std::sqrt(product.squares_of_x) * std::sqrt(product.squares_of_y));
    // Rounding may take it past the ends; a gradient that is zero or not finite has no direction.
    if (is_finite_bits(cosine)) row.cosine = std::fmax(-1.0, std::fmin(1.0, cosine));
  }
  std::memcpy(measured.gradient.data(), memory->data, measured.gradient.size());
  measured.has_gradient = true;
}

void ProgressMeasures::measure_gradients(std::size_t part, std::vector<TensorRow>& rows) noexcept {
  at::parallel_for(0, static_cast<std::int64_t>(measured_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Measured& measured = measured_[static_cast<std::size_t>(i)];
      if (measured.part != part || measured.gradient.empty()) continue;
      measure_cosine(measured, rows[static_cast<std::size_t>(measured.gradient_row)]);
    }
  });
}

}  // namespace vigil
