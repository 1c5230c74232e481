#include "vigil/daemon/history_thread.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <optional>
#include <utility>

#include "vigil/config/printable.h"
#include "vigil/exporters/logging.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

// Of what was told: the follower may hold a record that it has read, and tells it at its next poll.
HistoryCursors cursors_of(const RingFileReader& reader, const RunFollower& follower) {
  RingCursors at = reader.cursors();
  for (std::size_t i = 0; i < at.size(); ++i) at[i] -= follower.is_holding(static_cast<RingKind>(i)) ? 1 : 0;
  return {at[static_cast<std::size_t>(RingKind::steps)], at[static_cast<std::size_t>(RingKind::frames)],
          at[static_cast<std::size_t>(RingKind::events)]};
}

RingCursors cursors_of(const HistoryCursors& stored) {
  RingCursors at{};
  at[static_cast<std::size_t>(RingKind::steps)] = stored.steps;
  at[static_cast<std::size_t>(RingKind::frames)] = stored.frames;
  at[static_cast<std::size_t>(RingKind::events)] = stored.events;
  return at;
}

const RunView* find(const HostView& view, const RingId& ring) {
  const auto found = std::find_if(view.runs.begin(), view.runs.end(), [&](const RunView& run) { return run.ring_id == ring; });
  return found == view.runs.end() ? nullptr : &*found;
}

}  // namespace

HistoryThread::HistoryThread(HistoryOptions options, Files files, View view)
    : options_(std::move(options)), files_(std::move(files)), view_(std::move(view)), writer_(std::make_unique<HistoryWriter>(options_)) {
  file_ = writer_->file();
  thread_ = std::thread([this] { run(); });
}

HistoryThread::~HistoryThread() { stop(); }

void HistoryThread::add(RunAlert alert) {
  const std::lock_guard<std::mutex> lock(mutex_);
  alerts_.push_back(std::move(alert));
  if (alerts_.size() <= kMaxAlerts) return;
  alerts_.pop_front();
  ++counters_.alerts_lost;
}

bool HistoryThread::has_all_of(const RingId& ring) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return (complete_.count(ring) > 0 || left_.count(ring) > 0) && file_.is_there();
}

HistoryThread::Counters HistoryThread::counters() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counters_;
}

// From where the database says.
void HistoryThread::follow(Ring& ring) {
  auto reader = std::make_unique<RingFileReader>(ring.file, cursors_of(writer_->cursors(ring.begun.key)));
  ring.reader = reader.get();
  ring.losses_counted = {};  // what it lost after the last batch that was stored it loses once more
  ring.follower = std::make_unique<RunFollower>(std::move(reader));
  ring.follower->set_poll_bytes(kPollBytes);
}

void HistoryThread::take_up(const std::vector<std::shared_ptr<const RingFile>>& files) {
  std::set<RingId> present;
  for (const auto& file : files) {
    const RingId& id = file->header().ring_id;
    if (!present.insert(id).second) continue;
    if (const auto known = rings_.find(id); known != rings_.end()) {
      if (known->second.file == file) continue;
      writer_->end_ring(known->second.begun.key);  // that was a copy of it
      rings_.erase(known);
    }
    Ring ring;
    ring.file = file;
    try {
      ring.begun = writer_->begin_ring(id, file->schema(), wall_time_ns());
      follow(ring);
      rings_.emplace(id, std::move(ring));
    } catch (const std::exception& error) {
      if (gate_.open(LogGate::Time::clock::now())) log(LogLevel::error, "history of " + printable(file->path()) + ": " + error.what());
    }
  }
  for (auto place = rings_.begin(); place != rings_.end();) {
    if (present.count(place->first) > 0) {
      ++place;
      continue;
    }
    writer_->end_ring(place->second.begun.key);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (left_.size() >= kMaxLeft) left_.clear();
    if (complete_.count(place->first) > 0) left_.insert(place->first);
    place = rings_.erase(place);
  }
  if (has_looked_once_) return;
  // The host has looked through its directories before this thread began.
  writer_->end_absent_rings("crashed", "its file was gone when vigild started", wall_time_ns());
  has_looked_once_ = true;
}

