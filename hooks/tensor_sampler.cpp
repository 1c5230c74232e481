#include "vigil/hooks/tensor_sampler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "vigil/hooks/tensor_reduction.h"

namespace vigil {
namespace {

// Without the infinities that are meant, `meant` of them.
void add_nonfinite(NonfiniteCounts& counts, const Moments& moments, std::uint64_t meant = 0) noexcept {
  counts.nan += moments.nan_count;
  counts.inf += moments.inf_count - std::min(moments.inf_count, meant);
}

}  // namespace

TensorSampler::TensorSampler(const Schema& schema, WatchedModel model, HookBoundary& boundary)
    : schema_(schema),
      model_(std::move(model)),
      boundary_(boundary),
      watched_(model_.parameters.size()),
      rows_(schema.rows.size()),
      histograms_(schema.histograms),
      parts_(model_.parts),
      parameters_(model_.parameters.size()),
      buffers_(model_.buffers.size()),
      gradient_nonfinite_(model_.parameters.size()) {
  elsewhere_.reserve(model_.parameters.size() + model_.buffers.size());
  elsewhere_indices_.reserve(elsewhere_.capacity());
  elsewhere_histograms_.reserve(elsewhere_.capacity());
  for (std::size_t i = 0; i < watched_; ++i) {
    const WatchedTensor& watched = model_.parameters[i];
    parts_[watched.part].parameters.push_back(i);
    parameters_.set_histogram(i, histogram_at(watched.row));
    if (!watched.has_update) continue;
    has_updates_ = true;
    parameters_.keep_previous(i, watched.tensor.nbytes());
  }
  for (Part& part : parts_) prepare(part);
  for (std::size_t i = 0; i < model_.buffers.size(); ++i) buffers_.set_histogram(i, histogram_at(model_.buffers[i].row));
  for (const auto& [pass, tensors] : {std::pair(&parameters_, &model_.parameters), std::pair(&buffers_, &model_.buffers)}) {
    for (std::size_t i = 0; i < tensors->size(); ++i) pass->set(i, dense_memory((*tensors)[i].tensor));
    pass->prepare();
  }
}

void TensorSampler::prepare(Part& part) {
  part.gradients = std::make_unique<TensorPass>(part.parameters.size());
  for (std::size_t slot = 0; slot < part.parameters.size(); ++slot) {
    const WatchedTensor& watched = model_.parameters[part.parameters[slot]];
    part.gradients->set_histogram(slot, histogram_at(watched.gradient_row));
    // A gradient has the size of its parameter, whenever it comes.
    part.gradients->set(slot, dense_memory(watched.tensor));
  }
  part.gradients->prepare();
}

void TensorSampler::add_late(std::size_t part, const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& tensor : parameters) {
    WatchedTensor& watched = model_.parameters.emplace_back();
    watched.tensor = tensor;
    watched.part = part;
    parts_[part].parameters.push_back(model_.parameters.size() - 1);
  }
  gradient_nonfinite_.resize(model_.parameters.size());
  elsewhere_.reserve(model_.parameters.size() + model_.buffers.size());
  elsewhere_indices_.reserve(elsewhere_.capacity());
  elsewhere_histograms_.reserve(elsewhere_.capacity());
  prepare(parts_[part]);
}

MagnitudeHistogram* TensorSampler::histogram_at(int row) noexcept {
  if (row == WatchedTensor::kNoRow) return nullptr;
  const std::int32_t index = schema_.rows[static_cast<std::size_t>(row)].histogram;
  return index == RowSchema::kNone ? nullptr : &histograms_[static_cast<std::size_t>(index)];
}

