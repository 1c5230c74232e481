// Two hundred clients that are served while others do what they can against it. The server has a process of its own, whose memory and files
// are looked at from outside.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "e2e/wait_until.h"
#include "effort.h"
#include "files.h"
#include "fork.h"
#include "http/certificates.h"
#include "http/http_client.h"
#include "vigil/exporters/http_server.h"

namespace vigil {
namespace {

using namespace test;

constexpr std::size_t kLargeBytes = std::size_t{8} << 20;

std::string text_of(const HttpCounters& c) {
  return "connections " + std::to_string(c.connections) + ", refused " + std::to_string(c.connections_refused) + ", evicted " +
         std::to_string(c.connections_evicted) + ", request timeouts " + std::to_string(c.request_timeouts) + ", answer timeouts " +
         std::to_string(c.answer_timeouts) + ", dropped " + std::to_string(c.dropped_requests) + ", requests " +
         std::to_string(c.requests) + ", 200 " + std::to_string(c.answers_with(200)) + ", 400 " + std::to_string(c.answers_with(400)) +
         ", 413 " + std::to_string(c.answers_with(413)) + ", 414 " + std::to_string(c.answers_with(414)) + ", 431 " +
         std::to_string(c.answers_with(431)) + ", 503 " + std::to_string(c.answers_with(503)) + ", accept errors " +
         std::to_string(c.accept_errors);
}

// A child that serves until its standing pipe is closed.
class ServerProcess {
 public:
  explicit ServerProcess(const std::string& web_config_file = "") {
    int to_parent[2], to_child[2];
    if (pipe(to_parent) != 0 || pipe(to_child) != 0) throw std::runtime_error("no pipe");
    pid_ = fork_quietly();
    if (pid_ == 0) {
      close(to_parent[0]);
      close(to_child[1]);
      serve(to_parent[1], to_child[0], web_config_file);
    }
    close(to_parent[1]);
    close(to_child[0]);
    keeps_running_ = to_child[1];
    char buffer[64];
    const ssize_t got = read(to_parent[0], buffer, sizeof buffer);
    close(to_parent[0]);
    if (got > 0) endpoint_.assign(buffer, static_cast<std::size_t>(got));
  }
  ~ServerProcess() {
    close(keeps_running_);
    waitpid(pid_, nullptr, 0);
  }

