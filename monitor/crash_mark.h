// The last word of a process that ends without having said that its run does.
#pragma once

#include "vigil/monitor/ring_format.h"

namespace vigil {

/// From its construction to its destruction a fatal signal of this process, and a call of exit(), are noted in `LiveWords::end_signal` and
/// `end_exit`, for who reads the ring file afterwards. SIGKILL and _exit() leave no note.
///
/// Handlers are installed for signals that would end the process and that nobody handles yet, and removed with the last mark. They store a
/// number and let the signal do what it would have done, a core dump at the place of the fault among it. Of faults (SIGSEGV, SIGBUS,
/// SIGFPE, SIGILL, SIGABRT) a handler that is there already is called after the note, which is taken back if that returns and the program
/// goes on; one that jumps out of itself leaves it. A handler that the program installs later takes their place. A forked child notes
/// nothing; nor does a stack that has overflowed, unless there is another one for signals (sigaltstack(2)). Process 1 of a container
/// outlives a signal that nobody handles, and the note then stands in the file of a process that lives. At most kMarks marks at a time;
/// more note nothing.
class CrashMark {
 public:
  static constexpr int kMarks = 16;

  /// `live` outlives this. Set-up only, one thread at a time.
  explicit CrashMark(LiveWords& live) noexcept;
  ~CrashMark();
  CrashMark(const CrashMark&) = delete;
  CrashMark& operator=(const CrashMark&) = delete;

 private:
  LiveWords* live_;
};

}  // namespace vigil
