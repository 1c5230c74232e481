// A server with a web config file: TLS by a certificate made on the spot, users, headers, and files that change while it serves.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "files.h"
#include "http/certificates.h"
#include "http/http_client.h"
#include "vigil/config/config_reader.h"
#include "vigil/exporters/http_endpoint.h"
#include "vigil/exporters/http_server.h"

namespace vigil {
namespace {

using namespace test;

// Of "rosebud", in half a millisecond, and in some fifty.
const std::string kCheap = "$2b$04$vigilvigilvigilvigilveHFIpVJ/4uVfwh0kO6e7uOQ6eTosNq0y";
const std::string kUsual = "$2b$10$abcdefghijklmnopqrstuuzx.CbLoQMac/wLLrA/Uu6/I9tyypH2i";
constexpr int kTls11 = 0x0302, kTls12 = 0x0303, kTls13 = 0x0304;

class SecureServer : public testing::Test {
 protected:
  HttpServer& serve(const std::string& yaml) {
    folder.write("web.yml", yaml);
    HttpServerSettings settings;
    settings.address = "127.0.0.1";
    settings.web_config_file = folder.file("web.yml");
    settings.limits = limits;
    server = std::make_unique<HttpServer>(settings, [this](const HttpRequest&) {
      ++answered;
      HttpResponse response;
      response.body = std::make_shared<const std::string>("hello\n");
      return response;
    });
    return *server;
  }
  // A file that is another one, however coarse the file system's clock.
  void replace(const std::string& yaml) {
    folder.write("web.new", yaml);
    std::filesystem::rename(folder.file("web.new"), folder.file("web.yml"));
  }
  std::string tls_section(const MadeCertificate& made, const std::string& more = "") const {
    return "tls_server_config:\n  cert_file: " + made.certificate_file + "\n  key_file: " + made.key_file + "\n" + more;
  }
  HttpAnswer get(const ClientOptions& options, std::string* error = nullptr) const {
    return request_with(server->endpoint(), "/", options, error);
  }
  HttpAnswer get_as(const std::string& user) const {
    ClientOptions options;
    options.user = user;
    return get(options);
  }
  HttpAnswer get_by_tls(const std::string& authority_file) const {
    ClientOptions options;
    options.authority_file = authority_file;
    return get(options);
  }

  TemporaryFolder folder;
  HttpLimits limits;
  std::atomic<int> answered{0};
  std::unique_ptr<HttpServer> server;
};

TEST_F(SecureServer, SpeaksTlsWithItsCertificateAndNothingElse) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  serve(tls_section(made));
  EXPECT_TRUE(server->is_tls());
  EXPECT_EQ(get_by_tls(made.certificate_file).body, "hello\n");
  EXPECT_EQ(get({}).status, 0) << "plain HTTP gets no answer";
  const MadeCertificate other = make_certificate(folder, "other", {"IP:127.0.0.1"});
  EXPECT_EQ(get_by_tls(other.certificate_file).status, 0) << "nor does a client that trusts somebody else";
  EXPECT_EQ(answered, 1);
  EXPECT_TRUE(wait_until(5, [&] { return server->counters().tls_failures == 2; }));
}

TEST_F(SecureServer, AgreesOnNoVersionBelowItsLeast) {
  const std::string kEnded = "unexpected eof while reading";
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  serve(tls_section(made, "  min_version: TLS12\n"));
  // The client sends its hello and the server ends the connection: a client that refuses by itself has "no protocols available".
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls11, kTls11), kEnded);
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls11, kTls12), "TLSv1.2");
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls11, kTls13), "TLSv1.3");
  serve(tls_section(made, "  min_version: TLS13\n"));
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls12, kTls12), kEnded);
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls12, kTls13), "TLSv1.3");
  serve(tls_section(made, "  max_version: TLS12\n"));
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls12, kTls13), "TLSv1.2");
}

