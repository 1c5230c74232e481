// TLS of an HTTP server: certificates read from their files, and what GnuTLS is told about versions, curves and clients.
#pragma once

#include <string>
#include <vector>

#include "vigil/config/web_config.h"

struct gnutls_session_int;

namespace vigil {

/// All that a server needs to speak TLS; never changes.
struct TlsServer {
  std::string certificate, key, client_ca;  ///< PEM
  std::string priorities;                   ///< as GnuTLS reads them
  ClientAuth client_auth = ClientAuth::none;
  std::vector<std::string> client_allowed_sans;

  bool operator==(const TlsServer& other) const;
};

/// Reads the files that `config` names and looks whether they belong together. `file` stands in messages for the web config file.
/// @throws ConfigError with every problem
TlsServer load_tls_server(const TlsServerConfig& config, const std::string& file);

/// Asks the client of a session for its certificate as `server.client_auth` says. Before the handshake.
void request_client_certificate(const TlsServer& server, gnutls_session_int* session);

/// Whether the client has shown what `server.client_auth` wants. Within the handshake.
bool is_client_accepted(const TlsServer& server, gnutls_session_int* session);

}  // namespace vigil
