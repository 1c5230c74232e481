#include "vigil/daemon/history_schema.h"

namespace vigil {

// Rows of step_blocks, frames and events are numbered as they come, so the smallest number is the oldest: retention needs no index.
const char* const kCreateHistory = R"sql(
BEGIN IMMEDIATE;
CREATE TABLE runs(
  id INTEGER PRIMARY KEY,
  run TEXT NOT NULL,
  rank INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  UNIQUE(run, rank)
);
CREATE TABLE tensors(
  id INTEGER PRIMARY KEY,
  hash INTEGER NOT NULL,
  json TEXT NOT NULL
);
CREATE INDEX tensors_by_hash ON tensors(hash);
CREATE TABLE rings(
  id INTEGER PRIMARY KEY,
  ring BLOB NOT NULL UNIQUE,
  run INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  launcher_attempt INTEGER NOT NULL,
  start_time_ns INTEGER NOT NULL,
  world_size INTEGER NOT NULL,
  model TEXT NOT NULL,
  libtorch TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  tensors INTEGER NOT NULL,
  setup TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  ended_ns INTEGER NOT NULL
);
CREATE INDEX rings_by_run ON rings(run, attempt);
CREATE INDEX rings_by_tensors ON rings(tensors);
CREATE TABLE progress(
  ring INTEGER PRIMARY KEY,
  step_cursor INTEGER NOT NULL,
  frame_cursor INTEGER NOT NULL,
  event_cursor INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  last_step INTEGER NOT NULL,
  first_time_ns INTEGER NOT NULL,
  last_time_ns INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL
);
CREATE TABLE scalar_names(ring INTEGER NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY(ring, number)) WITHOUT ROWID;
CREATE TABLE layer_names(
  ring INTEGER NOT NULL,
  number INTEGER NOT NULL,
  layer TEXT NOT NULL,
  phase TEXT NOT NULL,
  PRIMARY KEY(ring, number)
) WITHOUT ROWID;
CREATE TABLE step_tail(
  ring INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  last_step INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY(ring, first_step)
) WITHOUT ROWID;
CREATE TABLE step_blocks(
  id INTEGER PRIMARY KEY,
  ring INTEGER NOT NULL,
  first_step INTEGER NOT NULL,
  last_step INTEGER NOT NULL,
  steps INTEGER NOT NULL,
  first_time_ns INTEGER NOT NULL,
  last_time_ns INTEGER NOT NULL,
  nonfinite INTEGER NOT NULL,
  first_nonfinite INTEGER NOT NULL,
  last_nonfinite INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL,
  axis BLOB NOT NULL,
  summary BLOB NOT NULL,
  data BLOB NOT NULL
);
CREATE INDEX step_blocks_by_ring ON step_blocks(ring, first_step, last_step, steps);
CREATE TABLE frames(
  id INTEGER PRIMARY KEY,
  ring INTEGER NOT NULL,
  step INTEGER NOT NULL,
  time_ns INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL,
  nonfinite INTEGER NOT NULL,
  layers INTEGER NOT NULL,
  tensors BLOB NOT NULL,
  histograms BLOB NOT NULL,
  activations BLOB NOT NULL
);
CREATE INDEX frames_by_ring ON frames(ring, step, nonfinite);
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ring INTEGER NOT NULL,
  kind TEXT NOT NULL,
  step INTEGER NOT NULL,
  time_ns INTEGER NOT NULL,
  stored_ns INTEGER NOT NULL,
  json TEXT NOT NULL
);
CREATE INDEX events_by_ring ON events(ring, id);
PRAGMA application_id = 1447513160;
PRAGMA user_version = 1;
COMMIT;
)sql";

}  // namespace vigil
