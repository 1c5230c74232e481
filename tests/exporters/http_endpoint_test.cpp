// The endpoint as clients see it: libcurl for what is usual, a bare socket for what is not.
#include "vigil/exporters/http_endpoint.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "fork.h"
#include "http/http_client.h"

namespace vigil {
namespace {

using namespace test;

const std::string kText = "text/plain; version=0.0.4; charset=utf-8";
const std::string kOpenMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";

PrometheusConfig any_port() {
  PrometheusConfig config;
  config.port = 0;
  return config;
}

class Endpoint : public testing::Test {
 protected:
  HttpAnswer get(const std::string& path, const std::vector<std::string>& headers = {}) { return request(http.endpoint(), path, headers); }

  std::shared_ptr<const Snapshot> snapshot = make_running_snapshot();
  HttpEndpoint http{any_port(), [this] { return snapshot; }};
};

std::string listen_error(const PrometheusConfig& config) {
  try {
    const HttpEndpoint http(config, [] { return make_first_snapshot(); });
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST_F(Endpoint, TellsThePortThatTheSystemChose) {
  ASSERT_EQ(http.endpoint().rfind("127.0.0.1:", 0), 0u);
  EXPECT_GT(std::stoi(http.endpoint().substr(10)), 1023);
}

TEST_F(Endpoint, ServesTheSnapshotAndTheProcess) {
  const HttpAnswer response = get("/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-type"), kText);
  EXPECT_EQ(response.headers.at("content-length"), std::to_string(response.body.size()));
  EXPECT_EQ(response.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(response.headers.at("cache-control"), "no-store");
  EXPECT_EQ(response.headers.at("vary"), "Accept, Accept-Encoding");
  const ParsedText parsed = parse_prometheus_text(response.body);
  EXPECT_EQ(parsed.values.at(series_key("vigil_steps_total", {{"run", "mnist \"a\\b\""}, {"rank", "0"}})), 3);
  EXPECT_EQ(parsed.values.count("process_open_fds"), 1u);
}

TEST_F(Endpoint, SpeaksOpenMetricsToWhoPrefersIt) {
  const HttpAnswer response = get("/metrics", {"Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"});
  EXPECT_EQ(response.headers.at("content-type"), kOpenMetrics);
  EXPECT_NO_THROW(parse_openmetrics_text(response.body));
  EXPECT_EQ(get("/metrics", {"Accept: application/openmetrics-text;q=0.1,text/plain"}).headers.at("content-type"), kText);
}

TEST_F(Endpoint, CompressesForWhoAsks) {
  const HttpAnswer plain = get("/metrics");
  const HttpAnswer compressed = get("/metrics", {"Accept-Encoding: gzip"});
  EXPECT_EQ(plain.headers.count("content-encoding"), 0u);
  EXPECT_EQ(compressed.headers.at("content-encoding"), "gzip");
  EXPECT_EQ(compressed.headers.at("content-length"), std::to_string(compressed.body.size()));
  EXPECT_LT(4 * compressed.body.size(), plain.body.size());
  EXPECT_EQ(parse_prometheus_text(gunzip(compressed.body)).values.size(), parse_prometheus_text(plain.body).values.size());
  EXPECT_EQ(get("/metrics", {"Accept-Encoding: gzip;q=0"}).headers.count("content-encoding"), 0u);
}

TEST_F(Endpoint, HeadIsGetWithoutTheBody) {
  for (const char* path : {"/metrics", "/-/healthy", "/-/ready", "/"}) {
    const HttpAnswer head = request(http.endpoint(), path, {}, "HEAD");
    const HttpAnswer got = get(path);
    EXPECT_EQ(head.status, 200) << path;
    EXPECT_TRUE(head.body.empty()) << path;
    EXPECT_EQ(head.headers.at("content-type"), got.headers.at("content-type")) << path;
    EXPECT_GT(std::stoul(head.headers.at("content-length")), 0u) << path;
  }
  EXPECT_EQ(request(http.endpoint(), "/nothing", {}, "HEAD").status, 404);
}

TEST_F(Endpoint, OtherMethodsAreTurnedDown) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    for (const char* path : {"/metrics", "/-/healthy", "/-/ready", "/"}) {
      const HttpAnswer response = request(http.endpoint(), path, {}, method);
      EXPECT_EQ(response.status, 405) << method << " " << path;
      EXPECT_EQ(response.headers.at("allow"), "GET, HEAD") << method << " " << path;
    }
  }
  EXPECT_EQ(get("/metrics").status, 200);
}

TEST_F(Endpoint, OtherPathsAreNotFound) {
  for (const char* path : {"/metrics/", "/metric", "/-/", "/favicon.ico", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"}) {
    const HttpAnswer response = get(path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(response.headers.at("content-type"), "text/plain; charset=utf-8") << path;
  }
  EXPECT_EQ(get("/metrics?collect=all").status, 200) << "a query is not part of the path";
}

TEST_F(Endpoint, PreflightOfAnotherOriginGetsNoPermission) {
  const HttpAnswer response =
      request(http.endpoint(), "/metrics", {"Origin: http://evil.example", "Access-Control-Request-Method: GET"}, "OPTIONS");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.count("access-control-allow-origin"), 0u);
}

TEST(EndpointWithoutASnapshot, IsHealthyAndNotReady) {
  HttpEndpoint http(any_port(), [] { return std::shared_ptr<const Snapshot>(); });
  EXPECT_EQ(request(http.endpoint(), "/-/healthy").status, 200);
  EXPECT_EQ(request(http.endpoint(), "/-/ready").status, 503);
  EXPECT_EQ(request(http.endpoint(), "/metrics").status, 503);
  EXPECT_EQ(request(http.endpoint(), "/").status, 200);
}

TEST(EndpointThatFails, AnswersWith500AndCounts) {
  HttpEndpoint http(any_port(), []() -> std::shared_ptr<const Snapshot> { throw std::bad_alloc(); });
  EXPECT_EQ(request(http.endpoint(), "/metrics").status, 500);
  EXPECT_EQ(request(http.endpoint(), "/-/healthy").status, 200);
  EXPECT_EQ(http.failures(), 1u);
}

TEST_F(Endpoint, ConnectionsAreUsedAgain) { EXPECT_EQ(connections_for(http.endpoint(), "/-/healthy", 5), 1); }

TEST_F(Endpoint, AConnectionIsClosedWhenTheClientWantsIt) {
  RawConnection connection(http.endpoint());
  connection.send("GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answer = connection.read_all();
  EXPECT_EQ(answer.rfind("HTTP/1.1 200 OK\r\n", 0), 0u);
  EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos);
}

TEST_F(Endpoint, OldClientsGetTheirAnswerAndTheEnd) {
  RawConnection connection(http.endpoint());
  connection.send("GET /-/healthy HTTP/1.0\r\n\r\n");
  EXPECT_NE(connection.read_all().find("vigil is healthy."), std::string::npos);
}

std::string answer_to(const std::string& endpoint, const std::string& bytes) {
  RawConnection connection(endpoint);
  connection.send(bytes);
  return connection.read_all();
}

TEST_F(Endpoint, RequestsThatItDoesNotUnderstandGetAnError) {
  for (const std::string& bytes : {std::string("BREW /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                                   std::string("GET /metrics HTTP/9.9\r\nHost: x\r\n\r\n"), "GET /" + std::string(20000, 'a')}) {
    const std::string answer = answer_to(http.endpoint(), bytes);
    EXPECT_EQ(answer.rfind("HTTP/1.1 ", 0), 0u) << bytes.substr(0, 40);
    EXPECT_TRUE(answer.size() > 9 && (answer[9] == '4' || answer[9] == '5')) << answer;
  }
  EXPECT_EQ(get("/metrics").status, 200);
}

TEST_F(Endpoint, WhatIsNoHttpEndsTheConnection) {
  EXPECT_EQ(answer_to(http.endpoint(), "nonsense\r\n\r\n").find("200"), std::string::npos);
  EXPECT_EQ(get("/metrics").status, 200);
}

TEST_F(Endpoint, ClientsThatSendNothingHoldUpNobody) {
  std::vector<std::unique_ptr<RawConnection>> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(std::make_unique<RawConnection>(http.endpoint()));
    if (i % 2 == 0) silent.back()->send("GET /metrics HTTP/1.1\r\nHos");
  }
  EXPECT_EQ(get("/metrics").status, 200);
}

TEST_F(Endpoint, ABodyThatNeverComesHoldsNoWorker) {
  std::vector<std::unique_ptr<RawConnection>> senders;
  for (int i = 0; i < 4; ++i) {
    senders.push_back(std::make_unique<RawConnection>(http.endpoint()));
    senders.back()->send("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    EXPECT_NE(senders.back()->read_all().find("405"), std::string::npos);
  }
  EXPECT_EQ(get("/metrics").status, 200);
}

TEST_F(Endpoint, APortInUseIsAnErrorThatSaysWhatToDo) {
  PrometheusConfig config;
  config.port = std::stoi(http.endpoint().substr(10));
  EXPECT_EQ(listen_error(config), "cannot serve metrics on address 127.0.0.1, port " + std::to_string(config.port) +
                                      ": the port is in use already, by another program or by this one; set "
                                      "exporters.prometheus.port to another one, or to 0 "
                                      "to let the system choose");
}

TEST(EndpointAddress, ThatIsNotNumericIsAnErrorThatSaysWhatToDo) {
  for (const char* address : {"localhost", "", "256.0.0.1", "127.0.0.1:80", "[::1]"}) {
    PrometheusConfig config = any_port();
    config.address = address;
    EXPECT_NE(listen_error(config).find("set exporters.prometheus.address to a numeric IPv4 or IPv6 address"), std::string::npos)
        << address;
  }
}

TEST(EndpointAddress, OfAnotherMachineIsAnErrorThatSaysWhatToDo) {
  PrometheusConfig config = any_port();
  config.address = "192.0.2.1";  // TEST-NET-1
  EXPECT_NE(listen_error(config).find("this machine does not have that address; set exporters.prometheus.address"), std::string::npos);
}

TEST(EndpointAddress, PortsBeyondTheRangeAreErrors) {
  PrometheusConfig config;
  for (const std::int64_t port : {-1, 65536}) {
    config.port = port;
    EXPECT_NE(listen_error(config).find("from 0 to 65535"), std::string::npos);
  }
}

TEST(EndpointAddress, Ipv6WorksInBracketsOrSaysWhyNot) {
  PrometheusConfig config = any_port();
  config.address = "::1";
  std::string endpoint;
  try {
    HttpEndpoint http(config, [] { return make_first_snapshot(); });
    endpoint = http.endpoint();
    EXPECT_EQ(request(endpoint, "/metrics").status, 200);
    EXPECT_EQ(endpoint.rfind("[::1]:", 0), 0u);
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("does not have that address; set exporters.prometheus.address"), std::string::npos);
  }
}

TEST_F(Endpoint, StopClosesThePortAndMayBeCalledAgain) {
  const std::string endpoint = http.endpoint();
  http.stop();
  http.stop();
  EXPECT_FALSE(RawConnection(endpoint).is_open());
  EXPECT_EQ(http.endpoint(), endpoint);
}

volatile std::sig_atomic_t pipe_signals = 0;

TEST(EndpointAndSignals, TheProgramKeepsItsOwnSigpipe) {
  struct sigaction own {};
  own.sa_handler = [](int) { pipe_signals = pipe_signals + 1; };
  struct sigaction before {};
  sigaction(SIGPIPE, &own, &before);
  {
    HttpEndpoint http(any_port(), [] { return make_running_snapshot(); });
    EXPECT_EQ(request(http.endpoint(), "/metrics").status, 200);
    struct sigaction now {};
    sigaction(SIGPIPE, nullptr, &now);
    EXPECT_EQ(now.sa_handler, own.sa_handler);
    // A client that is gone before its answer raises no signal.
    for (int i = 0; i < 20; ++i) {
      RawConnection connection(http.endpoint());
      connection.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    EXPECT_EQ(request(http.endpoint(), "/metrics").status, 200);
  }
  EXPECT_EQ(pipe_signals, 0);
  sigaction(SIGPIPE, &before, nullptr);
}

TEST_F(Endpoint, AnAbandonedCopyInAForkedChildLeavesTheParentServing) {
  const pid_t child = fork_quietly();
  if (child == 0) {
    HttpEndpoint own(any_port(), [] { return make_first_snapshot(); });
    http.abandon();
    http.stop();
    const bool serves = request(own.endpoint(), "/metrics").status == 200;  // its socket may have the number of the parent's
    _exit(serves && http.failures() == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(get("/metrics").status, 200);
}

TEST(EndpointUnderLoad, EightScrapersSeeWholeSnapshotsWhileTheRunGoesOn) {
  TestRun run(make_large_schema(20), {64, 0});
  run.publish_step(1);
  std::mutex mutex;
  std::shared_ptr<const Snapshot> latest = run.snapshot();
  PrometheusConfig config = any_port();
  config.threads = 4;
  HttpEndpoint http(config, [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return latest;
  });
  std::atomic<int> scrapers_left{8};
  std::vector<std::thread> scrapers;
  for (int i = 0; i < 8; ++i) {
    scrapers.emplace_back([&] {
      double before = 0;
      for (int scrape = 0; scrape < 10; ++scrape) {
        const HttpAnswer response = request(http.endpoint(), "/metrics", {scrape % 2 == 0 ? "Accept-Encoding: gzip" : "Accept: */*"});
        EXPECT_EQ(response.status, 200);
        if (response.status != 200) break;
        const ParsedText parsed = parse_prometheus_text(scrape % 2 == 0 ? gunzip(response.body) : response.body);
        const double steps = parsed.values.at("vigil_steps_total{rank=\"0\",run=\"large\"}");
        EXPECT_GE(steps, before) << "snapshots do not go back";
        before = steps;
      }
      --scrapers_left;
    });
  }
  for (std::uint64_t step = 2; scrapers_left > 0; ++step) {
    run.publish_frame(step);
    run.publish_step(step);
    const std::shared_ptr<const Snapshot> next = run.snapshot();
    const std::lock_guard<std::mutex> lock(mutex);
    latest = next;
  }
  for (std::thread& scraper : scrapers) scraper.join();
  EXPECT_EQ(http.failures(), 0u);
}

// A client that does not read holds its body: longer than the system's buffers, it is being sent for as long as the test wants.
TEST(EndpointSharing, ScrapesThatComeTogetherGetOneRendering) {
  TestRun run(make_large_schema(3000));
  run.publish_frame(1);
  const std::shared_ptr<const Snapshot> snapshot = run.snapshot();
  PrometheusConfig config = any_port();
  config.threads = 4;
  config.max_series = 1'000'000;
  HttpEndpoint http(config, [&] { return snapshot; });
  std::string body;
  {
    RawConnection holder(http.endpoint());
    holder.send("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (http.renderings() == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    std::vector<std::thread> scrapers;
    std::vector<std::string> bodies(8);
    for (std::string& one : bodies) {
      scrapers.emplace_back([&] { one = request(http.endpoint(), "/metrics").body; });
    }
    for (std::thread& scraper : scrapers) scraper.join();
    const std::string held = holder.read_all();
    ASSERT_GT(held.size(), std::size_t{8} << 20) << "or the system's buffers take it all";
    body = held.substr(held.find("\r\n\r\n") + 4);
    for (const std::string& one : bodies) EXPECT_TRUE(one == body);
    EXPECT_EQ(http.renderings(), 1u);
    EXPECT_EQ(gunzip(request(http.endpoint(), "/metrics", {"Accept-Encoding: gzip"}).body).size() > 0, true);
    EXPECT_EQ(http.renderings(), 2u) << "another form";
  }
  // The server lets go of a body a moment after its last byte.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (http.renderings() == 2 && std::chrono::steady_clock::now() < deadline) request(http.endpoint(), "/metrics");
  EXPECT_EQ(http.renderings(), 3u) << "nothing is kept";
}

TEST(EndpointSharing, ScrapesThatComeTogetherByChanceAllGetTheSame) {
  const std::shared_ptr<const Snapshot> snapshot = make_running_snapshot();
  PrometheusConfig config = any_port();
  config.threads = 4;
  HttpEndpoint http(config, [&] { return snapshot; });
  std::vector<std::thread> scrapers;
  for (int i = 0; i < 8; ++i) {
    scrapers.emplace_back([&] {
      for (int scrape = 0; scrape < 10; ++scrape) {
        const HttpAnswer answer = request(http.endpoint(), "/metrics", {"Accept-Encoding: gzip"});
        EXPECT_EQ(parse_prometheus_text(gunzip(answer.body)).values.count("process_open_fds"), 1u);
      }
    });
  }
  for (std::thread& scraper : scrapers) scraper.join();
  EXPECT_LE(http.renderings(), 80u);
  EXPECT_GE(http.renderings(), 1u);
  EXPECT_EQ(http.failures(), 0u);
}

}  // namespace
}  // namespace vigil