template <class Account>
bool TensorSampler::reduce_elsewhere_each(Hook hook, std::vector<WatchedTensor>& tensors, int WatchedTensor::*failures,
                                          Account account) noexcept {
  if (elsewhere_.empty()) return true;
  bool all = true;
  int failures_of_all = 0;
  const bool together = boundary_.attempt(hook, failures_of_all, [&] {
    const std::vector<Moments> reduced = reduce_elsewhere(elsewhere_, elsewhere_histograms_);
    for (std::size_t e = 0; e < reduced.size(); ++e) {
      tensors[elsewhere_indices_[e]].*failures = 0;
      account(elsewhere_indices_[e], reduced[e]);
    }
    return true;
  });
  // One of them failed; the others shall not suffer for it.
  for (std::size_t e = 0; !together && e < elsewhere_.size(); ++e) {
    all &= boundary_.attempt(hook, tensors[elsewhere_indices_[e]].*failures, [&] {
      if (elsewhere_histograms_[e] != nullptr) *elsewhere_histograms_[e] = MagnitudeHistogram{};
      account(elsewhere_indices_[e], reduce_elsewhere({elsewhere_[e]}, {elsewhere_histograms_[e]}).front());
      return true;
    });
  }
  elsewhere_.clear();  // nothing is kept alive beyond the call
  elsewhere_indices_.clear();
  elsewhere_histograms_.clear();
  return all;
}

void TensorSampler::put_elsewhere(std::size_t index, const at::Tensor& tensor, MagnitudeHistogram* histogram) {
  elsewhere_.push_back(tensor);
  elsewhere_indices_.push_back(index);
  elsewhere_histograms_.push_back(histogram);
  if (histogram != nullptr) *histogram = MagnitudeHistogram{};
}

// The elements do not lie together, and are gathered as they are read.
Moments TensorSampler::reduce_strided(const at::Tensor& tensor, MagnitudeHistogram* histogram) {
  if (histogram != nullptr) *histogram = MagnitudeHistogram{};
  return reduce_in_place(tensor, histogram);
}

bool TensorSampler::run_pass(Hook hook, TensorPass& pass, TensorPass::Mode mode, bool keep) noexcept {
  int failures = 0;  // one pass failing says nothing of the next
  return boundary_.attempt(hook, failures, [&] {
    pass.run(mode, keep);
    return true;
  });
}

TensorSampler::Gradients TensorSampler::reduce_gradients(std::size_t part_index, bool sampled) noexcept {
  const Part& part = parts_[part_index];
  TensorPass& pass = *part.gradients;
  Gradients seen;
  const Hook hook = sampled ? Hook::gradients : Hook::guard;
  bool complete = true, looked = true;
  const auto account = [&](std::size_t i, const Moments& moments) {
    TensorRow* const row = sampled ? row_at(model_.parameters[i].gradient_row) : nullptr;
    if (row != nullptr) {
      row->moments = moments;
      row->state = TensorRow::present;
    }
    const FiniteNorm norm = finite_norm_of(moments);
    seen.norm.add(norm.l2_norm);
    if (norm.all_finite) return;
    seen.all_finite = false;
    gradient_nonfinite_[i] = 1;
    add_nonfinite(seen.nonfinite, moments);
  };

  for (std::size_t slot = 0; slot < part.parameters.size(); ++slot) {
    const std::size_t i = part.parameters[slot];
    gradient_nonfinite_[i] = 0;
    WatchedTensor& watched = model_.parameters[i];
    TensorRow* const row = sampled ? row_at(watched.gradient_row) : nullptr;
    if (row != nullptr) row->state = TensorRow::unreadable;  // until it was read
    if (HookBoundary::is_given_up(watched.gradient_failures)) {
      pass.clear(slot);
      complete = false;
      continue;
    }
    const bool could_read = boundary_.attempt(row != nullptr ? Hook::gradients : Hook::guard, watched.gradient_failures, [&] {
      const at::Tensor& gradient = watched.tensor.grad();
      const bool exists = gradient.defined() && dtype_of(gradient.scalar_type());
      if (!exists && row != nullptr) row->state = watched.tensor.requires_grad() ? TensorRow::absent : TensorRow::frozen;
      if (pass.set(slot, exists ? dense_memory(gradient) : std::nullopt) || !exists) return true;
      MagnitudeHistogram* const histogram = sampled ? histogram_at(watched.gradient_row) : nullptr;
      if (!is_in_place(gradient)) {
        put_elsewhere(i, gradient, histogram);
        return false;  // nothing is known of it yet
      }
      account(i, reduce_strided(gradient, histogram));
      return true;
    });
    if (!could_read) pass.clear(slot);
    looked &= could_read;
  }
  bool has_moments = sampled;
  bool ran = run_pass(hook, pass, sampled ? TensorPass::Mode::moments : TensorPass::Mode::norms);
  if (ran && !sampled) {
    bool all_finite = true;
    for (std::size_t slot = 0; slot < part.parameters.size(); ++slot) all_finite &= !pass.is_set(slot) || pass.norm(slot).all_finite;
    // What is not finite has to be counted, too.
    has_moments = !all_finite;
    if (has_moments) ran = run_pass(hook, pass, TensorPass::Mode::moments);
  }
  looked &= ran;
  for (std::size_t slot = 0; ran && slot < part.parameters.size(); ++slot) {
    if (!pass.is_set(slot)) continue;
    if (has_moments) {
      account(part.parameters[slot], pass.moments(slot));
    } else {
      seen.norm.add(pass.norm(slot).l2_norm);
    }
  }
  looked &= reduce_elsewhere_each(hook, model_.parameters, &WatchedTensor::gradient_failures, account);
  seen.looked = looked;
  seen.has_norm = complete && looked;  // the norm of a part would look like that of the whole
  return seen;
}

