// With it, RecordFunction::inputs() asks a member that only a debug build of libtorch ever sets, and throws. It changes no layout: that
// member lies in padding.
#ifndef NDEBUG
#define NDEBUG
#endif

#include "vigil/operators/operator_observer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include <ATen/record_function.h>

#include "vigil/monitor/fork_guard.h"

namespace vigil {
namespace {

// Callbacks are plain functions without a context, so each attached observer has functions of its own, that know its slot.
struct Slot {
  std::atomic<OperatorSink*> sink{nullptr};
  std::atomic<bool> taken{false};
  std::atomic<std::uint64_t> failures{0};
  std::uint64_t generation = 0;  // of forks, when it was attached
};
std::array<Slot, OperatorObserver::kMostAttached> slots;

// The engine wraps each node into a range of this name, which has neither inputs nor outputs.
constexpr std::string_view kEngine = "autograd::engine::evaluate_function";

struct Context : at::ObserverContext {
  std::unique_ptr<OperatorCall> call;
  const OperatorCall* outer = nullptr;  // what was under way when it started
  bool is_engine = false;
};

// What the thread is within, by slot.
struct Within {
  const OperatorCall* call = nullptr;
  int engine_depth = 0;
};
thread_local std::array<Within, OperatorObserver::kMostAttached> within;

// TorchScript hands over its whole stack: what the callers keep there for later stands before an operator's own values.
template <class Values>
auto last_of(const Values& values, std::size_t count) {
  const c10::ArrayRef<typename Values::value_type> all(values.data(), values.size());
  return all.slice(all.size() - std::min(count, all.size()));
}

template <std::size_t kSlot>
std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& function) {
  // acquire pairs with the release in attach(): another thread sees the sink whole.
  OperatorSink* const sink = slots[kSlot].sink.load(std::memory_order_acquire);
  if (sink == nullptr) return nullptr;                               // detached by a thread that this one had its callbacks from
  if (slots[kSlot].generation != fork_generation()) return nullptr;  // a child has the callbacks, and nothing to do with the run
  Within& here = within[kSlot];
  auto context = std::make_unique<Context>();
  context->outer = here.call;
  const std::string_view name = function.name();
  if (name.substr(0, kEngine.size()) == kEngine) {
    context->is_engine = true;
    ++here.engine_depth;
    return context;
  }
  const bool is_node = function.scope() == at::RecordScope::BACKWARD_FUNCTION;
  const bool in_backward = is_node || here.engine_depth > 0 || (here.call != nullptr && here.call->in_backward);
  try {
    const at::DisableRecordFunctionGuard unobserved;
    const std::uint64_t thread = is_node ? function.forwardThreadId() : function.threadId();
    context->call = sink->on_start({name, is_node, function.seqNr(), thread, last_of(function.inputs(), function.num_inputs())}, here.call,
                                   in_backward);
  } catch (...) {
    slots[kSlot].failures.fetch_add(1, std::memory_order_relaxed);  // a lone count
  }
  if (context->call != nullptr) {
    context->call->parent = here.call;
    context->call->in_backward = in_backward;
    here.call = context->call.get();
  }
  return context;
}

template <std::size_t kSlot>
void end(const at::RecordFunction& function, at::ObserverContext* observer_context) {
  auto* const context = static_cast<Context*>(observer_context);
  if (context == nullptr) return;
  Within& here = within[kSlot];
  if (context->is_engine) {
    --here.engine_depth;
    return;
  }
  if (context->call == nullptr) return;
  here.call = context->outer;
  OperatorSink* const sink = slots[kSlot].sink.load(std::memory_order_acquire);  // as in start()
  if (sink == nullptr) return;
  try {
    const at::DisableRecordFunctionGuard unobserved;
    sink->on_end(*context->call, last_of(function.outputs(), function.num_outputs()));
  } catch (...) {
    slots[kSlot].failures.fetch_add(1, std::memory_order_relaxed);  // a lone count
  }
}

template <std::size_t... kSlots>
at::RecordFunctionCallback callback_of(std::size_t slot, std::index_sequence<kSlots...>) {
  static constexpr std::array kStarts{&start<kSlots>...};
  static constexpr std::array kEnds{&end<kSlots>...};
  return at::RecordFunctionCallback(kStarts[slot], kEnds[slot])
      .needsInputs(true)
      .needsOutputs(true)
      .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION});
}

}  // namespace

bool OperatorObserver::attach(OperatorSink& sink) {
  if (is_attached()) return true;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].taken.exchange(true, std::memory_order_acq_rel)) continue;  // whoever had it before has let go of it
    try {
      within[i] = {};
      slots[i].generation = fork_generation();
      failures_before_ = slots[i].failures.load(std::memory_order_relaxed);
      slots[i].sink.store(&sink, std::memory_order_release);  // pairs with start()
      handle_ = at::addThreadLocalCallback(callback_of(i, std::make_index_sequence<kMostAttached>()));
    } catch (...) {
      slots[i].sink.store(nullptr, std::memory_order_release);
      slots[i].taken.store(false, std::memory_order_release);
      throw;
    }
    slot_ = i;
    thread_ = std::this_thread::get_id();
    return true;
  }
  return false;
}

void OperatorObserver::detach() noexcept {
  if (!is_attached()) return;
  if (thread_ != std::this_thread::get_id()) {
    // Its callbacks are that thread's own: taking the slot again would give them another sink.
    slots[slot_].sink.store(nullptr, std::memory_order_release);  // pairs with start()
    slot_ = kNone;
    return;
  }
  try {
    at::removeCallback(handle_);
  } catch (...) {
    // It only logs when there is no such callback; without a sink the functions do nothing.
  }
  slots[slot_].sink.store(nullptr, std::memory_order_release);
  slots[slot_].taken.store(false, std::memory_order_release);  // pairs with attach()
  slot_ = kNone;
}

std::uint64_t OperatorObserver::failures() const noexcept {
  if (!is_attached()) return 0;
  return slots[slot_].failures.load(std::memory_order_relaxed) - failures_before_;
}

}  // namespace vigil
