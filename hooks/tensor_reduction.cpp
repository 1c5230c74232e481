#include "vigil/hooks/tensor_reduction.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "vigil/monitor/reduction.h"
#include "vigil/operators/torch_version.h"

namespace vigil {
namespace {

constexpr std::size_t kGatherBytes = 16384, kLeastRunBytes = 1024;
constexpr int kMaxDims = 64;

// Calls `use(data, count)` with runs of elements that together are each logical element of `tensor` once. Runs that do not lie
// together in memory are gathered on the stack first.
template <class Use>
void for_each_run(const at::Tensor& tensor, std::size_t size, Use use) {
  const auto* data = static_cast<const unsigned char*>(read_pointer(tensor));
  const auto numel = static_cast<std::size_t>(tensor.numel());
  if (numel == 0) return;
  // Order does not matter to a reduction, so a transposed tensor is one run too.
  if (tensor.is_non_overlapping_and_dense()) {
    use(data, numel);
    return;
  }

  // Dimensions of size 1 have no say; the innermost loop takes the smallest stride.
  struct Dimension {
    std::int64_t size, stride;
  };
  std::array<Dimension, kMaxDims> dims;
  int count = 0;
  if (tensor.dim() > kMaxDims) throw std::length_error("a tensor with more than 64 dimensions");
  for (std::int64_t d = 0; d < tensor.dim(); ++d) {
    if (tensor.size(d) != 1) dims[static_cast<std::size_t>(count++)] = {tensor.size(d), tensor.stride(d)};
  }
  if (count == 0) {
    use(data, 1);
    return;
  }
  for (int i = 1; i < count; ++i) {
    for (int j = i; j > 0 && dims[j].stride > dims[j - 1].stride; --j) std::swap(dims[j], dims[j - 1]);
  }

  alignas(64) std::array<unsigned char, kGatherBytes> gathered;
  const std::size_t capacity = kGatherBytes / size;
  std::size_t filled = 0;
  const Dimension inner = dims[count - 1];
  std::array<std::int64_t, kMaxDims> index{};
  const unsigned char* row = data;
  for (;;) {
    // Short runs are gathered too: a reduction by itself costs more than copying them.
    if (inner.stride == 1 && static_cast<std::size_t>(inner.size) * size >= kLeastRunBytes) {
      use(row, static_cast<std::size_t>(inner.size));
    } else {
      for (std::int64_t i = 0; i < inner.size; ++i) {
        std::memcpy(gathered.data() + filled * size, row + static_cast<std::size_t>(i * inner.stride) * size, size);
        if (++filled == capacity) {
          use(gathered.data(), filled);
          filled = 0;
        }
      }
    }
    int d = count - 2;
    for (; d >= 0; --d) {
      row += static_cast<std::size_t>(dims[d].stride) * size;
      if (++index[d] < dims[d].size) break;
      row -= static_cast<std::size_t>(dims[d].stride * dims[d].size) * size;
      index[d] = 0;
    }
    if (d < 0) break;
  }
  if (filled > 0) use(gathered.data(), filled);
}

// The columns in which a device's results come over, as float64, or float32 where the device has no other.
enum Column { kCount, kNan, kInf, kZero, kMin, kMax, kMean, kL1, kM2, kSquares, kColumns };

at::Tensor device_row(const at::Tensor& tensor) {
  const auto wide = tensor.device().is_mps() ? at::kFloat : at::kDouble;
  const at::Tensor x = tensor.reshape({-1});
  const at::Tensor finite = x.isfinite();
  const at::Tensor n = finite.sum().to(wide);
  const at::Tensor values = at::where(finite, x, at::zeros({}, x.options())).to(wide);
  const at::Tensor least = x.masked_fill(finite.logical_not(), std::numeric_limits<double>::infinity()).amin().to(wide);
  const at::Tensor largest = x.masked_fill(finite.logical_not(), -std::numeric_limits<double>::infinity()).amax().to(wide);
  const at::Tensor mean = values.sum() / n.clamp_min(1);
  const at::Tensor deviations = at::where(finite, values - mean, at::zeros({}, values.options()));
  return at::stack({at::full({}, static_cast<double>(x.numel()), values.options()), x.isnan().sum().to(wide), x.isinf().sum().to(wide),
                    (x == 0).sum().to(wide), least, largest, mean, values.abs().sum(), deviations.square().sum(), values.square().sum()});
}

// Counts by bucket: underflow, the buckets, overflow, and last what belongs to none.
constexpr std::int64_t kDeviceCounts = static_cast<std::int64_t>(MagnitudeHistogram::kBuckets) + 3;

at::Tensor device_magnitudes(const at::Tensor& tensor) {
  const at::Tensor x = tensor.reshape({-1}).abs().to(tensor.device().is_mps() ? at::kFloat : at::kDouble);
  const at::Tensor counts = x.isfinite().logical_and(x > 0);
  // |x| = mantissa 2^exponent with 0.5 <= mantissa < 1; a power of two belongs to the bucket that it ends.
  const auto [mantissa, exponent] = at::frexp(at::where(counts, x, at::ones({}, x.options())));
  const at::Tensor bucket = (exponent - 1 - (mantissa == 0.5).to(exponent.scalar_type()) - MagnitudeHistogram::kLowestExponent + 1)
                                .clamp(0, static_cast<std::int64_t>(MagnitudeHistogram::kBuckets) + 1);
  return at::bincount(at::where(counts, bucket.to(at::kLong), at::full({}, kDeviceCounts - 1, bucket.options().dtype(at::kLong))), {},
                      kDeviceCounts);
}

void add_counts(MagnitudeHistogram& histogram, const std::int64_t* counts) {
  histogram.underflow += static_cast<std::uint64_t>(counts[0]);
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) histogram.buckets[i] += static_cast<std::uint64_t>(counts[i + 1]);
  histogram.overflow += static_cast<std::uint64_t>(counts[histogram.buckets.size() + 1]);
}

Moments moments_of_row(const double* row) {
  Moments m;
  m.count = static_cast<std::uint64_t>(row[kCount]);
  m.nan_count = static_cast<std::uint64_t>(row[kNan]);
  m.inf_count = static_cast<std::uint64_t>(row[kInf]);
  m.zero_count = static_cast<std::uint64_t>(row[kZero]);
  if (finite_count(m) == 0) return m;
  m.min = row[kMin];
  m.max = row[kMax];
  m.mean = row[kMean];
  m.l1 = row[kL1];
  m.m2 = row[kM2];
  m.sum_squares = row[kSquares];
  return m;
}

// The stored elements of any layout as a strided tensor.
at::Tensor to_strided(const at::Tensor& tensor) {
  at::Tensor values = tensor.detach();
  if (values.layout() == at::kSparse) {
    values = values.coalesce().values();
  } else if (values.layout() != at::kStrided) {
    values = values.to_dense();
  }
  return values.resolve_neg();
}

Moments zeros(std::uint64_t count) {
  Moments m;
  m.count = m.zero_count = count;
  return m;
}

}  // namespace