TEST_F(SecureServer, AgreesOnItsCurvesOnly) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  serve(tls_section(made, "  curve_preferences: [X25519, CurveP256]\n"));
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls13, kTls13, "X25519"), "TLSv1.3");
  EXPECT_EQ(tls_handshake(server->endpoint(), kTls13, kTls13, "P-256"), "TLSv1.3");
  EXPECT_NE(tls_handshake(server->endpoint(), kTls13, kTls13, "P-521"), "TLSv1.3");
}

TEST_F(SecureServer, AsksClientsForCertificatesOfItsAuthority) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  const MadeCertificate authority = make_certificate(folder, "authority"), stranger = make_certificate(folder, "stranger");
  const MadeCertificate good = make_certificate(folder, "good", {"DNS:prometheus", "IP:10.0.0.1"}, &authority, "clientAuth");
  const MadeCertificate bad = make_certificate(folder, "bad", {"DNS:prometheus"}, &stranger, "clientAuth");
  const MadeCertificate wrong_use = make_certificate(folder, "wrong_use", {"DNS:prometheus"}, &authority, "serverAuth");
  const MadeCertificate other_name = make_certificate(folder, "other_name", {"DNS:grafana"}, &authority, "clientAuth");
  const auto status = [&](const MadeCertificate* client) {
    ClientOptions options;
    options.authority_file = made.certificate_file;
    if (client != nullptr) options.certificate_file = client->certificate_file;
    if (client != nullptr) options.key_file = client->key_file;
    return get(options).status;
  };
  const std::string ca = "  client_ca_file: authority.crt\n";
  serve(tls_section(made, ca + "  client_auth_type: RequireAndVerifyClientCert\n"));
  EXPECT_EQ(status(&good), 200);
  EXPECT_EQ(status(&other_name), 200);
  EXPECT_EQ(status(nullptr), 0);
  EXPECT_EQ(status(&bad), 0);
  EXPECT_EQ(status(&wrong_use), 0);
  EXPECT_EQ(answered, 2) << "who is not let in is not answered at all";
  serve(tls_section(made, ca + "  client_auth_type: VerifyClientCertIfGiven\n"));
  EXPECT_EQ(status(&good), 200);
  EXPECT_EQ(status(nullptr), 200);
  EXPECT_EQ(status(&bad), 0);
  serve(tls_section(made, "  client_auth_type: RequireAnyClientCert\n"));
  EXPECT_EQ(status(&bad), 200);
  EXPECT_EQ(status(nullptr), 0);
  serve(tls_section(made, "  client_auth_type: RequestClientCert\n"));
  EXPECT_EQ(status(&bad), 200);
  EXPECT_EQ(status(nullptr), 200);
  for (const char* name : {"prometheus", "10.0.0.1"}) {
    serve(tls_section(made, ca + "  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [" + name + "]\n"));
    EXPECT_EQ(status(&good), 200) << name;
    EXPECT_EQ(status(&other_name), 0) << name;
  }
}

TEST_F(SecureServer, TakesCertificatesThatStandInTheFile) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  const auto block = [](const std::string& file) {
    std::string text = "|\n";
    std::istringstream lines(read_text(file));
    for (std::string line; std::getline(lines, line);) text += "    " + line + "\n";
    return text;
  };
  serve("tls_server_config:\n  cert: " + block(made.certificate_file) + "  key: " + block(made.key_file));
  EXPECT_EQ(get_by_tls(made.certificate_file).status, 200);
}

