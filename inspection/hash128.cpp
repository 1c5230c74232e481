#include "vigil/inspection/hash128.h"

#include <xxhash.h>
#ifdef VIGIL_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>  // the same functions, in the instructions that the processor has: four times as fast
#endif

#include <cstring>
#include <new>

namespace vigil {

struct HashOfBytes::State {
  State() : state(XXH3_createState()) {
    if (state == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state);
  }
  ~State() { XXH3_freeState(state); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* state;
};

HashOfBytes::HashOfBytes() : state_(std::make_unique<State>()) {}
HashOfBytes::~HashOfBytes() = default;

void HashOfBytes::add(const void* data, std::size_t bytes) noexcept {
  if (bytes > 0) XXH3_128bits_update(state_->state, data, bytes);
}

Hash128 HashOfBytes::digest() const noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_->state));
  Hash128 hash;
  static_assert(sizeof canonical.digest == sizeof hash);
  std::memcpy(hash.data(), canonical.digest, sizeof canonical.digest);
  return hash;
}

std::string hex_of(const Hash128& hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : hash) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace vigil
