#include "vigil/daemon/pushing.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

constexpr std::chrono::milliseconds kGrace{3000};

}  // namespace

Pushing::Pushing(PushingOptions options) : started_ms_(wall_time_ns() / 1'000'000) {
  if (options.remote_write) remote_write_.emplace(*std::move(options.remote_write));
  if (options.pushgateway) pushgateway_.emplace(*std::move(options.pushgateway));
}

bool Pushing::is_newest(const RunIdentity& identity) const {
  const auto known = newest_start_ns_.find({identity.run, identity.rank});
  return known == newest_start_ns_.end() || known->second <= identity.start_time_ns;
}

void Pushing::note_start(const RunIdentity& identity) {
  const auto [known, is_new] = newest_start_ns_.try_emplace({identity.run, identity.rank}, identity.start_time_ns);
  known->second = std::max(known->second, identity.start_time_ns);
  if (newest_start_ns_.size() <= kMaxRuns) return;
  newest_start_ns_.erase(std::min_element(newest_start_ns_.begin(), newest_start_ns_.end(),
                                          [](const auto& left, const auto& right) { return left.second < right.second; }));
}

std::unique_ptr<RunSamples> Pushing::begin_run(const std::shared_ptr<const Schema>& schema, bool is_alive) {
  note_start(schema->identity);
  if (pushgateway_ && is_alive && is_newest(schema->identity)) pushgateway_->remove(schema->identity);
  if (!remote_write_) return nullptr;
  return remote_write_->begin_run(schema, RunCursor{started_ms_, started_ms_});
}

void Pushing::end_run(RunSamples* samples, const Snapshot& last, std::int64_t ended_ns) {
  const bool is_superseded = !is_newest(last.schema->identity);
  if (samples != nullptr) samples->end(is_superseded);
  if (!pushgateway_ || is_superseded || last.state == RunState::unreadable) return;
  const RunEnd end = last.state == RunState::finished ? RunEnd::finished
                     : last.state == RunState::failed ? RunEnd::failed
                                                      : RunEnd::crashed;
  pushgateway_->put(last, end, ended_ns);
}

PushCounters Pushing::counters() const {
  PushCounters counters;
  if (remote_write_) {
    const RemoteWriteCounters of = remote_write_->counters();
    counters.samples_sent = of.sent;
    counters.samples_failed = of.failed;
    counters.samples_dropped = of.dropped;
    counters.samples_replaced = of.replaced;
    counters.samples_out_of_order = of.out_of_order;
    counters.requests = of.requests;
    counters.retries = of.retried;
    counters.pending = of.queued;
    counters.highest_timestamp_seconds = static_cast<double>(of.highest_timestamp_ms) / 1000;
  }
  if (pushgateway_) {
    const PushgatewayCounters of = pushgateway_->counters();
    counters.pushes_sent = of.sent;
    counters.pushes_failed = of.failed + of.dropped;
  }
  return counters;
}

void Pushing::stop() noexcept {
  if (remote_write_) remote_write_->begin_stop(kGrace);
  if (pushgateway_) pushgateway_->begin_stop(kGrace);
  if (remote_write_) remote_write_->stop(kGrace);
  if (pushgateway_) pushgateway_->stop(kGrace);
}

}  // namespace vigil
