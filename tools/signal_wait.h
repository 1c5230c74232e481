// Waiting in a program that ends in order when a signal comes.
#pragma once

#include <signal.h>

#include <chrono>
#include <string_view>

namespace vigil::tools {

/// From its construction to its destruction SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP and SIGWINCH are blocked, but for the time within
/// wait() and write(), and noted. One at a time, in a program of one thread.
class SignalWait {
 public:
  SignalWait();
  ~SignalWait();
  SignalWait(const SignalWait&) = delete;
  SignalWait& operator=(const SignalWait&) = delete;

  /// Waits for `duration`, a signal, or something to read from `input`, or its end. True when there is something to read.
  bool wait(std::chrono::milliseconds duration, int input);
  /// Writes all of it, unless an error or a signal that ends the program comes first.
  void write(int output, std::string_view text);

  /// A signal that is to end the program; 0: none came.
  int end_signal() const noexcept;
  /// Whether the window has got another size, or the user wants the program to stop for now, since the last call.
  bool take_resize() noexcept;
  bool take_stop() noexcept;

 private:
  sigset_t before_{};
};

/// Ends the program by `signal`, as if nobody had caught it.
[[noreturn]] void die_of(int signal);

}  // namespace vigil::tools
