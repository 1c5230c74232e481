#include "vigil/model/quantisation_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

void check_bits(const QuantisationGrid& grid) {
  if (grid.bits < 2 || grid.bits > 8) {
    throw std::invalid_argument("a grid of " + std::to_string(grid.bits) + " bits: give 2 to 8");
  }
}

std::int64_t channel_axis(const at::Tensor& values, std::int64_t axis) {
  const std::int64_t from_front = axis < 0 ? axis + values.dim() : axis;
  if (from_front < 0 || from_front >= values.dim()) {
    throw std::invalid_argument("no dimension " + std::to_string(axis) + " to quantise by in a tensor of " + std::to_string(values.dim()) +
                                " dimensions");
  }
  return from_front;
}

at::Tensor float_on_cpu(const at::Tensor& values) {
  if (!at::isFloatingType(values.scalar_type())) {
    throw std::invalid_argument(std::string("only floating point is quantised, not ") + c10::toString(values.scalar_type()));
  }
  return values.detach().to(at::kCPU, at::kFloat).contiguous();
}

void check_channels(const at::Tensor& floats, std::int64_t axis, const QuantisationParameters& parameters) {
  if (floats.size(axis) == parameters.scale.numel()) return;
  throw std::invalid_argument("a tensor of " + std::to_string(floats.size(axis)) + " channels, and scales for " +
                              std::to_string(parameters.scale.numel()));
}

// A step beyond the grid at most, where values are clamped all the same: libtorch's integers overflow before it clamps them.
at::Tensor near_grid(const at::Tensor& floats, const QuantisationParameters& parameters) {
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(floats.dim()), 1);
  if (parameters.axis >= 0) sizes[static_cast<std::size_t>(parameters.axis)] = parameters.scale.numel();
  const auto edge = [&](int integer) {
    return ((integer - parameters.zero_point).to(at::kFloat) * parameters.scale).reshape(sizes).to(floats.device());
  };
  return at::clamp(floats, edge(parameters.least - 1), edge(parameters.most + 1));
}

at::Tensor quantised_floats(const at::Tensor& given, const QuantisationParameters& parameters) {
  const std::int64_t axis = parameters.axis < 0 ? -1 : channel_axis(given, parameters.axis);
  if (axis >= 0) check_channels(given, axis, parameters);
  const at::Tensor floats = near_grid(given, parameters);
  const auto type = parameters.is_signed ? at::kQInt8 : at::kQUInt8;
  const bool is_whole = parameters.is_signed ? parameters.least == -128 && parameters.most == 127  //
                                             : parameters.least == 0 && parameters.most == 255;
  if (axis < 0) {
    const auto scale = static_cast<double>(parameters.scale.item<float>());
    const auto zero_point = parameters.zero_point.item<std::int64_t>();
    const at::Tensor all = at::quantize_per_tensor(floats, scale, zero_point, type);
    if (is_whole) return all;
    return at::_make_per_tensor_quantized_tensor(all.int_repr().clamp(parameters.least, parameters.most), scale, zero_point);
  }
  const at::Tensor scales = parameters.scale.to(at::kDouble), zero_points = parameters.zero_point.to(at::kLong);
  const at::Tensor all = at::quantize_per_channel(floats, scales, zero_points, axis, type);
  if (is_whole) return all;
  return at::_make_per_channel_quantized_tensor(all.int_repr().clamp(parameters.least, parameters.most), scales, zero_points, axis);
}

// Adds one run of values that have the same scale.
template <class Value, class Integer>
void add_error(QuantisationError& sum, const Value* values, const Integer* integers, std::int64_t count, float scale, int zero_point,
               int least, int most) {
  const float inverse = 1.0f / scale;
  const auto low = static_cast<float>(least - zero_point), high = static_cast<float>(most - zero_point);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<double>(values[i]);
    const auto q = static_cast<double>(static_cast<float>(static_cast<int>(integers[i]) - zero_point) * scale);
    const double error = x - q;
    sum.signal += x * x;
    sum.noise += error * error;
    sum.largest_error = std::max(sum.largest_error, std::abs(error));
    const float place = std::nearbyint(static_cast<float>(values[i]) * inverse);
    sum.clipped += static_cast<std::uint64_t>(place < low || place > high);
    sum.zeroed += static_cast<std::uint64_t>(x != 0 && q == 0);
  }
}

