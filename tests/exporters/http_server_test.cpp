// The server as its owner and its clients see it: methods, parameters, bodies, addresses, and each bound with its counter.
#include "vigil/exporters/http_server.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "e2e/wait_until.h"
#include "http/http_client.h"

namespace vigil {
namespace {

using namespace test;

HttpServerSettings local() {
  HttpServerSettings settings;
  settings.address = "127.0.0.1";
  settings.methods = {{"/-/reload", {"POST", "PUT"}}, {"/both", {"GET", "HEAD", "POST"}}};
  return settings;
}

HttpResponse text(std::string body) {
  HttpResponse response;
  response.body = std::make_shared<const std::string>(std::move(body));
  return response;
}

// Tells what it was asked.
HttpResponse echo(const HttpRequest& request) {
  std::string body = std::string(request.method()) + " " + std::string(request.path());
  for (const std::string_view value : request.queries("q")) body += " q=" + std::string(value);
  return text(body + "\n" + std::string(request.body()));
}

std::string answer_to(const std::string& endpoint, const std::string& bytes) {
  RawConnection connection(endpoint);
  connection.send(bytes);
  return connection.read_all();
}

std::string status_line(const std::string& answer) { return answer.substr(0, answer.find('\r')); }

TEST(Server, HandsOutMethodParametersAndBody) {
  HttpServer server(local(), echo);
  EXPECT_EQ(request(server.endpoint(), "/a%20b?q=1&q=%C3%A4+b&x=2").body, "GET /a b q=1 q=\xC3\xA4 b\n");
  EXPECT_EQ(request_with(server.endpoint(), "/both?q=", {"POST", {}, "some\nbody"}).body, "POST /both q=\nsome\nbody");
  const HttpAnswer put = request_with(server.endpoint(), "/-/reload", {"PUT", {"Transfer-Encoding: chunked"}, "in chunks"});
  EXPECT_EQ(put.body, "PUT /-/reload\nin chunks");
  EXPECT_EQ(request_with(server.endpoint(), "/both", {"HEAD"}).headers.at("content-length"), "11");
  EXPECT_EQ(server.counters().answers_with(200), 4u);
}

TEST(Server, AllowsOfAPathWhatItsOwnerSays) {
  HttpServer server(local(), echo);
  const auto allowed = [&](const std::string& path, const std::string& method) {
    const HttpAnswer answer = request(server.endpoint(), path, {}, method);
    return answer.status == 405 ? answer.headers.at("allow") : std::to_string(answer.status);
  };
  EXPECT_EQ(allowed("/-/reload", "GET"), "POST, PUT");
  EXPECT_EQ(allowed("/-/reload", "DELETE"), "POST, PUT");
  EXPECT_EQ(allowed("/-/reload", "POST"), "200");
  EXPECT_EQ(allowed("/both", "PUT"), "GET, HEAD, POST");
  EXPECT_EQ(allowed("/other", "POST"), "GET, HEAD");
  EXPECT_EQ(allowed("/-/reload/", "POST"), "GET, HEAD") << "another path";
  EXPECT_EQ(server.counters().answers_with(405), 5u);
}

TEST(Server, TakesBodiesUpToTheirBound) {
  HttpServerSettings settings = local();
  settings.limits.body_bytes = 1000;
  HttpServer server(settings, echo);
  EXPECT_EQ(request_with(server.endpoint(), "/both", {"POST", {}, std::string(1000, 'a')}).status, 200);
  EXPECT_EQ(request_with(server.endpoint(), "/both", {"POST", {}, std::string(1001, 'a')}).status, 413);
  EXPECT_EQ(request_with(server.endpoint(), "/both", {"POST", {"Transfer-Encoding: chunked"}, std::string(1001, 'a')}).status, 413);
  EXPECT_EQ(server.counters().answers_with(413), 2u);
  // One that is told, and never comes, is not waited for; nor is one without end.
  EXPECT_EQ(status_line(answer_to(server.endpoint(), "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999\r\n\r\n")),
            "HTTP/1.1 413 Content Too Large");
  RawConnection endless(server.endpoint());
  endless.send("POST /both HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + std::string(0x100000, 'a'));
  EXPECT_TRUE(endless.ends_within(5));
}

TEST(Server, AnswersMalformedRequestsWith400AndNothingElse) {
  int asked = 0;
  HttpServer server(local(), [&](const HttpRequest& request) {
    ++asked;
    return echo(request);
  });
  const std::string end = "\r\nHost: x\r\n\r\n";
  const std::vector<std::string> malformed{
      "GET /%zz HTTP/1.1" + end,
      "GET /a%00b HTTP/1.1" + end,
      "GET /?a=%ff HTTP/1.1" + end,
      "GET *" + end,
      "GET metrics HTTP/1.1" + end,
      "GET /a b HTTP/1.1" + end,
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
      "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /both HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nab",
      "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
      "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 0x10\r\n\r\n",
      "POST /both HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
  };
  std::uint64_t told = 0;
  for (const std::string& bytes : malformed) {
    RawConnection connection(server.endpoint());
    connection.send(bytes);
    const std::string answer = connection.read_until("\r\n");
    const bool is_refused = answer.empty() || answer.rfind("HTTP/1.1 400 ", 0) == 0 || answer.rfind("HTTP/1.1 505 ", 0) == 0;
    EXPECT_TRUE(is_refused) << bytes << "\n" << answer;
    told += answer.empty() ? 0 : 1;
  }
  EXPECT_GE(told, malformed.size() - 3);
  EXPECT_EQ(asked, 0);
  EXPECT_EQ(request(server.endpoint(), "/").status, 200);
}

TEST(Server, CountsWhatIsNoHttpAtAll) {
  HttpServer server(local(), echo);
  const std::string client_hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15);
  for (const std::string& bytes : {std::string("nonsense\r\n\r\n"), client_hello}) {
    EXPECT_EQ(answer_to(server.endpoint(), bytes).find("200"), std::string::npos);
  }
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().dropped_requests + server.counters().answers_with(400) == 2; }));
  { RawConnection gone(server.endpoint()); }
  EXPECT_EQ(request(server.endpoint(), "/").status, 200);
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().open_connections == 0; }));
  EXPECT_EQ(server.counters().dropped_requests + server.counters().answers_with(400), 2u) << "a client that leaves has done nothing wrong";
}

