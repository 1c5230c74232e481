#include "vigil/exporters/http_log.h"

#include "vigil/exporters/logging.h"

namespace vigil {

void HttpLog::look_at(const HttpCounters& counters, LogGate::Time now) {
  std::uint64_t refused_heads = counters.dropped_requests;
  for (const unsigned status : {400u, 413u, 414u, 431u}) refused_heads += counters.answers_with(status);
  struct Kind {
    std::uint64_t count;
    const char* text;
  };
  const std::array<Kind, kKinds> kinds{{
      {counters.connections_refused, "connections were closed at once, as many of their address were open already"},
      {counters.connections_evicted, "connections that kept the server waiting were cut to make room for others"},
      {counters.accept_errors, "connections could not be taken: the process is at its limit of open files, or out of memory"},
      {counters.request_timeouts, "requests did not come within their time and were cut"},
      {counters.answer_timeouts, "answers were not taken within their time and were cut"},
      {refused_heads, "requests were malformed, too large or broken off"},
      {counters.overloads, "requests were answered with 503, as too many were under way"},
      {counters.passwords_wrong, "requests had a wrong user or password"},
      {counters.passwords_unchecked, "requests were answered with 503, as too many passwords waited for being checked"},
  }};
  for (std::size_t i = 0; i < kKinds; ++i) {
    if (kinds[i].count == told_[i] || !gates_[i].open(now)) continue;
    log(LogLevel::warning, server_ + ": " + std::to_string(kinds[i].count - told_[i]) + " " + kinds[i].text);
    told_[i] = kinds[i].count;
  }
}

}  // namespace vigil