std::optional<DType> dtype_of(at::ScalarType type) noexcept {
  switch (type) {
    case at::kFloat: return DType::float32;
    case at::kDouble: return DType::float64;
    case at::kBFloat16: return DType::bfloat16;
    case at::kHalf: return DType::float16;
    default: return std::nullopt;
  }
}

bool is_in_place(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.layout() == at::kStrided && !tensor.is_neg() && dtype_of(tensor.scalar_type());
}

std::optional<DenseMemory> dense_memory(const at::Tensor& tensor) {
  if (!is_in_place(tensor) || !tensor.is_non_overlapping_and_dense()) return std::nullopt;
  return DenseMemory{read_pointer(tensor), static_cast<std::size_t>(tensor.numel()), *dtype_of(tensor.scalar_type())};
}

double read_scalar(const at::Tensor& tensor) {
  // Read in place where possible: item() goes through the dispatcher, and on other devices it waits.
  if (tensor.device().is_cpu() && tensor.layout() == at::kStrided && !tensor.is_neg()) {
    const void* data = read_pointer(tensor);
    switch (tensor.scalar_type()) {
      case at::kFloat: return *static_cast<const float*>(data);
      case at::kDouble: return *static_cast<const double*>(data);
      case at::kBFloat16: return float_from_bfloat16(static_cast<const at::BFloat16*>(data)->x);
      case at::kHalf: return float_from_float16(static_cast<const at::Half*>(data)->x);
      default: break;
    }
  }
  return tensor.item<double>();
}

