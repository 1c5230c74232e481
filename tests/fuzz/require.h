// What a fuzz target asserts.
#pragma once

#include <cstdlib>

namespace vigil::fuzz {

/// A property that does not hold is a crash to the fuzzer.
inline void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace vigil::fuzz
