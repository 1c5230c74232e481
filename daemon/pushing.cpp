#include "vigil/daemon/pushing.h"

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

std::unique_ptr<RunSamples> Pushing::begin_run(const std::shared_ptr<const Schema>& schema, bool is_alive) {
  if (pushgateway_ && is_alive) pushgateway_->remove(schema->identity);
  if (!remote_write_) return nullptr;
  return remote_write_->begin_run(schema, RunCursor{started_ms_, started_ms_});
}

void Pushing::end_run(const Snapshot& last, std::int64_t ended_ns) {
  if (!pushgateway_ || last.state == RunState::unreadable) return;
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
