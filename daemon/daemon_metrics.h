// Every metric that vigild has of itself, as the contract of monitor/metric_table.h has those of runs. docs/metrics.md follows it.
#pragma once

#include <array>
#include <cstddef>

#include "vigil/monitor/metric_table.h"

namespace vigil {

enum class DaemonMetric : std::size_t {
  runs,
  turns,
  turn_seconds,
  runs_hidden,
  ring_directories_unreadable,
  ring_unreadable,
  ring_refused,
  ring_left_out,
  ring_yielded,
  ring_removed,
  ring_removal_failures,
  http_connections,
  http_open_connections,
  http_refused,
  http_cut,
  http_requests,
  http_wrong_passwords,
  http_failures,
  reload_failures,
  history_steps,
  history_frames,
  history_events,
  history_lost,
  history_left_out,
  history_removed,
  history_transactions,
  history_failures,
  history_faults,
  history_bytes,
  remote_write_samples,
  remote_write_requests,
  remote_write_retries,
  remote_write_pending,
  remote_write_timestamp,
  pushes,
  count
};

// clang-format off
inline constexpr std::array<MetricRow, static_cast<std::size_t>(DaemonMetric::count)> kDaemonMetrics{{
    {"vigil_daemon_runs", MetricType::gauge, "", "state", "Ring files that are followed, or told of as ended, by the state of their run."},
    {"vigil_daemon_turns_total", MetricType::counter, "", "", "Times that all ring files were looked at."},
    {"vigil_daemon_turn_seconds_total", MetricType::counter, "seconds", "", "Time that this took."},
    {"vigil_runs_hidden", MetricType::gauge, "", "", "Runs that go on and are not shown: another one of the same name and rank began later. The log names them."},
    {"vigil_ring_directories_unreadable", MetricType::gauge, "", "", "Ring directories that cannot be read, those of --ring.directory that are not there among them. The log names them."},
    {"vigil_ring_unreadable", MetricType::gauge, "", "file,reason", "1 for a file that is named like a ring file and cannot be read as one, and why; the first 100 of them."},
    {"vigil_ring_refused_total", MetricType::counter, "", "", "Files that could not be read as ring files; one that changes and is refused again counts again."},
    {"vigil_ring_left_out", MetricType::gauge, "", "", "Ring files that are too many to be looked at."},
    {"vigil_ring_yielded_total", MetricType::counter, "", "", "Ended runs that were told of no more before --ring.keep-ended had passed: one that goes on needed their room."},
    {"vigil_ring_removed_total", MetricType::counter, "", "", "Files of runs that ended long ago, removed."},
    {"vigil_ring_removal_failures_total", MetricType::counter, "", "", "Likewise, but they could not be removed."},
    {"vigil_http_connections_total", MetricType::counter, "", "", "Connections taken."},
    {"vigil_http_open_connections", MetricType::gauge, "", "", "Connections now."},
    {"vigil_http_refused_connections_total", MetricType::counter, "", "", "Connections closed at once: their address had as many as it may have."},
    {"vigil_http_cut_connections_total", MetricType::counter, "", "reason", "Connections cut: evicted for a new one, or for a request, an idle time or an answer that took too long."},
    {"vigil_http_requests_total", MetricType::counter, "", "code", "Requests answered, by status."},
    {"vigil_http_wrong_passwords_total", MetricType::counter, "", "", "Requests with a wrong user or password."},
    {"vigil_http_failures_total", MetricType::counter, "", "reason", "Requests and connections that got no answer of their own: overload (503, too many requests or bytes under way), rate_limit (429), password_queue (503), accept (no file or memory for a connection), broken_off (no HTTP, or the client left), tls (ended before a request)."},
    {"vigil_reload_failures_total", MetricType::counter, "", "", "Times that a changed file could not be read again: what held before stays."},
    {"vigil_history_steps_total", MetricType::counter, "", "", "Steps stored."},
    {"vigil_history_frames_total", MetricType::counter, "", "", "Tensor frames stored."},
    {"vigil_history_events_total", MetricType::counter, "", "", "Non-finite events, alerts and changes of state stored."},
    {"vigil_history_lost_total", MetricType::counter, "", "ring", "Records that were overwritten before they could be stored; of alerts, those that too many waited with or whose file was gone."},
    {"vigil_history_left_out_total", MetricType::counter, "", "what", "What is not in the history: steps (their numbers did not go up), damaged_steps (were stored, and could not be read again), learning_rates (groups over the 4096 that are kept, counted once a run)."},
    {"vigil_history_removed_total", MetricType::counter, "", "", "Rows removed because they were too old, or the database too large."},
    {"vigil_history_transactions_total", MetricType::counter, "", "", "Transactions made."},
    {"vigil_history_failures_total", MetricType::counter, "", "", "Transactions that failed; they are made again."},
    {"vigil_history_faults_total", MetricType::counter, "", "fault", "put_aside: a damaged database was renamed and another one begun. checkpoint: the write-ahead log could not be brought into the database, and grows."},
    {"vigil_history_bytes", MetricType::gauge, "bytes", "", "Bytes that the file of the history and its write-ahead log take. --storage.retention.size bounds the former."},
    {"vigil_remote_write_samples_total", MetricType::counter, "", "outcome", "Samples for remote write: sent, failed (refused by the receiver), dropped (the queue was full), replaced (a later one came in the same millisecond), out_of_order (not after the one before)."},
    {"vigil_remote_write_requests_total", MetricType::counter, "", "", "Requests made, of whatever success."},
    {"vigil_remote_write_retries_total", MetricType::counter, "", "", "Of these, those that were made again."},
    {"vigil_remote_write_pending", MetricType::gauge, "", "", "Samples that wait."},
    {"vigil_remote_write_highest_timestamp_seconds", MetricType::gauge, "seconds", "", "Time of the newest sample that was sent, in seconds since the epoch."},
    {"vigil_pushes_total", MetricType::counter, "", "outcome", "Results of finished runs pushed to a Pushgateway: sent, failed."},
}};
// clang-format on

constexpr const MetricRow& metric_row(DaemonMetric metric) noexcept { return kDaemonMetrics[static_cast<std::size_t>(metric)]; }

}  // namespace vigil
