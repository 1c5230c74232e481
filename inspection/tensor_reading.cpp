#include "vigil/inspection/tensor_reading.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <new>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "vigil/inspection/element_values.h"
#include "vigil/inspection/tensor_tasks.h"
#include "vigil/monitor/reduction.h"

namespace vigil {
namespace {

// Of the bits of an element: what is left without the sign, and the first exponent that is normal.
struct BitLayout {
  std::uint64_t magnitude = 0, smallest_normal = 0, infinity = 0;
};

constexpr BitLayout layout_of(DType type) noexcept {
  switch (type) {
    case DType::float32: return {0x7fffffff, 0x00800000, 0x7f800000};
    case DType::float64: return {0x7fffffffffffffff, 0x0010000000000000, 0x7ff0000000000000};
    case DType::bfloat16: return {0x7fff, 0x0080, 0x7f80};
    case DType::float16: return {0x7fff, 0x0400, 0x7c00};
  }
  return {};
}

template <class Bits>
Bits bits_at(const void* data, std::size_t index) noexcept {
  Bits bits;
  std::memcpy(&bits, static_cast<const unsigned char*>(data) + index * sizeof bits, sizeof bits);
  return bits;
}

template <class Bits>
std::uint64_t count_denormals(const void* data, std::size_t count, const BitLayout& layout) noexcept {
  const auto magnitude = static_cast<Bits>(layout.magnitude), least = static_cast<Bits>(layout.smallest_normal - 1);
  std::uint64_t denormals = 0;
  // 0 - 1 is the largest number, so zeros are not below.
  for (std::size_t i = 0; i < count; ++i) denormals += static_cast<Bits>((bits_at<Bits>(data, i) & magnitude) - 1) < least;
  return denormals;
}

// Index of the first that is NaN, or infinite; `count` without one.
template <class Bits>
std::size_t find_nonfinite(const void* data, std::size_t count, const BitLayout& layout, bool is_nan) noexcept {
  const auto magnitude = static_cast<Bits>(layout.magnitude), infinity = static_cast<Bits>(layout.infinity);
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<Bits>(bits_at<Bits>(data, i) & magnitude);
    if (is_nan ? bits > infinity : bits == infinity) return i;
  }
  return count;
}

template <class Use>
auto with_bits(DType type, Use use) {
  switch (element_size(type)) {
    case 8: return use(std::uint64_t{});
    case 4: return use(std::uint32_t{});
    default: return use(std::uint16_t{});
  }
}

class OneTensor {
 public:
  explicit OneTensor(const ModelTensor& tensor) : type_(tensor.type), size_(element_size(tensor.type)), count_(element_count(tensor)) {}

  void add(const void* data, std::size_t count) {
    if (count == 0) return;
    hash_.add(data, count * size_);
    if (const auto direct = statistics_type(type_)) {
      add_numbers(*direct, data, count, 1);
    } else {
      add_converted(static_cast<const unsigned char*>(data), count);
    }
    seen_ += count;
  }

  TensorReading take() {
    if (seen_ != count_) {
      TensorReading broken;
      broken.error = "its sizes say " + std::to_string(count_) + " elements, and " + std::to_string(seen_) + " are there";
      return broken;
    }
    const Moments& moments = reading_.moments;
    const bool has_one_value = statistics_type(type_) ? moments.min == moments.max : has_same_bytes_;
    reading_.is_constant = moments.count > 0 && finite_count(moments) == moments.count && has_one_value;
    reading_.hash = hash_.digest();
    return std::move(reading_);
  }

 private:
  static constexpr std::size_t kConverted = 4096;  // doubles: 32 KiB, in the nearest cache

