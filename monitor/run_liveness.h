// Whether a run whose ring file is read goes on, and what became of it if not: the one judgement, for whoever looks.
#pragma once

#include <cstdint>
#include <string>

#include "vigil/monitor/process_identity.h"
#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/run_state.h"

namespace vigil {

/// When a run that gives no sign of life is taken for hung.
struct HungAfter {
  double seconds = 60;       ///< without a heartbeat, at least
  double mean_steps = 20;    ///< and so many times what a step takes
  double when_waiting = 10;  ///< times as long before the first step has ended, and in phases other than "train"
};

/// A run's state, and why a reader thinks so.
struct RunCondition {
  RunState state = RunState::starting;
  std::string reason;  ///< of crashed, hung and unreadable, e.g. "signal 11 (SIGSEGV)"; else empty. Words of ours only.
};

/// What a file says and what the kernel says of its writer, put together. `live` has been read after `writer` was asked: a run that ends
/// in between has said so by then. `mean_step_seconds` is Snapshot::mean_step_seconds, 0 when not known; `now_ns` is monotonic_time_ns().
///
/// - What the writer said of its end stands: finished, failed.
/// - A writer that is gone without a word has crashed; with the machine, if the file is of an earlier start of it.
/// - A writer that lives, or of which the kernel cannot tell, is hung when its heartbeat is older than `hung_after` has it.
RunCondition judge(const LiveReading& live, WriterState writer, bool is_of_this_boot, double mean_step_seconds, std::int64_t now_ns,
                   const HungAfter& hung_after = {});

/// Asks of the file what the above needs, in the right order; a few system calls. `self` is this_process(), which stays the same.
/// A file that cannot be read any more is unreadable, with the reason.
RunCondition judge(const RingFile& file, const ProcessIdentity& self, double mean_step_seconds, std::int64_t now_ns,
                   const HungAfter& hung_after = {});

/// "SIGSEGV"; empty for a number that has no name here.
const char* signal_name(int number) noexcept;

}  // namespace vigil