  const std::string& endpoint() const { return endpoint_; }
  std::size_t open_files() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd")) {
      static_cast<void>(entry);
      ++count;
    }
    return count;
  }
  // Of its own memory, KiB; what files are mapped is not counted.
  long resident_kib() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string word; status >> word;) {
      if (word == "RssAnon:" && status >> word) return std::stol(word);
    }
    return 0;
  }

 private:
  [[noreturn]] static void serve(int to_parent, int from_parent, const std::string& web_config_file) {
    HttpServerSettings settings;
    settings.web_config_file = web_config_file;
    settings.address = "127.0.0.1";
    settings.methods = {{"/post", {"POST"}}};
    settings.limits.request_ms = 2000;
    settings.limits.stall_ms = 2000;
    const auto large = std::make_shared<const std::string>(kLargeBytes, 'a');
    HttpServer* self = nullptr;
    HttpServer server(settings, [&](const HttpRequest& request) {
      HttpResponse response;
      response.body = request.path() == "/large"      ? large
                      : request.path() == "/counters" ? std::make_shared<const std::string>(text_of(self->counters()))
                                                      : std::make_shared<const std::string>(std::string(20'000, 'b'));
      return response;
    });
    self = &server;
    const std::string endpoint = server.endpoint();
    if (write(to_parent, endpoint.data(), endpoint.size()) < 0) _exit(1);
    close(to_parent);
    char c;
    while (read(from_parent, &c, 1) > 0) {
    }
    server.stop();
    _exit(0);
  }

  pid_t pid_ = -1;
  int keeps_running_ = -1;
  std::string endpoint_;
};

enum class Malice { silent, slow, unread, oversized_head, oversized_body, garbage };

// One connection after another that does no good.
class Attacker {
 public:
  Attacker(Malice malice, std::uint16_t port, unsigned seed) : malice_(malice), port_(port), random_(seed) {}
  Attacker(Attacker&& other) noexcept : malice_(other.malice_), port_(other.port_), random_(other.random_) {
    std::swap(socket_, other.socket_);
  }
  ~Attacker() {
    if (socket_ >= 0) close(socket_);
  }

  void act() {
    if (socket_ < 0 || is_ended()) begin();
    switch (malice_) {
      case Malice::silent: return;
      case Malice::slow: return send_some(begun_ ? "x" : "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
      case Malice::unread:
        if (!begun_) send_some("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
        return;
      case Malice::oversized_head: return send_some("GET / HTTP/1.1\r\nX-Large: " + std::string(30'000, 'h'));
      case Malice::oversized_body:
        return send_some(begun_ ? "1000\r\n" + std::string(0x1000, 'b') + "\r\n"
                                : "POST /post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
      case Malice::garbage: {
        std::string bytes(1 + random_() % 200, '\0');
        for (char& c : bytes) c = random_() % 8 == 0 ? '\n' : static_cast<char>(random_() % 256);
        return send_some(bytes + "\r\n\r\n");
      }
    }
  }

 private:
  void begin() {
    if (socket_ >= 0) close(socket_);
    begun_ = false;
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);  // the same host as the clients that behave
    static_cast<void>(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  }
  bool is_ended() const {
    if (malice_ == Malice::unread) {
      pollfd state{socket_, POLLRDHUP, 0};
      return poll(&state, 1, 0) == 1;
    }
    char buffer[4096];
    ssize_t got;
    while ((got = recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
    }
    return got == 0 || (errno != EAGAIN && errno != ENOTCONN);
  }
  void send_some(const std::string& bytes) {
    if (send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) begun_ = true;
  }

  const Malice malice_;
  const std::uint16_t port_;
  std::mt19937 random_;
  int socket_ = -1;
  bool begun_ = false;
};

// How long the requests of 200 clients take, in seconds, sorted; -1 for each that got no 200.
std::vector<double> times_of_healthy_clients(const std::string& endpoint, const ClientOptions& options, int requests) {
  constexpr int kClients = 200;
  std::vector<double> all;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&] {
      std::vector<double> own;
      for (int j = 0; j < requests; ++j) {
        const HttpAnswer answer = request_with(endpoint, "/", options);
        own.push_back(answer.status == 200 && answer.body.size() == 20'000 ? answer.seconds : -1);
      }
      const std::lock_guard<std::mutex> lock(mutex);
      all.insert(all.end(), own.begin(), own.end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::sort(all.begin(), all.end());
  return all;
}

std::string summary(const std::vector<double>& times) {
  const auto at = [&](double share) {
    return std::to_string(static_cast<int>(1000 * times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))]));
  };
  return "median " + at(0.5) + " ms, 99 % " + at(0.99) + " ms, all " + at(1) + " ms";
}

// `requests` of each client while there is peace, then thrice as many while there is none.
void expect_healthy_clients_are_served(const ServerProcess& server, const ClientOptions& options, int requests, long most_growth_kib) {
  ASSERT_FALSE(server.endpoint().empty());
  const auto port = static_cast<std::uint16_t>(std::stoi(server.endpoint().substr(10)));
  // The first round makes the server's own memory; then it is at rest.
  const std::vector<double> alone = times_of_healthy_clients(server.endpoint(), options, requests);
  const auto counters = [&] { return request_with(server.endpoint(), "/counters", options); };
  const auto is_at_rest = [&] { return counters().status == 200 && server.open_files() <= 32; };
  ASSERT_TRUE(wait_until(10, is_at_rest));
  const std::size_t files_before = server.open_files();
  const long memory_before = server.resident_kib();

  std::atomic<bool> ends{false}, is_under_way{false};
  std::atomic<long> most_memory{0};
  std::thread attack([&] {
    constexpr std::pair<Malice, int> kAttackers[] = {{Malice::silent, 150},        {Malice::slow, 150},          {Malice::unread, 150},
                                                     {Malice::oversized_head, 20}, {Malice::oversized_body, 20}, {Malice::garbage, 30}};
    std::vector<Attacker> attackers;
    for (const auto& [malice, count] : kAttackers) {
      for (int i = 0; i < count; ++i) attackers.emplace_back(malice, port, static_cast<unsigned>(attackers.size()));
    }
    while (!ends) {
      for (Attacker& attacker : attackers) attacker.act();
      is_under_way = true;
      most_memory = std::max(most_memory.load(), server.resident_kib());
      poll(nullptr, 0, 20);
    }
  });
  EXPECT_TRUE(wait_until(10, [&] { return is_under_way.load(); }));
  const std::vector<double> attacked = times_of_healthy_clients(server.endpoint(), options, 3 * requests);
  ends = true;
  attack.join();

  EXPECT_TRUE(wait_until(20, [&] { return is_at_rest() && server.open_files() <= files_before; })) << server.open_files() << " files";
  const std::string counted = counters().body;
  std::cout << "alone: " << summary(alone) << "; attacked: " << summary(attacked) << "; memory " << memory_before << " KiB, at most "
            << most_memory << " KiB, afterwards " << server.resident_kib() << " KiB\n"
            << counted << "\n";
  EXPECT_EQ(std::count(alone.begin(), alone.end(), -1.0), 0) << "of " << alone.size() << " got no 200 while there was peace";
  EXPECT_EQ(std::count(attacked.begin(), attacked.end(), -1.0), 0) << "of " << attacked.size() << " got no 200\n" << counted;
  EXPECT_LT(attacked.back(), kIsSanitized ? 8.0 : 4.0) << "seconds";
  EXPECT_LT(most_memory - memory_before, kIsSanitized ? 400 * 1024 : most_growth_kib) << "KiB";
  EXPECT_EQ(counted.find(", evicted 0,"), std::string::npos) << counted;
}

TEST(Flood, TwoHundredClientsAreServedWhileOthersMisbehave) {
  const ServerProcess server;
  expect_healthy_clients_are_served(server, {}, 10, 32 * 1024);
}

TEST(Flood, SoTheyAreOverTlsAndWithAPassword) {
  const TemporaryFolder folder;
  const MadeCertificate made = make_certificate(folder, "server", {"IP:127.0.0.1"});
  const std::string file = folder.write("web.yml",
                                        "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
                                        "basic_auth_users: {bob: $2b$10$abcdefghijklmnopqrstuuzx.CbLoQMac/wLLrA/Uu6/I9tyypH2i}\n");
  const ServerProcess server(file);
  ClientOptions options;
  options.authority_file = made.certificate_file;
  options.user = "bob:rosebud";
  expect_healthy_clients_are_served(server, options, 3, 64 * 1024);
}

}  // namespace
}  // namespace vigil
