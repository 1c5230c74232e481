#include "vigil/daemon/daemon_families.h"

#include <array>
#include <string>
#include <utility>

#include "vigil/daemon/daemon_metrics.h"

namespace vigil {
namespace {

constexpr std::size_t kMaxUnreadable = 100;

class Builder {
 public:
  void begin(DaemonMetric metric) {
    const MetricRow& row = metric_row(metric);
    families.push_back({row.name, row.type, row.unit, std::string(row.help), {}, {}});
  }
  void add(std::vector<Label> labels, double value) { families.back().samples.push_back({make_labels(std::move(labels)), value}); }
  template <class Number>
  void only(DaemonMetric metric, Number value) {
    begin(metric);
    add({}, static_cast<double>(value));
  }

  std::vector<Family> families;
};

void add_rings(Builder& to, const HostView& view) {
  std::array<std::uint64_t, kRunStateNames.size()> states{};
  for (const RunView& run : view.runs) ++states[static_cast<std::size_t>(run.snapshot->state)];
  to.begin(DaemonMetric::runs);
  for (std::size_t i = 0; i < states.size(); ++i) to.add({{"state", std::string(kRunStateNames[i])}}, static_cast<double>(states[i]));
  to.only(DaemonMetric::turns, view.turns);
  to.only(DaemonMetric::turn_seconds, view.turn_seconds);
  to.only(DaemonMetric::runs_hidden, view.hidden);
  to.only(DaemonMetric::ring_directories_unreadable, view.directories_unreadable);
  if (!view.refused.empty()) to.begin(DaemonMetric::ring_unreadable);
  for (std::size_t i = 0; i < view.refused.size() && i < kMaxUnreadable; ++i) {
    const std::string& path = view.refused[i].path;
    to.add({{"file", path}, {"reason", view.refused[i].reason}}, 1);
  }
  to.only(DaemonMetric::ring_refused, view.refusals);
  to.only(DaemonMetric::ring_left_out, view.left_out);
  to.only(DaemonMetric::ring_yielded, view.yielded);
  to.only(DaemonMetric::ring_removed, view.removed);
  to.only(DaemonMetric::ring_removal_failures, view.removals_failed);
}

void add_http(Builder& to, const HttpCounters& http) {
  to.only(DaemonMetric::http_connections, http.connections);
  to.only(DaemonMetric::http_open_connections, http.open_connections);
  to.only(DaemonMetric::http_refused, http.connections_refused);
  to.begin(DaemonMetric::http_cut);
  to.add({{"reason", "evicted"}}, static_cast<double>(http.connections_evicted));
  to.add({{"reason", "request"}}, static_cast<double>(http.request_timeouts));
  to.add({{"reason", "idle"}}, static_cast<double>(http.idle_timeouts));
  to.add({{"reason", "answer"}}, static_cast<double>(http.answer_timeouts));
  to.begin(DaemonMetric::http_requests);
  for (std::size_t i = 0; i < kHttpStatuses.size(); ++i)
    to.add({{"code", std::to_string(kHttpStatuses[i])}}, static_cast<double>(http.answers[i]));
  to.add({{"code", "other"}}, static_cast<double>(http.answers.back()));
  to.only(DaemonMetric::http_wrong_passwords, http.passwords_wrong);
  to.begin(DaemonMetric::http_failures);
  to.add({{"reason", "overload"}}, static_cast<double>(http.overloads));
  to.add({{"reason", "rate_limit"}}, static_cast<double>(http.rate_limited));
  to.add({{"reason", "password_queue"}}, static_cast<double>(http.passwords_unchecked));
  to.add({{"reason", "accept"}}, static_cast<double>(http.accept_errors));
  to.add({{"reason", "broken_off"}}, static_cast<double>(http.dropped_requests));
  to.add({{"reason", "tls"}}, static_cast<double>(http.tls_failures));
}

void add_history(Builder& to, const HistoryThread::Counters& history) {
  const HistoryCounters& stored = history.stored;
  to.only(DaemonMetric::history_steps, stored.steps);
  to.only(DaemonMetric::history_frames, stored.frames);
  to.only(DaemonMetric::history_events, stored.events);
  to.begin(DaemonMetric::history_lost);
  to.add({{"ring", "steps"}}, static_cast<double>(history.steps_lost));
  to.add({{"ring", "frames"}}, static_cast<double>(history.frames_lost));
  to.add({{"ring", "events"}}, static_cast<double>(history.events_lost));
  to.add({{"ring", "alerts"}}, static_cast<double>(history.alerts_lost));
  to.begin(DaemonMetric::history_left_out);
  to.add({{"what", "steps"}}, static_cast<double>(stored.steps_refused));
  to.add({{"what", "damaged_steps"}}, static_cast<double>(stored.steps_unreadable));
  to.add({{"what", "learning_rates"}}, static_cast<double>(stored.scalars_refused));
  to.only(DaemonMetric::history_removed, stored.rows_removed);
  to.only(DaemonMetric::history_transactions, stored.transactions);
  to.only(DaemonMetric::history_failures, stored.failures);
  to.begin(DaemonMetric::history_faults);
  to.add({{"fault", "put_aside"}}, static_cast<double>(stored.put_aside));
  to.add({{"fault", "checkpoint"}}, static_cast<double>(stored.checkpoint_failures));
  to.only(DaemonMetric::history_bytes, stored.disk_bytes);
}

void add_push(Builder& to, const PushCounters& push) {
  to.begin(DaemonMetric::remote_write_samples);
  to.add({{"outcome", "sent"}}, static_cast<double>(push.samples_sent));
  to.add({{"outcome", "failed"}}, static_cast<double>(push.samples_failed));
  to.add({{"outcome", "dropped"}}, static_cast<double>(push.samples_dropped));
  to.add({{"outcome", "replaced"}}, static_cast<double>(push.samples_replaced));
  to.add({{"outcome", "out_of_order"}}, static_cast<double>(push.samples_out_of_order));
  to.only(DaemonMetric::remote_write_requests, push.requests);
  to.only(DaemonMetric::remote_write_retries, push.retries);
  to.only(DaemonMetric::remote_write_pending, push.pending);
  to.only(DaemonMetric::remote_write_timestamp, push.highest_timestamp_seconds);
  to.begin(DaemonMetric::pushes);
  to.add({{"outcome", "sent"}}, static_cast<double>(push.pushes_sent));
  to.add({{"outcome", "failed"}}, static_cast<double>(push.pushes_failed));
}

}  // namespace

std::vector<Family> make_daemon_families(const HostView& view, const DaemonReading& reading) {
  Builder builder;
  builder.families.push_back(make_build_info());
  add_rings(builder, view);
  add_http(builder, reading.http);
  builder.only(DaemonMetric::reload_failures, reading.reload_failures);
  if (reading.history) add_history(builder, *reading.history);
  if (reading.push) add_push(builder, *reading.push);
  return std::move(builder.families);
}

}  // namespace vigil
