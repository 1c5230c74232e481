// The floating-point environment that vigil computes in.
#pragma once

#include <cstdint>

namespace vigil {

/// The default one for as long as this lives, then again the caller's: nearest rounding, subnormals kept, no traps. A program may flush
/// subnormals (`at::globalContext().setFlushDenormal`, or a link with -ffast-math), round otherwise, or trap on NaN (`feenableexcept`);
/// each would change figures or end the run. Threads begin with that of their creator. Of the arithmetic that vigil does on x86-64 the x87
/// unit, which keeps an environment of its own, adds up norms only, finite ones in a type that no sum of them leaves. On other processors
/// than x86-64 and aarch64 the caller's environment stays.
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() noexcept : saved_(read()) {
    if ((saved_ & ~kRaised) != kDefault) write(kDefault);
  }
  ~DefaultFloatEnvironment() {
    if (read() != saved_) write(saved_);
  }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
#if defined(__x86_64__)
  // MXCSR: all exceptions masked; the low bits are those that have been raised.
  static constexpr std::uint64_t kDefault = 0x1f80, kRaised = 0x3f;
  static std::uint64_t read() noexcept { return __builtin_ia32_stmxcsr(); }
  static void write(std::uint64_t state) noexcept { __builtin_ia32_ldmxcsr(static_cast<unsigned>(state)); }
#elif defined(__aarch64__)
  // FPCR; what has been raised is in another register.
  static constexpr std::uint64_t kDefault = 0, kRaised = 0;
  static std::uint64_t read() noexcept {
    std::uint64_t state;
    asm volatile("mrs %0, fpcr" : "=r"(state));
    return state;
  }
  static void write(std::uint64_t state) noexcept { asm volatile("msr fpcr, %0" : : "r"(state) : "memory"); }
#else
  static constexpr std::uint64_t kDefault = 0, kRaised = 0;
  static std::uint64_t read() noexcept { return kDefault; }
  static void write(std::uint64_t) noexcept {}
#endif

  const std::uint64_t saved_;
};

}  // namespace vigil
