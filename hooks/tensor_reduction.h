// From an ATen tensor to the numbers of monitor/. CPU memory is read in place, whatever its strides, without allocation; other devices
// are reduced where they are.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "vigil/monitor/dtype.h"
#include "vigil/monitor/magnitude_histogram.h"
#include "vigil/monitor/moments.h"

namespace vigil {

/// The element type that statistics exist for; empty for integers, booleans, complex and quantised tensors.
std::optional<DType> dtype_of(at::ScalarType type) noexcept;

/// Whether the memory can be read in place: a strided CPU tensor of a known type.
bool is_in_place(const at::Tensor& tensor);

/// Elements that lie together.
struct DenseMemory {
  const void* data = nullptr;
  std::size_t count = 0;
  DType dtype = DType::float32;
};

/// The memory of an in-place tensor whose elements lie together, in whatever order; empty for any other. Costs some nanoseconds.
std::optional<DenseMemory> dense_memory(const at::Tensor& tensor);

/// The value of a tensor with one element of a floating-point type, on any device (from another one it waits).
double read_scalar(const at::Tensor& tensor);

/// Moments of an in-place tensor. Strides are followed (also stride 0 and transposed tensors), each logical element once, also
/// into `histogram` unless it is null.
Moments reduce_in_place(const at::Tensor& tensor, MagnitudeHistogram* histogram = nullptr);

/// Moments of tensors that cannot be read in place: sparse ones (coalesced; what they do not store counts as zeros), lazily negated ones,
/// and those of other devices, which ATen reduces where they are, in float64 where the device has it, and which come over in one
/// transfer per device, and one more for the histograms. Adds the magnitudes of tensor i to `*histograms[i]` unless it is null;
/// `histograms` is as long as `tensors`, or empty for none. Allocates.
std::vector<Moments> reduce_elsewhere(const std::vector<at::Tensor>& tensors, const std::vector<MagnitudeHistogram*>& histograms = {});

/// The part of it for other devices; `tensors` are strided. Works on the CPU too, which is how it is tested.
std::vector<Moments> reduce_on_device(const std::vector<at::Tensor>& tensors, const std::vector<MagnitudeHistogram*>& histograms = {});

}  // namespace vigil
