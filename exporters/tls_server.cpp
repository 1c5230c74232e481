#include "vigil/exporters/tls_server.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <tuple>
#include <utility>

#include "vigil/config/config_reader.h"
#include "vigil/config/source_file.h"

namespace vigil {
namespace {

constexpr std::size_t kMaxPemBytes = std::size_t{1} << 20;

template <class Object, void (*release)(Object*)>
struct Released {
  void operator()(Object* object) const { release(object); }
};
using Credentials =
    std::unique_ptr<gnutls_certificate_credentials_st, Released<gnutls_certificate_credentials_st, gnutls_certificate_free_credentials>>;
using Priorities = std::unique_ptr<gnutls_priority_st, Released<gnutls_priority_st, gnutls_priority_deinit>>;
using Certificate = std::unique_ptr<gnutls_x509_crt_int, Released<gnutls_x509_crt_int, gnutls_x509_crt_deinit>>;

gnutls_datum_t datum_of(const std::string& text) {
  return {reinterpret_cast<unsigned char*>(const_cast<char*>(text.data())), static_cast<unsigned>(text.size())};
}

// The PEM, or an empty text and a problem.
std::string read_pem(const PemSource& source, const char* key, const std::string& config_file, std::vector<ConfigProblem>& problems) {
  if (source.file.empty()) return source.text;
  config_reader::SourceFile file = config_reader::read_source_file(source.file, kMaxPemBytes + 1);
  std::string problem = file.problem;
  if (problem.empty() && file.text.size() > kMaxPemBytes) problem = "expected at most 1 MiB, got more";
  const bool is_pem = file.text.find("-----BEGIN ") != std::string::npos && file.text.find('\0') == std::string::npos;
  if (problem.empty() && !is_pem) problem = "expected PEM, got something else";
  if (problem.empty()) return std::move(file.text);
  problems.push_back({config_file, 0, 0, std::string("tls_server_config.") + key, problem + " (" + source.file + ")"});
  return {};
}

std::string priorities_of(const TlsServerConfig& config) {
  // AEAD with forward secrecy only; weaker ones are for clients of another decade.
  std::string priorities = "NORMAL:-VERS-ALL";
  if (config.max_version == TlsVersion::tls13) priorities += ":+VERS-TLS1.3";
  if (config.min_version == TlsVersion::tls12) priorities += ":+VERS-TLS1.2";
  priorities += ":-KX-ALL:+ECDHE-RSA:+ECDHE-ECDSA:-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305";
  if (!config.curve_preferences.empty()) priorities += ":-GROUP-ALL";
  for (const std::string& curve : config.curve_preferences) {
    constexpr std::pair<std::string_view, std::string_view> kGroups[] = {
        {"CurveP256", "SECP256R1"}, {"CurveP384", "SECP384R1"}, {"CurveP521", "SECP521R1"}, {"X25519", "X25519"}};
    for (const auto& [name, group] : kGroups) {
      if (curve == name) priorities += ":+GROUP-" + std::string(group);
    }
  }
  if (config.prefer_server_cipher_suites) priorities += ":%SERVER_PRECEDENCE";
  return priorities;
}

// The subject alternative names of a certificate, IP addresses in their usual form.
std::vector<std::string> names_of(gnutls_x509_crt_t certificate) {
  std::vector<std::string> names;
  for (unsigned i = 0;; ++i) {
    char name[1024];
    std::size_t size = sizeof name;
    const int type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, nullptr);
    if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) return names;
    if (type == GNUTLS_E_SHORT_MEMORY_BUFFER) continue;  // longer than any that the file may list
    if (type < 0) return names;
    if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI) {
      names.emplace_back(name, strnlen(name, size));
    } else if (type == GNUTLS_SAN_IPADDRESS && (size == 4 || size == 16)) {
      char text[INET6_ADDRSTRLEN];
      if (inet_ntop(size == 4 ? AF_INET : AF_INET6, name, text, sizeof text) != nullptr) names.emplace_back(text);
    }
  }
}

}  // namespace

