#include "vigil/monitor/crash_mark.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>

namespace vigil {
namespace {

constexpr std::array<int, 13> kFatalSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL,  SIGABRT, SIGSYS, SIGTRAP,
                                            SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGXFSZ};

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

// Async-signal-safe: stores and system calls.
void on_fatal_signal(int number, siginfo_t* why, void*) noexcept {
  for_each_mark([number](LiveWords& live) { live.end_signal.store(static_cast<std::uint64_t>(number), std::memory_order_relaxed); });
  // Gone already by SA_RESETHAND, unless a handler that took this one's place has called it.
  signal(number, SIG_DFL);
  // The signal is blocked until this returns, and then ends the process before its next instruction: where it was, and for the same cause.
  // Returning alone would do for a fault, which happens again; but not for what the kernel sends otherwise, such as Ctrl-C.
  if (why == nullptr || syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, why) != 0) raise(number);
}

void on_exit_call() {
  for_each_mark([](LiveWords& live) { live.end_exit.store(1, std::memory_order_relaxed); });
}

bool is_ours(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &on_fatal_signal;
}

void install() noexcept {
  static const bool at_exit = std::atexit(&on_exit_call) == 0;
  static_cast<void>(at_exit);
  for (const int number : kFatalSignals) {
    struct sigaction now {};
    if (sigaction(number, nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 || now.sa_handler != SIG_DFL) continue;
    struct sigaction ours {};
    ours.sa_sigaction = &on_fatal_signal;
    ours.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK;
    sigaction(number, &ours, nullptr);
  }
}

void uninstall() noexcept {
  for (const int number : kFatalSignals) {
    struct sigaction now {};
    if (sigaction(number, nullptr, &now) != 0 || !is_ours(now)) continue;
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(number, &standard, nullptr);
  }
}

}  // namespace

CrashMark::CrashMark(LiveWords& live) noexcept : live_(&live) {
  marked_process.store(getpid(), std::memory_order_relaxed);
  install();
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
  if (is_last && marked_process.load(std::memory_order_relaxed) == getpid()) uninstall();
}

}  // namespace vigil