std::string start_error(const std::string& file) {
  HttpServerSettings settings;
  settings.address = "127.0.0.1";
  settings.web_config_file = file;
  try {
    HttpServer server(settings, [](const HttpRequest&) { return HttpResponse{}; });
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "started";
}

TEST_F(SecureServer, DoesNotStartWithFilesThatAreWrong) {
  const MadeCertificate made = make_certificate(folder, "server"), other = make_certificate(folder, "other");
  const std::string file = folder.file("web.yml");
  folder.write("web.yml", tls_section({folder.file("none.crt"), made.key_file}));
  EXPECT_EQ(start_error(file), file +
                                   ": tls_server_config.cert_file: expected a readable file, got the error: No such file or directory (" +
                                   folder.file("none.crt") + ")");
  folder.write("web.yml", tls_section({folder.write("text.crt", "nothing").string(), folder.path().string()}));
  EXPECT_EQ(start_error(file), file + ": tls_server_config.cert_file: expected PEM, got something else (" + folder.file("text.crt") +
                                   ")\n" + file + ": tls_server_config.key_file: expected a readable file, got a directory (" +
                                   folder.path().string() + ")");
  folder.write("web.yml", tls_section({made.certificate_file, other.key_file}));
  EXPECT_EQ(
      start_error(file).rfind(
          file + ": tls_server_config.cert_file: expected a certificate and, in key_file, its key without a password, got the error: ", 0),
      0u);
  folder.write("web.yml", "basic_auth_users: {alice: rosebud}");
  EXPECT_NE(start_error(file).find("basic_auth_users.alice: expected a bcrypt hash"), std::string::npos);
  EXPECT_NE(start_error(folder.file("none.yml")).find("No such file"), std::string::npos);
  folder.write("web.yml", "");
  EXPECT_EQ(start_error(file), "started");
}

TEST_F(SecureServer, LetsInWhoKnowsThePassword) {
  serve("basic_auth_users:\n  alice: " + kCheap + "\n  bob: " + kUsual + "\n");
  const HttpAnswer nobody = get({});
  EXPECT_EQ(nobody.status, 401);
  EXPECT_EQ(nobody.headers.at("www-authenticate"), "Basic realm=\"vigil\", charset=\"UTF-8\"");
  EXPECT_EQ(get_as("alice:rosebud").status, 200);
  EXPECT_EQ(get_as("bob:rosebud").status, 200);
  EXPECT_EQ(get_as("alice:Rosebud").status, 401);
  EXPECT_EQ(get_as("alice:").status, 401);
  EXPECT_EQ(get_as("carol:rosebud").status, 401);
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(request(server->endpoint(), "/", {"Authorization: Basic !!!"}).status, 401);
  EXPECT_EQ(request(server->endpoint(), "/-/healthy").status, 401) << "as in exporter-toolkit, every path is behind it";
  EXPECT_EQ(request(server->endpoint(), "/", {}, "HEAD").status, 401);
  const HttpCounters counters = server->counters();
  EXPECT_EQ(counters.passwords_checked, 5u);
  EXPECT_EQ(counters.passwords_wrong, 3u);
  EXPECT_EQ(counters.answers_with(401), 7u);
}

TEST_F(SecureServer, ChecksAPasswordOnce) {
  serve("basic_auth_users: {bob: \"" + kUsual + "\"}");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(get_as("bob:rosebud").status, 200);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(get_as("bob:wrong").status, 401);
  EXPECT_EQ(server->counters().passwords_checked, 2u);
}

TEST_F(SecureServer, ThatIsStoppedLetsGoOfWhoWaits) {
  serve("basic_auth_users: {bob: \"" + kUsual + "\"}");
  std::vector<std::unique_ptr<RawConnection>> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(std::make_unique<RawConnection>(server->endpoint()));
    waiting.back()->send("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Ym9iOg==\r\n\r\n");
  }
  EXPECT_TRUE(wait_until(5, [&] { return server->counters().requests == 8; }));
  server->stop();
  for (const auto& connection : waiting) EXPECT_TRUE(connection->ends_within(5));
}

