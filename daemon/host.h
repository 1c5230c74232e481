// All runs of the host: finds their files, follows them, and lets go of those that are over.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/daemon/followed_ring.h"
#include "vigil/daemon/host_view.h"
#include "vigil/daemon/ring_watch.h"
#include "vigil/exporters/run_log.h"

namespace vigil {

struct HostOptions {
  std::vector<std::string> ring_directories;
  bool are_directories_usual = false;      ///< nobody has named them: some may be missing
  std::int64_t keep_ended_ms = 3'600'000;  ///< how long an ended run is told of; after that its file is removed if that is allowed
  HungAfter hung_after;
  RulesConfig rules;
  PrometheusConfig series;     ///< `max_series`, `per_parameter` and `precision` of each run
  Pushing* pushing = nullptr;  ///< outlives the host; null: nothing is pushed

  std::size_t max_rings = 512;                           ///< files that are followed at a time
  std::size_t max_bytes = std::size_t{512} << 20;        ///< memory that following all of them may take, by Host::bytes_for
  std::chrono::milliseconds retry = RingWatch::kRescan;  ///< after which a file is tried again that was refused for what may pass
};

/// One thread turns; view() may be called by any.
class Host {
 public:
  /// About the memory in bytes that following `file` takes, of the host and of who keeps the history: copies of its largest record and of
  /// its schema. The slots of its rings stay in the file.
  static std::size_t bytes_for(const RingFile& file) noexcept;

  /// @throws std::runtime_error, std::invalid_argument with what to do
  explicit Host(HostOptions options);

  /// Whether nothing more is needed of the file of a run that has ended. Empty: nothing is.
  using MayRemove = std::function<bool(const RingFile&)>;

  /// Looks for files, reads what is new of each, judges each run, publishes a new view, and removes the files of runs that ended long ago.
  /// Where a run that goes on finds no room, ended ones yield theirs, those that ended first: they are told of no more, and their files
  /// stay until their time has come. `may_remove` is asked before a file is removed, or yields: false keeps it for now; one that has
  /// yielded is followed again.
  void turn(const MayRemove& may_remove = {});

  /// For runs that are found from now on. @throws std::invalid_argument when a rule cannot be had. Any thread.
  void set_rules(const RulesConfig& rules);

  /// Readable when a file has appeared, for poll(2).
  int descriptor() const noexcept { return watch_.descriptor(); }

  /// Never null. Holds a lock for the time of copying a pointer.
  std::shared_ptr<const HostView> view() const;

  /// Alerts of all runs since the last call, with the ids of their files. The thread that turns.
  std::vector<std::pair<std::array<std::uint8_t, 16>, AlertMessage>> take_alerts();

  /// Files that are followed now, for who reads them with cursors of its own.
  std::vector<std::shared_ptr<const RingFile>> files() const;

 private:
  struct FileId {
    std::uint64_t device = 0, inode = 0;
    std::int64_t size = 0, modified_ns = 0, changed_ns = 0;  // of a refused one: when they change it is tried again
    bool is_same_file(const FileId& other) const noexcept { return device == other.device && inode == other.inode; }
    bool is_unchanged(const FileId& other) const noexcept {
      return size == other.size && modified_ns == other.modified_ns && changed_ns == other.changed_ns;
    }
  };
  struct Entry {
    FileId id;
    std::unique_ptr<FollowedRing> ring;  // null: refused, yielded, or let go
    std::string reason;                  // of a refused one
    bool may_pass = false;               // likewise: it is tried again at next_try
    std::chrono::steady_clock::time_point next_try{};
    std::size_t bytes = 0;        // bytes_for it; 0: not known
    std::int64_t yielded_ns = 0;  // when its run ended, of one that has yielded: its file is still to be removed; 0: of others
    bool is_seen = false, is_told_hidden = false;
    bool is_refused() const noexcept { return ring == nullptr && !reason.empty(); }
  };

  RulesConfig rules() const;
  void find_files(const MayRemove& may_remove);
  void open_file(const std::string& path, Entry& entry, const MayRemove& may_remove);
  std::unique_ptr<FollowedRing> follow(const std::string& path, std::size_t& bytes, const MayRemove& may_remove);
  std::vector<Entry*> room_for(std::size_t bytes, bool goes_on, const MayRemove& may_remove);
  void check_copy(const RingFile& file);
  void refuse(const std::string& path, Entry& entry, const std::string& told);
  void yield(const std::vector<Entry*>& ended);
  void let_go(const MayRemove& may_remove);
  bool may_remove_at(const std::string& path, const MayRemove& may_remove) const;
  bool is_kept_long_enough(std::int64_t ended_ns) const noexcept;
  void remove_file(const std::string& path, const FileId& id);
  void publish(double turn_seconds);
  void find_hidden(HostView& view);
  std::shared_ptr<const SeriesPlan> plan_for(const std::shared_ptr<const Schema>& schema) const;

  const HostOptions options_;
  const ProcessIdentity self_ = this_process();
  RingWatch watch_;
  std::map<std::string, Entry> entries_;  // by path
  HostView counters_;                     // without runs
  LogGate crowded_gate_, yielded_gate_;

  mutable std::mutex mutex_;  // of what follows
  RulesConfig rules_;
  std::shared_ptr<const HostView> view_ = std::make_shared<HostView>();
  std::vector<std::shared_ptr<const RingFile>> files_;
};

}  // namespace vigil
