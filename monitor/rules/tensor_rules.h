// Rules over tensor frames: parameters, gradients and activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vigil/monitor/rules/alert_book.h"
#include "vigil/monitor/rules/robust_window.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

class StepRules;

/// One thread. Allocates at construction only.
class TensorRules {
 public:
  TensorRules(const Schema& schema, AlertBook& book);

  /// Subjects of a rule over tensors: its rows, and one for the model. Of one over activations: its layers.
  static std::size_t subjects(const Schema& schema) { return schema.rows.size() + 1; }

  /// `steps` tells of the step before: what learns, what was skipped.
  void on_frame(const Frame& frame, const StepRules& steps) noexcept;

  std::uint64_t frame_step() const noexcept { return frame_step_; }
  /// The first parameter or buffer of the latest frame that is not finite; null: none.
  const RowSchema* nonfinite_row() const noexcept { return nonfinite_row_; }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  // Of a parameter that begins near zero (root mean square) the first updates are all that there is.
  static constexpr double kNearZero = 1e-4;
  static constexpr std::uint64_t kStepsFromZero = 300;
  // The sample at which a matrix that began at zero should have a gradient.
  static constexpr std::uint64_t kSamplesOfZero = 3;
  // What is known of a parameter's row.
  struct Parameter {
    std::size_t row = 0;
    std::size_t gradient_row = kNone;
    bool is_main = false;  // the largest of its layer: what a layer is judged by, as biases in front of normalisations have no gradient
    bool is_matrix = false;
    double first_norm = 0;         // of the first frame where it was not 0
    bool began_near_zero = false;  // a residual branch that is to begin as nothing, the scale of a layer
    Moments previous;
    std::uint64_t same_in_row = 0, absent_in_row = 0;
  };

  AlertSubject subject_of(std::size_t row) const noexcept;
  void judge_parameter(Parameter& parameter, const Frame& frame, bool learns, bool skipped) noexcept;
  void judge_gradient(Parameter& parameter, const Frame& frame) noexcept;
  void judge_update(const Parameter& parameter, const TensorRow& row, bool learns) noexcept;
  void judge_format(std::size_t row, const Moments& moments) noexcept;
  void judge_initialisation(const Parameter& parameter, const Frame& frame) noexcept;
  void judge_activations(const Frame& frame) noexcept;

  const Schema& schema_;
  AlertBook& book_;
  const bool is_continued_;  // its first sample is of a model that was trained
  std::vector<Parameter> parameters_;
  std::vector<std::uint64_t> dead_in_row_, saturated_in_row_;  // by layer with activations
  std::vector<std::string_view> layers_with_matrix_;           // sorted; gains and scales are small on purpose
  double largest_gradient_ = 0;                                // mean magnitude of that of a layer, in this frame
  SpikeDetector update_;
  std::vector<unsigned char> has_gradient_;  // by part, in this frame
  std::uint64_t without_in_row_ = 0;         // samples in which no parameter has a gradient
  std::uint64_t samples_ = 0, frame_step_ = 0, skipped_steps_ = 0;
  bool outputs_judged_ = false;
  const RowSchema* nonfinite_row_ = nullptr;
};

}  // namespace vigil
