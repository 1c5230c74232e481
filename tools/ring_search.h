// Ring files of this host: where they are looked for, and which one a word of the command line means.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "vigil/monitor/ring_file_reader.h"

namespace vigil::tools {

/// Something that cannot be found or read, in words that say what to do.
struct SearchError : std::runtime_error {
  using runtime_error::runtime_error;
};

/// No ring file of the run is there, or of that rank: one may come.
struct NoSuchRun : SearchError {
  using SearchError::SearchError;
};

/// A file that is named like a ring file.
struct FoundRing {
  std::string path;
  std::shared_ptr<const RingFile> file;  ///< null: `problem` says why it cannot be read
  std::string problem;

  const RunIdentity& identity() const { return file->schema().identity; }
};

/// Files of one directory that are looked at; what goes beyond is told as a note.
inline constexpr std::size_t kMaxRingFiles = 4096;

/// Opens `path`. Never throws for a file that is none: that is a problem of it.
FoundRing open_ring(const std::string& path);

/// All of `*.ring` in `directories`, or, if there are none, in usual_ring_directories(), of which those that are not there are passed
/// over. By run, rank, then the latest attempt first; unreadable files at the end. A directory that cannot be read of the usual ones, and
/// one with too many files, adds to `notes`. @throws SearchError when one of `directories` cannot be read
std::vector<FoundRing> find_rings(const std::vector<std::string>& directories, std::vector<std::string>& notes);

/// Which run is meant.
struct RunChoice {
  std::string word;         ///< a path, the name of a run, or empty: any
  std::optional<int> rank;  ///< else the lowest that there is
  std::vector<std::string> directories;
};

/// The file that `choice` means: the path as it stands, when the word has a '/' or ends in ".ring"; else of the runs with that name the
/// latest attempt, one whose writer lives before the others. `others` is how many other runs there would have been for an empty word.
/// @throws NoSuchRun that names what there is when nothing fits, another SearchError when a file or directory cannot be read
FoundRing choose_ring(const RunChoice& choice, std::size_t* others = nullptr);

/// A ring of the same run and rank that began after `than`; a null file when there is none.
FoundRing find_later_attempt(const FoundRing& than, const std::vector<std::string>& directories);

}  // namespace vigil::tools
