// What bounds the clients of an HTTP server, and what is counted of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vigil {

/// Each bound has a counter in HttpCounters, and a line in the log at most once a minute.
struct HttpLimits {
  /// Connections at a time, 1 to 60,000. At the bound the one that has kept the server waiting for longest is cut for a new one; while none
  /// has for 500 ms, new ones wait in the system's queue.
  std::int64_t connections = 320;
  /// Of these, from one address (IPv6: one /64 network) but 127.0.0.1 and ::1. At the bound likewise, among its own; while none has, a new
  /// one is closed.
  std::int64_t connections_per_address = 256;
  /// A request's line and headers, 256 to 1 MiB: answered with 431 or 414 beyond it.
  std::int64_t head_bytes = std::int64_t{12} << 10;
  /// A request's body, where a path takes one: answered with 413 beyond it.
  std::int64_t body_bytes = std::int64_t{64} << 10;
  /// All of a request, from its first byte to its last, in milliseconds; for the first of a connection from the time that this began, a TLS
  /// handshake included. However it trickles in.
  std::int64_t request_ms = 10'000;
  std::int64_t idle_ms = 15'000;    ///< between two requests of a connection
  std::int64_t answer_ms = 60'000;  ///< for the client to take all of an answer
  std::int64_t stall_ms = 10'000;   ///< for the client to take at least some of it
  /// Requests that are answered, or whose answers are sent, at the same time. Beyond it the client that has taken nothing of its answer for
  /// longest is cut for another one; while none has for 500 ms, that gets 503.
  std::int64_t requests = 320;
  /// Bodies of answers held for being sent, shared ones once. Beyond it likewise.
  std::int64_t answer_bytes = std::int64_t{256} << 20;
  /// Passwords that wait for being checked, in all and of one address (IPv6: /64): 503 beyond it.
  std::int64_t waiting_passwords = 64;
  std::int64_t waiting_passwords_per_address = 4;
};

/// Statuses that are counted one by one; the last counter is that of all others.
inline constexpr std::array<unsigned, 15> kHttpStatuses{200, 204, 304, 400, 401, 403, 404, 405, 413, 414, 429, 431, 500, 501, 503};

/// Since the start of a server, unless it says "now".
struct HttpCounters {
  std::uint64_t connections = 0;          ///< taken
  std::uint64_t connections_refused = 0;  ///< closed at once: their address had as many as it may have
  std::uint64_t connections_evicted = 0;  ///< cut to make room
  std::uint64_t accept_errors = 0;        ///< not taken: the process had no file or memory left for it
  std::uint64_t request_timeouts = 0;     ///< cut: a request took longer than `request_ms` to come
  std::uint64_t idle_timeouts = 0;        ///< closed after `idle_ms` without a request
  std::uint64_t answer_timeouts = 0;      ///< cut: an answer was not taken within `answer_ms`, or none of it within `stall_ms`
  std::uint64_t dropped_requests = 0;     ///< broken off without an answer: it was no HTTP at all, or the client left
  std::uint64_t tls_failures = 0;         ///< TLS connections that ended before a request: most often a handshake that failed
  std::uint64_t requests = 0;             ///< whole heads of requests that came
  std::array<std::uint64_t, kHttpStatuses.size() + 1> answers{};  ///< by kHttpStatuses, those of malformed requests included
  std::uint64_t overloads = 0;                                    ///< of these, 503 for a bound of `requests` or `answer_bytes`
  std::uint64_t rate_limited = 0;                                 ///< of these, 429 by the web config file's rate_limit
  std::uint64_t passwords_checked = 0;                            ///< bcrypt runs
  std::uint64_t passwords_wrong = 0;                              ///< requests with a wrong user or password
  std::uint64_t passwords_unchecked = 0;                          ///< 503: too many waited
  std::uint64_t reloads = 0;                                      ///< of the web config file, with success, the first one included
  std::uint64_t reload_failures = 0;                              ///< the last good one stayed
  std::uint64_t open_connections = 0;                             ///< now
  std::uint64_t requests_in_flight = 0;                           ///< now
  std::uint64_t answer_bytes = 0;                                 ///< now: bodies held for being sent

  /// Those of one of kHttpStatuses.
  std::uint64_t answers_with(unsigned status) const noexcept {
    for (std::size_t i = 0; i < kHttpStatuses.size(); ++i) {
      if (kHttpStatuses[i] == status) return answers[i];
    }
    return 0;
  }
};

}  // namespace vigil