TEST_F(SecureServer, ServesWhoIsKnownDuringAFloodOfWrongPasswords) {
  serve("basic_auth_users: {bob: \"" + kUsual + "\"}");
  ASSERT_EQ(get_as("bob:rosebud").status, 200);
  std::atomic<bool> ends{false};
  std::atomic<int> guesses{0};
  std::vector<std::thread> guessers;
  for (int i = 0; i < 16; ++i) {
    guessers.emplace_back([&, i] {
      for (int guess = 0; !ends; ++guess) {
        get_as((guess % 2 == 0 ? "bob:" : "nobody:") + std::to_string(i) + "." + std::to_string(guess));
        ++guesses;
      }
    });
  }
  ASSERT_TRUE(wait_until(20, [&] { return guesses > 100; }));
  double slowest = 0;
  for (int i = 0; i < 50; ++i) {
    const HttpAnswer answer = get_as("bob:rosebud");
    EXPECT_EQ(answer.status, 200);
    slowest = std::max(slowest, answer.seconds);
  }
  ends = true;
  for (std::thread& guesser : guessers) guesser.join();
  EXPECT_LT(slowest, 1.0) << "seconds; a check takes a twentieth, and hundreds of them are asked for";
  const HttpCounters counters = server->counters();
  EXPECT_GT(counters.passwords_unchecked, 0u) << "those that found too many waiting got 503";
  EXPECT_LT(counters.passwords_checked, static_cast<std::uint64_t>(guesses));
  RecordProperty("slowest_ms", static_cast<int>(1000 * slowest));
}

TEST_F(SecureServer, AddsItsHeadersToEveryAnswer) {
  serve(
      "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n"
      "    Content-Security-Policy: default-src 'self'\n");
  for (const char* method : {"GET", "HEAD", "POST"}) {
    const HttpAnswer answer = request(server->endpoint(), "/", {}, method);
    EXPECT_EQ(answer.headers.at("x-frame-options"), "deny") << method;
    EXPECT_EQ(answer.headers.at("strict-transport-security"), "max-age=1") << method;
    EXPECT_EQ(answer.headers.at("content-security-policy"), "default-src 'self'") << method;
    EXPECT_EQ(answer.headers.at("x-content-type-options"), "nosniff") << method;
  }
}

TEST_F(SecureServer, HasRoomForTheLargestHeadersThatTheFileMayHold) {
  const std::string value = std::string(1024, 'a');
  serve("http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n    X-Content-Type-Options: nosniff\n    X-XSS-Protection: " +
        value + "\n    Content-Security-Policy: " + value + "\n    Strict-Transport-Security: " + value + "\n");
  std::vector<std::string> headers;
  for (int i = 0; i < 10; ++i) headers.push_back("X-" + std::to_string(i) + ": " + std::string(1100, 'b'));
  const HttpAnswer answer = request(server->endpoint(), "/", headers);
  EXPECT_EQ(answer.status, 200) << "beside a request's head of eleven thousand bytes";
  EXPECT_EQ(answer.headers.at("x-xss-protection"), value);
}

TEST_F(SecureServer, LimitsTheRateOfRequests) {
  serve("rate_limit: {interval: 1h, burst: 3}");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get({}).status, 200);
  const HttpAnswer refused = get({});
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(server->counters().rate_limited, 1u);
}

TEST_F(SecureServer, ReadsUsersAgainWhenTheFileChanges) {
  serve("");
  EXPECT_EQ(get({}).status, 200);
  replace("basic_auth_users: {alice: \"" + kCheap + "\"}");
  EXPECT_TRUE(wait_until(10, [&] { return get({}).status == 401; })) << "by itself";
  EXPECT_EQ(get_as("alice:rosebud").status, 200);
  replace("basic_auth_users: {bob: \"" + kCheap + "\"}");
  EXPECT_EQ(server->reload(), "");
  EXPECT_EQ(get_as("alice:rosebud").status, 401) << "at once after reload(), though her password is known";
  EXPECT_EQ(get_as("bob:rosebud").status, 200);
  // One more where the server has seen the last change by itself, a moment before reload().
  const std::uint64_t reloads = server->counters().reloads;
  EXPECT_TRUE(reloads == 3 || reloads == 4) << reloads;
}