bool TlsServer::operator==(const TlsServer& other) const {
  const auto all = [](const TlsServer& s) {
    return std::tie(s.certificate, s.key, s.client_ca, s.priorities, s.client_auth, s.client_allowed_sans);
  };
  return all(*this) == all(other);
}

TlsServer load_tls_server(const TlsServerConfig& config, const std::string& file) {
  std::vector<ConfigProblem> problems;
  const auto problem = [&](const char* key, const std::string& expected, int error) {
    problems.push_back(
        {file, 0, 0, std::string("tls_server_config.") + key, "expected " + expected + ", got the error: " + gnutls_strerror(error)});
  };
  TlsServer server;
  server.certificate = read_pem(config.certificate, "cert_file", file, problems);
  server.key = read_pem(config.key, "key_file", file, problems);
  server.client_ca = read_pem(config.client_ca, "client_ca_file", file, problems);
  server.client_auth = config.client_auth;
  server.client_allowed_sans = config.client_allowed_sans;
  server.priorities = priorities_of(config);

  gnutls_certificate_credentials_t allocated = nullptr;
  if (gnutls_certificate_allocate_credentials(&allocated) != GNUTLS_E_SUCCESS) throw std::bad_alloc();
  const Credentials credentials(allocated);
  if (!server.certificate.empty() && !server.key.empty()) {
    const gnutls_datum_t certificate = datum_of(server.certificate), key = datum_of(server.key);
    const int result = gnutls_certificate_set_x509_key_mem(credentials.get(), &certificate, &key, GNUTLS_X509_FMT_PEM);
    if (result < 0) problem("cert_file", "a certificate and, in key_file, its key without a password", result);
  }
  if (!server.client_ca.empty()) {
    const gnutls_datum_t authorities = datum_of(server.client_ca);
    const int result = gnutls_certificate_set_x509_trust_mem(credentials.get(), &authorities, GNUTLS_X509_FMT_PEM);
    if (result <= 0) problem("client_ca_file", "certificates", result < 0 ? result : GNUTLS_E_NO_CERTIFICATE_FOUND);
  }
  gnutls_priority_t made = nullptr;
  const int result = gnutls_priority_init(&made, server.priorities.c_str(), nullptr);
  const Priorities priorities(made);
  if (result != GNUTLS_E_SUCCESS) problem("curve_preferences", "versions and curves that GnuTLS has", result);
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return server;
}

void request_client_certificate(const TlsServer& server, gnutls_session_t session) {
  switch (server.client_auth) {
    case ClientAuth::none: gnutls_certificate_server_set_request(session, GNUTLS_CERT_IGNORE); return;
    case ClientAuth::request:
    case ClientAuth::verify_if_given: gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST); return;
    case ClientAuth::require_any:
    case ClientAuth::require_and_verify: gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
  }
}

bool is_client_accepted(const TlsServer& server, gnutls_session_t session) {
  if (server.client_auth == ClientAuth::none || server.client_auth == ClientAuth::request) return true;
  unsigned count = 0;
  const gnutls_datum_t* chain = gnutls_certificate_get_peers(session, &count);
  if (chain == nullptr || count == 0) return server.client_auth == ClientAuth::verify_if_given;
  if (server.client_auth == ClientAuth::require_any) return true;
  gnutls_typed_vdata_st purpose{GNUTLS_DT_KEY_PURPOSE_OID, reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT)),
                                0};
  unsigned status = 0;
  if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) != GNUTLS_E_SUCCESS || status != 0) return false;
  if (server.client_allowed_sans.empty()) return true;
  gnutls_x509_crt_t allocated = nullptr;
  if (gnutls_x509_crt_init(&allocated) != GNUTLS_E_SUCCESS) return false;
  const Certificate certificate(allocated);
  if (gnutls_x509_crt_import(certificate.get(), &chain[0], GNUTLS_X509_FMT_DER) != GNUTLS_E_SUCCESS) return false;
  const std::vector<std::string> names = names_of(certificate.get());
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const auto& allowed = server.client_allowed_sans;
    return std::find(allowed.begin(), allowed.end(), name) != allowed.end();
  });
}

}  // namespace vigil
