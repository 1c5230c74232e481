// vigild: flags, signals, and what systemd wants to hear.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "vigil/config/config_reader.h"
#include "vigil/daemon/options.h"
#include "vigil/daemon/service.h"
#include "vigil/exporters/logging.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kFailed = 1, kUsage = 2;
constexpr std::chrono::milliseconds kLeastPause{50};  // between two turns that files which appear ask for

// Blocks what it listens to in this thread and in all that it starts.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, number);
    sigprocmask(SIG_BLOCK, &set_, nullptr);
    signal(SIGPIPE, SIG_IGN);
    descriptor_ = signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor_ < 0) throw std::runtime_error("no signalfd; is the process at its limit of open files?");
  }
  ~Signals() { close(descriptor_); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int descriptor() const noexcept { return descriptor_; }
  /// The number of the next one, or 0.
  int next() const noexcept {
    signalfd_siginfo signal;
    return read(descriptor_, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal) ? static_cast<int>(signal.ssi_signo) : 0;
  }

 private:
  sigset_t set_;
  int descriptor_ = -1;
};

// Tells systemd twice as often as it wants that this goes on, however seldom the files are looked at.
class Watchdog {
 public:
  Watchdog() {
    std::uint64_t microseconds = 0;
    if (sd_watchdog_enabled(0, &microseconds) <= 0) return;
    pause_ = std::chrono::microseconds(microseconds / 2);
    next_ = Clock::now();
  }
  /// Of the next call of tell(); the end of time when nobody wants to hear.
  Clock::time_point next() const noexcept { return next_; }
  void tell() noexcept {
    if (Clock::now() < next_) return;
    sd_notify(0, "WATCHDOG=1");
    next_ = Clock::now() + pause_;
  }

 private:
  std::chrono::microseconds pause_{0};
  Clock::time_point next_ = Clock::time_point::max();
};

// Turns until a signal says to end.
void serve(vigil::Service& service, const Signals& signals, std::chrono::milliseconds interval) {
  sd_notify(0, "READY=1\nSTATUS=Following the runs of this host");
  Watchdog watchdog;
  Clock::time_point earliest = Clock::now(), next = earliest + interval;
  for (;;) {
    watchdog.tell();
    const Clock::time_point now = Clock::now();
    // A file that appears is looked at at once, but a directory in which they come and go all the time does not keep this busy.
    const bool may_turn = now >= earliest;
    pollfd ready[] = {{signals.descriptor(), POLLIN, 0}, {may_turn ? service.descriptor() : -1, POLLIN, 0}};
    const Clock::time_point wake = std::min({may_turn ? next : earliest, next, watchdog.next()});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(wake - now).count();
    poll(ready, 2, left > 0 ? static_cast<int>(left) : 0);
    while (const int number = signals.next()) {
      if (number != SIGHUP) {
        vigil::log(vigil::LogLevel::info, number == SIGTERM ? "SIGTERM: ending" : "SIGINT: ending");
        return;
      }
      sd_notify(0, "RELOADING=1");
      service.reload();
      sd_notify(0, "READY=1");
    }
    if (Clock::now() < next && (ready[1].revents & POLLIN) == 0) continue;
    service.turn();
    earliest = Clock::now() + kLeastPause;
    next = Clock::now() + interval;
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    int code = 0;
    const auto options = vigil::parse_options(argc, argv, std::cout, std::cerr, code);
    if (!options && std::cout.flush()) return code;
    if (!options) throw std::runtime_error("cannot write to standard output");
    vigil::set_log_level(options->log_level);
    const Signals signals;
    vigil::Service service(*options);
    serve(service, signals, std::chrono::milliseconds(options->interval_ms));
    sd_notify(0, "STOPPING=1");
    return 0;
  } catch (const vigil::ConfigError& error) {
    std::cerr << "vigild: " << error.what() << '\n';
    return kUsage;
  } catch (const std::invalid_argument& error) {
    std::cerr << "vigild: " << error.what() << '\n';
    return kUsage;
  } catch (const std::exception& error) {
    std::cerr << "vigild: " << error.what() << '\n';
    return kFailed;
  }
}