TEST(Server, BoundsTheHeadOfARequest) {
  HttpServerSettings settings = local();
  settings.limits.head_bytes = 2000;
  HttpServer server(settings, echo);
  const auto with_head = [&](std::size_t bytes) {
    const std::string start = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: ";
    return status_line(answer_to(server.endpoint(), start + std::string(bytes - start.size() - 4, 'a') + "\r\n\r\n"));
  };
  EXPECT_EQ(with_head(1900), "HTTP/1.1 200 OK");
  EXPECT_EQ(with_head(2100).substr(0, 12), "HTTP/1.1 431");
  EXPECT_EQ(with_head(1'000'000).substr(0, 12), "HTTP/1.1 431");
  EXPECT_EQ(server.counters().answers_with(431), 2u) << "the library's own answers are counted too";
  const std::string long_line = status_line(answer_to(server.endpoint(), "GET /" + std::string(20'000, 'a')));
  EXPECT_EQ(long_line.substr(0, 12), "HTTP/1.1 414");
  EXPECT_EQ(server.counters().answers_with(414), 1u);
}

TEST(Server, AnswersAtOnceToALargeNumberOfSmallThings) {
  HttpServer server(local(), echo);
  const auto many = [](const std::string& piece, std::size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += piece;
    return text;
  };
  const std::string end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  const auto first_line = [&](const std::string& bytes) {
    RawConnection connection(server.endpoint());
    const auto begin = std::chrono::steady_clock::now();
    connection.send(bytes);
    const std::string line = status_line(connection.read_until("\r\n"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
    return line.substr(0, 12);
  };
  EXPECT_EQ(first_line("GET /?" + many("a=1&", 4 * 256) + end + "\r\n"), "HTTP/1.1 200");
  for (const std::size_t bytes : {4 * 257, 1200, 4000, 11'000}) {
    EXPECT_EQ(first_line("GET /?" + many("a=1&", bytes) + end + "\r\n"), "HTTP/1.1 400") << bytes;
    EXPECT_EQ(first_line("GET /?" + many("&?", bytes) + end + "\r\n"), "HTTP/1.1 400") << bytes;
  }
  EXPECT_EQ(first_line("GET /" + end + many("a:b\r\n", 11'000) + "\r\n"), "HTTP/1.1 431");
  EXPECT_EQ(first_line("GET /" + end + "Cookie: " + many("a;", 11'000) + "\r\n\r\n"), "HTTP/1.1 431");
}

TEST(Server, AnswersOnceToARequestWithoutHost) {
  HttpServer server(local(), echo);
  const std::string answer = answer_to(server.endpoint(), "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(status_line(answer), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(answer.find("HTTP/1.1 400 ", 1), std::string::npos) << answer;
  EXPECT_EQ(status_line(answer_to(server.endpoint(), "GET / HTTP/1.0\r\n\r\n")).substr(9, 3), "200");
}

TEST(Server, CutsARequestThatTricklesIn) {
  HttpServerSettings settings = local();
  settings.limits.request_ms = 700;
  HttpServer server(settings, echo);
  RawConnection connection(server.endpoint());
  connection.send("GET / HTTP/1.1\r\nX: ");
  const auto begin = std::chrono::steady_clock::now();
  bool is_cut = false;
  while (!is_cut && std::chrono::steady_clock::now() - begin < std::chrono::seconds(10)) {
    connection.send("a");  // never silent for long
    is_cut = connection.ends_within(0.05);
  }
  EXPECT_TRUE(is_cut);
  EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(600));
  EXPECT_EQ(server.counters().request_timeouts, 1u);
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().open_connections == 0; }));
}

TEST(Server, CutsASecondRequestThatTricklesInOverTheSameConnection) {
  HttpServerSettings settings = local();
  settings.limits.request_ms = 700;
  HttpServer server(settings, echo);
  RawConnection connection(server.endpoint());
  connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(connection.read_until("GET /\n").find("200 OK"), std::string::npos);
  connection.send("GE");
  bool is_cut = false;
  const auto begin = std::chrono::steady_clock::now();
  while (!is_cut && std::chrono::steady_clock::now() - begin < std::chrono::seconds(10)) {
    connection.send("T");
    is_cut = connection.ends_within(0.05);
  }
  EXPECT_TRUE(is_cut);
  EXPECT_EQ(server.counters().request_timeouts, 1u);
  EXPECT_EQ(server.counters().idle_timeouts, 0u);
}

TEST(Server, CutsABodyThatTricklesIn) {
  HttpServerSettings settings = local();
  settings.limits.request_ms = 700;
  HttpServer server(settings, echo);
  RawConnection connection(server.endpoint());
  connection.send("POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
  bool is_cut = false;
  const auto begin = std::chrono::steady_clock::now();
  while (!is_cut && std::chrono::steady_clock::now() - begin < std::chrono::seconds(10)) {
    connection.send("a");
    is_cut = connection.ends_within(0.05);
  }
  EXPECT_TRUE(is_cut);
  EXPECT_EQ(server.counters().request_timeouts, 1u);
}

TEST(Server, ClosesAConnectionThatIsIdleForTooLong) {
  HttpServerSettings settings = local();
  settings.limits.idle_ms = 300;
  HttpServer server(settings, echo);
  RawConnection connection(server.endpoint());
  connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(connection.read_until("GET /\n").find("200 OK"), std::string::npos);
  EXPECT_TRUE(connection.ends_within(5));
  EXPECT_EQ(server.counters().idle_timeouts, 1u);
}

TEST(Server, CutsAClientThatTakesNothingOfItsAnswer) {
  HttpServerSettings settings = local();
  settings.limits.stall_ms = 500;
  const auto body = std::make_shared<const std::string>(std::size_t{16} << 20, 'a');
  HttpServer server(settings, [&](const HttpRequest&) {
    HttpResponse response;
    response.body = body;
    return response;
  });
  RawConnection connection(server.endpoint());
  connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().answer_bytes == body->size(); })) << "the body is held";
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().answer_timeouts == 1; }));
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().open_connections == 0 && server.counters().answer_bytes == 0; }));
  EXPECT_EQ(body.use_count(), 1) << "nobody else's any more";
  EXPECT_EQ(server.requests_in_flight(), 0);
}

TEST(Server, CutsAClientThatTakesItsAnswerTooSlowly) {
  HttpServerSettings settings = local();
  settings.limits.stall_ms = 60'000;
  settings.limits.answer_ms = 1000;
  HttpServer server(settings, [&](const HttpRequest&) { return text(std::string(std::size_t{16} << 20, 'a')); });
  RawConnection connection(server.endpoint());
  connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(wait_until(10, [&] { return connection.read_until("a").empty() || server.counters().answer_timeouts == 1; }));
  EXPECT_EQ(server.counters().answer_timeouts, 1u);
}

// An answer that waits until it may end.
class Gate {
 public:
  void pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return is_open_; });
  }
  void wait_for(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return waiting_ >= count; });
  }
  void open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool is_open_ = false;
};

