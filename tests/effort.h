// How much a test may ask of the build that it is in: under a sanitizer everything is slower, and freed memory is kept for a while.
#pragma once

namespace vigil::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#else
constexpr bool kIsSanitized = false;
#endif

/// Of what is drawn at random `rounds`, or a quarter under a sanitizer, where each takes four times as long.
constexpr int rounds(int rounds) noexcept { return kIsSanitized ? rounds / 4 : rounds; }

}  // namespace vigil::test
