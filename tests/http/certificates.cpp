#include "http/certificates.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <stdexcept>

namespace vigil::test {
namespace {

template <auto release>
struct Released {
  template <class Object>
  void operator()(Object* object) const {
    release(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Released<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Released<X509_free>>;
using File = std::unique_ptr<std::FILE, Released<std::fclose>>;

File opened(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) throw std::runtime_error("cannot open " + path);
  return file;
}

void extend(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Released<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) throw std::runtime_error("no extension " + value);
}

}  // namespace

MadeCertificate make_certificate(const TemporaryFolder& folder, const std::string& name, const std::vector<std::string>& names,
                                 const MadeCertificate* issuer, const std::string& usage) {
  static long serial = 0;
  const MadeCertificate made{folder.file(name + ".crt"), folder.file(name + ".key")};
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  extend(certificate.get(), NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(certificate.get(), NID_ext_key_usage, usage);
  std::string list;
  for (const std::string& one : names) list += (list.empty() ? "" : ",") + one;
  if (!list.empty()) extend(certificate.get(), NID_subject_alt_name, list);
  if (issuer == nullptr) {
    X509_set_issuer_name(certificate.get(), subject);
    X509_sign(certificate.get(), key.get(), EVP_sha256());
  } else {
    const Certificate by(PEM_read_X509(opened(issuer->certificate_file, "r").get(), nullptr, nullptr, nullptr));
    const Key with(PEM_read_PrivateKey(opened(issuer->key_file, "r").get(), nullptr, nullptr, nullptr));
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(by.get()));
    X509_sign(certificate.get(), with.get(), EVP_sha256());
  }
  PEM_write_X509(opened(made.certificate_file, "w").get(), certificate.get());
  PEM_write_PrivateKey(opened(made.key_file, "w").get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return made;
}

std::string tls_handshake(const std::string& endpoint, int min, int max, const std::string& groups) {
  ERR_clear_error();
  const std::unique_ptr<SSL_CTX, Released<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_security_level(context.get(), 0);  // else it is this side that refuses
  SSL_CTX_set_min_proto_version(context.get(), min);
  SSL_CTX_set_max_proto_version(context.get(), max);
  SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  if (!groups.empty()) SSL_CTX_set1_groups_list(context.get(), groups.c_str());
  const std::unique_ptr<BIO, Released<BIO_free_all>> connection(BIO_new_ssl_connect(context.get()));
  BIO_set_conn_hostname(connection.get(), endpoint.c_str());
  if (BIO_do_connect(connection.get()) == 1) {
    SSL* session = nullptr;
    BIO_get_ssl(connection.get(), &session);
    return SSL_get_version(session);
  }
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "no reason" : reason;
}

}  // namespace vigil::test
