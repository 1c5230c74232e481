#include "vigil/exporters/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <stdexcept>
#include <system_error>

#include "vigil/exporters/signal_mask.h"
#include "vigil/monitor/float_environment.h"

namespace vigil {
namespace {

constexpr unsigned kConnections = 256;
constexpr unsigned kConnectionsPerAddress = 128;  // so that no single host can take them all
constexpr unsigned kIdleSeconds = 15;
constexpr std::size_t kConnectionMemory = std::size_t{16} << 10;
constexpr std::uintptr_t kUnwantedBodyBytes = std::uintptr_t{64} << 10;

constexpr int kNoListener = -1;

struct RegisteredListener {
  std::atomic<const void*> owner{nullptr};  // not the listener's number, which a child may give to another file
  std::atomic<int> listener{kNoListener};
};

// Ports that this process listens on. A forked child closes its copies at once, or a worker that outlives the trainer would keep the port
// taken. relaxed: a child starts with one thread, and an entry publishes nothing else.
class ListenerRegistry {
 public:
  static void add(const void* owner, int listener) noexcept {
    static const bool installed = pthread_atfork(nullptr, nullptr, &close_all) == 0;
    static_cast<void>(installed);
    for (RegisteredListener& entry : entries_) {
      const void* nobody = nullptr;
      if (!entry.owner.compare_exchange_strong(nobody, owner, std::memory_order_relaxed)) continue;
      entry.listener.store(listener, std::memory_order_relaxed);
      return;
    }
  }
  static void remove(const void* owner) noexcept {
    for (RegisteredListener& entry : entries_) {
      if (entry.owner.load(std::memory_order_relaxed) != owner) continue;
      entry.listener.store(kNoListener, std::memory_order_relaxed);
      entry.owner.store(nullptr, std::memory_order_relaxed);
    }
  }

 private:
  static void close_all() noexcept {
    for (RegisteredListener& entry : entries_) {
      const int listener = entry.listener.exchange(kNoListener, std::memory_order_relaxed);
      if (listener != kNoListener) close(listener);
      entry.owner.store(nullptr, std::memory_order_relaxed);
    }
  }
  static inline std::array<RegisteredListener, 64> entries_{};  // more servers than that: their ports stay with a child
};

// An address to listen on, in the form of the sockets interface.
struct ListenAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  bool is_ipv6 = false;
};

[[noreturn]] void throw_cannot_listen(const HttpServerSettings& settings, const std::string& what_to_do) {
  throw std::runtime_error("cannot serve metrics on address " + settings.address + ", port " + std::to_string(settings.port) + ": " +
                           what_to_do);
}

ListenAddress parse_address(const HttpServerSettings& settings) {
  ListenAddress address;
  auto* ipv4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (settings.port < 0 || settings.port > 65535) {
    throw_cannot_listen(settings, "set exporters.prometheus.port to a number from 0 to 65535; 0 lets the system choose");
  }
  if (inet_pton(AF_INET, settings.address.c_str(), &ipv4->sin_addr) == 1) {
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(static_cast<std::uint16_t>(settings.port));
    address.length = sizeof *ipv4;
  } else if (inet_pton(AF_INET6, settings.address.c_str(), &ipv6->sin6_addr) == 1) {
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(static_cast<std::uint16_t>(settings.port));
    address.length = sizeof *ipv6;
    address.is_ipv6 = true;
  } else {
    throw_cannot_listen(settings,
                        "set exporters.prometheus.address to a numeric IPv4 or IPv6 address (127.0.0.1 for this machine only, 0.0.0.0 for "
                        "all)");
  }
  return address;
}

std::string what_to_do_about(int error) {
  const std::string port_hint = "set exporters.prometheus.port to another one, or to 0 to let the system choose";
  switch (error) {
    case EADDRINUSE: return "the port is in use by another program, or by another monitor of this one; " + port_hint;
    case EACCES: return "no permission to listen on this port (ports below 1024 need privileges); " + port_hint;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: return "this machine does not have that address; set exporters.prometheus.address to one that it has, or 0.0.0.0";
    case EINVAL:
      return "this address needs a network interface beside it, which is not supported; set exporters.prometheus.address to another one";
    default: return std::generic_category().message(error) + "; " + port_hint;
  }
}

// A socket that listens, non-blocking as an event loop wants it.
int listen_on(const HttpServerSettings& settings, const ListenAddress& address) {
  const int listener = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (listener >= 0) setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // a restart does not wait for old connections
  if (listener < 0 || bind(listener, reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 ||
      listen(listener, SOMAXCONN) != 0) {
    const int error = errno;
    if (listener >= 0) close(listener);
    throw_cannot_listen(settings, what_to_do_about(error));
  }
  return listener;
}

std::string endpoint_of(int listener, const HttpServerSettings& settings, bool is_ipv6) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &length);
  const std::uint16_t port =
      is_ipv6 ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port;
  return (is_ipv6 ? "[" + settings.address + "]" : settings.address) + ":" + std::to_string(ntohs(port));
}

HttpResponse plain(unsigned status, const char* text) {
  HttpResponse response;
  response.status = status;
  response.body = std::make_shared<const std::string>(text);
  return response;
}

