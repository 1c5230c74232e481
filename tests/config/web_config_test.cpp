// The file of --web.config.file: what it may hold, and all that is said about what it may not.
#include "vigil/config/web_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "files.h"
#include "vigil/config/config_reader.h"

namespace vigil {
namespace {

using namespace test;

// Of "rosebud", cost 4.
const std::string kHash = "$2y$04$abcdefghijklmnopqrstuu5vI3ZRTjKCPRqBc8t0Ueb2foafP8H66";
const std::string kTls = "tls_server_config:\n  cert_file: a.crt\n  key_file: keys/a.key\n";

TEST(WebConfigFile, ThatIsEmptyMeansNoSecurity) {
  for (const char* yaml : {"", "# nothing\n", "---\n", "{}\n", "basic_auth_users: {}\n"}) {
    const WebConfig config = parse_web_config(yaml);
    EXPECT_FALSE(config.tls) << yaml;
    EXPECT_TRUE(config.users.empty() && config.headers.empty()) << yaml;
    EXPECT_EQ(config.rate_interval_us, 0) << yaml;
  }
}

TEST(WebConfigFile, ThatSaysNothingIsToldFromOneThatSaysThatThereIsNothing) {
  for (const char* blank : {"", "\n", "# users: later\n", "---\n"}) EXPECT_TRUE(parse_web_config(blank).is_blank) << blank;
  for (const char* said : {"{}", "rate_limit: {}", "---\n{}\n"}) EXPECT_FALSE(parse_web_config(said).is_blank) << said;
}

TEST(WebConfigFile, HoldsWhatExporterToolkitKnows) {
  const WebConfig config = parse_web_config(
      kTls +
          "  client_ca_file: /etc/ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus, 10.0.0.1]\n"
          "  min_version: TLS13\n  max_version: TLS13\n  cipher_suites: []\n  prefer_server_cipher_suites: false\n"
          "  curve_preferences: [X25519, CurveP256]\n"
          "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: ''\n"
          "    Content-Security-Policy: default-src 'none'\n"
          "basic_auth_users:\n  alice: " +
          kHash + "\n  \"bob b\": " + kHash + "\nrate_limit: {interval: 250ms, burst: 20}\n",
      "/etc/vigil");
  ASSERT_TRUE(config.tls);
  EXPECT_EQ(config.tls->certificate.file, "/etc/vigil/a.crt");
  EXPECT_EQ(config.tls->key.file, "/etc/vigil/keys/a.key");
  EXPECT_EQ(config.tls->client_ca.file, "/etc/ca.pem") << "an absolute path stays";
  EXPECT_EQ(config.tls->client_auth, ClientAuth::require_and_verify);
  EXPECT_EQ(config.tls->client_allowed_sans, (std::vector<std::string>{"prometheus", "10.0.0.1"}));
  EXPECT_EQ(config.tls->min_version, TlsVersion::tls13);
  EXPECT_EQ(config.tls->max_version, TlsVersion::tls13);
  EXPECT_EQ(config.tls->curve_preferences, (std::vector<std::string>{"X25519", "CurveP256"}));
  EXPECT_FALSE(config.tls->prefer_server_cipher_suites);
  ASSERT_EQ(config.headers.size(), 2u) << "an empty one is not set";
  EXPECT_EQ(config.headers[1], std::make_pair(std::string("Content-Security-Policy"), std::string("default-src 'none'")));
  ASSERT_EQ(config.users.size(), 2u);
  EXPECT_EQ(config.users[1].name, "bob b");
  EXPECT_EQ(config.users[1].hash, kHash);
  EXPECT_EQ(config.rate_interval_us, 250'000);
  EXPECT_EQ(config.rate_burst, 20);
}

TEST(WebConfigFile, OffersTls12AndTls13UnlessToldOtherwise) {
  const WebConfig config = parse_web_config(kTls);
  EXPECT_EQ(config.tls->min_version, TlsVersion::tls12);
  EXPECT_EQ(config.tls->max_version, TlsVersion::tls13);
  EXPECT_EQ(config.tls->client_auth, ClientAuth::none);
  EXPECT_TRUE(config.tls->prefer_server_cipher_suites);
  EXPECT_EQ(parse_web_config(kTls + "  client_auth_type: RequireClientCert\n").tls->client_auth, ClientAuth::require_any)
      << "the old name of it";
}

TEST(WebConfigFile, TakesPemInPlaceOfFiles) {
  const WebConfig config = parse_web_config(
      "tls_server_config:\n  cert: |\n    -----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----\n"
      "  key: |\n    -----BEGIN PRIVATE KEY-----\n    BBBB\n    -----END PRIVATE KEY-----\n");
  EXPECT_EQ(config.tls->certificate.text, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_EQ(config.tls->key.text, "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n");
}

TEST(WebConfigFile, ReadsDurations) {
  for (const auto& [text, microseconds] : std::vector<std::pair<std::string, std::int64_t>>{
           {"0", 0}, {"0s", 0}, {"1us", 1}, {"5ms", 5000}, {"1s", 1'000'000}, {"2m", 120'000'000}, {"1h", 3'600'000'000}}) {
    EXPECT_EQ(parse_web_config("rate_limit: {interval: " + text + ", burst: 1}").rate_interval_us, microseconds) << text;
  }
}

TEST(WebConfigFile, OfTheDocumentIsOne) {
  const std::string document = read_text(VIGIL_WEB_CONFIG_MD), begin = "```yaml\n";
  const std::size_t from = document.find(begin) + begin.size();
  const WebConfig config = parse_web_config(document.substr(from, document.find("```", from) - from));
  EXPECT_EQ(config.tls->certificate.file, "vigil.crt");
  ASSERT_EQ(config.users.size(), 1u);
  EXPECT_EQ(config.users[0].name, "prometheus");
  EXPECT_EQ(config.headers.size(), 1u);
}

TEST(WebConfigFile, IsReadBesideItsOwnFolder) {
  const TemporaryFolder folder;
  const WebConfig config = load_web_config(folder.write("web.yml", kTls));
  EXPECT_EQ(config.tls->key.file, folder.file("keys/a.key"));
}

TEST(WebConfigFile, ThatIsMissingSaysSo) {
  try {
    load_web_config("/nonexistent/web.yml");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "/nonexistent/web.yml: expected a readable file, got the error: No such file or directory");
  }
}

struct Bad {
  std::string yaml;
  std::string message;
};

std::string message_of(const std::string& yaml) {
  try {
    parse_web_config(yaml, "", "w.yml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(WebConfigFile, SaysWhatIsWrongWhereAndWhatToDo) {
  const std::vector<Bad> rows{
      {"[]", "w.yml:1:1: expected a mapping, got a list"},
      {"basic_auth_user: {}",
       "w.yml:1:1: basic_auth_user: expected tls_server_config, http_server_config, basic_auth_users or rate_limit, got 'basic_auth_user' "
       "(did you mean 'basic_auth_users'?)"},
      {"basic_auth_users: []", "w.yml:1:19: basic_auth_users: expected a mapping of names to bcrypt hashes, got a list"},
      {"basic_auth_users:\n", "w.yml:1:1: basic_auth_users: expected a mapping of names to bcrypt hashes, got nothing"},
      {"tls_server_config:\nrate_limit: {}", "w.yml:1:1: tls_server_config: expected a mapping, got nothing"},
      {"tls_server_config: {}",
       "w.yml:1:1: tls_server_config: expected cert_file, got a section without it\n"
       "w.yml:1:1: tls_server_config: expected key_file, got a section without it"},
      {kTls + "  min_version: TLS11\n",
       "w.yml:4:16: tls_server_config.min_version: expected TLS12 or TLS13, got 'TLS11' (nothing before TLS 1.2 is offered; write TLS12)"},
      {kTls + "  max_version: 1.2\n", "w.yml:4:16: tls_server_config.max_version: expected TLS12 or TLS13, got '1.2'"},
      {kTls + "  min_version: TLS13\n  max_version: TLS12\n",
       "w.yml:1:1: tls_server_config: expected a min_version of at most max_version, got TLS13 and TLS12"},
      {kTls + "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n",
       "w.yml:4:18: tls_server_config.cipher_suites: expected no cipher_suites, got a list (GnuTLS cannot choose single suites; AEAD "
       "suites with forward secrecy are the only ones offered anyway: leave the key out)"},
      {kTls + "  curve_preferences: [CurveP224]\n",
       "w.yml:4:23: tls_server_config.curve_preferences[0]: expected CurveP256, CurveP384, CurveP521 or X25519, got 'CurveP224'"},
      {kTls + "  client_auth_type: Always\n",
       "w.yml:4:21: tls_server_config.client_auth_type: expected NoClientCert, RequestClientCert, RequireAnyClientCert, "
       "VerifyClientCertIfGiven or RequireAndVerifyClientCert, got 'Always'"},
      {kTls + "  client_auth_type: RequireAndVerifyClientCert\n",
       "w.yml:1:1: tls_server_config: expected client_ca_file, got a section without it"},
      {kTls + "  client_ca_file: ca.pem\n",
       "w.yml:1:1: tls_server_config: expected the client_auth_type RequireAndVerifyClientCert or VerifyClientCertIfGiven beside "
       "client_ca_file, got none of them"},
      {kTls + "  client_allowed_sans: [a]\n",
       "w.yml:1:1: tls_server_config: expected the client_auth_type RequireAndVerifyClientCert or VerifyClientCertIfGiven beside "
       "client_allowed_sans, got none of them"},
      {kTls + "  cert: \"-----BEGIN CERTIFICATE-----\"\n",
       "w.yml:4:9: tls_server_config.cert: expected a file or a text, not both, got a text beside the file"},
      {"tls_server_config: {cert_file: a, key: secret}",
       "w.yml:1:40: tls_server_config.key: expected PEM, got something else (it is not shown here as it may be a key)"},
      {"http_server_config: {http2: true}",
       "w.yml:1:29: http_server_config.http2: expected false, got 'true' (HTTP/1.1 is spoken here, and clients of HTTP/2 speak it too)"},
      {"http_server_config: {http2: no}", "w.yml:1:29: http_server_config.http2: expected false, got 'no'"},
      {"http_server_config: {headers: {Server: x}}",
       "w.yml:1:32: http_server_config.headers.Server: expected Content-Security-Policy, Strict-Transport-Security, "
       "X-Content-Type-Options, X-Frame-Options or X-XSS-Protection, got 'Server'"},
      {"http_server_config: {headers: {X-Frame-Options: DENY}}",
       "w.yml:1:49: http_server_config.headers.X-Frame-Options: expected deny or sameorigin, got 'DENY'"},
      {"http_server_config: {headers: {X-XSS-Protection: \"1\\r\\nSet-Cookie: a\"}}",
       "w.yml:1:50: http_server_config.headers.X-XSS-Protection: expected printable UTF-8 text, got the control character U+000D"},
      {"rate_limit: {interval: 1s}",
       "w.yml:1:1: rate_limit: expected burst beside interval, got none (without it every request would be refused)"},
      {"rate_limit: {interval: 1d, burst: 0}",
       "w.yml:1:24: rate_limit.interval: expected a duration from 0s to 1h (in us, ms, s, m or h), got '1d'\n"
       "w.yml:1:35: rate_limit.burst: expected an integer from 1 to 1000000, got '0'"},
      {"rate_limit: {interval: 61m, burst: 1}",
       "w.yml:1:24: rate_limit.interval: expected a duration from 0s to 1h (in us, ms, s, m or h), got '61m'"},
      {"basic_auth_users: &a {}\n",
       "w.yml:1:19: basic_auth_users: expected a value without anchors, aliases and tags, got the anchor '&a'"},
  };
  for (const Bad& row : rows) EXPECT_EQ(message_of(row.yaml), row.message) << row.yaml;
}

TEST(WebConfigFile, TellsEveryProblemAtOnceInTheirOrder) {
  EXPECT_EQ(message_of("rate_limit: {burst: x}\ntls_server_config:\n  cert_file: ''\n  min_version: TLS10\nusers: {}\nrate_limit: {}\n"),
            "w.yml:1:21: rate_limit.burst: expected an integer from 1 to 1000000, got 'x'\n"
            "w.yml:3:14: tls_server_config.cert_file: expected a path of 1 to 4096 bytes, got 0 bytes\n"
            "w.yml:4:16: tls_server_config.min_version: expected TLS12 or TLS13, got 'TLS10' (nothing before TLS 1.2 is offered; write "
            "TLS12)\n"
            "w.yml:5:1: users: expected tls_server_config, http_server_config, basic_auth_users or rate_limit, got 'users'\n"
            "w.yml:6:1: rate_limit: expected each key once, got it again (first on line 1)");
}

TEST(WebConfigFile, TellsNoPasswordThatStandsWhereItsHashShould) {
  const std::string other_letters = "$2y$04$hunter2*" + std::string(45, 'a');
  for (const std::string& value : std::vector<std::string>{"hunter2", "'hunter2'", "$1$hunter2", "$2y$04$hunter2", other_letters}) {
    const std::string message = message_of("basic_auth_users:\n  alice: " + value + "\n");
    EXPECT_EQ(message.rfind("w.yml:2:10: basic_auth_users.alice: expected a bcrypt hash of cost 4 to 14, got ", 0), 0u) << message;
    EXPECT_EQ(message.find("hunter2"), std::string::npos) << message;
  }
  EXPECT_EQ(message_of("basic_auth_users: {a: {b: c}}"),
            "w.yml:1:23: basic_auth_users.a: expected a bcrypt hash of cost 4 to 14, got a mapping");
}

TEST(WebConfigFile, RefusesHashesThatTakeTooLong) {
  const auto with_cost = [](const std::string& cost) {
    std::string hash = kHash;
    hash.replace(4, 2, cost);
    return "basic_auth_users: {alice: " + hash + "}";
  };
  EXPECT_EQ(message_of(with_cost("14")), "accepted");
  EXPECT_EQ(message_of(with_cost("15")),
            "w.yml:1:27: basic_auth_users.alice: expected a bcrypt hash of cost 4 to 14, got a hash of cost 15 (each step doubles the time "
            "that a login takes; make it anew with less)");
  EXPECT_NE(message_of(with_cost("03")), "accepted");
}

TEST(WebConfigFile, RefusesNamesThatBasicAuthenticationCannotCarry) {
  EXPECT_EQ(message_of("basic_auth_users: {\"a:b\": \"" + kHash + "\"}"),
            "w.yml:1:20: basic_auth_users: expected a name without a colon, got the text \"a:b\"");
  EXPECT_EQ(message_of("basic_auth_users: {\"\": \"" + kHash + "\"}"),
            "w.yml:1:20: basic_auth_users: expected a name of 1 to 128 bytes, got 0 bytes");
  std::string many = "basic_auth_users:\n";
  for (int i = 0; i < 101; ++i) many += "  u" + std::to_string(i) + ": " + kHash + "\n";
  EXPECT_EQ(message_of(many), "w.yml:102:3: basic_auth_users: expected at most 100 users, got more");
}

}  // namespace
}  // namespace vigil
