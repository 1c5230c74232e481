// A ring file, as any other process reads it: hostile until proven otherwise.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include <sys/types.h>

#include "vigil/monitor/process_identity.h"
#include "vigil/monitor/ring_format.h"
#include "vigil/monitor/schema_sections.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// What LiveWords said at some moment; numbers that stand for something are in range.
struct LiveReading {
  std::int64_t heartbeat_ns = 0;
  std::uint64_t last_step = 0;
  RunState state = RunState::starting;  ///< as the writer says
  std::uint64_t phase = 0, commits = 0, losses = 0;
  int end_signal = 0;  ///< 0 to 127
  bool end_exit = false;
};

/// How the process that writes a file is.
enum class WriterState : std::uint8_t {
  alive,    ///< it holds its lock, or the file system knows none and a process with its number and start time is there
  gone,     ///< it does not
  unknown,  ///< it never held a lock, and its process numbers are those of another namespace, or there are no descriptors left to ask
};

/// An open ring file whose header and schema have been checked. Everything is read by pread(2) into private memory, never mapped: a file
/// that shrinks gives an error, not a signal. Immutable but for the file's own content; any thread.
class RingFile {
 public:
  /// Opens without following a link and without waiting (for who writes a pipe).
  /// @throws RingFileError that says what is wrong with the file; RingFileUnavailable where it is not the file that is wrong
  explicit RingFile(const std::string& path);
  ~RingFile();
  RingFile(const RingFile&) = delete;
  RingFile& operator=(const RingFile&) = delete;

  const std::string& path() const noexcept { return path_; }
  const RingHeader& header() const noexcept { return header_; }
  const Schema& schema() const noexcept { return *schema_; }
  const std::shared_ptr<const Schema>& shared_schema() const noexcept { return schema_; }
  const RingLayout& layout() const noexcept { return layout_; }
  dev_t device() const noexcept { return device_; }
  ino_t inode() const noexcept { return inode_; }

  /// @throws RingFileError when the file has become shorter
  LiveReading read_live() const;
  /// The note of a hook; empty when it has written none. @throws RingFileError
  std::string read_note(Hook hook) const;
  /// Asks the kernel; a few system calls. `self` is this_process(), which stays the same.
  WriterState writer(const ProcessIdentity& self) const;

  /// Whether a process holds the lock of its writer. A system call.
  bool is_locked() const noexcept;

  /// `bytes` from `offset` on. @throws RingFileError when the file has become shorter, or cannot be read
  void read(void* out, std::size_t bytes, std::uint64_t offset) const;

 private:
  std::string path_;
  int file_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  RingHeader header_;
  RingLayout layout_;
  std::shared_ptr<const Schema> schema_;
};

/// Positions in the three rings: records that were read or lost before. By RingKind.
using RingCursors = std::array<std::uint64_t, 3>;

/// Reads the records of a ring file from cursors of its own. One thread.
///
/// A record is read between two looks at its sequence word, each a system call with a fence behind it, so that one which the writer touched
/// meanwhile is seen as torn. What a record says is made harmless: numbers that stand for something are in range.
class RingFileReader final : public RunSource {
 public:
  /// Starts at the oldest record that is there, or at `from` where that is newer.
  explicit RingFileReader(std::shared_ptr<const RingFile> file, RingCursors from = {});

  const Schema& schema() const noexcept override { return file_->schema(); }
  std::shared_ptr<const Schema> shared_schema() const override { return file_->shared_schema(); }
  RingGeometry geometry(RingKind ring) const noexcept override { return file_->layout().geometry(ring); }
  /// Sees what was published until now; nothing newer is read before the next call. @throws RingFileError
  void refresh() override;
  /// @throws RingFileError when the file has become shorter, or holds what no writer would write
  bool try_read(RingKind ring, std::uint64_t* words) override;
  RingLosses losses(RingKind ring) const noexcept override { return at(ring).losses; }
  const NameTable& scalar_names() const noexcept override { return scalar_names_; }
  const NameTable& phase_names() const noexcept override { return phase_names_; }
  const NameTable& layer_names() const noexcept override { return layer_names_; }
  RunState state() const noexcept override { return live_.state; }

  const LiveReading& live() const noexcept { return live_; }
  RingCursors cursors() const noexcept { return {at(RingKind::steps).cursor, at(RingKind::frames).cursor, at(RingKind::events).cursor}; }

 private:
  struct Ring {
    std::uint64_t cursor = 0, committed = 0;
    RingLosses losses;
  };
  Ring& at(RingKind ring) noexcept { return rings_[static_cast<std::size_t>(ring)]; }
  const Ring& at(RingKind ring) const noexcept { return rings_[static_cast<std::size_t>(ring)]; }
  std::uint64_t ring_offset(RingKind ring) const noexcept;
  std::uint64_t read_word(std::uint64_t offset) const;
  std::uint64_t read_count(std::uint64_t offset) const;
  void read_names(NameTable& names, SectionKind kind, std::uint64_t tags);

  const std::shared_ptr<const RingFile> file_;
  std::array<Ring, 3> rings_;
  std::vector<std::byte> names_;
  std::unordered_set<std::uint64_t> known_names_;
  ScalarNames scalar_names_;
  PhaseNames phase_names_;
  LayerNames layer_names_;
  LiveReading live_;
  std::size_t torn_in_turn_ = 0;  // since refresh()
};

}  // namespace vigil
