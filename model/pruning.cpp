#include "vigil/model/pruning.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <random>
#include <stdexcept>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include "vigil/model/pruning_selection.h"
#include "vigil/monitor/dtype.h"

// Without it at::parallel_for, a template, is a plain loop, and says nothing.
#if AT_PARALLEL_OPENMP && !defined(_OPENMP)
#error "compile with OpenMP: CMake finds it with find_package(OpenMP)"
#endif

namespace vigil {
namespace {

constexpr std::int64_t kElementsOfAThread = 1 << 16;
constexpr const char* kOtherShape = "' has another shape or layout than when its mask was made; make new masks";

// Python's round().
std::uint64_t rounded_half_to_even(double value) {
  const double below = std::floor(value), rest = value - below;
  const auto whole = static_cast<std::uint64_t>(below);
  if (rest != 0.5) return whole + (rest > 0.5 ? 1 : 0);
  return whole + whole % 2;
}

std::uint64_t share_of(double share, std::uint64_t n) { return std::min(n, rounded_half_to_even(share * static_cast<double>(n))); }

void require_share(const char* what, double share) {
  if (is_nan_bits(share) || share < 0 || share > 1) {
    throw std::invalid_argument(std::string(what) + " is from 0 to 1, got " + std::to_string(share));
  }
}

void require_finite(const std::vector<PrunableParameter>& parameters, const std::vector<PruningCandidate>& candidates) {
  std::string offenders;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const NonfiniteCount counted = count_nonfinite(candidates[i].values);
    if (counted.nan + counted.infinite == 0) continue;
    offenders += (offenders.empty() ? "" : ", ") + parameters[i].name + " (" + std::to_string(counted.nan) + " NaN, " +
                 std::to_string(counted.infinite) + " Inf of " + std::to_string(candidates[i].values.numel()) + ")";
  }
  if (!offenders.empty()) throw std::invalid_argument("weights that are not finite have no order to prune them by: " + offenders);
}

template <class Word>
void clear_words(Word* words, const unsigned char* pruned, std::int64_t count) {
  at::parallel_for(0, count, kElementsOfAThread, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) words[i] &= static_cast<Word>(static_cast<Word>(pruned[i]) - Word{1});
  });
}

bool is_of_one_order(const at::Tensor& values, const at::Tensor& pruned) {
  return values.layout() == at::kStrided && values.is_cpu() && pruned.is_cpu() && !values.is_neg() && !values.is_inference() &&
         values.strides() == pruned.strides() && values.is_non_overlapping_and_dense();
}

// Bits, not products: 0 * NaN is NaN, and -1 * 0 is -0.
void clear_pruned(const at::Tensor& values, at::Tensor& pruned) {
  if (is_of_one_order(values, pruned)) {
    const auto* mask = static_cast<const unsigned char*>(pruned.data_ptr());
    const std::int64_t count = values.numel();
    values.unsafeGetTensorImpl()->bump_version();
    switch (values.element_size()) {
      case 2: return clear_words(static_cast<std::uint16_t*>(values.data_ptr()), mask, count);
      case 4: return clear_words(static_cast<std::uint32_t*>(values.data_ptr()), mask, count);
      case 8: return clear_words(static_cast<std::uint64_t*>(values.data_ptr()), mask, count);
      default: break;
    }
  }
  if (pruned.device() != values.device()) pruned = pruned.to(values.device());
  const at::NoGradGuard no_grad;
  at::Tensor(values).masked_fill_(pruned, 0);
}

}  // namespace

PruningAmount PruningAmount::share(double share) {
  require_share("a share to prune", share);
  PruningAmount amount;
  amount.share_ = share;
  return amount;
}

PruningAmount PruningAmount::count(std::int64_t count) {
  if (count < 0) throw std::invalid_argument("a count to prune is not below 0, got " + std::to_string(count));
  PruningAmount amount;
  amount.is_share_ = false;
  amount.count_ = static_cast<std::uint64_t>(count);
  return amount;
}

std::uint64_t PruningAmount::of(std::uint64_t n) const {
  if (is_share_) return share_of(share_, n);
  if (count_ > n) throw std::invalid_argument(std::to_string(count_) + " are to be pruned, and only " + std::to_string(n) + " are left");
  return count_;
}

PruningMasks::PruningMasks(const torch::nn::Module& module, const PruningTargets& targets)
    : PruningMasks(prunable_parameters(module, targets)) {}

PruningMasks::PruningMasks(std::vector<PrunableParameter> parameters) : parameters_(std::move(parameters)) {
  const at::NoGradGuard no_grad;
  for (const PrunableParameter& parameter : parameters_) {
    masks_.push_back({at::zeros_like(parameter.tensor, parameter.tensor.options().dtype(at::kBool).requires_grad(false)), 0});
  }
  failure_.reserve(256);
}

