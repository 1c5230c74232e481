#include "vigil/exporters/http_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace vigil {
namespace {

constexpr int kNoListener = -1;
// Of each connection, in the kernel, which takes twice as much: grown by itself it would be megabytes for a client that does not read.
constexpr int kSendBufferBytes = 256 << 10, kReceiveBufferBytes = 64 << 10;

struct RegisteredListener {
  std::atomic<const void*> owner{nullptr};  // not the listener's number, which a child may give to another file
  std::atomic<int> listener{kNoListener};
};

// Ports that this process listens on. relaxed: a child starts with one thread, and an entry publishes nothing else.
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
      if (listener != kNoListener) ::close(listener);
      entry.owner.store(nullptr, std::memory_order_relaxed);
    }
  }
  static inline std::array<RegisteredListener, 64> entries_{};  // more sockets than that: their ports stay with a child
};

// What to say about an address.
struct Wording {
  const HttpServerSettings& settings;
  const ListenAddress& address;

  [[noreturn]] void refuse(const std::string& what_to_do) const {
    throw std::runtime_error("cannot serve metrics on address " + address.address + ", port " + std::to_string(address.port) + ": " +
                             what_to_do);
  }
  std::string about(int error) const {
    const std::string port_hint = "set " + settings.port_setting + " to another one, or to 0 to let the system choose";
    switch (error) {
      case EADDRINUSE: return "the port is in use already, by another program or by this one; " + port_hint;
      case EACCES: return "no permission to listen on this port (ports below 1024 need privileges); " + port_hint;
      case EADDRNOTAVAIL:
      case EAFNOSUPPORT:
        return "this machine does not have that address; set " + settings.address_setting + " to one that it has, or 0.0.0.0";
      case EINVAL:
        return "this address needs a network interface beside it, which is not supported; set " + settings.address_setting +
               " to another one";
      default: return std::generic_category().message(error) + "; " + port_hint;
    }
  }
};

// An address to listen on, in the form of the sockets interface.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

SocketAddress socket_address(const Wording& wording, const std::string& text) {
  const std::int64_t port = wording.address.port;
  if (port < 0 || port > 65535) {
    wording.refuse("set " + wording.settings.port_setting + " to a number from 0 to 65535; 0 lets the system choose");
  }
  SocketAddress address;
  auto* ipv4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (inet_pton(AF_INET, text.c_str(), &ipv4->sin_addr) == 1) {
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(static_cast<std::uint16_t>(port));
    address.length = sizeof *ipv4;
  } else if (inet_pton(AF_INET6, text.c_str(), &ipv6->sin6_addr) == 1) {
    ipv6->sin6_family = AF_INET6;
    ipv6->sin6_port = htons(static_cast<std::uint16_t>(port));
    address.length = sizeof *ipv6;
  } else {
    wording.refuse("set " + wording.settings.address_setting +
                   " to a numeric IPv4 or IPv6 address (127.0.0.1 for this machine only, 0.0.0.0 for all)");
  }
  return address;
}

// A socket that listens, or -1 and errno.
int try_listen(const SocketAddress& address, bool both_kinds) {
  const int listener = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return -1;
  const int on = 1, off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);                           // a restart does not wait for old connections
  setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);  // connections inherit these
  setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  if (both_kinds) setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0 && listen(listener, SOMAXCONN) == 0) {
    return listener;
  }
  const int error = errno;
  close(listener);
  errno = error;
  return -1;
}

int listen_on(const Wording& wording, std::string& bound_address) {
  const bool all = wording.address.address == "*";
  bound_address = all ? "::" : wording.address.address;
  int listener = try_listen(socket_address(wording, bound_address), all);
  if (listener < 0 && all && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {  // a machine without IPv6
    bound_address = "0.0.0.0";
    listener = try_listen(socket_address(wording, bound_address), false);
  }
  if (listener < 0) wording.refuse(wording.about(errno));
  return listener;
}

std::uint16_t port_of(int listener) {
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &length);
  return ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                           : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
}

}  // namespace

HttpListeners::HttpListeners(const HttpServerSettings& settings) {
  std::vector<ListenAddress> addresses{{settings.address, settings.port}};
  addresses.insert(addresses.end(), settings.more_addresses.begin(), settings.more_addresses.end());
  sockets_.reserve(addresses.size());
  try {
    for (const ListenAddress& address : addresses) {
      std::string bound_address;
      sockets_.push_back(listen_on({settings, address}, bound_address));
      ListenerRegistry::add(this, sockets_.back());
      endpoints_.push_back(endpoint_text(bound_address, port_of(sockets_.back())));
    }
  } catch (...) {
    close();
    throw;
  }
}

HttpListeners::~HttpListeners() { close(); }

void HttpListeners::close() noexcept {
  ListenerRegistry::remove(this);
  for (const int listener : sockets_) ::close(listener);
  sockets_.clear();
}

}  // namespace vigil
