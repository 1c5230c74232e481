// The integer grids that tensors are quantised to, and what that loses.
#pragma once

#include <cstdint>
#include <string>

#include <ATen/core/Tensor.h>

namespace vigil {

/// Which integers stand for real numbers: q = clamp(round(x / scale) + zero_point), x ≈ scale * (q - zero_point), ties to even.
struct QuantisationGrid {
  int bits = 8;              ///< 2 to 8; integers are kept as 8 bits in any case
  bool is_signed = true;     ///< qint8, -128 to 127 at 8 bits; else quint8, 0 to 255
  bool is_symmetric = true;  ///< zero in the middle: 0 where signed, 2^(bits-1) where not
  bool per_channel = false;  ///< a scale for each index of one dimension, else one for the tensor

  int least() const noexcept;
  int most() const noexcept;
};

/// For activations, as kernels take them: quint8, affine, per tensor.
inline constexpr QuantisationGrid kActivationGrid{8, false, false, false};

/// "int8 symmetric per channel", "uint4 affine per tensor".
std::string grid_text(const QuantisationGrid& grid);

struct QuantisationParameters {
  at::Tensor scale;        ///< float32 on the CPU, [1], or [channels]
  at::Tensor zero_point;   ///< int32 on the CPU, likewise
  std::int64_t axis = -1;  ///< the channels' dimension; -1: per tensor
  int least = -128;        ///< integers are clamped to least…most
  int most = 127;
  bool is_signed = true;
};

/// Of values between `least` and `most`, float32 tensors [1] or [channels], as torch.ao.quantization's observers compute it, in float32:
/// the range is widened to hold 0; symmetric scale = max(|least|, |most|) / ((qmax - qmin) / 2), affine scale = (most - least) / (qmax -
/// qmin), neither below 2^-23; affine zero point = clamp(qmin - round(least / scale)). `axis`, from the front, is what the result says of
/// itself when grid.per_channel. @throws std::invalid_argument for bits outside 2…8, for a negative axis when grid.per_channel, and for a
/// range that is not finite or reversed, or so wide that its scale is not finite
QuantisationParameters parameters_for_range(const at::Tensor& least, const at::Tensor& most, const QuantisationGrid& grid,
                                            std::int64_t axis = 0);

/// Of the values' own minimum and maximum. An empty tensor or channel has the range 0…0.
/// @param values  floating point, any shape, finite; half and bfloat16 as float32, double rounded to it
/// @param axis    the channels' dimension when grid.per_channel, negative: from the end
/// @throws std::invalid_argument as parameters_for_range(), for NaN and Inf (counted), and for no such dimension
QuantisationParameters parameters_for(const at::Tensor& values, const QuantisationGrid& grid, std::int64_t axis = 0);

/// A qint8 or quint8 tensor of the shape of `values`, on the CPU, as at::quantize_per_tensor or at::quantize_per_channel makes it, clamped
/// to parameters.least…most. @throws std::invalid_argument for NaN and Inf (counted) and for channels that do not fit
at::Tensor quantised(const at::Tensor& values, const QuantisationParameters& parameters);

/// dequantize(quantize(values)), of the type and on the device of `values`, with the straight-through gradient: 1 where the integer is
/// within least…most, 0 where it was clamped. NaN and Inf stay what they are. Floating point, any shape.
/// @throws std::invalid_argument for channels that do not fit
at::Tensor fake_quantise(const at::Tensor& values, const QuantisationParameters& parameters);

/// Signal to quantisation noise ratio in dB, 10·log10(signal / noise), of Σx² and Σ(x − q)²; +Inf only when `largest_error` is 0. Where
/// errors are so small that their squares are 0, the noise is taken as the largest one's; 0 dB where those of the signal are, too.
double sqnr_db(double signal, double noise, double largest_error) noexcept;

/// What a grid loses of a tensor, summed in double.
struct QuantisationError {
  std::uint64_t count = 0;    ///< values
  double signal = 0;          ///< Σx²
  double noise = 0;           ///< Σ(x − q(x))²
  double largest_error = 0;   ///< max |x − q(x)|
  std::uint64_t clipped = 0;  ///< values whose integer was clamped to the grid
  std::uint64_t zeroed = 0;   ///< values that are not 0 and became 0

  double sqnr_db() const noexcept { return vigil::sqnr_db(signal, noise, largest_error); }
};

/// What quantised() and dequantising to float32 lose; of double values with what float32 loses. @throws as quantised()
QuantisationError quantisation_error(const at::Tensor& values, const QuantisationParameters& parameters);

/// @throws std::invalid_argument "fc1.weight holds 2 NaN and 1 Inf of 120 values: …" when `values` are not all finite
void require_finite(const at::Tensor& values, const std::string& name);

}  // namespace vigil