  // `numbers` of them are an element.
  void add_numbers(DType type, const void* data, std::size_t count, std::size_t numbers) {
    MagnitudeHistogram magnitudes;
    const Moments moments = compute_moments(type, data, count, &magnitudes);
    const BitLayout layout = layout_of(type);
    const std::uint64_t before = reading_.moments.count;
    const auto find = [&](std::optional<std::uint64_t>& first, std::uint64_t found, bool is_nan) {
      if (first || found == 0) return;
      const std::size_t at = with_bits(type, [&](auto bits) { return find_nonfinite<decltype(bits)>(data, count, layout, is_nan); });
      first = (before + at) / numbers;
    };
    find(reading_.first_nan, moments.nan_count, true);
    find(reading_.first_inf, moments.inf_count, false);
    // Of the wider types those are far below what the histogram tells apart.
    if (statistics_type(type_) && (magnitudes.underflow > 0 || type == DType::float16))
      reading_.denormals += with_bits(type, [&](auto bits) { return count_denormals<decltype(bits)>(data, count, layout); });
    merge(reading_.moments, moments);
    merge(reading_.magnitudes, magnitudes);
  }

  void add_converted(const unsigned char* data, std::size_t count) {
    if (seen_ == 0) std::memcpy(first_.data(), data, size_);
    // Each element equals the next.
    has_same_bytes_ =
        has_same_bytes_ && std::memcmp(first_.data(), data, size_) == 0 && std::memcmp(data, data + size_, (count - 1) * size_) == 0;
    const std::size_t numbers = numbers_of_element(type_), most = kConverted / numbers;
    converted_.resize(kConverted);
    while (count > 0) {
      const std::size_t now = std::min(count, most);
      convert_to_double(type_, data, now, converted_.data());
      add_numbers(DType::float64, converted_.data(), now * numbers, numbers);
      data += now * size_;
      count -= now;
    }
  }

  const ElementType type_;
  const std::size_t size_;
  const std::uint64_t count_;
  std::uint64_t seen_ = 0;
  TensorReading reading_;
  HashOfBytes hash_;
  bool has_same_bytes_ = true;
  std::array<unsigned char, 16> first_{};
  std::vector<double> converted_;
};

TensorReading read_tensor(const ModelTensor& tensor, ByteProgress& progress) {
  const std::uint64_t bytes = element_count(tensor) * element_size(tensor.type);
  std::uint64_t told = 0;
  TensorReading reading;
  try {
    if (tensor.elements == nullptr) throw std::runtime_error("its elements are not at hand");
    OneTensor one(tensor);
    tensor.elements->for_each_piece([&](const void* data, std::size_t count) {
      one.add(data, count);
      told += count * element_size(tensor.type);
      progress.add(count * element_size(tensor.type));
    });
    reading = one.take();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    reading = TensorReading();
    reading.error = error.what();
  }
  if (told < bytes) progress.add(bytes - told);
  return reading;
}

// Of each tensor the first that has the same elements, or itself.
std::vector<std::size_t> first_of_same(const std::vector<ModelTensor>& tensors) {
  std::vector<std::size_t> firsts(tensors.size());
  std::map<std::tuple<const TensorElements*, ElementType, std::vector<std::int64_t>>, std::size_t> known;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    firsts[i] = known.try_emplace({tensors[i].elements.get(), tensors[i].type, tensors[i].sizes}, i).first->second;
  return firsts;
}

}  // namespace

std::vector<TensorReading> read_tensors(const std::vector<ModelTensor>& tensors, const ReadingOptions& options) {
  const std::vector<std::size_t> firsts = first_of_same(tensors);
  std::vector<std::uint64_t> sizes(tensors.size());
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (firsts[i] != i) continue;
    sizes[i] = element_count(tensors[i]) * element_size(tensors[i].type);
    all += sizes[i];
  }
  ByteProgress progress(options.progress, all);
  std::vector<TensorReading> readings(tensors.size());
  for_each_at_once(largest_first(sizes), options.threads, [&](std::size_t i) {
    if (firsts[i] == i) readings[i] = read_tensor(tensors[i], progress);
  });
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (firsts[i] != i) readings[i] = readings[firsts[i]];
  }
  return readings;
}

}  // namespace vigil
