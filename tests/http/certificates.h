// Certificates of tests, made on the spot.
#pragma once

#include <string>
#include <vector>

#include "files.h"

namespace vigil::test {

/// A key on the curve P-256 and a certificate for it, valid for a day.
struct MadeCertificate {
  std::string certificate_file, key_file;  ///< PEM
};

/// Files `<name>.crt` and `<name>.key` in `folder`. `names` are subject alternative names as OpenSSL writes them: `IP:127.0.0.1`,
/// `DNS:prometheus`. `issuer` null: it signs itself, and may sign others. `usage`: `serverAuth` or `clientAuth`.
MadeCertificate make_certificate(const TemporaryFolder& folder, const std::string& name, const std::vector<std::string>& names = {},
                                 const MadeCertificate* issuer = nullptr, const std::string& usage = "serverAuth");

/// What a client gets that offers TLS of the versions from `min` to `max` (0x0302 is TLS 1.1, 0x0303 TLS 1.2, 0x0304 TLS 1.3), with ciphers
/// of any strength: the version agreed on, e.g. "TLSv1.3", or the reason of the failure.
std::string tls_handshake(const std::string& endpoint, int min, int max, const std::string& groups = "");

}  // namespace vigil::test
