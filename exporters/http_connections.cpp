#include "vigil/exporters/http_connections.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace vigil {
namespace {

using Phase = HttpConnections::Phase;

// Zeros for what is no TCP socket. Cost: a system call.
tcp_info tcp_info_of(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return info;
}

// Whether an event loop has still to take up what the client sent.
bool has_unread_bytes(int socket) {
  int bytes = 0;
  return ioctl(socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

// Whether the other side has ended the connection, in any order with ours.
bool is_ended_by_peer(const tcp_info& info) {
  constexpr std::uint8_t kClose = 7, kCloseWait = 8, kLastAck = 9, kClosing = 11;  // TCP_CLOSE and so on of netinet/tcp.h, which clashes
  return info.tcpi_state == kClose || info.tcpi_state == kCloseWait || info.tcpi_state == kLastAck || info.tcpi_state == kClosing;
}

void count(std::atomic<std::uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

std::chrono::milliseconds ms(std::int64_t value) { return std::chrono::milliseconds(value); }

}  // namespace

std::string host_key(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    if (ipv4.s_addr == htonl(INADDR_LOOPBACK)) return {};
    return {reinterpret_cast<const char*>(&ipv4), sizeof ipv4};
  }
  if (address.ss_family != AF_INET6) return {};
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  const char* bytes = reinterpret_cast<const char*>(ipv6.s6_addr);
  constexpr char kThisMachine[] = {127, 0, 0, 1};
  if (IN6_IS_ADDR_LOOPBACK(&ipv6)) return {};
  if (IN6_IS_ADDR_V4MAPPED(&ipv6)) return std::memcmp(bytes + 12, kThisMachine, 4) == 0 ? std::string() : std::string(bytes + 12, 4);
  return {bytes, 8};
}

void HttpConnections::cut(Connection& connection, std::atomic<std::uint64_t>& counter) {
  if (connection.doomed || !connection.started) return;
  connection.doomed = true;
  ++doomed_;
  count(counter);
  shutdown(connection.socket, SHUT_RDWR);
}

// Whether it is the client that is awaited, and since when.
void HttpConnections::look_at_progress(Connection& connection, Time now) {
  if (connection.phase == Phase::sending) {
    const std::uint64_t acknowledged = tcp_info_of(connection.socket).tcpi_bytes_acked;
    if (acknowledged == connection.acknowledged) return;
    connection.acknowledged = acknowledged;
    connection.progress = now;
  } else if (connection.phase == Phase::handling || has_unread_bytes(connection.socket)) {
    connection.progress = now;
  }
}

HttpConnections::Connection* HttpConnections::longest_of(const std::function<bool(const Connection&)>& is_one, Time now) {
  while (true) {
    Connection* longest = nullptr;
    for (auto& [socket, connection] : connections_) {
      if (connection.doomed || !connection.started || connection.progress > now - kPatience || !is_one(connection)) continue;
      if (longest == nullptr || connection.progress < longest->progress) longest = &connection;
    }
    if (longest == nullptr) return nullptr;
    const Time since = longest->progress;
    look_at_progress(*longest, now);  // of this one only, as it is a system call
    if (longest->progress == since) return longest;
  }
}

HttpConnections::Connection* HttpConnections::longest_waiting(const std::string* host, Time now) {
  const auto is_of_host = [&](const Connection& connection) { return host == nullptr || connection.host == *host; };
  // One between two requests loses the least by it.
  const auto is_idle = [&](const Connection& connection) { return connection.phase == Phase::idle && is_of_host(connection); };
  if (Connection* idle = longest_of(is_idle, now)) return idle;
  return longest_of(is_of_host, now);
}

bool HttpConnections::cut_stalled(Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Connection* stalled = longest_of([](const Connection& connection) { return connection.phase == Phase::sending; }, now);
  if (stalled == nullptr) return false;
  cut(*stalled, evicted);
  return true;
}

bool HttpConnections::make_room(Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto limit = static_cast<std::size_t>(limits_.connections);
  if (connections_.size() - doomed_ >= limit) find_those_that_left(now);
  if (connections_.size() >= limit + kMostDoomed) return false;
  if (connections_.size() - doomed_ < limit) return true;
  Connection* longest = longest_waiting(nullptr, now);
  if (longest == nullptr) return false;
  cut(*longest, evicted);
  return true;
}

std::size_t HttpConnections::count_of_host(const std::string& host) const {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                [&](const auto& entry) { return !entry.second.doomed && entry.second.host == host; }));
}

// Clients that have their answers and have closed, which their event loop has not noticed yet: cut, as it were, by themselves.
void HttpConnections::find_those_that_left(Time now) {
  if (now - looked_for_those_that_left_ < kPatience / 20) return;  // a system call for each connection, so not for each of a flood
  looked_for_those_that_left_ = now;
  for (auto& [socket, connection] : connections_) {
    if (connection.doomed || connection.phase != Phase::idle || !is_ended_by_peer(tcp_info_of(socket))) continue;
    connection.doomed = true;
    ++doomed_;
  }
}

