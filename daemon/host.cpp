#include "vigil/daemon/host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <utility>

#include "vigil/config/printable.h"
#include "vigil/exporters/labels.h"
#include "vigil/exporters/logging.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

using Clock = std::chrono::steady_clock;

std::int64_t nanoseconds(const timespec& time) noexcept { return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec; }

// Names come from whoever may write into the directory, and go into a log.
std::string name_of(const RunIdentity& identity) { return "run '" + printable(identity.run) + "' rank " + std::to_string(identity.rank); }

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes >> 20) + 1) + " MiB"; }

// When a run began, for who wants the latest. A clock that is ahead would hide every later run: such a time counts as the earliest.
std::int64_t believable_start_ns(const RunIdentity& identity, std::int64_t now_ns) noexcept {
  constexpr std::int64_t kMostAheadNs = 60'000'000'000;
  return identity.start_time_ns <= now_ns + kMostAheadNs ? identity.start_time_ns : std::numeric_limits<std::int64_t>::min();
}

std::string process_text(const FollowedRing& ring) {
  const std::string& host = ring.file().schema().identity.host;
  return std::to_string(ring.file().header().pid) + (host.empty() ? "" : " on " + printable(host)) + " (" + printable(ring.file().path()) +
         ")";
}

// Whether `ring` has been at work since `later` began; one that was killed may look alive for a while where its process cannot be seen.
bool is_beside(const FollowedRing& ring, const FollowedRing& later) noexcept {
  const RingHeader &here = ring.file().header(), &there = later.file().header();
  return here.boot_id != there.boot_id || ring.heartbeat_ns() > there.monotonic_ns;
}

}  // namespace

Host::Host(HostOptions options) : options_(std::move(options)), watch_(options_.ring_directories, options_.are_directories_usual) {
  set_rules(options_.rules);
}

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

std::size_t Host::bytes_for(const RingFile& file) noexcept {
  // Of a record: as it is read, as it is kept, in the snapshot and in the one before that somebody still reads; and twice in the history.
  constexpr std::size_t kRecordCopies = 6, kSchemaCopies = 3, kBytesOfRow = 512, kBytesOfAny = 128 << 10;
  const RingLayout& layout = file.layout();
  std::size_t bytes = kBytesOfAny;
  for (const RingKind ring : {RingKind::steps, RingKind::frames, RingKind::events})
    bytes += kRecordCopies * 8 * layout.geometry(ring).payload_words;
  for (const SectionKind table : {SectionKind::strings, SectionKind::parameters, SectionKind::groups, SectionKind::layer_names})
    bytes += kSchemaCopies * layout.section(table).size;
  return bytes + file.schema().rows.size() * kBytesOfRow;
}

// The ended runs that would have to yield for a file that takes `bytes`. @throws std::runtime_error when that is not room enough
std::vector<Host::Entry*> Host::room_for(std::size_t bytes, bool goes_on, const MayRemove& may_remove) {
  std::size_t rings = 1, all = bytes;
  for (const auto& [path, entry] : entries_) {
    rings += entry.ring != nullptr ? 1 : 0;
    all += entry.ring != nullptr ? entry.bytes : 0;
  }
  const auto is_enough = [&] { return rings <= options_.max_rings && all <= options_.max_bytes; };
  std::vector<Entry*> ended;
  if (is_enough()) return ended;
  for (auto& [path, entry] : entries_) {
    if (goes_on && entry.ring != nullptr && entry.ring->ended_ns() != 0 && (!may_remove || may_remove(entry.ring->file())))
      ended.push_back(&entry);
  }
  std::sort(ended.begin(), ended.end(), [](const Entry* a, const Entry* b) { return a->ring->ended_ns() < b->ring->ended_ns(); });
  std::size_t count = 0;
  for (; count < ended.size() && !is_enough(); ++count) {
    --rings;
    all -= ended[count]->bytes;
  }
  if (rings > options_.max_rings)
    throw std::runtime_error("more than " + std::to_string(options_.max_rings) + " runs are followed already");
  if (all > options_.max_bytes) {
    throw std::runtime_error("following it takes about " + mebibytes(bytes) + " of memory, and all runs together may take " +
                             mebibytes(options_.max_bytes - 1) +
                             "; let it sample fewer tensors (sampling.include), or wait until others have ended");
  }
  ended.resize(count);
  return ended;
}