TEST(Server, TellsClientsBeyondTheBoundToComeAgain) {
  HttpServerSettings settings = local();
  settings.threads = 3;  // connections go to them by the number of their sockets, of which every second one is a client's
  settings.limits.requests = 2;
  Gate gate;
  HttpServer server(settings, [&](const HttpRequest& request) {
    if (request.path() == "/slow") gate.pass();
    return echo(request);
  });
  const std::unique_ptr<Gate, void (*)(Gate*)> opened_at_the_end(&gate, [](Gate* closed) { closed->open(); });
  std::vector<std::unique_ptr<RawConnection>> slow;
  while (server.requests_in_flight() < 2 && slow.size() < 50) {
    slow.push_back(std::make_unique<RawConnection>(server.endpoint()));
    slow.back()->send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until(0.2, [&] { return server.requests_in_flight() >= 2; });
  }
  ASSERT_EQ(server.requests_in_flight(), 2);
  bool is_refused = false;
  std::vector<std::unique_ptr<RawConnection>> others;
  for (int i = 0; i < 16 && !is_refused; ++i) {
    others.push_back(std::make_unique<RawConnection>(server.endpoint()));
    others.back()->send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    is_refused = wait_until(0.3, [&] { return server.counters().overloads > 0; });
  }
  ASSERT_TRUE(is_refused);
  const std::string answer = others.back()->read_until("\r\n\r\n");
  EXPECT_EQ(answer.rfind("HTTP/1.1 503 ", 0), 0u) << answer;
  EXPECT_NE(answer.find("\r\nRetry-After: 1\r\n"), std::string::npos) << answer;
  gate.open();
  EXPECT_TRUE(wait_until(5, [&] { return server.requests_in_flight() == 0; }));
  EXPECT_EQ(request(server.endpoint(), "/").status, 200);
}

