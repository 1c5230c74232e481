// `vigil tail`
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>

#include "vigil/terminal/text_style.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {

struct TailOptions {
  RunChoice run;
  bool json = false;
  bool follow = false;      ///< wait for the run, and go on with later attempts of it until one of them finishes
  std::size_t last = 10;    ///< steps that are there already and shown first
  std::uint64_t every = 1;  ///< of the steps those with a number that this divides, and all that are not finite
  OutputPlace place;
  int descriptor = 1;  ///< of `out`: whether its reader is still there
};

/// Says that nobody reads the output any more: 0 is to be returned, and nothing to be written to it.
inline constexpr int kReaderGone = -1;

/// Follows a run's steps to `out`, notes and errors to `err`, until the run is over or the reader of `out` goes away; SIGPIPE is ignored
/// from then on. Returns the program's exit code: 0 finished, 1 failed, crashed or unreadable, or `out` cannot be written; or kReaderGone.
int tail(const TailOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
