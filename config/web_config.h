// Who may talk to a port, and how: the file of `--web.config.file`, in the form that the exporters of Prometheus share (exporter-toolkit),
// read as strictly as vigil.yml. docs/web-config.md says what it may hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vigil {

enum class TlsVersion : std::uint8_t { tls12, tls13 };

/// What is asked of the certificates of clients.
enum class ClientAuth : std::uint8_t {
  none,                ///< NoClientCert
  request,             ///< RequestClientCert: asked for, not looked at
  require_any,         ///< RequireAnyClientCert: any will do
  verify_if_given,     ///< VerifyClientCertIfGiven
  require_and_verify,  ///< RequireAndVerifyClientCert: the only one that keeps others out
};

/// A certificate or key, in PEM.
struct PemSource {
  std::string file;  ///< path; empty: `text` is it
  std::string text;
};

struct TlsServerConfig {
  PemSource certificate;  ///< followed by those that signed it, if any
  PemSource key;          ///< not encrypted
  PemSource client_ca;    ///< both empty when `client_auth` does not verify
  ClientAuth client_auth = ClientAuth::none;
  /// A client's certificate must have one of these as subject alternative name (DNS, e-mail, URI or IP address). Empty: any name.
  std::vector<std::string> client_allowed_sans;
  TlsVersion min_version = TlsVersion::tls12;
  TlsVersion max_version = TlsVersion::tls13;
  /// CurveP256, CurveP384, CurveP521, X25519, in the order of preference. Empty: those of GnuTLS.
  std::vector<std::string> curve_preferences;
  bool prefer_server_cipher_suites = true;
};

struct BasicAuthUser {
  std::string name;  ///< 1 to 128 bytes of printable UTF-8 without a colon
  std::string hash;  ///< bcrypt, $2a$, $2b$ or $2y$, of a cost from 4 to `kMaxBcryptCost`
};

/// A step more doubles the time that one password takes; at 14 that is about a second.
inline constexpr int kMaxBcryptCost = 14;

/// All of it empty: no security at all.
struct WebConfig {
  bool is_blank = false;                                     ///< nothing stands in the file but comments, not even {}
  std::optional<TlsServerConfig> tls;                        ///< nothing: plain HTTP
  std::vector<BasicAuthUser> users;                          ///< empty: anybody; at most 100
  std::vector<std::pair<std::string, std::string>> headers;  ///< of every answer
  std::int64_t rate_interval_us = 0;                         ///< time that a request takes out of the burst, 0 (no limit) to 3,600,000,000
  std::int64_t rate_burst = 0;                               ///< requests at once, 1 to 1,000,000; 0 without a limit
};

/// Reads `path`, a regular file of at most 1 MiB; paths in it are relative to its folder. An empty file is `WebConfig{}` but for
/// `is_blank`. Does not open the files that it names. What it holds of passwords and keys is not in any message.
/// @throws ConfigError (config_reader.h) as load_config: every problem, with its place
WebConfig load_web_config(const std::filesystem::path& path);

/// The same for YAML text; `name` stands in messages for the file.
WebConfig parse_web_config(std::string_view yaml, const std::filesystem::path& folder = {}, const std::string& name = "<text>");

}  // namespace vigil
