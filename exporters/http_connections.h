// The connections of an HTTP server, what each is doing, and which of them is to go.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "vigil/exporters/http_limits.h"

namespace vigil {

/// Bytes that stand for the host behind an address: IPv4 whole (also as `::ffff:…`), IPv6 up to its /64. Empty for 127.0.0.1 and ::1.
std::string host_key(const sockaddr_storage& address);

/// What one thread (the acceptor) admits and sweeps, and the event loops report on. Cutting a connection is a shutdown(2) of its socket;
/// who serves it sees its end and closes it.
class HttpConnections {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  /// A connection whose client has not been awaited for that long is not cut for another one.
  static constexpr std::chrono::milliseconds kPatience{500};
  /// Beside `HttpLimits::connections`: those that are cut, but not closed yet.
  static constexpr std::size_t kMostDoomed = 64;

  enum class Phase : std::uint8_t {
    opening,    ///< no whole request has come yet
    receiving,  ///< a later request is coming
    handling,   ///< ours to do
    sending,    ///< an answer is on its way
    idle,       ///< answered, no sign of another request
  };
  enum class Admission : std::uint8_t { admitted, address_full };

  struct Connection {
    int socket = -1;
    std::string host;
    Phase phase = Phase::opening;
    bool started = false;            // the socket is known to be open until closed() is called
    bool doomed = false;             // about to be closed: cut already, or left by its client
    bool retired = false;            // what it speaks (TLS settings) is out of date: goes when idle
    Time since{};                    // of the phase
    Time progress{};                 // when it was last not the client who was awaited
    std::uint64_t acknowledged = 0;  // sending: bytes that had been then
    std::uint64_t received = 0;      // idle: bytes that had been when it began
    std::uint64_t sent = 0;          // likewise
    const void* owner = nullptr;     // that serves it
    std::uint64_t requests = 0;      // whole ones so far
    bool is_tls = false;
  };

  explicit HttpConnections(const HttpLimits& limits) : limits_(limits) {}

  /// Acceptor: whether another connection may be taken now; cuts one for it where that helps. False: to be asked again later.
  bool make_room(Time now);
  /// Acceptor: takes in a socket that was accepted, unless its address has its share. This machine has no share: all of it is one address.
  Admission admit(int socket, const sockaddr_storage& address, const void* owner, bool is_tls, Time now);
  /// Acceptor: a socket that was admitted and could not be served after all.
  void forget(int socket);
  /// Acceptor: cuts what is over its time, counting it.
  void sweep(Time now);
  /// Those of `owner`, now and later, finish what they are at. Any thread.
  void retire(const void* owner);
  /// The address of `owner` may come again.
  void forget_owner(const void* owner);
  std::size_t count_of(const void* owner) const;
  std::size_t size() const;

  /// Event loops. `started` answers null for a socket that was never admitted.
  Connection* started(int socket);
  /// Before the socket is closed; `connection` is gone afterwards.
  void closed(Connection* connection);
  void set_phase(Connection* connection, Phase phase, Time now);
  bool is_retired(const Connection* connection) const;
  /// Cuts the client that has taken nothing of its answer for longest; false when none has for kPatience.
  bool cut_stalled(Time now);

  std::atomic<std::uint64_t> accepted{0}, refused{0}, evicted{0}, request_timeouts{0}, idle_timeouts{0}, answer_timeouts{0},
      dropped_requests{0}, tls_failures{0};  // relaxed: lone counters

 private:
  void cut(Connection& connection, std::atomic<std::uint64_t>& counter);
  /// The connection that has kept the server waiting for longest, of `host` or of all; null when none has for kPatience.
  Connection* longest_waiting(const std::string* host, Time now);
  Connection* longest_of(const std::function<bool(const Connection&)>& is_one, Time now);
  void look_at_progress(Connection& connection, Time now);
  void look_at(Connection& connection, Time now);
  std::size_t count_of_host(const std::string& host) const;
  void find_those_that_left(Time now);

  const HttpLimits limits_;
  mutable std::mutex mutex_;
  std::map<int, Connection> connections_;  // by socket; nodes do not move
  std::set<const void*> retired_;
  std::size_t doomed_ = 0;
  Time looked_for_those_that_left_{};
};

}  // namespace vigil
