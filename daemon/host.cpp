#include "vigil/daemon/host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <tuple>
#include <utility>

#include "vigil/exporters/logging.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t modified_ns(const struct stat& status) noexcept {
  return status.st_mtim.tv_sec * std::int64_t{1'000'000'000} + status.st_mtim.tv_nsec;
}

std::string name_of(const RunIdentity& identity) { return "run '" + valid_utf8(identity.run) + "' rank " + std::to_string(identity.rank); }

// Names come from whoever may write into the directory, and go into a log.
std::string shown(const std::string& path) {
  std::string text = valid_utf8(path);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

}  // namespace

Host::Host(HostOptions options) : options_(std::move(options)), watch_(options_.ring_directories) { set_rules(options_.rules); }

// A mistake in the rules is told now, not with the first run.
void Host::set_rules(const RulesConfig& rules) {
  if (rules.enabled) static_cast<void>(make_alert_engine(Schema{}, rules));
  const std::lock_guard<std::mutex> lock(mutex_);
  rules_ = rules;
}

RulesConfig Host::rules() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return rules_;
}

std::shared_ptr<const SeriesPlan> Host::plan_for(const std::shared_ptr<const Schema>& schema) const {
  return std::make_shared<const SeriesPlan>(*schema, options_.series);
}

void Host::open_file(const std::string& path, Entry& entry) {
  std::size_t followed = 0;
  for (const auto& [other, its] : entries_) followed += its.ring != nullptr ? 1 : 0;
  try {
    if (followed >= kMaxRings) throw RingFileError("more than " + std::to_string(kMaxRings) + " runs are followed already");
    auto file = std::make_shared<const RingFile>(path);
    auto plan = plan_for(file->shared_schema());
    auto ring = std::make_unique<FollowedRing>(std::move(file), rules(), std::move(plan), options_.pushing);
    ring->poll(self_, options_.hung_after);
    log(LogLevel::info, "following " + name_of(ring->file().schema().identity) + " (" +
                            std::string(kRunStateNames[static_cast<std::size_t>(ring->condition().state)]) + ") in " + shown(path));
    entry.ring = std::move(ring);
    entry.reason.clear();
    return;
  } catch (const std::exception& error) {
    entry.reason = error.what();
  }
  ++counters_.refusals;
  log(LogLevel::warning, "not following " + shown(path) + ": " + entry.reason);
}

void Host::find_files() {
  for (auto& [path, entry] : entries_) entry.is_seen = false;
  for (const std::string& path : watch_.files(Clock::now())) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) continue;
    const FileId id{status.st_dev, status.st_ino, status.st_size, modified_ns(status)};
    const auto [place, is_new] = entries_.try_emplace(path);
    Entry& entry = place->second;
    entry.is_seen = true;
    const bool is_another = is_new || entry.id.device != id.device || entry.id.inode != id.inode;
    const bool is_refused = entry.ring == nullptr && !entry.reason.empty();
    if (!is_another && !(is_refused && (entry.id.size != id.size || entry.id.modified_ns != id.modified_ns))) continue;
    entry = {id, nullptr, {}, true};
    open_file(path, entry);
  }
  counters_.left_out = watch_.left_out();
  if (counters_.left_out > 0 && crowded_gate_.open(Clock::now()))
    log(LogLevel::warning, std::to_string(counters_.left_out) + " ring files are too many to be looked at; remove those of old runs");
  // What is open is followed on, though it has no name any more, until its run has ended.
  for (auto place = entries_.begin(); place != entries_.end();) {
    const Entry& entry = place->second;
    const bool is_over = entry.ring == nullptr || entry.ring->ended_ns() != 0;
    place = !entry.is_seen && is_over ? entries_.erase(place) : std::next(place);
  }
}

