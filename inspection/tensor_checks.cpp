#include "vigil/inspection/tensor_checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

enum class Purpose : std::uint8_t { weight, scale, bias, buffer };

bool contains(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

std::string_view last_part(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool is_floating_point(ElementType type) {
  switch (type) {
    case ElementType::float16:
    case ElementType::bfloat16:
    case ElementType::float32:
    case ElementType::float64:
    case ElementType::complex64:
    case ElementType::complex128:
    case ElementType::float8_e4m3:
    case ElementType::float8_e5m2: return true;
    default: return false;
  }
}

class Checks {
 public:
  Checks(const std::vector<ModelTensor>& tensors, const std::vector<TensorReading>& readings, const CheckLimits& limits)
      : tensors_(tensors), readings_(readings), limits_(limits) {
    for (const ModelTensor& tensor : tensors) by_name_.try_emplace(tensor.name, &tensor);
  }

  std::vector<TensorFinding> take() {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (!was_judged(tensors_[i], readings_[i])) check(tensors_[i], readings_[i], i);
    }
    return std::move(findings_);
  }

 private:
  using Values = std::tuple<Hash128, ElementType, std::vector<std::int64_t>>;

  // Under another name: parts of one memory are the same tensor only if they hold the same.
  bool was_judged(const ModelTensor& tensor, const TensorReading& reading) {
    if (tensor.memory == 0 || !reading.error.empty()) return false;
    return !judged_.insert({tensor.memory, Values(reading.hash, tensor.type, tensor.sizes)}).second;
  }

  void check(const ModelTensor& tensor, const TensorReading& reading, std::size_t index) {
    if (!reading.error.empty()) {
      add(tensor, TensorCheck::unreadable, FindingLevel::fault, 0, "cannot be read: " + reading.error);
      return;
    }
    const Purpose purpose = purpose_of(tensor);
    check_nonfinite(tensor, reading, purpose);
    check_variance(tensor, reading);
    check_constant(tensor, reading, purpose);
    check_denormals(tensor, reading);
    check_duplicate(tensor, reading, purpose, index);
  }

  void check_nonfinite(const ModelTensor& tensor, const TensorReading& reading, Purpose purpose) {
    const Moments& moments = reading.moments;
    const auto text = [&](std::uint64_t count, std::uint64_t first, const char* what) {
      return share(count, moments.count) + (count == 1 ? " is " : " are ") + what + ", the first at " + index_text(tensor.sizes, first);
    };
    if (moments.nan_count > 0) {
      add(tensor, TensorCheck::nan, FindingLevel::fault, moments.nan_count, text(moments.nan_count, reading.first_nan.value_or(0), "NaN"));
      findings_.back().first = reading.first_nan;
    }
    if (moments.inf_count == 0) return;
    const bool is_mask = purpose == Purpose::buffer && moments.inf_count + moments.zero_count == moments.count;
    add(tensor, TensorCheck::infinite, is_mask ? FindingLevel::note : FindingLevel::fault, moments.inf_count,
        text(moments.inf_count, reading.first_inf.value_or(0), "infinite") + (is_mask ? ", and the others 0: a mask" : ""));
    findings_.back().first = reading.first_inf;
  }

  void check_variance(const ModelTensor& tensor, const TensorReading& reading) {
    if (last_part(tensor.name) != "running_var" || reading.moments.min >= 0) return;
    add(tensor, TensorCheck::negative_variance, FindingLevel::fault, reading.moments.count,
        "is a variance, and its smallest element is " + short_number(reading.moments.min));
  }

  void check_constant(const ModelTensor& tensor, const TensorReading& reading, Purpose purpose) {
    if (!reading.is_constant || element_count(tensor) < 2) return;
    if (purpose == Purpose::buffer && !is_floating_point(tensor.type)) return;
    const double value = reading.moments.min;
    const bool is_zero = reading.moments.zero_count == reading.moments.count;
    const bool is_usual = purpose == Purpose::bias || purpose == Purpose::buffer || (purpose == Purpose::scale && value == 1);
    add(tensor, is_zero ? TensorCheck::all_zero : TensorCheck::constant, is_usual ? FindingLevel::note : FindingLevel::fault,
        element_count(tensor), "all " + grouped(element_count(tensor)) + " elements are " + (is_zero ? "zero" : short_number(value)));
  }

  void check_denormals(const ModelTensor& tensor, const TensorReading& reading) {
    const std::uint64_t nonzero = finite_count(reading.moments) - reading.moments.zero_count;
    const double limit = tensor.type == ElementType::float16 ? limits_.float16_denormals : limits_.denormals;
    if (reading.denormals == 0 || static_cast<double>(reading.denormals) < limit * static_cast<double>(nonzero)) return;
    add(tensor, TensorCheck::denormal, FindingLevel::fault, reading.denormals,
        share(reading.denormals, nonzero) + " that are not zero " + (reading.denormals == 1 ? "is" : "are") + " denormal in " +
            std::string(name_of(tensor.type)));
  }

  void check_duplicate(const ModelTensor& tensor, const TensorReading& reading, Purpose purpose, std::size_t index) {
    if (reading.is_constant || element_count(tensor) < 2) return;
    const auto [known, is_new] = by_values_.try_emplace(Values(reading.hash, tensor.type, tensor.sizes), index);
    if (is_new) return;
    const ModelTensor& other = tensors_[known->second];
    const bool are_weights = purpose == Purpose::weight && purpose_of(other) == Purpose::weight && is_floating_point(tensor.type);
    add(tensor, TensorCheck::duplicate, are_weights ? FindingLevel::fault : FindingLevel::note, element_count(tensor),
        "has the same " + grouped(element_count(tensor)) + " values as " + other.name + ", and does not share its memory");
    findings_.back().other = other.name;
  }

  Purpose purpose_of(const ModelTensor& tensor) const {
    const std::string_view last = last_part(tensor.name);
    const bool is_bias = contains(last, "bias");
    if (tensor.role == ModelTensor::Role::buffer) return Purpose::buffer;
    if (tensor.role == ModelTensor::Role::other && !is_bias && !contains(last, "weight")) return Purpose::buffer;
    if (is_bias) return Purpose::bias;
    if (tensor.sizes.size() <= 1) return Purpose::scale;
    const auto beside = by_name_.find(tensor.name.substr(0, tensor.name.size() - last.size()) + "bias");
    return beside != by_name_.end() && beside->second->sizes == tensor.sizes ? Purpose::scale : Purpose::weight;
  }

  static std::string share(std::uint64_t count, std::uint64_t all) {
    return grouped(count) + " of " + grouped(all) + (all == 1 ? " element" : " elements");
  }

  void add(const ModelTensor& tensor, TensorCheck check, FindingLevel level, std::uint64_t count, std::string text) {
    findings_.push_back({check, level, tensor.name, {}, count, std::nullopt, std::move(text)});
  }

  const std::vector<ModelTensor>& tensors_;
  const std::vector<TensorReading>& readings_;
  const CheckLimits& limits_;
  std::unordered_map<std::string, const ModelTensor*> by_name_;
  std::set<std::pair<std::uint64_t, Values>> judged_;
  std::map<Values, std::size_t> by_values_;
  std::vector<TensorFinding> findings_;
};

}  // namespace

std::vector<TensorFinding> check_tensors(const std::vector<ModelTensor>& tensors, const std::vector<TensorReading>& readings,
                                         const CheckLimits& limits) {
  return Checks(tensors, readings, limits).take();
}

std::string index_text(const std::vector<std::int64_t>& sizes, std::uint64_t position) {
  std::vector<std::uint64_t> index(sizes.size());
  for (std::size_t i = sizes.size(); i > 0; --i) {
    const auto size = static_cast<std::uint64_t>(std::max<std::int64_t>(sizes[i - 1], 1));
    index[i - 1] = position % size;
    position /= size;
  }
  std::string text = "[";
  for (const std::uint64_t one : index) text += (text.size() > 1 ? ", " : "") + std::to_string(one);
  return text + "]";
}

}  // namespace vigil
