#include "vigil/inspection/model_difference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <stdexcept>
#include <utility>

#include "vigil/inspection/element_values.h"
#include "vigil/inspection/piece_stream.h"
#include "vigil/inspection/tensor_tasks.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

template <std::size_t kSize>
std::uint64_t count_other_bytes(const unsigned char* a, const unsigned char* b, std::size_t count) noexcept {
  std::uint64_t others = 0;
  for (std::size_t i = 0; i < count; ++i) others += std::memcmp(a + i * kSize, b + i * kSize, kSize) != 0;
  return others;
}

std::uint64_t count_changed(const unsigned char* a, const unsigned char* b, std::size_t count, std::size_t size) noexcept {
  if (std::memcmp(a, b, count * size) == 0) return 0;
  switch (size) {
    case 1: return count_other_bytes<1>(a, b, count);
    case 2: return count_other_bytes<2>(a, b, count);
    case 4: return count_other_bytes<4>(a, b, count);
    case 8: return count_other_bytes<8>(a, b, count);
    default: return count_other_bytes<16>(a, b, count);
  }
}

// Of numbers that are finite in both; a number is one element, or the real or imaginary part of one.
class DifferenceSums {
 public:
  void add(const double* a, const double* b, std::size_t count) noexcept {
    double largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const bool finite = is_finite_bits(a[i]) && is_finite_bits(b[i]);
      largest = std::max(largest, finite ? std::max(std::fabs(a[i]), std::fabs(b[i])) : 0.0);
    }
    // Squares of anything else are far inside the range of double, in any number.
    if (largest == 0 || (largest > 1e-140 && largest < 1e140)) {
      add_block<double>(a, b, count);
    } else {
      add_block<long double>(a, b, count);
    }
  }

  void finish(TensorDifference& into) const {
    into.largest = static_cast<double>(largest_);
    into.l2 = static_cast<double>(std::sqrt(difference_));
    into.relative_l2 = difference_ == 0 ? 0
                       : a_ == 0        ? std::numeric_limits<double>::infinity()
                                        : static_cast<double>(std::sqrt(difference_ / a_));
    into.cosine = a_ == 0 || b_ == 0 ? std::numeric_limits<double>::quiet_NaN()
                                     : std::clamp(static_cast<double>(product_ / (std::sqrt(a_) * std::sqrt(b_))), -1.0, 1.0);
  }

 private:
  template <class Sum>
  void add_block(const double* a, const double* b, std::size_t count) noexcept {
    Sum difference = 0, of_a = 0, of_b = 0, product = 0, largest = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const bool finite = is_finite_bits(a[i]) && is_finite_bits(b[i]);
      const Sum x = finite ? a[i] : 0, y = finite ? b[i] : 0, d = y - x;
      difference += d * d;
      of_a += x * x;
      of_b += y * y;
      product += x * y;
      largest = std::max(largest, d < 0 ? -d : d);
    }
    difference_ += difference;
    a_ += of_a;
    b_ += of_b;
    product_ += product;
    largest_ = std::max(largest_, static_cast<long double>(largest));
  }

  long double difference_ = 0, a_ = 0, b_ = 0, product_ = 0, largest_ = 0;
};

class Comparison {
 public:
  Comparison(ElementType type, TensorDifference& result) : type_(type), size_(element_size(type)), result_(result) {}

  void add(const unsigned char* a, const unsigned char* b, std::size_t count) {
    const std::size_t numbers = numbers_of_element(type_), most = kNumbers / numbers;
    for (std::size_t now = std::min(count, most); count > 0; now = std::min(count, most)) {
      const std::uint64_t changed = count_changed(a, b, now, size_);
      convert_to_double(type_, a, now, in_a_.data());
      convert_to_double(type_, b, now, in_b_.data());
      count_nonfinite(a, b, now, numbers, changed > 0);
      sums_.add(in_a_.data(), in_b_.data(), now * numbers);
      result_.changed_elements += changed;
      a += now * size_;
      b += now * size_;
      count -= now;
    }
  }

  void finish() {
    result_.kind = result_.changed_elements > 0 ? TensorDifference::Kind::changed : TensorDifference::Kind::unchanged;
    if (result_.changed_elements > 0) sums_.finish(result_);
  }

 private:
  static constexpr std::size_t kNumbers = 2048;  // two times 16 KiB of doubles

