// Which per-tensor series a run exports: all of them, or, over the bound, the largest tensors and one sum per layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/exporters/labels.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// The selection under `exporters.prometheus.max_series` and `per_parameter`. It follows from the schema alone, so a series
/// never comes and goes with the values; the same schema always gives the same plan.
class SeriesPlan {
 public:
  /// One tensor, or the folded rest of a layer: as many series as there are statistics, and for some tensors those of kTensorMetrics.
  struct Entry {
    TensorKind kind = TensorKind::parameter;
    bool is_folded = false;         ///< the rest of a layer, be it of one tensor
    std::vector<std::size_t> rows;  ///< indices of Schema::rows; one of a tensor that stands by itself
    Labels labels;                  ///< run, rank, parameter, layer
    bool has_update = false;        ///< has update norm and ratio
    bool has_distance = false, has_cosine = false;
    std::size_t moments = 0;                     ///< of the optimizer's state, of which it has the norms
    std::int32_t precision = RowSchema::kNone;   ///< has what formats lose by this one of a frame's histograms
    std::int32_t histogram = RowSchema::kNone;   ///< has the magnitudes of this one of a frame's histograms
    std::size_t text_begin = 0, text_bytes = 0;  ///< where SeriesPlan::text_of is found
  };

  /// Over the bound, tensors are kept in descending order of element count (equal ones by name, then by kind, so that a weight
  /// and its gradient stay together) as long as there is room for one entry per layer and kind for all the others, which are
  /// folded into those. If there is not even room for one entry per layer and kind, the largest of these are kept and the rest
  /// is left out. What room is left goes to tensors that stay by themselves, in the same order: first to update norms and
  /// ratios, then to distances, cosines, the optimizer's moments, what formats lose (with `precision`) and magnitudes; and after that to
  /// activations, in the order in which layers are first seen.
  SeriesPlan(const Schema& schema, const PrometheusConfig& config);

  /// By kind; tensors in the schema's order, then folded layers in the order of their first tensor.
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  /// `{labels} ` of an entry of this plan, as it stands between name and value in every one of its series. Lies in one piece of memory
  /// with those of its neighbours, since an exposition goes through all of them once per metric.
  std::string_view text_of(const Entry& entry) const noexcept {
    return std::string_view(texts_).substr(entry.text_begin, entry.text_bytes);
  }
  /// Per-tensor series that the bound keeps out of the exposition: those of folded and of left-out tensors, and what there was no
  /// room for beside the statistics. 0 when this rank exports none anyhow.
  std::uint64_t dropped_series() const noexcept { return dropped_series_; }
  /// False where this rank exports no per-tensor series at all.
  bool exports_tensors() const noexcept { return exports_tensors_; }
  /// Whether what formats lose is exported, where it is known.
  bool has_precision() const noexcept { return has_precision_; }
  /// Layers that have series of their activations.
  std::size_t activation_layers() const noexcept { return activation_layers_; }

 private:
  /// What is left of `room`.
  std::size_t add_tensor_metrics(const Schema& schema, std::size_t room);
  void write_texts();

  std::vector<Entry> entries_;
  std::string texts_;
  std::uint64_t dropped_series_ = 0;
  std::size_t activation_layers_ = 0;
  bool exports_tensors_ = false, has_precision_ = false;
};

/// Makes the plan of a schema once, and a new one when another schema comes. Any thread; the lock is held while a plan is made.
class SeriesPlanCache {
 public:
  explicit SeriesPlanCache(PrometheusConfig config) : config_(std::move(config)) {}

  std::shared_ptr<const SeriesPlan> plan_for(const std::shared_ptr<const Schema>& schema);

 private:
  const PrometheusConfig config_;
  std::mutex mutex_;
  std::shared_ptr<const Schema> schema_;  // held, so that its address cannot become another schema's
  std::shared_ptr<const SeriesPlan> plan_;
};

}  // namespace vigil