void HistoryThread::read(Ring& ring) {
  if (ring.is_broken) return;
  const RingKey key = ring.begun.key;
  try {
    ring.follower->poll(
        [&](const StepRecord& record, const double* scalars) {
          if (record.has_marks()) writer_->add_marks(key, record, ring.reader->phase_names());
          writer_->add_step(key, record, scalars, ring.reader->scalar_names());
        },
        [&](const Frame& frame) { writer_->add_frame(key, frame); }, [&](const NonfiniteEvent& event) { writer_->add_event(key, event); });
  } catch (const RingFileError&) {
    ring.is_broken = true;  // the host says so, in metrics and log
  }
  writer_->set_cursors(key, cursors_of(*ring.reader, *ring.follower));
}

// An end once the records before it are told.
void HistoryThread::tell_state(Ring& ring, const HostView& view, bool is_end) {
  const RunView* const run = find(view, ring.file->header().ring_id);
  if (run == nullptr || run->has_ended() != is_end) return;
  if (is_end && !ring.is_broken && ring.follower->has_more()) return;
  const Snapshot& snapshot = *run->snapshot;
  writer_->set_state(ring.begun.key, kRunStateNames[static_cast<std::size_t>(snapshot.state)], snapshot.end_reason, run->ended_ns);
  ring.has_end = run->has_ended();
}

void HistoryThread::tell_alerts() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::move(alerts_.begin(), alerts_.end(), std::back_inserter(alerts_in_batch_));
    alerts_.clear();
    for (; alerts_in_batch_.size() > kMaxAlerts; ++counters_.alerts_lost) alerts_in_batch_.pop_front();
  }
  early_alerts_.clear();
  alerts_too_late_ = 0;
  std::optional<std::set<RingId>> followed;
  for (const RunAlert& alert : alerts_in_batch_) {
    if (const auto ring = rings_.find(alert.ring); ring != rings_.end()) {
      writer_->add_alert(ring->second.begun.key, alert.message);
      continue;
    }
    // The host may have found the file after this turn has asked for files, and tells of a file before it tells of its alerts.
    if (!followed) {
      followed.emplace();
      for (const auto& file : files_()) followed->insert(file->header().ring_id);
    }
    if (followed->count(alert.ring) > 0)
      early_alerts_.push_back(alert);
    else
      ++alerts_too_late_;
  }
}

// Of a batch that is stored. The caller holds the lock.
void HistoryThread::count_overwritten() {
  for (auto& [id, ring] : rings_) {
    const auto count = [&ring = ring](RingKind kind, std::uint64_t& counter) {
      const std::uint64_t seen = ring.reader->losses(kind).overwritten;
      counter += seen - std::exchange(ring.losses_counted[static_cast<std::size_t>(kind)], seen);
    };
    count(RingKind::steps, counters_.steps_lost);
    count(RingKind::frames, counters_.frames_lost);
    count(RingKind::events, counters_.events_lost);
  }
}

// Alerts that the host could not keep.
void HistoryThread::count_losses(const HostView& view) {
  std::map<RingId, std::uint64_t> counted;
  std::uint64_t more = 0;
  for (const RunView& run : view.runs) {
    if (run.alerts_lost == 0) continue;
    const auto known = alerts_lost_by_host_.find(run.ring_id);
    more += run.alerts_lost - (known == alerts_lost_by_host_.end() ? 0 : known->second);
    counted[run.ring_id] = run.alerts_lost;
  }
  alerts_lost_by_host_ = std::move(counted);
  const std::lock_guard<std::mutex> lock(mutex_);
  counters_.alerts_lost += more;
}

void HistoryThread::rewind() {
  for (auto& [id, ring] : rings_) follow(ring);
  needs_rewind_ = false;
}

void HistoryThread::open_writer() {
  writer_ = std::make_unique<HistoryWriter>(options_, earlier_);
  const std::lock_guard<std::mutex> lock(mutex_);
  file_ = writer_->file();
}