template <class Value, class Integer>
QuantisationError error_of(const at::Tensor& values, const at::Tensor& integers, const QuantisationParameters& parameters) {
  const auto* x = static_cast<const Value*>(read_pointer(values));
  const auto* q = static_cast<const Integer*>(read_pointer(integers));
  const auto* scales = static_cast<const float*>(read_pointer(parameters.scale));
  const auto* zero_points = static_cast<const std::int32_t*>(read_pointer(parameters.zero_point));
  std::int64_t channels = 1, run = values.numel();
  if (parameters.axis >= 0) {
    const std::int64_t axis = channel_axis(values, parameters.axis);
    channels = values.size(axis);
    run = 1;
    for (std::int64_t d = axis + 1; d < values.dim(); ++d) run *= values.size(d);
  }
  QuantisationError sum;
  sum.count = static_cast<std::uint64_t>(values.numel());
  for (std::int64_t begin = 0, channel = 0; begin < values.numel(); begin += run, channel = (channel + 1) % channels) {
    add_error(sum, x + begin, q + begin, run, scales[channel], zero_points[channel], parameters.least, parameters.most);
  }
  return sum;
}

}  // namespace

int QuantisationGrid::least() const noexcept { return is_signed ? -(1 << (bits - 1)) : 0; }
int QuantisationGrid::most() const noexcept { return (1 << (is_signed ? bits - 1 : bits)) - 1; }

std::string grid_text(const QuantisationGrid& grid) {
  return std::string(grid.is_signed ? "int" : "uint") + std::to_string(grid.bits) + (grid.is_symmetric ? " symmetric" : " affine") +
         (grid.per_channel ? " per channel" : " per tensor");
}

double sqnr_db(double signal, double noise, double largest_error) noexcept {
  if (largest_error == 0) return std::numeric_limits<double>::infinity();
  if (noise > 0) return 10 * std::log10(signal / noise);
  return signal > 0 ? 10 * std::log10(signal) - 20 * std::log10(largest_error) : 0;
}

void require_finite(const at::Tensor& values, const std::string& name) {
  const at::NoGradGuard no_grad;
  if (values.numel() == 0 || at::isfinite(values).all().item<bool>()) return;
  const auto nan = at::isnan(values).sum().item<std::int64_t>(), inf = at::isinf(values).sum().item<std::int64_t>();
  throw std::invalid_argument(name + " holds " + std::to_string(nan) + " NaN and " + std::to_string(inf) + " Inf of " +
                              std::to_string(values.numel()) + " values: what is not finite has no place on a grid of integers");
}

QuantisationParameters parameters_for_range(const at::Tensor& least, const at::Tensor& most, const QuantisationGrid& grid,
                                            std::int64_t axis) {
  check_bits(grid);
  if (grid.per_channel && axis < 0) {
    throw std::invalid_argument("dimension " + std::to_string(axis) + " of a range: give it from the front");
  }
  const at::NoGradGuard no_grad;
  const at::Tensor low_given = float_on_cpu(least).reshape({-1}), high_given = float_on_cpu(most).reshape({-1});
  if (low_given.numel() != high_given.numel() || (!grid.per_channel && low_given.numel() != 1)) {
    throw std::invalid_argument("a range of " + std::to_string(low_given.numel()) + " minima and " + std::to_string(high_given.numel()) +
                                " maxima");
  }
  require_finite(low_given, "the minimum");
  require_finite(high_given, "the maximum");
  if (low_given.gt(high_given).any().item<bool>()) throw std::invalid_argument("a minimum above its maximum");
  const at::Tensor low = at::clamp_max(low_given, 0), high = at::clamp_min(high_given, 0);
  QuantisationParameters parameters;
  parameters.axis = grid.per_channel ? axis : -1;
  parameters.least = grid.least();
  parameters.most = grid.most();
  parameters.is_signed = grid.is_signed;
  const double integers = parameters.most - parameters.least;
  constexpr double kLeastScale = std::numeric_limits<float>::epsilon();
  if (grid.is_symmetric) {
    parameters.scale = at::clamp_min(at::maximum(low.neg(), high) / (integers / 2), kLeastScale);
    const int middle = grid.is_signed ? 0 : (parameters.most + 1) / 2;
    parameters.zero_point = at::full({low.numel()}, middle, at::kInt);
  } else {
    parameters.scale = at::clamp_min((high - low) / integers, kLeastScale);
    parameters.zero_point = at::clamp(parameters.least - at::round(low / parameters.scale).to(at::kInt), parameters.least, parameters.most);
  }
  if (!at::isfinite(parameters.scale).all().item<bool>()) throw std::invalid_argument("a range so wide that its scale is not finite");
  return parameters;
}