void Host::yield(const std::vector<Entry*>& ended) {
  for (Entry* const entry : ended) {
    // One that was made unreadable keeps its file, as in let_go().
    if (entry->ring->condition().state != RunState::unreadable) entry->yielded_ns = entry->ring->ended_ns();
    const std::string name = name_of(entry->ring->file().schema().identity);
    entry->ring.reset();
    ++counters_.yielded;
    if (yielded_gate_.open(Clock::now())) {
      log(LogLevel::info, name + " has ended and is told of no more (" + std::to_string(counters_.yielded) +
                              " so far): a run that goes on needs its room; set --ring.keep-ended lower");
    }
  }
}

// The id of a ring file is random: of two that have it one is a copy, and its process writes to the other.
void Host::check_copy(const RingFile& file) {
  for (auto& [path, entry] : entries_) {
    if (entry.ring == nullptr || entry.ring->file().header().ring_id != file.header().ring_id) continue;
    const RingFile& known = entry.ring->file();
    if (known.device() == file.device() && known.inode() == file.inode())
      throw std::runtime_error("it is another name of " + printable(path) + ", which is followed");  // until that is over
    const auto copy_of = [](const std::string& original) {
      return "it is a copy of " + printable(original) + ", and no process writes to it";
    };
    if (known.is_locked() || !file.is_locked()) throw RingFileError(copy_of(path));
    entry.ring.reset();
    entry.reason = copy_of(file.path());
    entry.may_pass = false;
    refuse(path, entry, "");
  }
}

std::unique_ptr<FollowedRing> Host::follow(const std::string& path, std::size_t& bytes, const MayRemove& may_remove) {
  room_for(bytes, true, may_remove);  // before all of it is read once more
  auto file = std::make_shared<const RingFile>(path);
  // It would have the series of another name, once that is made UTF-8.
  if (const std::string& run = file->schema().identity.run; valid_utf8(run) != run) throw RingFileError("the name of its run is no UTF-8");
  check_copy(*file);
  bytes = bytes_for(*file);
  const bool goes_on = is_alive(judge(*file, self_, 0, monotonic_time_ns(), options_.hung_after).state);
  const std::vector<Entry*> ended = room_for(bytes, goes_on, may_remove);
  auto plan = plan_for(file->shared_schema());
  auto ring = std::make_unique<FollowedRing>(std::move(file), rules(), std::move(plan), options_.pushing);
  yield(ended);
  return ring;
}

void Host::open_file(const std::string& path, Entry& entry, const MayRemove& may_remove) {
  const std::string told = std::move(entry.reason);
  entry.reason.clear();
  try {
    auto ring = follow(path, entry.bytes, may_remove);
    ring->poll(self_, options_.hung_after);
    const RunCondition& condition = ring->condition();
    const std::string name = name_of(ring->file().schema().identity);
    if (condition.state == RunState::unreadable)
      log(LogLevel::warning, name + " in " + printable(path) + " cannot be read: " + condition.reason);
    else
      log(LogLevel::info,
          "following " + name + " (" + std::string(kRunStateNames[static_cast<std::size_t>(condition.state)]) + ") in " + printable(path));
    entry.ring = std::move(ring);
    return;
  } catch (const RingFileError& error) {
    entry.reason = error.what();
    entry.may_pass = dynamic_cast<const RingFileUnavailable*>(&error) != nullptr;
  } catch (const std::exception& error) {  // nothing that is wrong with the file itself
    entry.reason = error.what();
    entry.may_pass = true;
  }
  refuse(path, entry, told);
}

// `told`: its reason so far.
void Host::refuse(const std::string& path, Entry& entry, const std::string& told) {
  entry.next_try = Clock::now() + options_.retry;
  if (entry.reason == told) return;
  ++counters_.refusals;
  log(LogLevel::warning, "not following " + printable(path) + ": " + entry.reason);
}

