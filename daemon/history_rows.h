// The rows of a batch: what of records, frames and events goes into which table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/daemon/database.h"
#include "vigil/daemon/history_rings.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/history/step_columns.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// An alert that is stored.
struct ToldAlert {
  std::string state;
  std::uint64_t step;
  std::int64_t time_ns;
};

/// The alerts of a ring that were there when the first one was added, and those since that are of no later step.
struct ToldAlerts {
  std::uint64_t last_step = 0;  ///< what comes later cannot be among them
  std::map<std::string, std::vector<ToldAlert>> by_subject;
};

/// A ring while it is written.
struct WrittenRing {
  WrittenRing(const StoredRing& ring, const Schema& schema);

  std::size_t schema_rates;                       ///< as many learning rates lie in front of a record's user scalars
  std::vector<std::uint64_t> elements, infinite;  ///< by row of a frame
  std::size_t histograms;
  StoredRing stored, working;      ///< as the last batch left it; as this one does
  std::uint64_t known_step;        ///< latest step that was stored when the ring was begun
  std::optional<ToldAlerts> told;  ///< empty: not read yet
  StepRows pending;                ///< of this batch, not in a table yet
  bool is_touched = false;         ///< by this batch

  void keep();           ///< the batch is stored
  void undo() noexcept;  ///< it is not
};

/// What a batch has added.
struct BatchCounts {
  std::uint64_t steps = 0, frames = 0, events = 0, frames_passed_over = 0, steps_refused = 0, steps_unreadable = 0, bytes = 0;
};

/// Writes within the transaction that is open. All may throw DatabaseError, after which the transaction is to be rolled back.
class HistoryRows {
 public:
  HistoryRows(Database& database, std::int64_t frame_interval_ms);

  void begin(std::int64_t now_ns) noexcept;
  const BatchCounts& counts() const noexcept { return counts_; }

  void add_step(WrittenRing& ring, const StepRecord& record, const double* scalars, const NameTable& names);
  /// What the record tells of the time before it; called before the record is added. One that will not be kept has no marks.
  void add_marks(WrittenRing& ring, const StepRecord& record, const NameTable& phases);
  void add_frame(WrittenRing& ring, const Frame& frame);
  void add_event(WrittenRing& ring, const NonfiniteEvent& event);
  void add_alert(WrittenRing& ring, const AlertMessage& alert);
  void set_state(WrittenRing& ring, std::string_view state, std::string_view reason, std::int64_t ended_ns);
  /// Rings without an end, but for those whose rows are `begun`. Returns how many.
  std::size_t end_absent_rings(const std::vector<std::int64_t>& begun, std::string_view state, std::string_view reason,
                               std::int64_t ended_ns);
  /// The steps that wait, and how far the ring has been read.
  void flush(WrittenRing& ring);

 private:
  void replace_scalars(WrittenRing& ring, const StepRecord& record, const double* scalars, std::size_t known);
  void add_names(WrittenRing& ring, const NameTable& names, std::size_t count);
  bool takes_frame(WrittenRing& ring, const Frame& frame);
  void add_event_row(std::int64_t ring, const char* kind, std::uint64_t step, std::int64_t time_ns, const std::string& json);
  void read_told(WrittenRing& ring);
  bool is_told(WrittenRing& ring, const AlertMessage& alert);
  void add_state_row(const StoredRing& ring, std::int64_t time_ns);
  StepRows take_tail(WrittenRing& ring);
  void add_tail(WrittenRing& ring, const StepRows& rows);
  void add_block(WrittenRing& ring, StepRows& rows, std::size_t count);
  void store_steps(WrittenRing& ring);
  void pack_tail(WrittenRing& ring);

  const std::int64_t frame_interval_ns_;
  std::int64_t now_ns_ = 0;
  BatchCounts counts_;
  Database& database_;
  Statement add_tail_, read_tail_, last_tail_, change_tail_, remove_tail_, add_block_, add_scalar_, add_layer_, add_frame_, add_event_,
      read_alerts_, set_state_, set_progress_;
};

}  // namespace vigil