// `count(left, all, index)` says how many to prune of `left`, of one tensor, or of all for scope global.
template <class Count>
void PruningMasks::prune_by(const PruningMethod& method, Count count) {
  if (method.kind == PruningMethod::Kind::ln_channels && (is_nan_bits(method.norm) || method.norm <= 0)) {
    throw std::invalid_argument("the norm that channels are pruned by is 1, 2, infinity or another number above 0");
  }
  if (!apply()) throw std::invalid_argument(failure_);
  const at::NoGradGuard no_grad;
  std::vector<PruningCandidate> candidates;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    // A mask that is contiguous already would be the one that is in use.
    candidates.push_back(
        {parameters_[i].tensor.detach().cpu().resolve_neg().contiguous(), masks_[i].pruned.cpu().clone(at::MemoryFormat::Contiguous)});
    if (candidates[i].values.sizes() != candidates[i].pruned.sizes()) {
      throw std::invalid_argument("'" + parameters_[i].name + kOtherShape);
    }
  }
  require_finite(parameters_, candidates);
  std::mt19937_64 generator(method.seed);
  const auto select = [&](std::vector<PruningCandidate>& of, std::uint64_t number) {
    method.kind == PruningMethod::Kind::l1 ? select_smallest(of, number) : select_random(of, number, generator);
  };
  if (!method.takes_channels() && method.scope == PruningMethod::Scope::global) {
    select(candidates, count(element_count() - pruned_count(), element_count()));
  } else {
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const auto all = static_cast<std::uint64_t>(candidates[i].values.numel());
      if (!method.takes_channels()) {
        std::vector<PruningCandidate> one{candidates[i]};
        select(one, count(all - masks_[i].count, all));
        continue;
      }
      const std::int64_t dims = candidates[i].values.dim();
      const std::int64_t dim = method.dim < 0 ? method.dim + dims : method.dim;
      if (dim < 0 || dim >= dims) {
        throw std::invalid_argument("'" + parameters_[i].name + "' has " + std::to_string(dims) + " dimensions, and none that is " +
                                    std::to_string(method.dim));
      }
      const PruningChannels channels = channels_of(candidates[i], dim, method.norm);
      const std::uint64_t number = count(channels.left.size(), channels.norms.size());
      mark_channels(candidates[i], dim,
                    method.kind == PruningMethod::Kind::ln_channels ? smallest_channels(channels, number)
                                                                    : random_channels(channels, number, generator));
    }
  }
  std::vector<at::Tensor> pruned;
  for (PruningCandidate& candidate : candidates) pruned.push_back(std::move(candidate.pruned));
  set_masks(std::move(pruned));
  apply();
}

void PruningMasks::prune(const PruningAmount& amount, const PruningMethod& method) {
  prune_by(method, [&](std::uint64_t left, std::uint64_t) { return amount.of(left); });
}

void PruningMasks::prune_to(double sparsity, const PruningMethod& method) {
  require_share("a sparsity", sparsity);
  prune_by(method, [&](std::uint64_t left, std::uint64_t all) {
    const std::uint64_t wanted = share_of(sparsity, all), present = all - left;
    return wanted > present ? wanted - present : 0;
  });
}

void PruningMasks::set_masks(std::vector<at::Tensor> pruned) {
  const at::NoGradGuard no_grad;
  std::vector<Mask> masks;
  for (std::size_t i = 0; i < pruned.size(); ++i) {
    const at::Tensor& tensor = parameters_[i].tensor;
    at::Tensor placed = at::empty_like(tensor, tensor.options().dtype(at::kBool).requires_grad(false));
    placed.copy_(pruned[i]);
    masks.push_back({std::move(placed), static_cast<std::uint64_t>(pruned[i].sum().item<std::int64_t>())});
  }
  masks_ = std::move(masks);
}

bool PruningMasks::apply() noexcept { return clear_all(false); }
bool PruningMasks::mask_gradients() noexcept { return clear_all(true); }

bool PruningMasks::clear_all(bool of_gradients) noexcept {
  bool all_done = true;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (masks_[i].count == 0) continue;
    const char* reason = nullptr;
    try {
      const at::Tensor& parameter = parameters_[i].tensor;
      const at::Tensor& values = of_gradients ? parameter.grad() : parameter;
      if (of_gradients && !values.defined()) continue;
      if (values.layout() != at::kStrided || values.sizes() != masks_[i].pruned.sizes()) {
        reason = kOtherShape;
      } else {
        clear_pruned(values, masks_[i].pruned);
      }
    } catch (const std::exception&) {
      reason = "' could not be written to";
    }
    if (reason == nullptr) continue;
    all_done = false;
    fail(parameters_[i].name, reason);
  }
  return all_done;
}

void PruningMasks::fail(const std::string& name, const char* reason) noexcept {
  if (!failure_.empty()) return;
  try {
    failure_ = "'" + name + reason;
  } catch (const std::exception&) {
    failure_ = "out of memory";  // within what is reserved
  }
}

bool PruningMasks::make_permanent() noexcept {
  if (!apply()) return false;
  for (std::size_t i = 0; i < masks_.size(); ++i) {
    masks_[i].count = 0;
    try {
      masks_[i].pruned.zero_();
    } catch (const std::exception&) {
      fail(parameters_[i].name, "' has a mask that could not be written to");
      return false;
    }
  }
  return true;
}

std::uint64_t PruningMasks::element_count() const noexcept {
  std::uint64_t elements = 0;
  for (const Mask& mask : masks_) elements += static_cast<std::uint64_t>(mask.pruned.numel());
  return elements;
}

std::uint64_t PruningMasks::pruned_count() const noexcept {
  std::uint64_t pruned = 0;
  for (const Mask& mask : masks_) pruned += mask.count;
  return pruned;
}

double PruningMasks::sparsity() const noexcept {
  const std::uint64_t elements = element_count();
  return elements == 0 ? 0 : static_cast<double>(pruned_count()) / static_cast<double>(elements);
}

at::Tensor PruningMasks::kept(std::size_t index) const { return masks_.at(index).pruned.logical_not(); }

PruningMasks masks_from_zeros(const torch::nn::Module& module, const PruningTargets& targets) {
  const at::NoGradGuard no_grad;
  PruningMasks masks(module, targets);
  std::vector<at::Tensor> pruned;
  for (const PrunableParameter& parameter : masks.parameters_) pruned.push_back(parameter.tensor.detach().eq(0));
  masks.set_masks(std::move(pruned));
  return masks;
}

}  // namespace vigil