void Host::find_files(const MayRemove& may_remove) {
  for (auto& [path, entry] : entries_) entry.is_seen = false;
  for (const std::string& path : watch_.files(Clock::now())) {
    struct stat status {};
    if (lstat(path.c_str(), &status) != 0) continue;
    const FileId id{status.st_dev, status.st_ino, status.st_size, nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
    const auto [place, is_new] = entries_.try_emplace(path);
    Entry& entry = place->second;
    entry.is_seen = true;
    if (is_new || !entry.id.is_same_file(id) || (entry.is_refused() && !entry.id.is_unchanged(id))) {
      entry = {};
      entry.id = id;
      entry.is_seen = true;
      open_file(path, entry, may_remove);
    } else if (entry.is_refused() && entry.may_pass && Clock::now() >= entry.next_try) {
      open_file(path, entry, may_remove);
    }
  }
  counters_.directories_unreadable = watch_.unreadable();
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

void Host::remove_file(const std::string& path, const FileId& id) {
  // Looked at and removed within one directory, so that nothing put in its place meanwhile leads to a file elsewhere.
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
  const char* const name = path.c_str() + (slash == std::string::npos ? 0 : slash + 1);
  const int within = open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat status {};
  // Another file may have the name by now.
  const bool is_it =
      within >= 0 && fstatat(within, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && id.is_same_file({status.st_dev, status.st_ino});
  const bool is_removed = is_it && unlinkat(within, name, 0) == 0;
  const int error = errno;
  if (within >= 0) close(within);
  if (!is_it && (within >= 0 || error == ENOENT)) return;
  if (is_removed) {
    ++counters_.removed;
    log(LogLevel::info, "removed " + printable(path) + " of a run that has ended");
    return;
  }
  ++counters_.removals_failed;
  log(LogLevel::warning, "cannot remove " + printable(path) + " of a run that has ended (" + std::generic_category().message(error) +
                             "); whoever its directory belongs to has to");
}

bool Host::may_remove_at(const std::string& path, const MayRemove& may_remove) const {
  try {
    return may_remove(RingFile(path));
  } catch (const RingFileError&) {
    return false;
  }
}

bool Host::is_kept_long_enough(std::int64_t ended_ns) const noexcept {
  return ended_ns != 0 && (wall_time_ns() - ended_ns) / 1'000'000 >= options_.keep_ended_ms;
}

void Host::let_go(const MayRemove& may_remove) {
  for (auto& [path, entry] : entries_) {
    if (is_kept_long_enough(entry.yielded_ns)) {
      entry.yielded_ns = 0;
      if (!may_remove || may_remove_at(path, may_remove))
        remove_file(path, entry.id);
      else
        entry.id = {};  // the history that had it is gone: it is taken for a file that has just been found
    }
    if (entry.ring == nullptr || !is_kept_long_enough(entry.ring->ended_ns())) continue;
    if (may_remove && !may_remove(entry.ring->file())) continue;
    // Whoever made a file unreadable did not mean it to be removed, and it may be no ring file any more.
    if (entry.ring->condition().state != RunState::unreadable) remove_file(path, {entry.ring->file().device(), entry.ring->file().inode()});
    entry.ring.reset();  // remembered, so that a file that could not be removed is not followed again
  }
}

// A later run of the same name takes the place of an earlier one, which has ended as a rule. Two at the same time are a mistake.
void Host::find_hidden(HostView& view) {
  const std::int64_t now = wall_time_ns();
  const auto key = [now](const RunView& run) {
    const RunIdentity& who = run.identity();
    return std::tuple<const std::string&, int, std::int64_t, const std::string&>(who.run, who.rank, believable_start_ns(who, now),
                                                                                 run.path);
  };
  std::sort(view.runs.begin(), view.runs.end(), [&](const RunView& left, const RunView& right) { return key(left) < key(right); });
  for (std::size_t i = view.runs.size(); i-- > 0;) {
    RunView& here = view.runs[i];
    if (i + 1 == view.runs.size() || here.identity().run != view.runs[i + 1].identity().run ||
        here.identity().rank != view.runs[i + 1].identity().rank)
      continue;
    here.is_superseded = true;
    const Entry& shown = entries_.at(view.runs[i + 1].path);
    Entry& hidden = entries_.at(here.path);
    if (!is_alive(hidden.ring->condition().state) || !is_beside(*hidden.ring, *shown.ring)) continue;
    ++view.hidden;
    if (std::exchange(hidden.is_told_hidden, true)) continue;
    log(LogLevel::warning, name_of(here.identity()) + " of process " + process_text(*hidden.ring) + " is not shown: process " +
                               process_text(*shown.ring) +
                               " has the same name and rank, and began later; give one of them another run.name");
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
  find_hidden(*made);
  const std::lock_guard<std::mutex> lock(mutex_);
  view_ = std::move(made);
  files_ = std::move(files);
}

void Host::turn(const MayRemove& may_remove) {
  const Clock::time_point begin = Clock::now();
  find_files(may_remove);
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
