// Watches the operators that libtorch runs, forward and backward: how vigil sees activations, which C++ modules have no hooks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <thread>

#include <ATen/core/ivalue.h>
#include <c10/util/ArrayRef.h>

namespace vigil {

/// One run of an operator or of a node of the backward pass, as its observer keeps it from start to end.
struct OperatorCall {
  virtual ~OperatorCall() = default;
  const OperatorCall* parent = nullptr;  ///< the call it was made in, on the same thread; null: by the program, or by autograd's engine
  bool in_backward = false;              ///< made by autograd's engine, however deep
};

/// What is known when a call starts.
struct OperatorStart {
  std::string_view name;              ///< "aten::relu"; of a node its type, "ReluBackward0"
  bool is_node = false;               ///< a node of the backward pass: its operators are calls within it
  std::int64_t sequence_number = -1;  ///< autograd's: that of a node is that of the operator which made it; -1: it makes none
  std::uint64_t thread = 0;           ///< libtorch's number of the thread, of a node that of its forward operator
  c10::ArrayRef<const c10::IValue> inputs;
};

/// What is done with observed operators. Called on the thread that runs them, one call within the other; with operators of several threads
/// (devices' backward passes) at the same time. May throw: the observer forgets that call. ATen may be used, unobserved.
class OperatorSink {
 public:
  virtual ~OperatorSink() = default;
  /// What is returned comes back at the end; null when that is of no interest.
  virtual std::unique_ptr<OperatorCall> on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) = 0;
  virtual void on_end(OperatorCall& call, c10::ArrayRef<c10::IValue> outputs) = 0;
};

/// Tells a sink of every operator that the attaching thread runs, and those that work for it (autograd's device threads, libtorch's
/// inter-op threads). Nothing is registered with libtorch while it is detached. Training thread only.
class OperatorObserver {
 public:
  /// Attached observers of a process, each to its own thread or not; one more is refused.
  static constexpr std::size_t kMostAttached = 8;

  OperatorObserver() = default;
  ~OperatorObserver() { detach(); }
  OperatorObserver(const OperatorObserver&) = delete;
  OperatorObserver& operator=(const OperatorObserver&) = delete;

  /// `sink` outlives the attachment. False, and nothing changes, when kMostAttached are. @throws std::bad_alloc
  bool attach(OperatorSink& sink);
  /// Does nothing when it is not attached. On another thread than the one that attached it, the sink is told of nothing any more, but
  /// libtorch's list of that thread keeps the callback, and the slot is lost.
  void detach() noexcept;
  bool is_attached() const noexcept { return slot_ != kNone; }

  /// Calls during which the sink threw, since the last attach(); the text of the first is kept.
  std::uint64_t failures() const noexcept;

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  std::size_t slot_ = kNone;
  std::uint64_t handle_ = 0;
  std::uint64_t failures_before_ = 0;
  std::thread::id thread_;
};

}  // namespace vigil
