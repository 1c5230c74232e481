#include "vigil/exporters/hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace vigil {

std::array<unsigned char, 32> hmac_sha256_bytes(std::string_view key, std::string_view text) noexcept {
  std::array<unsigned char, 32> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
       digest.data(), &size);
  return digest;
}

}  // namespace vigil
