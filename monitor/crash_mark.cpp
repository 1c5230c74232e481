#include "vigil/monitor/crash_mark.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace vigil {
namespace {

constexpr std::array<int, 13> kFatalSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL,  SIGABRT, SIGSYS, SIGTRAP,
                                            SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGXFSZ};

// The first of them: a handler that is there is called after the note. A library may have one from its loading on, as UCX does, which comes
// with libtorch of Debian 13.
constexpr std::size_t kFaults = 5;
// What handled them before; written while none of ours is installed.
std::array<struct sigaction, kFaults> found_handlers{};
std::array<bool, kFaults> has_found{};

// relaxed: the handlers come after the marks in their own thread, or in one that the marking one has signalled; nothing else is published.
std::array<std::atomic<LiveWords*>, CrashMark::kMarks> marks{};
std::atomic<pid_t> marked_process{0};

template <class Note>
void for_each_mark(Note note) noexcept {
  if (marked_process.load(std::memory_order_relaxed) != getpid()) return;  // a child has the memory, but it is not its run
  for (const auto& mark : marks) {
    if (LiveWords* const live = mark.load(std::memory_order_relaxed)) note(*live);
  }
}

void note_signal(int number) noexcept {
  for_each_mark([number](LiveWords& live) { live.end_signal.store(static_cast<std::uint64_t>(number), std::memory_order_relaxed); });
}

// `handler` is a function of the short form, SIG_DFL or SIG_IGN.
bool is_handled_by(const struct sigaction& action, void (*handler)(int)) noexcept {
  return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == handler;
}
bool is_handled_by(const struct sigaction& action, void (*handler)(int, siginfo_t*, void*)) noexcept {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == handler;
}

// Async-signal-safe: stores and system calls.
void on_fatal_signal(int number, siginfo_t* why, void*) noexcept {
  note_signal(number);
  // Gone already by SA_RESETHAND, unless a handler that took this one's place has called it.
  signal(number, SIG_DFL);
  // The signal is blocked until this returns, and then ends the process before its next instruction: where it was, and for the same cause.
  // Returning alone would do for a fault, which happens again; but not for what the kernel sends otherwise, such as Ctrl-C.
  if (why == nullptr || syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, why) != 0) raise(number);
}

// Likewise, where somebody else handles the fault: they end the process, or mend what is wrong and the program goes on.
void on_fault_of_others(int number, siginfo_t* why, void* where) noexcept {
  note_signal(number);
  std::size_t i = 0;
  while (kFatalSignals[i] != number) ++i;
  const struct sigaction theirs = found_handlers[i];
  if ((theirs.sa_flags & SA_SIGINFO) != 0)
    theirs.sa_sigaction(number, why, where);
  else
    theirs.sa_handler(number);
  sigset_t pending;
  struct sigaction now {};
  const bool ends = number == SIGABRT ||  // whose sender, abort(), sees to it
                    (sigpending(&pending) == 0 && sigismember(&pending, number) == 1) ||
                    (sigaction(number, nullptr, &now) == 0 && is_handled_by(now, SIG_DFL));
  if (!ends) note_signal(0);
}

void on_exit_call() {
  for_each_mark([](LiveWords& live) { live.end_exit.store(1, std::memory_order_relaxed); });
}

void install(std::size_t i) noexcept {
  struct sigaction now {};
  struct sigaction ours {};
  if (sigaction(kFatalSignals[i], nullptr, &now) != 0) return;
  if (is_handled_by(now, SIG_DFL)) {
    ours.sa_sigaction = &on_fatal_signal;
    ours.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK;
  } else {
    // With `has_found`, who stands there now may hand on to ours.
    if (i >= kFaults || has_found[i] || is_handled_by(now, SIG_IGN) || is_handled_by(now, &on_fatal_signal)) return;
    found_handlers[i] = now;
    has_found[i] = true;
    ours = now;
    ours.sa_sigaction = &on_fault_of_others;
    ours.sa_flags |= SA_SIGINFO;
  }
  sigaction(kFatalSignals[i], &ours, nullptr);
}

void uninstall(std::size_t i) noexcept {
  struct sigaction now {};
  struct sigaction standard {};
  if (sigaction(kFatalSignals[i], nullptr, &now) != 0) return;
  standard.sa_handler = SIG_DFL;
  if (is_handled_by(now, &on_fatal_signal)) sigaction(kFatalSignals[i], &standard, nullptr);
  if (!is_handled_by(now, &on_fault_of_others)) return;
  sigaction(kFatalSignals[i], &found_handlers[i], nullptr);
  has_found[i] = false;
}

}  // namespace

CrashMark::CrashMark(LiveWords& live) noexcept : live_(&live) {
  marked_process.store(getpid(), std::memory_order_relaxed);
  static const bool at_exit = std::atexit(&on_exit_call) == 0;
  static_cast<void>(at_exit);
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) install(i);
  for (auto& mark : marks) {
    LiveWords* nobody = nullptr;
    if (mark.compare_exchange_strong(nobody, live_, std::memory_order_relaxed)) return;
  }
}

CrashMark::~CrashMark() {
  bool is_last = true;
  for (auto& mark : marks) {
    LiveWords* own = live_;
    mark.compare_exchange_strong(own, nullptr, std::memory_order_relaxed);
    if (mark.load(std::memory_order_relaxed) != nullptr) is_last = false;
  }
  if (!is_last || marked_process.load(std::memory_order_relaxed) != getpid()) return;
  for (std::size_t i = 0; i < kFatalSignals.size(); ++i) uninstall(i);
}

}  // namespace vigil
