// Threads of vigil take no signals: these belong to the program's own threads.
#pragma once

#include <csignal>

namespace vigil {

/// Blocks all signals in this thread for the time of its life; threads started meanwhile begin with them blocked.
class SignalMask {
 public:
  SignalMask() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalMask() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalMask(const SignalMask&) = delete;
  SignalMask& operator=(const SignalMask&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace vigil
