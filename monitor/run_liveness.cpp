#include "vigil/monitor/run_liveness.h"

#include <algorithm>
#include <cmath>
#include <csignal>

namespace vigil {
namespace {

std::string signal_text(int number) {
  const std::string name = signal_name(number);
  return "signal " + std::to_string(number) + (name.empty() ? name : " (" + name + ")");
}

std::string end_of(const LiveReading& live, bool is_of_this_boot) {
  if (live.end_signal != 0) return signal_text(live.end_signal);
  if (live.end_exit) return "it called exit() before the run had ended";
  if (!is_of_this_boot) return "the machine was restarted";
  return "no word: killed (SIGKILL, out of memory) or _exit()";
}

// A file may say anything: also that it will be written in the future.
double age_seconds(std::int64_t then_ns, std::int64_t now_ns) noexcept {
  return then_ns >= now_ns ? 0 : static_cast<double>(static_cast<std::uint64_t>(now_ns) - static_cast<std::uint64_t>(then_ns)) * 1e-9;
}

std::string whole_seconds(double seconds) { return std::to_string(static_cast<std::uint64_t>(std::min(seconds, 1e15))) + " s"; }

}  // namespace

RunCondition judge(const LiveReading& live, WriterState writer, bool is_of_this_boot, double mean_step_seconds, std::int64_t now_ns,
                   const HungAfter& hung_after) {
  if (live.state == RunState::finished || live.state == RunState::failed) return {live.state, ""};
  if (writer == WriterState::gone) return {RunState::crashed, end_of(live, is_of_this_boot)};
  // A heartbeat of another start of the machine is of another clock: only a lock says that this one lives, on another machine.
  if (!is_of_this_boot) return {live.state, ""};

  const double steps_seconds = std::isfinite(mean_step_seconds) ? hung_after.mean_steps * mean_step_seconds : 0;
  const bool is_waiting = live.last_step == 0 || live.phase != 0;
  const double bound_seconds = std::max(hung_after.seconds, steps_seconds) * (is_waiting ? hung_after.when_waiting : 1);
  const double silent_seconds = age_seconds(live.heartbeat_ns, now_ns);
  if (silent_seconds <= bound_seconds) return {live.state, ""};
  std::string reason = "no sign of life for " + whole_seconds(silent_seconds);
  // A process that writes a large core dump is there for as long as that takes.
  if (live.end_signal != 0) reason += ", since " + signal_text(live.end_signal);
  if (writer == WriterState::unknown)
    reason += "; whether its process is there cannot be told from here (another PID namespace and no locks, or no descriptors left)";
  return {RunState::hung, std::move(reason)};
}

RunCondition judge(const RingFile& file, const ProcessIdentity& self, double mean_step_seconds, std::int64_t now_ns,
                   const HungAfter& hung_after) {
  try {
    const WriterState writer = file.writer(self);
    const LiveReading live = file.read_live();
    return judge(live, writer, file.header().boot_id == self.boot_id, mean_step_seconds, now_ns, hung_after);
  } catch (const RingFileError& error) {
    return {RunState::unreadable, error.what()};
  }
}

const char* signal_name(int number) noexcept {
  switch (number) {
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    case SIGQUIT: return "SIGQUIT";
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGABRT: return "SIGABRT";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGKILL: return "SIGKILL";
    case SIGUSR1: return "SIGUSR1";
    case SIGSEGV: return "SIGSEGV";
    case SIGUSR2: return "SIGUSR2";
    case SIGPIPE: return "SIGPIPE";
    case SIGALRM: return "SIGALRM";
    case SIGTERM: return "SIGTERM";
    case SIGXCPU: return "SIGXCPU";
    case SIGXFSZ: return "SIGXFSZ";
    case SIGSYS: return "SIGSYS";
    default: return "";
  }
}

}  // namespace vigil
