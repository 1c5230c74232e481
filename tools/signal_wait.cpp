#include "vigil/tools/signal_wait.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>

namespace vigil::tools {
namespace {

constexpr std::array<int, 6> kSignals{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

volatile sig_atomic_t end_signal_seen = 0, resize_seen = 0, stop_seen = 0;

void on_signal(int number) {
  if (number == SIGWINCH) {
    resize_seen = 1;
  } else if (number == SIGTSTP) {
    stop_seen = 1;
  } else {
    end_signal_seen = number;
  }
}

void set_handler(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

bool is_ignored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

SignalWait::SignalWait() {
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int number : kSignals) {
    if (is_ignored(number)) continue;  // as nohup(1) has it
    sigaddset(&blocked, number);
    set_handler(number, &on_signal);
  }
  sigprocmask(SIG_BLOCK, &blocked, &before_);
}

SignalWait::~SignalWait() {
  for (const int number : kSignals) {
    if (!is_ignored(number)) set_handler(number, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

bool SignalWait::wait(std::chrono::milliseconds duration, int input) {
  pollfd file{input, POLLIN, 0};
  const timespec time{static_cast<std::time_t>(duration.count() / 1000), static_cast<long>(duration.count() % 1000) * 1'000'000};
  return ppoll(&file, 1, &time, &before_) > 0;
}

void SignalWait::write(int output, std::string_view text) {
  while (!text.empty() && end_signal() == 0) {
    // A terminal may be held (Ctrl-S). Without a time: a signal ends it.
    pollfd file{output, POLLOUT, 0};
    if (ppoll(&file, 1, nullptr, &before_) < 0) continue;
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, &before_, &blocked);
    const ssize_t written = ::write(output, text.data(), text.size());
    const int error = errno;
    sigprocmask(SIG_SETMASK, &blocked, nullptr);
    if (written < 0 && error != EINTR) return;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

int SignalWait::end_signal() const noexcept { return end_signal_seen; }

bool SignalWait::take_resize() noexcept {
  const bool seen = resize_seen != 0;
  resize_seen = 0;
  return seen;
}

bool SignalWait::take_stop() noexcept {
  const bool seen = stop_seen != 0;
  stop_seen = 0;
  return seen;
}

void die_of(int signal) {
  set_handler(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  sigprocmask(SIG_UNBLOCK, &only, nullptr);
  raise(signal);
  _exit(128 + signal);
}

}  // namespace vigil::tools
