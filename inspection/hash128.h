// XXH3-128, as tensors and models are fingerprinted by.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace vigil {

/// Canonical: the most significant byte first.
using Hash128 = std::array<std::uint8_t, 16>;

/// "0f3a…", 32 lower-case hexadecimal digits.
std::string hex_of(const Hash128& hash);

/// Of bytes that come piece by piece; the same however they are cut. Of no use against somebody who makes two inputs with the same hash on
/// purpose.
class HashOfBytes {
 public:
  /// @throws std::bad_alloc
  HashOfBytes();
  ~HashOfBytes();
  HashOfBytes(const HashOfBytes&) = delete;
  HashOfBytes& operator=(const HashOfBytes&) = delete;

  void add(const void* data, std::size_t bytes) noexcept;
  Hash128 digest() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vigil