void Host::remove_file(const RingFile& file) {
  struct stat status {};
  // Another file may have the name by now.
  if (lstat(file.path().c_str(), &status) != 0 || status.st_dev != file.device() || status.st_ino != file.inode()) return;
  if (unlink(file.path().c_str()) == 0) {
    ++counters_.removed;
    log(LogLevel::info, "removed " + shown(file.path()) + " of a run that has ended");
    return;
  }
  ++counters_.removals_failed;
  log(LogLevel::warning, "cannot remove " + shown(file.path()) + " of a run that has ended (" + std::generic_category().message(errno) +
                             "); its directory belongs to another user, who has to");
}

void Host::let_go(const std::function<bool(const RingFile&)>& may_remove) {
  const std::int64_t now = wall_time_ns();
  for (auto& [path, entry] : entries_) {
    if (entry.ring == nullptr || entry.ring->ended_ns() == 0) continue;
    if (now - entry.ring->ended_ns() < options_.keep_ended_ms * 1'000'000) continue;
    if (may_remove && !may_remove(entry.ring->file())) continue;
    // Whoever made a file unreadable did not mean it to be removed, and it may be no ring file any more.
    if (entry.ring->condition().state != RunState::unreadable) remove_file(entry.ring->file());
    entry.ring.reset();  // remembered, so that a file that could not be removed is not followed again
  }
}

void Host::publish(double turn_seconds) {
  counters_.turn_seconds += turn_seconds;
  ++counters_.turns;
  auto made = std::make_shared<HostView>(counters_);
  std::vector<std::shared_ptr<const RingFile>> files;
  for (const auto& [path, entry] : entries_) {
    if (entry.ring != nullptr) {
      made->runs.push_back(entry.ring->view());
      files.push_back(entry.ring->shared_file());
    } else if (!entry.reason.empty()) {
      made->refused.push_back({path, entry.reason});
    }
  }
  const auto key = [](const RunView& run) {
    const RunIdentity& who = run.identity();
    return std::tie(who.run, who.rank, who.start_time_ns, run.path);
  };
  std::sort(made->runs.begin(), made->runs.end(), [&](const RunView& left, const RunView& right) { return key(left) < key(right); });
  for (std::size_t i = 0; i + 1 < made->runs.size(); ++i) {
    const RunIdentity &here = made->runs[i].identity(), &next = made->runs[i + 1].identity();
    made->runs[i].is_superseded = here.run == next.run && here.rank == next.rank;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  view_ = std::move(made);
  files_ = std::move(files);
}

void Host::turn(const std::function<bool(const RingFile&)>& may_remove) {
  const Clock::time_point begin = Clock::now();
  find_files();
  for (auto& [path, entry] : entries_) {
    if (entry.ring == nullptr || entry.ring->ended_ns() != 0) continue;
    const RunState before = entry.ring->condition().state;
    entry.ring->poll(self_, options_.hung_after);
    const RunCondition& now = entry.ring->condition();
    if (now.state == before) continue;
    const bool is_good = now.state == RunState::running || now.state == RunState::finished;
    log(is_good ? LogLevel::info : LogLevel::warning, name_of(entry.ring->file().schema().identity) + " is " +
                                                          std::string(kRunStateNames[static_cast<std::size_t>(now.state)]) +
                                                          (now.reason.empty() ? "" : ": " + now.reason));
  }
  let_go(may_remove);
  publish(std::chrono::duration<double>(Clock::now() - begin).count());
}

std::vector<std::pair<std::array<std::uint8_t, 16>, AlertMessage>> Host::take_alerts() {
  std::vector<std::pair<std::array<std::uint8_t, 16>, AlertMessage>> alerts;
  for (auto& [path, entry] : entries_) {
    if (entry.ring == nullptr) continue;
    for (AlertMessage& message : entry.ring->take_alerts()) alerts.emplace_back(entry.ring->file().header().ring_id, std::move(message));
  }
  return alerts;
}

std::shared_ptr<const HostView> Host::view() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return view_;
}

std::vector<std::shared_ptr<const RingFile>> Host::files() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return files_;
}

}  // namespace vigil
