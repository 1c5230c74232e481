#include "vigil/exporters/http_server.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "vigil/exporters/http_exchange.h"
#include "vigil/exporters/http_listener.h"
#include "vigil/exporters/http_log.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/signal_mask.h"
#include "vigil/exporters/web_security.h"

namespace vigil {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSweep{250};  // how exactly the times of HttpLimits are kept
constexpr std::chrono::milliseconds kFileWatch{1000};
constexpr std::chrono::milliseconds kPause{20};        // until room is looked for again
constexpr std::chrono::milliseconds kErrorPause{200};  // after an error of accept(2)
constexpr int kAcceptedAtOnce = 64;

}  // namespace

std::optional<std::string_view> HttpRequest::query(std::string_view name) const {
  for (const auto& [known, value] : target_.queries) {
    if (known == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> HttpRequest::queries(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [known, value] : target_.queries) {
    if (known == name) values.emplace_back(value);
  }
  return values;
}

std::string_view HttpRequest::header(const char* name) const {
  const char* value = connection_ == nullptr ? nullptr : MHD_lookup_connection_value(connection_, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

HttpServerSettings settings_for_listen_addresses(const std::vector<std::string>& values) {
  HttpServerSettings settings;
  settings.address_setting = "the address in --web.listen-address";
  settings.port_setting = "the port in --web.listen-address";
  std::vector<ListenAddress> addresses;
  try {
    for (const std::string& value : values) addresses.push_back(parse_listen_address(value));
    if (addresses.empty()) parse_listen_address("");
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("--web.listen-address: " + std::string(error.what()));
  }
  settings.address = addresses.front().address;
  settings.port = addresses.front().port;
  settings.more_addresses.assign(addresses.begin() + 1, addresses.end());
  return settings;
}

struct HttpServer::State {
  using Loops = HttpExchange::Loops;

  State(const HttpServerSettings& settings, Answer answer)
      : exchange(settings, std::move(answer)),
        file(settings.web_config_file),
        listeners(settings),
        wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        limits_log("HTTP on " + listeners.endpoints().front()) {}
  ~State() {
    if (wake >= 0) close(wake);
  }

  void start();
  std::string load_again();
  std::string reload() noexcept;
  void use(std::shared_ptr<const WebSecurity> security);
  std::string use_again(std::shared_ptr<const WebSecurity> security);
  void serve();
  void serve_once();
  int milliseconds_to_wait(Clock::time_point now) const;
  void accept_from(int listener);
  void look_after(Clock::time_point now);
  void stop_retired();
  HttpCounters all_counters() const;
  void stop() noexcept;

  HttpExchange exchange;
  std::mutex file_mutex;  // of the file, `stops` and of who replaces `current`
  WebConfigFile file;
  HttpListeners listeners;
  const int wake;
  HttpLog limits_log;
  bool stops = false;
  mutable std::mutex loops_mutex;
  std::unique_ptr<Loops> current;
  std::vector<std::unique_ptr<Loops>> retired;
  std::thread acceptor;
  // Of the acceptor.
  std::vector<pollfd> polled;
  Clock::time_point next_sweep{}, next_file_watch{}, accept_again{};
  std::atomic<bool> ends{false};
  std::atomic<std::uint64_t> accept_errors{0}, reloads{0}, reload_failures{0};  // relaxed: lone counters
};

void HttpServer::State::start() {
  if (wake < 0) throw std::runtime_error("the process is at its limit of open files");
  const std::shared_ptr<const WebSecurity> security = file.load();
  if (!file.path().empty()) ++reloads;
  use(security);
  const SignalMask all_blocked;  // the thread inherits it
  acceptor = std::thread([this] { serve(); });
  pthread_setname_np(acceptor.native_handle(), "vigil-http");
}

// Connections that there are keep the TLS that they began with, until they are idle.
void HttpServer::State::use(std::shared_ptr<const WebSecurity> security) {
  const auto is_same = [&] {
    return current && (current->tls == nullptr) == (security->tls == nullptr) && (!current->tls || *current->tls == *security->tls);
  };
  if (!is_same()) {
    std::unique_ptr<Loops> loops = exchange.start_loops(security->tls);
    const std::lock_guard<std::mutex> lock(loops_mutex);
    if (current) {
      exchange.connections().retire(current.get());
      retired.push_back(std::move(current));
    }
    current = std::move(loops);
  }
  exchange.set_security(std::move(security));
}

// What is not asked for any more: "TLS and users", or empty.
std::string HttpServer::State::use_again(std::shared_ptr<const WebSecurity> security) {
  const std::shared_ptr<const WebSecurity> before = exchange.security();
  const bool loses_tls = before->tls && !security->tls, loses_users = before->users && !security->users;
  std::string lost = loses_tls && loses_users ? "TLS and users" : loses_tls ? "TLS" : loses_users ? "users" : "";
  // More likely a file that somebody is about to write than the wish to open the port.
  if (!lost.empty() && security->is_of_blank_file) {
    throw std::runtime_error(file.path() + " is empty, which would leave the port without " + lost +
                             "; write {} into it if that is meant, or what it held before");
  }
  use(std::move(security));
  return lost;
}

// The caller holds `file_mutex`.
std::string HttpServer::State::load_again() {
  try {
    const std::string lost = use_again(file.load());
    reloads.fetch_add(1, std::memory_order_relaxed);
    const std::string said = "the web config file " + file.path() + " was read again";
    log(lost.empty() ? LogLevel::info : LogLevel::warning, lost.empty() ? said : said + ": the port is now without " + lost);
    eventfd_write(wake, 1);
    return "";
  } catch (const std::exception& error) {
    reload_failures.fetch_add(1, std::memory_order_relaxed);
    log(LogLevel::error, "the web config file is wrong, what it held before stays: " + std::string(error.what()));
    return error.what();
  }
}

std::string HttpServer::State::reload() noexcept {
  try {
    const std::lock_guard<std::mutex> lock(file_mutex);
    if (file.path().empty()) return "";
    return stops ? "the server is stopped" : load_again();
  } catch (...) {
    return "out of memory";
  }
}

void HttpServer::State::serve() {
  while (!ends.load(std::memory_order_relaxed)) {  // stop() wakes this thread after it is set
    try {
      serve_once();
    } catch (...) {  // out of memory
      accept_errors.fetch_add(1, std::memory_order_relaxed);
      accept_again = Clock::now() + kErrorPause;
      poll(nullptr, 0, static_cast<int>(kPause.count()));
    }
  }
}

void HttpServer::State::serve_once() {
  const auto before = Clock::now();
  polled.assign(1, {wake, POLLIN, 0});
  if (before >= accept_again) {
    for (const int listener : listeners.sockets()) polled.push_back({listener, POLLIN, 0});
  }
  poll(polled.data(), polled.size(), milliseconds_to_wait(before));
  eventfd_t woken = 0;
  eventfd_read(wake, &woken);
  for (std::size_t i = 1; i < polled.size(); ++i) {
    if (polled[i].revents != 0) accept_from(polled[i].fd);
  }
  look_after(Clock::now());
}

// Until something is due; -1 when nothing is: a server without clients sleeps.
int HttpServer::State::milliseconds_to_wait(Clock::time_point now) const {
  auto due = Clock::time_point::max();
  if (accept_again > now) due = accept_again;
  if (exchange.connections().size() > 0 || !retired.empty()) due = std::min(due, next_sweep);
  if (!file.path().empty()) due = std::min(due, next_file_watch);
  if (due == Clock::time_point::max()) return -1;
  return static_cast<int>(std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(due - now).count(), 0));
}

void HttpServer::State::accept_from(int listener) {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    pollfd waiting{listener, POLLIN, 0};
    if (poll(&waiting, 1, 0) != 1) return;
    const auto now = Clock::now();
    if (!exchange.connections().make_room(now)) {  // only for somebody who is there
      accept_again = now + kPause;
      return;
    }
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int socket = accept4(listener, reinterpret_cast<sockaddr*>(&address), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      accept_errors.fetch_add(1, std::memory_order_relaxed);
      accept_again = now + kErrorPause;
      return;
    }
    const std::lock_guard<std::mutex> lock(loops_mutex);
    const bool is_tls = current->tls != nullptr;
    auto admission = HttpConnections::Admission::address_full;
    try {
      admission = exchange.connections().admit(socket, address, current.get(), is_tls, now);
    } catch (...) {
      close(socket);
      throw;
    }
    if (admission != HttpConnections::Admission::admitted) {
      close(socket);
    } else if (MHD_add_connection(current->daemon, socket, reinterpret_cast<const sockaddr*>(&address), length) != MHD_YES) {
      exchange.connections().forget(socket);  // the library has closed it
    }
  }
}

void HttpServer::State::look_after(Clock::time_point now) {
  if (now >= next_sweep) {
    next_sweep = now + kSweep;
    exchange.connections().sweep(now);
    stop_retired();
    limits_log.look_at(all_counters(), now);
  }
  if (file.path().empty() || now < next_file_watch) return;
  next_file_watch = now + kFileWatch;
  // Seen and read under one lock: a change that reload() has read is not read again.
  const std::unique_lock<std::mutex> lock(file_mutex, std::try_to_lock);
  if (lock.owns_lock() && !stops && file.has_changed()) load_again();
}

void HttpServer::State::stop_retired() {
  std::vector<std::unique_ptr<Loops>> unused;
  {
    const std::lock_guard<std::mutex> lock(loops_mutex);
    const auto first_unused = std::partition(retired.begin(), retired.end(), [&](const std::unique_ptr<Loops>& loops) {
      return exchange.connections().count_of(loops.get()) > 0;
    });
    std::move(first_unused, retired.end(), std::back_inserter(unused));
    retired.erase(first_unused, retired.end());
  }
  for (const std::unique_ptr<Loops>& loops : unused) {
    MHD_stop_daemon(loops->daemon);
    exchange.connections().forget_owner(loops.get());
  }
}

HttpCounters HttpServer::State::all_counters() const {
  HttpCounters all = exchange.counters();
  all.accept_errors = accept_errors.load(std::memory_order_relaxed);
  all.reloads = reloads.load(std::memory_order_relaxed);
  all.reload_failures = reload_failures.load(std::memory_order_relaxed);
  return all;
}

void HttpServer::State::stop() noexcept {
  {
    const std::lock_guard<std::mutex> lock(file_mutex);
    if (std::exchange(stops, true)) return;
  }
  ends.store(true, std::memory_order_relaxed);
  eventfd_write(wake, 1);
  if (acceptor.joinable()) acceptor.join();
  listeners.close();
  exchange.stop_checks();  // no connection waits for one any more, as the library demands
  if (current) MHD_stop_daemon(current->daemon);
  for (const std::unique_ptr<Loops>& loops : retired) MHD_stop_daemon(loops->daemon);
}

HttpServer::HttpServer(HttpServerSettings settings, Answer answer) : state_(std::make_unique<State>(settings, std::move(answer))) {
  endpoints_ = state_->listeners.endpoints();
  try {
    state_->start();
  } catch (...) {
    state_->stop();
    throw;
  }
}

HttpServer::~HttpServer() { stop(); }

bool HttpServer::is_tls() const noexcept {
  if (!state_) return false;
  const std::lock_guard<std::mutex> lock(state_->loops_mutex);
  return state_->current && state_->current->tls;
}

std::uint64_t HttpServer::failures() const noexcept { return state_ ? state_->exchange.failures() : 0; }

int HttpServer::requests_in_flight() const noexcept { return state_ ? state_->exchange.in_flight() : 0; }

HttpCounters HttpServer::counters() const { return state_ ? state_->all_counters() : HttpCounters{}; }

std::string HttpServer::reload() noexcept { return state_ ? state_->reload() : ""; }

void HttpServer::stop() noexcept {
  if (state_) state_->stop();
}

void HttpServer::abandon() noexcept { static_cast<void>(state_.release()); }

}  // namespace vigil
