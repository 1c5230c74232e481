// What computes the loss of a step, as train_step is given it.
#pragma once

#include <memory>

#include <ATen/core/Tensor.h>

namespace vigil {

/// A reference to something that is called without arguments and returns a tensor. Owns nothing, and allocates nothing.
class LossClosure {
 public:
  /// `callable` outlives this.
  template <class Callable>
  explicit LossClosure(Callable& callable) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object) -> at::Tensor { return (*static_cast<Callable*>(object))(); }) {}
  LossClosure(const LossClosure&) = default;

  at::Tensor operator()() const { return call_(object_); }

 private:
  void* object_;
  at::Tensor (*call_)(void*);
};

}  // namespace vigil
