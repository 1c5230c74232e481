// A sampled frame by layer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vigil/monitor/snapshot.h"

namespace vigil::tools {

/// The tensors of one module together. A norm is NaN when an element is, else +Inf when one is infinite; empty where there is none.
struct LayerFigures {
  std::string layer;  ///< printable; "(root)" of tensors that belong to no layer
  std::optional<double> gradient_norm, parameter_norm, update_ratio;
  std::uint64_t parameters = 0;         ///< elements
  std::uint64_t nan = 0, infinite = 0;  ///< elements of all its tensors, but for infinities that are meant (RowSchema::infinite)

  bool has_nonfinite() const noexcept { return nan + infinite > 0; }
};

enum class LayerOrder : unsigned char { gradient_norm, update_ratio, parameter_norm, nonfinite, name };
inline constexpr std::size_t kLayerOrders = 5;

/// Of the latest frame, in the model's order. `snapshot.schema` is not null.
std::vector<LayerFigures> layers_of(const Snapshot& snapshot);

/// The largest first, what is not finite before all others, what there is none of at the end; by name in the alphabet's order. Equal ones
/// stay in the model's order.
void sort_layers(std::vector<LayerFigures>& layers, LayerOrder order);

/// Elements that are not finite and are not meant to be so.
std::uint64_t unmeant_infinite(const RowSchema& schema, const TensorRow& row) noexcept;

/// Whether `left` comes before `right` where large values and those that are not finite come first; empty ones come last.
bool is_larger(const std::optional<double>& left, const std::optional<double>& right) noexcept;

}  // namespace vigil::tools