  void count_nonfinite(const unsigned char* a, const unsigned char* b, std::size_t count, std::size_t numbers, bool has_changed) noexcept {
    const auto is_finite = [numbers](const std::vector<double>& values, std::size_t i) {
      return is_finite_bits(values[i * numbers]) && is_finite_bits(values[i * numbers + numbers - 1]);
    };
    for (std::size_t i = 0; i < count; ++i) {
      const bool finite_a = is_finite(in_a_, i), finite_b = is_finite(in_b_, i);
      if (finite_a && finite_b) continue;
      result_.nonfinite_a += finite_a ? 0 : 1;
      result_.nonfinite_b += finite_b ? 0 : 1;
      if (has_changed && std::memcmp(a + i * size_, b + i * size_, size_) != 0) ++result_.changed_nonfinite;
    }
  }

  const ElementType type_;
  const std::size_t size_;
  TensorDifference& result_;
  DifferenceSums sums_;
  std::vector<double> in_a_ = std::vector<double>(kNumbers), in_b_ = std::vector<double>(kNumbers);
};

void compare(const ModelTensor& a, const ModelTensor& b, TensorDifference& result, ByteProgress& progress) {
  if (a.elements == nullptr || b.elements == nullptr) throw std::runtime_error("its elements are not at hand");
  const std::size_t size = element_size(a.type);
  Comparison comparison(a.type, result);
  PieceStream stream(*b.elements);
  PieceStream::Piece other;
  std::uint64_t seen = 0;
  a.elements->for_each_piece([&](const void* data, std::size_t count) {
    const auto* piece = static_cast<const unsigned char*>(data);
    while (count > 0) {
      if (other.count == 0) other = stream.next();
      const std::size_t now = std::min(count, other.count);
      if (now == 0) throw std::runtime_error("B has fewer elements than its sizes say");
      comparison.add(piece, other.data, now);
      piece += now * size;
      other.data += now * size;
      other.count -= now;
      count -= now;
      seen += now;
      progress.add(2 * now * size);
    }
  });
  if (seen != element_count(a)) throw std::runtime_error("A has fewer elements than its sizes say");
  // What is wrong with the last of them, a checksum say, is told by the end only.
  if (other.count > 0 || stream.next().count > 0) throw std::runtime_error("B has more elements than its sizes say");
  comparison.finish();
}

// What stands to be compared with what, by name.
std::vector<TensorDifference> paired(const std::vector<ModelTensor>& a, const std::vector<ModelTensor>& b) {
  std::map<std::string, std::vector<std::size_t>> in_b;
  for (std::size_t i = b.size(); i > 0; --i) in_b[b[i - 1].name].push_back(i - 1);
  std::vector<TensorDifference> pairs;
  std::vector<bool> is_taken(b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    TensorDifference one;
    one.name = a[i].name;
    one.a = i;
    one.elements = element_count(a[i]);
    one.kind = TensorDifference::Kind::only_in_a;
    const auto found = in_b.find(a[i].name);
    if (found != in_b.end() && !found->second.empty()) {
      one.b = found->second.back();
      found->second.pop_back();
      is_taken[*one.b] = true;
      const ModelTensor& other = b[*one.b];
      one.kind = a[i].sizes != other.sizes ? TensorDifference::Kind::sizes
                 : a[i].type != other.type ? TensorDifference::Kind::type
                                           : TensorDifference::Kind::unchanged;
    }
    pairs.push_back(std::move(one));
  }
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (is_taken[i]) continue;
    TensorDifference one;
    one.name = b[i].name;
    one.b = i;
    one.elements = element_count(b[i]);
    one.kind = TensorDifference::Kind::only_in_b;
    pairs.push_back(std::move(one));
  }
  return pairs;
}

}  // namespace

std::vector<TensorDifference> compare_models(const std::vector<ModelTensor>& a, const std::vector<ModelTensor>& b,
                                             const ReadingOptions& options) {
  std::vector<TensorDifference> differences = paired(a, b);
  std::vector<std::uint64_t> sizes(differences.size());
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < differences.size(); ++i) {
    if (differences[i].kind != TensorDifference::Kind::unchanged) continue;
    sizes[i] = differences[i].elements * element_size(a[*differences[i].a].type);
    all += 2 * sizes[i];
  }
  ByteProgress progress(options.progress, all);
  for_each_at_once(largest_first(sizes), options.threads, [&](std::size_t i) {
    TensorDifference& one = differences[i];
    if (one.kind != TensorDifference::Kind::unchanged) return;
    try {
      compare(a[*one.a], b[*one.b], one, progress);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      TensorDifference broken;
      broken.kind = TensorDifference::Kind::unreadable;
      broken.name = one.name;
      broken.a = one.a;
      broken.b = one.b;
      broken.elements = one.elements;
      broken.error = error.what();
      one = broken;
    }
  });
  return differences;
}

}  // namespace vigil