TEST_F(SecureServer, KeepsWhatItHadWhenTheNewFileIsBroken) {
  serve("basic_auth_users: {alice: \"" + kCheap + "\"}");
  replace("basic_auth_users: {alice: rosebud}");
  EXPECT_NE(server->reload().find("basic_auth_users.alice: expected a bcrypt hash"), std::string::npos);
  EXPECT_EQ(get_as("alice:rosebud").status, 200);
  EXPECT_EQ(get({}).status, 401);
  // The server looks by itself once a second, and may have seen the same file a moment before.
  const std::uint64_t failures = server->counters().reload_failures;
  EXPECT_GE(failures, 1u);
  EXPECT_LE(failures, 2u);
  std::filesystem::remove(folder.file("web.yml"));
  EXPECT_TRUE(wait_until(10, [&] { return server->counters().reload_failures == failures + 1; })) << "a file that is gone opens no door";
  EXPECT_EQ(get({}).status, 401);
}

TEST_F(SecureServer, KeepsWhatItHadWhenTheNewFileIsEmpty) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  serve(tls_section(made) + "basic_auth_users: {alice: \"" + kCheap + "\"}");
  const CapturedLog log;
  ClientOptions stranger;
  stranger.authority_file = made.certificate_file;
  for (const char* blank : {"", "# users: later\n", "---\n"}) {
    replace(blank);
    EXPECT_NE(server->reload().find("web.yml is empty, which would leave the port without TLS and users; write {} into it"),
              std::string::npos)
        << blank;
    EXPECT_EQ(get(stranger).status, 401) << blank;
    EXPECT_EQ(get({}).status, 0) << "no plain HTTP";
  }
  EXPECT_GE(server->counters().reload_failures, 3u);
  EXPECT_GE(log.count("error: the web config file is wrong, what it held before stays: "), 3u);
  folder.write("web.yml", "");  // by itself, as when somebody truncates it
  const std::uint64_t failures = server->counters().reload_failures;
  EXPECT_TRUE(wait_until(10, [&] { return server->counters().reload_failures > failures; }));
  EXPECT_EQ(get(stranger).status, 401);
}

TEST_F(SecureServer, WarnsOfAFileThatTurnsSecurityOff) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  serve(tls_section(made) + "basic_auth_users: {alice: \"" + kCheap + "\"}");
  const CapturedLog log;
  replace(tls_section(made));
  EXPECT_EQ(server->reload(), "");
  EXPECT_EQ(get_by_tls(made.certificate_file).status, 200);
  replace("{}");
  EXPECT_EQ(server->reload(), "");
  EXPECT_EQ(get({}).status, 200);
  EXPECT_EQ(log.count("was read again: the port is now without users"), 1u);
  EXPECT_EQ(log.count("was read again: the port is now without TLS"), 1u);
  EXPECT_EQ(log.count("warning: "), 2u);
  replace("");
  EXPECT_EQ(server->reload(), "") << "there is nothing left to lose";
}