TensorSampler::Weights TensorSampler::reduce_weights(Hook hook, std::vector<WatchedTensor>& tensors, std::size_t count, TensorPass& pass,
                                                     bool keep) noexcept {
  Weights seen;
  bool complete = true;
  const auto account = [&](std::size_t i, const Moments& moments) {
    if (TensorRow* const row = row_at(tensors[i].row); row != nullptr) {
      row->moments = moments;
      row->state = TensorRow::present;
    }
    seen.norm.add(finite_norm_of(moments).l2_norm);
    add_nonfinite(seen.nonfinite, moments, tensors[i].infinite);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const at::Tensor& tensor = tensors[i].tensor;
    if (TensorRow* const row = row_at(tensors[i].row); row != nullptr) {
      row->state = TensorRow::unreadable;  // until it was read
      row->update_norm = TensorRow::kNotMeasured;
    }
    const bool could_read = boundary_.attempt(hook, tensors[i].failures, [&] {
      if (pass.set(i, dense_memory(tensor)) || !dtype_of(tensor.scalar_type())) return true;
      if (!is_in_place(tensor)) {
        put_elsewhere(i, tensor, histogram_at(tensors[i].row));
        return false;
      }
      account(i, reduce_strided(tensor, histogram_at(tensors[i].row)));
      return true;
    });
    if (!could_read) pass.clear(i);
    complete &= could_read;
  }
  const bool ran = run_pass(hook, pass, TensorPass::Mode::moments, keep);
  complete &= ran;
  for (std::size_t i = 0; ran && i < count; ++i) {
    if (!pass.is_set(i)) continue;
    account(i, pass.moments(i));
    if (tensors[i].has_update) row_at(tensors[i].row)->update_norm = pass.update_norm(i);
  }
  complete &= reduce_elsewhere_each(hook, tensors, &WatchedTensor::failures, account);
  seen.complete = complete;
  return seen;
}

TensorSampler::Weights TensorSampler::reduce_parameters(bool keep) noexcept {
  return reduce_weights(Hook::parameters, model_.parameters, watched_, parameters_, has_updates_ && keep);
}

TensorSampler::Weights TensorSampler::reduce_buffers() noexcept {
  return reduce_weights(Hook::buffers, model_.buffers, model_.buffers.size(), buffers_, false);
}

void TensorSampler::keep_weights() noexcept {
  if (!has_updates_) return;
  int failures = 0;
  boundary_.attempt(Hook::parameters, failures, [this] {
    for (std::size_t i = 0; i < watched_; ++i) {
      if (model_.parameters[i].has_update) parameters_.set(i, dense_memory(model_.parameters[i].tensor));
    }
    parameters_.keep();
    return true;
  });
}

void TensorSampler::forget_weights() noexcept {
  if (!has_updates_) return;
  int failures = 0;
  boundary_.attempt(Hook::parameters, failures, [this] {
    for (std::size_t i = 0; i < watched_; ++i) parameters_.clear(i);
    parameters_.keep();
    return true;
  });
}

void TensorSampler::clear_gradient_rows() noexcept {
  for (const WatchedTensor& watched : model_.parameters) {
    if (TensorRow* const row = row_at(watched.gradient_row); row != nullptr) row->state = TensorRow::absent;
  }
}

}  // namespace vigil
