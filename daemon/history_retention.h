// What of the history goes, and when: by age and by bytes, the oldest first, a little at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "vigil/daemon/database.h"

namespace vigil {

inline constexpr double kFrameAge = 16;

struct RetentionLimits {
  std::int64_t now_ns = 0;
  std::int64_t cutoff_ns = 0;  ///< what was stored before goes
  std::int64_t bytes = 0;      ///< of the file
  bool looks_at_rings = true;  ///< whether rings that are empty are looked for even where no row was removed, which asks each of them
};

/// Bytes of the file, and those of them that hold nothing.
struct DatabaseBytes {
  std::int64_t file = 0, free = 0;
};
DatabaseBytes bytes_of(Database& database);

/// Removes what is too old or too much, until nothing more is or `deadline` has come; a piece takes some milliseconds. `open_rings` is a
/// JSON list of rows whose rings are still written: these keep their row and their tail. Returns how many rows are gone.
///
/// The oldest block, frame or event goes first. For the sake of bytes a frame counts as kFrameAge times as old as it is: frames take nearly
/// all of the room, and a run's curves are worth more when they go back further than its tensors. A ring that has none of these left goes
/// when it is too old itself; for the sake of bytes when a newer attempt is there, or nothing else is left to remove. By bytes the file is
/// kept at nineteen twentieths of the limit, so that new data takes the place of old without the file being cut and grown each time.
/// @throws DatabaseError, after rolling back the latest piece
std::size_t remove_old_history(Database& database, const RetentionLimits& limits, const std::string& open_rings,
                               Database::Clock::time_point deadline);

}  // namespace vigil