QuantisationParameters parameters_for(const at::Tensor& values, const QuantisationGrid& grid, std::int64_t axis) {
  const at::NoGradGuard no_grad;
  const at::Tensor floats = float_on_cpu(values);
  require_finite(floats, "the tensor");
  if (!grid.per_channel) {
    if (floats.numel() == 0) return parameters_for_range(at::zeros({1}), at::zeros({1}), grid);
    return parameters_for_range(floats.min(), floats.max(), grid);
  }
  const std::int64_t channels_at = channel_axis(floats, axis), channels = floats.size(channels_at);
  if (floats.numel() == 0) return parameters_for_range(at::zeros({channels}), at::zeros({channels}), grid, channels_at);
  const at::Tensor rows = floats.movedim(channels_at, 0).reshape({channels, -1});
  return parameters_for_range(rows.amin({1}), rows.amax({1}), grid, channels_at);
}

at::Tensor quantised(const at::Tensor& values, const QuantisationParameters& parameters) {
  const at::NoGradGuard no_grad;
  const at::Tensor floats = float_on_cpu(values);
  require_finite(floats, "the tensor");
  return quantised_floats(floats, parameters);
}

at::Tensor fake_quantise(const at::Tensor& values, const QuantisationParameters& parameters) {
  if (parameters.axis >= 0) check_channels(values, channel_axis(values, parameters.axis), parameters);
  if (values.numel() == 0) return values;
  const at::Tensor given = values.to(at::kFloat), floats = near_grid(given, parameters);
  at::Tensor result;
  if (parameters.axis < 0) {
    result = at::fake_quantize_per_tensor_affine(floats, static_cast<double>(parameters.scale.item<float>()),
                                                 parameters.zero_point.item<std::int64_t>(), parameters.least, parameters.most);
  } else {
    result = at::fake_quantize_per_channel_affine(floats, parameters.scale.to(values.device()), parameters.zero_point.to(values.device()),
                                                  parameters.axis, parameters.least, parameters.most);
  }
  // libtorch's turns them into integers, whatever these are.
  const at::Tensor is_finite = at::isfinite(given.detach());
  if (!is_finite.all().item<bool>()) result = at::where(is_finite, result, given);
  return result.to(values.scalar_type());
}

QuantisationError quantisation_error(const at::Tensor& values, const QuantisationParameters& parameters) {
  const at::NoGradGuard no_grad;
  const at::Tensor integers = quantised(values, parameters).int_repr().contiguous();
  const bool is_double = values.scalar_type() == at::kDouble;
  const at::Tensor given = is_double ? values.detach().cpu().contiguous() : float_on_cpu(values);
  if (parameters.is_signed) {
    return is_double ? error_of<double, std::int8_t>(given, integers, parameters)
                     : error_of<float, std::int8_t>(given, integers, parameters);
  }
  return is_double ? error_of<double, std::uint8_t>(given, integers, parameters)
                   : error_of<float, std::uint8_t>(given, integers, parameters);
}

}  // namespace vigil