// Lends the body to the library without copying it; others may be sending it too.
MHD_Response* make_response(HttpResponse&& response) {
  using Body = std::shared_ptr<const std::string>;
  auto body = std::make_unique<Body>(response.body ? std::move(response.body) : std::make_shared<const std::string>());
  MHD_Response* made = MHD_create_response_from_buffer_with_free_callback_cls(
      (*body)->size(), const_cast<char*>((*body)->data()), [](void* lent) { delete static_cast<Body*>(lent); }, body.get());
  if (made == nullptr) throw std::bad_alloc();
  static_cast<void>(body.release());  // the library's callback deletes it
  MHD_add_response_header(made, MHD_HTTP_HEADER_CONTENT_TYPE, response.type.c_str());
  MHD_add_response_header(made, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
  MHD_add_response_header(made, "X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : response.headers) MHD_add_response_header(made, name.c_str(), value.c_str());
  return made;
}

MHD_Result queue(MHD_Connection* connection, HttpResponse&& response) {
  const unsigned status = response.status;
  MHD_Response* made = make_response(std::move(response));
  const MHD_Result result = MHD_queue_response(connection, status, made);
  MHD_destroy_response(made);  // the connection holds its own reference
  return result;
}

}  // namespace

struct HttpServer::State {
  explicit State(Answer request_answer) : answer(std::move(request_answer)) {}

  static MHD_Result on_request(void* self, MHD_Connection* connection, const char* url, const char* method, const char* version,
                               const char* upload, std::size_t* upload_size, void** progress);
  static void on_completed(void* self, MHD_Connection*, void** progress, MHD_RequestTerminationCode) {
    // release: pairs with requests_in_flight(); the answer is out.
    if (*progress != nullptr) static_cast<State*>(self)->in_flight.fetch_sub(1, std::memory_order_release);
  }
  // What the library would print is about single clients; vigil prints nothing into a training program.
  static void on_log(void*, const char*, std::va_list) {}

  const Answer answer;
  MHD_Daemon* daemon = nullptr;
  int listener = kNoListener;
  std::atomic<std::uint64_t> failures{0};  // relaxed: a lone counter
  std::atomic<int> in_flight{0};
};

std::string_view HttpRequest::header(const char* name) const {
  const char* value = MHD_lookup_connection_value(connection_, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

// Called at least twice for a request: with its headers, then with each piece of its body, then once more to be answered. `progress`
// starts as null and counts what came: 1 for the headers, plus the bytes of a body.
MHD_Result HttpServer::State::on_request(void* self, MHD_Connection* connection, const char* url, const char* method, const char*,
                                         const char*, std::size_t* upload_size, void** progress) {
  auto& state = *static_cast<State*>(self);
  try {
    const std::string_view verb(method);
    if (verb != "GET" && verb != "HEAD") {
      HttpResponse refusal = plain(405, "Only GET and HEAD are answered here.\n");
      refusal.headers = {{"Allow", "GET, HEAD"}};
      return queue(connection, std::move(refusal));
    }
    const auto seen = reinterpret_cast<std::uintptr_t>(*progress);
    if (seen == 0 || *upload_size > 0) {
      // relaxed: whatever the answer publishes comes later in this thread, and carries it.
      if (seen == 0) state.in_flight.fetch_add(1, std::memory_order_relaxed);
      *progress = reinterpret_cast<void*>(seen + (seen == 0 ? 1 : 0) + *upload_size);
      *upload_size = 0;
      return seen > kUnwantedBodyBytes ? MHD_NO : MHD_YES;
    }
    return queue(connection, state.answer(HttpRequest(connection, url)));
  } catch (...) {
    state.failures.fetch_add(1, std::memory_order_relaxed);
    try {
      return queue(connection, plain(500, "vigil could not answer this request.\n"));
    } catch (...) {
      return MHD_NO;  // closes the connection
    }
  }
}

HttpServer::HttpServer(const HttpServerSettings& settings, Answer answer) : state_(std::make_unique<State>(std::move(answer))) {
  const ListenAddress address = parse_address(settings);
  state_->listener = listen_on(settings, address);
  ListenerRegistry::add(state_.get(), state_->listener);
  endpoint_ = endpoint_of(state_->listener, settings, address.is_ipv6);
  const SignalMask all_blocked;               // the threads inherit it
  const DefaultFloatEnvironment environment;  // and this
  // A pool of one is a server without a pool.
  const MHD_OptionItem pool[] = {{settings.threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, settings.threads, nullptr},
                                 {MHD_OPTION_END, 0, nullptr}};
  state_->daemon =
      MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, nullptr, nullptr, &State::on_request, state_.get(),  //
                       MHD_OPTION_EXTERNAL_LOGGER, &State::on_log, nullptr,                                                       //
                       MHD_OPTION_NOTIFY_COMPLETED, &State::on_completed, state_.get(),                                           //
                       MHD_OPTION_LISTEN_SOCKET, state_->listener,                                                                //
                       MHD_OPTION_CONNECTION_LIMIT, kConnections,                                                                 //
                       MHD_OPTION_PER_IP_CONNECTION_LIMIT, kConnectionsPerAddress,                                                //
                       MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds,                                                               //
                       MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory,                                                     //
                       MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
  if (state_->daemon == nullptr) {
    ListenerRegistry::remove(state_.get());
    close(state_->listener);
    throw_cannot_listen(settings, "the server's threads did not start; is the process at its limit of threads or open files?");
  }
}

HttpServer::~HttpServer() { stop(); }

std::uint64_t HttpServer::failures() const noexcept {
  return state_ ? state_->failures.load(std::memory_order_relaxed) : 0;  // relaxed: a lone counter
}

// acquire: pairs with the release of on_completed.
int HttpServer::requests_in_flight() const noexcept { return state_ ? state_->in_flight.load(std::memory_order_acquire) : 0; }

void HttpServer::stop() noexcept {
  if (!state_ || state_->daemon == nullptr) return;
  ListenerRegistry::remove(state_.get());
  MHD_stop_daemon(state_->daemon);  // closes the listener too
  state_->daemon = nullptr;
}

void HttpServer::abandon() noexcept {
  if (!state_) return;
  static_cast<void>(state_.release());
}

}  // namespace vigil
