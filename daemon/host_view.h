// What vigild knows of its host at one moment. Immutable once made; shared between the thread that follows and those that answer.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// A ring file that is followed, and the run in it.
struct RunView {
  std::string path;
  std::array<std::uint8_t, 16> ring_id{};
  std::shared_ptr<const Snapshot> snapshot;  ///< never null; its state and end_reason are what vigild finds
  std::shared_ptr<const SeriesPlan> plan;    ///< of its schema
  std::uint64_t alerts_lost = 0;             ///< alerts that nobody can take any more: FollowedRing::kMaxAlerts were waiting
  std::int64_t ended_ns = 0;                 ///< when it was seen to have ended, since the epoch; 0: it goes on
  /// Another file is of the same run and rank, and of a later start: /metrics tells of that one only.
  bool is_superseded = false;

  const RunIdentity& identity() const noexcept { return snapshot->schema->identity; }
  bool has_ended() const noexcept { return ended_ns != 0; }
};

/// A file that is named like a ring file, but cannot be read as one.
struct RefusedFile {
  std::string path;
  std::string reason;
};

struct HostView {
  std::vector<RunView> runs;  ///< by run, rank, start (one that lies in the future first)
  std::vector<RefusedFile> refused;
  std::uint64_t refusals = 0;                ///< files refused so far, each counted once as long as it does not change
  std::uint64_t hidden = 0;                  ///< runs that go on and are superseded all the same
  std::uint64_t directories_unreadable = 0;  ///< directories of ring files that are not there, or cannot be read
  std::uint64_t left_out = 0;                ///< files that were too many
  std::uint64_t yielded = 0;                 ///< ended runs that are told of no more, because one that goes on needed their room
  std::uint64_t removed = 0;                 ///< files of ended runs that were removed
  std::uint64_t removals_failed = 0;         ///< and those that could not be
  std::uint64_t turns = 0;
  double turn_seconds = 0;  ///< time spent in turns so far
};

}  // namespace vigil