Moments reduce_in_place(const at::Tensor& tensor, MagnitudeHistogram* histogram) {
  const DType dtype = *dtype_of(tensor.scalar_type());
  Moments total;
  for_each_run(tensor, element_size(dtype),
               [&](const void* data, std::size_t count) { merge(total, compute_moments(dtype, data, count, histogram)); });
  return total;
}

std::vector<Moments> reduce_on_device(const std::vector<at::Tensor>& tensors, const std::vector<MagnitudeHistogram*>& histograms) {
  const c10::NoGradGuard no_grad;
  std::vector<Moments> result(tensors.size());
  std::vector<bool> done(tensors.size());
  for (std::size_t first = 0; first < tensors.size(); ++first) {
    if (done[first] || tensors[first].numel() == 0) continue;
    std::vector<at::Tensor> rows, counts;
    std::vector<std::size_t> which, counted;
    for (std::size_t i = first; i < tensors.size(); ++i) {
      if (done[i] || tensors[i].numel() == 0 || tensors[i].device() != tensors[first].device()) continue;
      rows.push_back(device_row(tensors[i]));
      which.push_back(i);
      done[i] = true;
      if (histograms.empty() || histograms[i] == nullptr) continue;
      counts.push_back(device_magnitudes(tensors[i]));
      counted.push_back(i);
    }
    const at::Tensor table = at::stack(rows).to(at::kCPU).to(at::kDouble).contiguous();
    const double* row = table.data_ptr<double>();
    for (std::size_t i = 0; i < which.size(); ++i) result[which[i]] = moments_of_row(row + i * kColumns);
    if (counted.empty()) continue;
    const at::Tensor magnitudes = at::stack(counts).to(at::kCPU).contiguous();
    const std::int64_t* count = magnitudes.data_ptr<std::int64_t>();
    for (std::size_t i = 0; i < counted.size(); ++i, count += kDeviceCounts) add_counts(*histograms[counted[i]], count);
  }
  return result;
}

std::vector<Moments> reduce_elsewhere(const std::vector<at::Tensor>& tensors, const std::vector<MagnitudeHistogram*>& histograms) {
  const c10::NoGradGuard no_grad;
  std::vector<Moments> result(tensors.size());
  std::vector<at::Tensor> remote;
  std::vector<MagnitudeHistogram*> remote_histograms;
  std::vector<std::size_t> which;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor values = to_strided(tensors[i]);
    MagnitudeHistogram* const histogram = histograms.empty() ? nullptr : histograms[i];
    if (is_in_place(values)) {
      result[i] = reduce_in_place(values, histogram);
    } else {
      remote.push_back(values);
      remote_histograms.push_back(histogram);
      which.push_back(i);
    }
    merge(result[i], zeros(static_cast<std::uint64_t>(tensors[i].numel() - values.numel())));
  }
  const std::vector<Moments> reduced = reduce_on_device(remote, remote_histograms);
  for (std::size_t i = 0; i < which.size(); ++i) merge(result[which[i]], reduced[i]);
  return result;
}

}  // namespace vigil
