// Rings, runs and attempts in the tables of the history: who they are, and where reading them goes on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "vigil/daemon/database.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// What the tables say of a ring.
struct StoredRing {
  std::int64_t row = 0, attempt = 0;
  std::uint64_t step_cursor = 0, frame_cursor = 0, event_cursor = 0;
  std::uint64_t steps = 0;  ///< that were ever stored
  std::uint64_t first_step = 0, last_step = 0;
  std::int64_t first_time_ns = 0, last_time_ns = 0;
  std::uint64_t revision = 0;    ///< times that the scalars of a step were replaced
  std::uint64_t tail_steps = 0;  ///< not in blocks yet
  bool has_frame = false;
  std::int64_t frame_time_ns = 0;    ///< of the latest frame that was due
  std::size_t nonfinite_frames = 0;  ///< kept since then, as far as the writer has seen them
  std::size_t scalar_names = 0, layer_names = 0;
  std::string state, reason;
  std::int64_t ended_ns = 0;
  bool has_schema = true;  ///< the one that was given; false: the ring of this id was stored with another
};

/// The ring of these 16 bytes; one that is new is added as an attempt of its run and rank. Attempts are numbered from 1 by start time: one
/// that began before others moves these up. One transaction. @throws DatabaseError, after rolling back
StoredRing store_ring(Database& database, const std::array<std::uint8_t, 16>& ring, const Schema& schema, std::int64_t now_ns);

/// Removes a ring's row, its run's if it was the last one, and what hangs on these, within a transaction of the caller. Its blocks, frames
/// and events are gone by then. @throws DatabaseError
void remove_ring(Database& database, std::int64_t row);

}  // namespace vigil