TEST_F(SecureServer, TakesANewCertificateWithoutLettingGoOfThePort) {
  const MadeCertificate first = make_certificate(folder, "first", {"IP:127.0.0.1"});
  const MadeCertificate second = make_certificate(folder, "second", {"IP:127.0.0.1"});
  const MadeCertificate used{folder.file("used.crt"), folder.file("used.key")};
  const auto use = [&](const MadeCertificate& made) {
    std::filesystem::copy_file(made.key_file, used.key_file, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file(made.certificate_file, used.certificate_file, std::filesystem::copy_options::overwrite_existing);
  };
  use(first);
  serve(tls_section(used));
  const std::string endpoint = server->endpoint();
  EXPECT_EQ(get_by_tls(first.certificate_file).status, 200);
  // All the while there is an answer, by one certificate or the other.
  std::atomic<bool> ends{false};
  std::atomic<int> tries{0}, refused{0};
  std::thread client([&] {
    for (; !ends; ++tries) {
      RawConnection connection(endpoint);
      refused += connection.is_open() ? 0 : 1;
      connection.send("nonsense\r\n\r\n");
      connection.read_all();
    }
  });
  use(second);
  EXPECT_TRUE(wait_until(10, [&] { return get_by_tls(second.certificate_file).status == 200; })) << "by itself";
  EXPECT_EQ(get_by_tls(first.certificate_file).status, 0);
  folder.write("used.crt", "broken");
  EXPECT_TRUE(wait_until(10, [&] { return server->counters().reload_failures > 0; }));
  EXPECT_EQ(get_by_tls(second.certificate_file).status, 200) << "the last good one stays";
  replace("{}");
  EXPECT_TRUE(wait_until(10, [&] { return get({}).status == 200; })) << "even TLS goes without a restart";
  EXPECT_FALSE(server->is_tls());
  ends = true;
  client.join();
  EXPECT_EQ(refused, 0);
  EXPECT_GT(tries, 0);
  EXPECT_EQ(server->endpoint(), endpoint);
}

TEST_F(SecureServer, EndsConnectionsOfTheOldCertificateOnceTheyAreIdle) {
  limits.idle_ms = 600'000;
  serve("");
  RawConnection kept(server->endpoint());
  kept.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  kept.read_until("hello\n");
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  replace(tls_section(made));
  EXPECT_EQ(server->reload(), "");
  EXPECT_TRUE(kept.ends_within(5));
  EXPECT_EQ(get_by_tls(made.certificate_file).status, 200);
}

TEST_F(SecureServer, MayBeReloadedByAnAnswer) {
  folder.write("web.yml", "");
  HttpServerSettings settings;
  settings.address = "127.0.0.1";
  settings.web_config_file = folder.file("web.yml");
  settings.methods = {{"/-/reload", {"POST", "PUT"}}};
  HttpServer* self = nullptr;
  HttpServer reloading(settings, [&](const HttpRequest& request) {
    HttpResponse response;
    if (request.path() != "/-/reload") return response;
    const std::string problem = self->reload();
    response.status = problem.empty() ? 200 : 500;
    response.body = std::make_shared<const std::string>(problem);
    return response;
  });
  self = &reloading;
  EXPECT_EQ(request(reloading.endpoint(), "/-/reload", {}, "POST").status, 200);
  replace("nonsense: 1");
  const HttpAnswer answer = request(reloading.endpoint(), "/-/reload", {}, "POST");
  EXPECT_EQ(answer.status, 500);
  EXPECT_NE(answer.body.find("web.yml:1:1: nonsense: expected "), std::string::npos);
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  replace(tls_section(made));
  EXPECT_EQ(request(reloading.endpoint(), "/-/reload", {}, "PUT").status, 200) << "even where it replaces the loop that answers";
  EXPECT_TRUE(reloading.is_tls());
}

TEST_F(SecureServer, ServesATrainersPortToo) {
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  PrometheusConfig config;
  config.port = 0;
  config.web_config_file = folder.write("web.yml", tls_section(made) + "basic_auth_users: {alice: \"" + kCheap + "\"}\n");
  HttpEndpoint endpoint(config, [] { return std::shared_ptr<const Snapshot>(); });
  ClientOptions options;
  options.authority_file = made.certificate_file;
  EXPECT_EQ(request_with(endpoint.endpoint(), "/-/healthy", options).status, 401);
  options.user = "alice:rosebud";
  EXPECT_EQ(request_with(endpoint.endpoint(), "/-/healthy", options).status, 200);
  EXPECT_EQ(endpoint.counters().answers_with(401), 1u);
}

}  // namespace
}  // namespace vigil
