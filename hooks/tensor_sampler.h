// Looks at the tensors of the watched models: gradients on every guarded step, weights and buffers on the sampled ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/hooks/hook_boundary.h"
#include "vigil/hooks/norm_sum.h"
#include "vigil/hooks/tensor_pass.h"
#include "vigil/hooks/watched_model.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/records.h"

namespace vigil {

/// The rows of a frame, and how they are filled. Training thread only; nothing throws. Memory is allocated at construction only, but for
/// tensors that ATen has to reduce (sparse gradients, other devices), when the number of libtorch's threads or the size of a gradient has
/// changed, and for parameters that come later.
class TensorSampler {
 public:
  /// `schema` is that of the channel, made from `model.schema`; it and `boundary` outlive this. @throws std::bad_alloc
  TensorSampler(const Schema& schema, WatchedModel model, HookBoundary& boundary);

  const WatchedModel& model() const noexcept { return model_; }
  std::vector<TensorRow>& rows() noexcept { return rows_; }
  const std::vector<MagnitudeHistogram>& histograms() const noexcept { return histograms_; }

  /// Guards these, too, from now on, without rows of their own: parameters that part `part`'s optimizer got after watch(). Allocates.
  /// @throws std::bad_alloc
  void add_late(std::size_t part, const std::vector<at::Tensor>& parameters);

  /// What reduce_gradients() saw of the gradients of one part.
  struct Gradients {
    NormSum norm;
    bool has_norm = false;  ///< every gradient was looked at, so that it is the norm of all
    bool looked = false;    ///< every gradient was looked at, but for those given up
    bool all_finite = true;
    NonfiniteCounts nonfinite;
  };
  /// With `sampled` also fills the rows. Which parameters' were not finite: is_nonfinite().
  Gradients reduce_gradients(std::size_t part, bool sampled) noexcept;
  /// Of the latest reduce_gradients() of its part; by the index of model().parameters.
  bool is_nonfinite(std::size_t parameter) const noexcept { return gradient_nonfinite_[parameter] != 0; }

  struct Weights {
    NormSum norm;
    bool complete = false;  ///< every one was read
    NonfiniteCounts nonfinite;
  };
  /// Fill the rows of parameters and buffers; with `keep` keeps the weights that have their updates measured for the next step.
  Weights reduce_parameters(bool keep) noexcept;
  Weights reduce_buffers() noexcept;

  /// Whether any parameter's update is measured.
  bool has_updates() const noexcept { return has_updates_; }
  /// Keeps the weights of this step, which the next one, a sampled one, is to be compared with.
  void keep_weights() noexcept;
  /// The weights have been replaced: what was kept is not to be compared with.
  void forget_weights() noexcept;
  /// Before a frame: gradients that no turn fills are absent from it.
  void clear_gradient_rows() noexcept;

 private:
  struct Part {
    std::vector<std::size_t> parameters;    // indices into model_.parameters, by slot of the pass
    std::unique_ptr<TensorPass> gradients;  // made anew when parameters come later
  };

  void prepare(Part& part);
  static Moments reduce_strided(const at::Tensor& tensor, MagnitudeHistogram* histogram);
  Weights reduce_weights(Hook hook, std::vector<WatchedTensor>& tensors, std::size_t count, TensorPass& pass, bool keep) noexcept;
  bool run_pass(Hook hook, TensorPass& pass, TensorPass::Mode mode, bool keep = false) noexcept;
  void put_elsewhere(std::size_t index, const at::Tensor& tensor, MagnitudeHistogram* histogram);
  /// Reduces `elsewhere_`, all at once or, when that fails, one by one; `account` takes index and moments. False when one failed.
  template <class Account>
  bool reduce_elsewhere_each(Hook hook, std::vector<WatchedTensor>& tensors, int WatchedTensor::*failures, Account account) noexcept;

  TensorRow* row_at(int index) noexcept { return index == WatchedTensor::kNoRow ? nullptr : &rows_[static_cast<std::size_t>(index)]; }
  MagnitudeHistogram* histogram_at(int row) noexcept;

  const Schema& schema_;
  WatchedModel model_;
  HookBoundary& boundary_;
  const std::size_t watched_;  // of model_.parameters; those behind came later
  std::vector<TensorRow> rows_;
  std::vector<MagnitudeHistogram> histograms_;
  std::vector<Part> parts_;
  TensorPass parameters_, buffers_;  // by the index of their tensors
  bool has_updates_ = false;
  std::vector<std::uint8_t> gradient_nonfinite_;  // by parameter

  // Empty between two passes.
  std::vector<at::Tensor> elsewhere_;                      // tensors that cannot be read in place,
  std::vector<std::size_t> elsewhere_indices_;             // whose they are,
  std::vector<MagnitudeHistogram*> elsewhere_histograms_;  // and where their magnitudes are counted
};

}  // namespace vigil