TEST(Server, HoldsNoMoreOfAnswersThanItsBoundAndCutsWhoDoesNotReadThem) {
  HttpServerSettings settings = local();
  settings.limits.answer_bytes = std::int64_t{20} << 20;
  HttpServer server(settings, [&](const HttpRequest&) { return text(std::string(std::size_t{16} << 20, 'a')); });
  RawConnection holder(server.endpoint());
  holder.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().answer_bytes > 0; }));
  const HttpAnswer refused = request(server.endpoint(), "/");
  if (server.counters().connections_evicted == 0) {  // or this machine is so slow that the other one had its 500 ms
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    EXPECT_EQ(server.counters().overloads, 1u);
  }
  EXPECT_TRUE(wait_until(5, [&] { return request(server.endpoint(), "/").status == 200; }));
  EXPECT_EQ(server.counters().connections_evicted, 1u);
  EXPECT_TRUE(holder.ends_within(5));
}

TEST(Server, BoundsConnectionsOfOneAddressAndLeavesRoomForOthers) {
  HttpServerSettings settings = local();
  settings.limits.connections = 6;
  settings.limits.connections_per_address = 4;
  HttpServer server(settings, echo);
  std::vector<std::unique_ptr<RawConnection>> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(std::make_unique<RawConnection>(server.endpoint(), "127.0.0.2"));
  EXPECT_TRUE(wait_until(5, [&] { return server.counters().connections_refused + server.counters().connections_evicted >= 36; }));
  EXPECT_LE(server.counters().open_connections, 4u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(request(server.endpoint(), "/").status, 200);
}

TEST(Server, ListensOnSeveralAddresses) {
  HttpServerSettings settings = settings_for_listen_addresses({"127.0.0.1:0", ":0"});
  HttpServer server(settings, echo);
  ASSERT_EQ(server.endpoints().size(), 2u);
  EXPECT_EQ(request(server.endpoint(), "/").status, 200);
  const std::string& all = server.endpoints()[1];  // "[::]:PORT", or "0.0.0.0:PORT" on a machine without IPv6
  EXPECT_EQ(request("127.0.0.1:" + all.substr(all.rfind(':') + 1), "/").status, 200);
  server.stop();
  EXPECT_FALSE(RawConnection(server.endpoint()).is_open());
}

std::string listen_error(const HttpServerSettings& settings) {
  try {
    HttpServer server(settings, echo);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Server, ThatCannotListenSaysWhatToDoInTheWordsOfItsOwner) {
  const HttpServer other(local(), echo);
  const std::string port = other.endpoint().substr(10);
  EXPECT_EQ(listen_error(settings_for_listen_addresses({"127.0.0.1:" + port})),
            "cannot serve metrics on address 127.0.0.1, port " + port +
                ": the port is in use already, by another program or by this one; set the port in --web.listen-address to "
                "another one, or to 0 to let the system choose");
  EXPECT_EQ(listen_error(settings_for_listen_addresses({"127.0.0.1:0", "192.0.2.1:" + port})),
            "cannot serve metrics on address 192.0.2.1, port " + port +
                ": this machine does not have that address; set the address in --web.listen-address to one that it has, or 0.0.0.0");
}

TEST(Server, AnswersThatThrowAreCountedAndOthersGoOn) {
  HttpServer server(local(), [](const HttpRequest& request) -> HttpResponse {
    if (request.path() == "/bad") throw std::runtime_error("bad");
    return echo(request);
  });
  EXPECT_EQ(request(server.endpoint(), "/bad").status, 500);
  EXPECT_EQ(request(server.endpoint(), "/").status, 200);
  EXPECT_EQ(server.failures(), 1u);
}

TEST(Server, KeepsItsCountersAfterItsEnd) {
  HttpServer server(local(), echo);
  request(server.endpoint(), "/");
  server.stop();
  const HttpCounters counters = server.counters();
  EXPECT_EQ(counters.requests, 1u);
  EXPECT_EQ(counters.connections, 1u);
  EXPECT_EQ(counters.open_connections, 0u);
}

}  // namespace
}  // namespace vigil