HttpConnections::Admission HttpConnections::admit(int socket, const sockaddr_storage& address, const void* owner, bool is_tls, Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::string host = host_key(address);
  const auto share = static_cast<std::size_t>(limits_.connections_per_address);
  if (!host.empty() && count_of_host(host) >= share) find_those_that_left(now);
  if (!host.empty() && count_of_host(host) >= share) {
    Connection* longest = longest_waiting(&host, now);
    if (longest == nullptr) {
      count(refused);
      return Admission::address_full;
    }
    cut(*longest, evicted);
  }
  // An entry that is there already is of a socket that was closed before it was ever started.
  Connection& connection = connections_[socket] = Connection{};
  connection.socket = socket;
  connection.host = std::move(host);
  connection.owner = owner;
  connection.retired = retired_.count(owner) > 0;
  connection.is_tls = is_tls;
  connection.since = now;
  connection.progress = now;
  count(accepted);
  return Admission::admitted;
}

void HttpConnections::forget(int socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  connections_.erase(socket);
}

HttpConnections::Connection* HttpConnections::started(int socket) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = connections_.find(socket);
  if (found == connections_.end()) return nullptr;
  found->second.started = true;
  return &found->second;
}

void HttpConnections::closed(Connection* connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (connection->doomed) {
    --doomed_;
  } else if (connection->is_tls && connection->phase == Phase::opening) {
    count(tls_failures);
  } else if (connection->phase == Phase::opening || connection->phase == Phase::receiving) {
    const tcp_info info = tcp_info_of(connection->socket);
    const bool has_begun = info.tcpi_bytes_received > connection->received + 1;  // the end of a connection counts as a byte
    if (has_begun && info.tcpi_bytes_sent == connection->sent) count(dropped_requests);
  }
  connections_.erase(connection->socket);
}

void HttpConnections::set_phase(Connection* connection, Phase phase, Time now) {
  const bool is_idle = phase == Phase::idle;
  const tcp_info info = is_idle || phase == Phase::sending ? tcp_info_of(connection->socket) : tcp_info{};
  const std::lock_guard<std::mutex> lock(mutex_);
  // A request that is being received began with its first byte, which the sweep may have seen.
  if (phase == Phase::receiving && (connection->phase == Phase::opening || connection->phase == Phase::receiving)) return;
  connection->phase = phase;
  connection->since = now;
  connection->progress = now;
  connection->acknowledged = info.tcpi_bytes_acked;
  if (!is_idle) return;
  connection->received = info.tcpi_bytes_received;
  connection->sent = info.tcpi_bytes_sent;
  ++connection->requests;
}

bool HttpConnections::is_retired(const Connection* connection) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return connection->retired;
}

void HttpConnections::look_at(Connection& connection, Time now) {
  switch (connection.phase) {
    case Phase::opening:
    case Phase::receiving:
      if (now - connection.since > ms(limits_.request_ms)) cut(connection, request_timeouts);
      return;
    case Phase::handling: return;
    case Phase::sending:
      look_at_progress(connection, now);
      if (now - connection.progress > ms(limits_.stall_ms) || now - connection.since > ms(limits_.answer_ms)) {
        cut(connection, answer_timeouts);
      }
      return;
    case Phase::idle:
      if (connection.retired || now - connection.since > ms(limits_.idle_ms)) return cut(connection, idle_timeouts);
      if (tcp_info_of(connection.socket).tcpi_bytes_received == connection.received) return;
      connection.phase = Phase::receiving;
      connection.since = now;
      connection.progress = now;
  }
}

void HttpConnections::sweep(Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto entry = connections_.begin(); entry != connections_.end();) {
    Connection& connection = entry->second;
    // Closed before it began, or its event loop is busy with another one; it takes its place as long as a request may take.
    const bool is_lost = !connection.started && now - connection.since > ms(limits_.request_ms + limits_.answer_ms);
    if (connection.started && !connection.doomed) look_at(connection, now);
    entry = is_lost ? connections_.erase(entry) : std::next(entry);
  }
}

void HttpConnections::forget_owner(const void* owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  retired_.erase(owner);
}

void HttpConnections::retire(const void* owner) {
  const std::lock_guard<std::mutex> lock(mutex_);
  retired_.insert(owner);
  for (auto& [socket, connection] : connections_) {
    if (connection.owner == owner) connection.retired = true;
  }
}

std::size_t HttpConnections::count_of(const void* owner) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(connections_.begin(), connections_.end(), [&](const auto& entry) { return entry.second.owner == owner; }));
}

std::size_t HttpConnections::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return connections_.size();
}

}  // namespace vigil