// It holds a lock on the file: the next one comes after it.
void HistoryThread::give_up_writer() {
  rings_.clear();
  earlier_ = writer_->counters();
  writer_.reset();
  needs_rewind_ = false;
  const std::lock_guard<std::mutex> lock(mutex_);
  complete_.clear();
  left_.clear();
}

void HistoryThread::note_failure() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!std::exchange(is_failing_, true)) lost_before_failing_ = counters_.steps_lost;
}

// Once a minute at most: until then it goes on as one failure.
void HistoryThread::tell_recovery() {
  if (!is_failing_ || !recovered_gate_.open(LogGate::Time::clock::now())) return;
  is_failing_ = false;
  const std::uint64_t lost = counters().steps_lost - lost_before_failing_;
  log(LogLevel::info,
      "the history in '" + options_.path + "' is written again; " +
          (lost == 0 ? "no step was lost meanwhile" : std::to_string(lost) + " steps were overwritten meanwhile and are lost"));
}

void HistoryThread::turn() {
  if (writer_ != nullptr && !writer_->file().is_there()) {
    give_up_writer();
    ++earlier_.failures;
    if (lost_gate_.open(LogGate::Time::clock::now())) {
      log(LogLevel::error, "the history in '" + options_.path +
                               "' was deleted or moved while vigild was writing it; a new one is begun with what the ring files still hold."
                               " End vigild before you move it");
    }
  }
  if (writer_ == nullptr) open_writer();
  if (needs_rewind_) rewind();
  take_up(files_());
  // Before the records: of a run that is seen to have ended here all records are in its rings.
  const std::shared_ptr<const HostView> view = view_();
  count_losses(*view);
  writer_->begin(wall_time_ns());
  for (auto& [id, ring] : rings_) {
    ring.has_end = false;
    tell_state(ring, *view, false);
    read(ring);
    tell_state(ring, *view, true);
  }
  tell_alerts();
  HistoryOutcome outcome = writer_->commit();
  if (outcome.ok()) {
    alerts_in_batch_ = std::exchange(early_alerts_, {});
    const std::lock_guard<std::mutex> lock(mutex_);
    counters_.alerts_lost += alerts_too_late_;
    count_overwritten();
  } else if (outcome.kind == HistoryOutcome::Kind::damaged) {
    give_up_writer();
  } else {
    needs_rewind_ = true;
  }
  if (writer_ != nullptr) writer_->retain(wall_time_ns());
  if (outcome.ok())
    tell_recovery();
  else
    note_failure();
  const std::lock_guard<std::mutex> lock(mutex_);
  counters_.stored = writer_ != nullptr ? writer_->counters() : earlier_;
  complete_.clear();
  for (const auto& [id, ring] : rings_) {
    if (outcome.ok() && ring.has_end && (ring.is_broken || !ring.follower->has_more())) complete_.insert(id);
  }
}

void HistoryThread::run() noexcept {
  pthread_setname_np(pthread_self(), "vigil-history");
  std::unique_lock<std::mutex> lock(mutex_);
  for (bool is_last = false; !is_last;) {
    is_last = wake_.wait_for(lock, kInterval, [this] { return is_stopping_; });
    lock.unlock();
    bool is_done = false;
    try {
      turn();
      is_done = true;
    } catch (const std::exception& error) {
      if (gate_.open(LogGate::Time::clock::now())) log(LogLevel::error, std::string("history: ") + error.what());
    } catch (...) {
      if (gate_.open(LogGate::Time::clock::now())) log(LogLevel::error, "history: a transaction failed");
    }
    if (!is_done) note_failure();
    lock.lock();
    if (is_done) continue;
    if (writer_ == nullptr) {  // that counts its failures itself
      ++earlier_.failures;
      counters_.stored = earlier_;
    }
    // Some of the readers may have read what is not stored: nobody is to remove their files.
    needs_rewind_ = true;
    complete_.clear();
  }
}

void HistoryThread::stop() noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

}  // namespace vigil
