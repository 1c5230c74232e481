// From an ATen tensor to the numbers of monitor/. CPU memory is read in place, whatever its strides, without allocation; other devices
// are reduced where they are and brought over in one transfer.
#pragma once

#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// The element type that statistics exist for; empty for integers, booleans, complex and quantised tensors.
std::optional<DType> dtype_of(at::ScalarType type) noexcept;

/// Whether the memory can be read in place: a strided CPU tensor of a known type.
bool is_in_place(const at::Tensor& tensor);

/// Moments of an in-place tensor. Strides are followed (also stride 0 and transposed tensors), each logical element once.
Moments reduce_in_place(const at::Tensor& tensor);
FiniteNorm norm_in_place(const at::Tensor& tensor);

/// Moments of tensors that cannot be read in place: sparse ones (coalesced; what they do not store counts as zeros), lazily negated ones,
/// and those of other devices, which ATen reduces where they are, in float64 where the device has it, and which come over in one
/// transfer per device. Allocates.
std::vector<Moments> reduce_elsewhere(const std::vector<at::Tensor>& tensors);

/// The part of it for other devices; `tensors` are strided. Works on the CPU too, which is how it is tested.
std::vector<Moments> reduce_on_device(const std::vector<at::Tensor>& tensors);

}  // namespace vigil
