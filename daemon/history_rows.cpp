#include "vigil/daemon/history_rows.h"

#include <algorithm>
#include <utility>

#include "vigil/daemon/history_schema.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/exporters/event_json.h"
#include "vigil/exporters/labels.h"
#include "vigil/history/frame_columns.h"

namespace vigil {
namespace {

constexpr std::int64_t kMaxIntervalMs = std::int64_t{1} << 40;  // more than thirty years

// What tells the alerts of a ring apart, as the JSON of an alert has it.
std::string subject_of(std::string_view rule, std::string_view parameter, std::string_view layer, std::string_view subject) {
  std::string key;
  for (const std::string_view part : {rule, parameter, layer, subject}) key.append(part).push_back('\0');
  return key;
}

}  // namespace

WrittenRing::WrittenRing(const StoredRing& ring, const Schema& schema)
    : schema_rates(schema.learning_rates),
      histograms(schema.histograms),
      stored(ring),
      working(ring),
      known_step(ring.last_step),
      pending(std::min(schema.learning_rates, kMaxLearningRates)) {
  for (const RowSchema& row : schema.rows) {
    elements.push_back(row.element_count);
    infinite.push_back(row.infinite);
  }
}

void WrittenRing::keep() {
  stored = working;
  is_touched = false;
}

void WrittenRing::undo() noexcept {
  working = stored;
  told.reset();  // some of it may be of the batch
  pending.clear();
  is_touched = false;
}

HistoryRows::HistoryRows(Database& database, std::int64_t frame_interval_ms)
    : frame_interval_ns_(std::clamp<std::int64_t>(frame_interval_ms, 0, kMaxIntervalMs) * 1'000'000),
      database_(database),
      add_tail_(database, "INSERT INTO step_tail VALUES(?, ?, ?, ?, ?, ?)"),
      read_tail_(database, "SELECT steps, data FROM step_tail WHERE ring = ? ORDER BY first_step"),
      last_tail_(database, "SELECT first_step, last_step, steps, data FROM step_tail WHERE ring = ? ORDER BY first_step DESC LIMIT 1"),
      change_tail_(database, "UPDATE step_tail SET data = ? WHERE ring = ? AND first_step = ?"),
      remove_tail_(database, "DELETE FROM step_tail WHERE ring = ?"),
      add_block_(database,
                 "INSERT INTO step_blocks(ring, first_step, last_step, steps, first_time_ns, last_time_ns, nonfinite, first_nonfinite,"
                 " last_nonfinite, stored_ns, axis, summary, data) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      add_scalar_(database, "INSERT OR REPLACE INTO scalar_names VALUES(?, ?, ?)"),
      add_layer_(database, "INSERT OR REPLACE INTO layer_names VALUES(?, ?, ?, ?)"),
      add_frame_(database,
                 "INSERT INTO frames(ring, step, time_ns, stored_ns, nonfinite, layers, tensors, histograms, activations)"
                 " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"),
      add_event_(database, "INSERT INTO events(ring, kind, step, time_ns, stored_ns, json) VALUES(?, ?, ?, ?, ?, ?)"),
      read_alerts_(database,
                   "SELECT step, time_ns, json_extract(json, '$.state'), json_extract(json, '$.alert'), json_extract(json, '$.parameter'),"
                   " json_extract(json, '$.layer'), json_extract(json, '$.subject')"
                   " FROM events WHERE ring = ? AND kind = 'alert' AND json_valid(json) ORDER BY id"),
      set_state_(database, "UPDATE rings SET state = ?, reason = ?, ended_ns = ? WHERE id = ?"),
      set_progress_(database, "INSERT OR REPLACE INTO progress VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)") {}

void HistoryRows::begin(std::int64_t now_ns) noexcept {
  now_ns_ = now_ns;
  counts_ = {};
}

void HistoryRows::add_step(WrittenRing& ring, const StepRecord& record, const double* scalars, const NameTable& names) {
  StoredRing& working = ring.working;
  const std::size_t known = std::min<std::size_t>(names.size(), ScalarNames::kCapacity);
  const double* const users = scalars + ring.schema_rates;
  const bool is_again = record.has(StepRecord::again) && record.step == working.last_step && record.step != 0;
  if (!is_again && (record.step <= working.last_step || record.step > kMaxStep)) {
    ++counts_.steps_refused;
    return;
  }
  add_names(ring, names, std::min<std::size_t>(record.user_scalars, known));
  if (is_again) return replace_scalars(ring, record, scalars, known);
  ring.pending.add(record, scalars, users, known);
  ++counts_.steps;
  ++working.steps;
  if (working.first_step == 0) {
    working.first_step = record.step;
    working.first_time_ns = record.wall_time_ns;
  }
  working.last_step = record.step;
  working.last_time_ns = record.wall_time_ns;
  if (ring.pending.size() >= kBlockSteps) store_steps(ring);
}

void HistoryRows::add_marks(WrittenRing& ring, const StepRecord& record, const NameTable& phases) {
  const std::uint64_t last = ring.working.last_step;
  if (record.has(StepRecord::again) ? record.step != last : record.step <= last) return;
  for (const RunMark& mark : marks_of(record, phases))
    add_event_row(ring.working.row, std::string(mark.kind).c_str(), mark.step, record.wall_time_ns, mark.json);
}

// The latest step is never in a block: it waits in memory, or it is the last one of the tail.
void HistoryRows::replace_scalars(WrittenRing& ring, const StepRecord& record, const double* scalars, std::size_t known) {
  const double* const users = scalars + ring.schema_rates;
  ++ring.working.revision;
  if (ring.pending.size() > 0) return ring.pending.set_scalars(record, scalars, users, known);
  std::uint64_t first_step;
  std::string data;
  try {
    Query query(last_tail_, ring.working.row);
    if (!query.next() || query.word(1) != record.step) return;
    first_step = query.word(0);
    StepRows rows = StepRows::read(query.blob(3), static_cast<std::size_t>(query.integer(2)), ring.pending.rates());
    rows.set_scalars(record, scalars, users, known);
    data = rows.pack();
  } catch (const DamagedData&) {
    return;  // counted when the tail is packed
  }
  Query(change_tail_, Blob{data}, ring.working.row, first_step).run();
}

void HistoryRows::add_names(WrittenRing& ring, const NameTable& names, std::size_t count) {
  for (std::size_t& known = ring.working.scalar_names; known < count; ++known)
    Query(add_scalar_, ring.working.row, known, names.at(known)).run();
}

// All of the tail's rows, which are then in no table.
StepRows HistoryRows::take_tail(WrittenRing& ring) {
  StepRows rows(ring.pending.rates());
  if (ring.working.tail_steps == 0) return rows;
  {
    Query query(read_tail_, ring.working.row);
    while (query.next()) {
      const auto steps = static_cast<std::size_t>(query.integer(0));
      try {
        rows.add(StepRows::read(query.blob(1), steps, rows.rates()));
      } catch (const DamagedData&) {
        counts_.steps_unreadable += steps;
      }
    }
  }
  Query(remove_tail_, ring.working.row).run();
  ring.working.tail_steps = 0;
  return rows;
}

void HistoryRows::add_tail(WrittenRing& ring, const StepRows& rows) {
  if (rows.size() == 0) return;
  const std::string data = rows.pack();
  Query(add_tail_, ring.working.row, rows.step(0), rows.step(rows.size() - 1), rows.size(), now_ns_, Blob{data}).run();
  ring.working.tail_steps += rows.size();
  counts_.bytes += data.size();
}

// The first `count` of `rows` become a block.
void HistoryRows::add_block(WrittenRing& ring, StepRows& rows, std::size_t count) {
  const StepBlock block = make_block(rows, count);
  Query(add_block_, ring.working.row, block.first_step, block.last_step, block.steps, block.first_time_ns, block.last_time_ns,
        block.nonfinite, block.first_nonfinite, block.last_nonfinite, now_ns_, Blob{block.axis}, Blob{block.summary}, Blob{block.data})
      .run();
  rows.remove_front(count);
  counts_.bytes += block.axis.size() + block.summary.size() + block.data.size();
}

// Puts the steps that wait behind the tail, and packs what is more than a block: of the latest step the scalars may still change.
void HistoryRows::store_steps(WrittenRing& ring) {
  if (ring.working.tail_steps + ring.pending.size() > kBlockSteps) {
    StepRows rows = take_tail(ring);
    rows.add(ring.pending);
    while (rows.size() > kBlockSteps) add_block(ring, rows, kBlockSteps);
    add_tail(ring, rows);
  } else {
    add_tail(ring, ring.pending);
  }
  ring.pending.clear();
}

// Nothing is expected any more, but for the scalars of the latest step.
void HistoryRows::pack_tail(WrittenRing& ring) {
  StepRows rows = take_tail(ring);
  rows.add(ring.pending);
  ring.pending.clear();
  if (rows.size() > 1) add_block(ring, rows, rows.size() - 1);
  add_tail(ring, rows);
}

bool HistoryRows::takes_frame(WrittenRing& ring, const Frame& frame) {
  StoredRing& working = ring.working;
  const std::int64_t time_ns = frame.header.wall_time_ns;
  // A clock that was set back is no reason to wait until it has caught up. Unsigned, since the times may be anything.
  const bool is_later = time_ns >= working.frame_time_ns;
  const std::uint64_t since_ns = static_cast<std::uint64_t>(time_ns) - static_cast<std::uint64_t>(working.frame_time_ns);
  if (!working.has_frame || !is_later || since_ns >= static_cast<std::uint64_t>(frame_interval_ns_)) {
    working.has_frame = true;
    working.frame_time_ns = time_ns;
    working.nonfinite_frames = 0;
    return true;
  }
  if (is_finite(frame, ring.infinite) || working.nonfinite_frames >= HistoryWriter::kNonfiniteFrames) return false;
  ++working.nonfinite_frames;
  return true;
}

void HistoryRows::add_frame(WrittenRing& ring, const Frame& frame) {
  const bool is_whole = frame.rows.size() == ring.elements.size() && frame.histograms.size() == ring.histograms;
  if (!is_whole || frame.header.step > kMaxStep || !takes_frame(ring, frame)) {
    ++counts_.frames_passed_over;
    return;
  }
  const std::size_t layers = std::min(frame.activations.size(), frame.layers.size());
  for (std::size_t& known = ring.working.layer_names; known < layers; ++known)
    Query(add_layer_, ring.working.row, known, frame.layers[known].layer, frame.layers[known].phase).run();
  const std::string tensors = pack_rows(frame.rows, ring.elements), histograms = pack_histograms(frame.histograms),
                    activations =
                        pack_activations({frame.activations.begin(), frame.activations.begin() + static_cast<std::ptrdiff_t>(layers)});
  Query(add_frame_, ring.working.row, frame.header.step, frame.header.wall_time_ns, now_ns_, !is_finite(frame, ring.infinite), layers,
        Blob{tensors}, Blob{histograms}, Blob{activations})
      .run();
  ++counts_.frames;
  counts_.bytes += tensors.size() + histograms.size() + activations.size();
}

void HistoryRows::add_event_row(std::int64_t ring, const char* kind, std::uint64_t step, std::int64_t time_ns, const std::string& json) {
  Query(add_event_, ring, std::string_view(kind), std::min(step, kMaxStep), time_ns, now_ns_, json).run();
  ++counts_.events;
  counts_.bytes += json.size();
}

void HistoryRows::add_state_row(const StoredRing& ring, std::int64_t time_ns) {
  add_event_row(ring.row, "state", ring.last_step, time_ns, state_json(ring.state, ring.reason));
}

void HistoryRows::add_event(WrittenRing& ring, const NonfiniteEvent& event) {
  add_event_row(ring.working.row, "nonfinite", event.step, event.wall_time_ns, nonfinite_json(event));
}

void HistoryRows::read_told(WrittenRing& ring) {
  ToldAlerts told;
  told.last_step = ring.known_step;
  for (Query query(read_alerts_, ring.working.row); query.next();) {
    const std::uint64_t step = query.word(0);
    told.last_step = std::max(told.last_step, step);
    told.by_subject[subject_of(query.text(3), query.text(4), query.text(5), query.text(6))].push_back(
        {std::string(query.text(2)), step, query.integer(1)});
  }
  ring.told = std::move(told);
}

bool HistoryRows::is_told(WrittenRing& ring, const AlertMessage& message) {
  const Alert& alert = message.alert;
  if (!ring.told) read_told(ring);
  if (alert.step > ring.told->last_step) return false;
  const std::string_view state = kAlertStateNames[static_cast<std::size_t>(alert.state)];
  std::vector<ToldAlert>& told = ring.told->by_subject[subject_of(message.name, valid_utf8(alert.parameter.view()),
                                                                  valid_utf8(alert.layer.view()), valid_utf8(alert.subject.view()))];
  // The clock decides when some rules fire, and a ring may begin behind the step at which a rule fired: then step or time is another one.
  const auto latest = std::find_if(told.rbegin(), told.rend(), [&](const ToldAlert& one) { return one.step <= alert.step; });
  if (latest != told.rend() && latest->state == state) return true;
  const bool is_same = std::any_of(told.begin(), told.end(), [&](const ToldAlert& one) {
    return one.state == state && one.step == alert.step && one.time_ns == alert.time_ns;
  });
  if (!is_same) told.push_back({std::string(state), alert.step, alert.time_ns});
  return is_same;
}

void HistoryRows::add_alert(WrittenRing& ring, const AlertMessage& alert) {
  if (is_told(ring, alert)) return;
  add_event_row(ring.working.row, "alert", alert.alert.step, alert.alert.time_ns, alert_json(alert));
}

void HistoryRows::set_state(WrittenRing& ring, std::string_view state, std::string_view reason, std::int64_t ended_ns) {
  StoredRing& working = ring.working;
  const bool is_other = working.state != state || working.reason != reason;
  if (!is_other && working.ended_ns == ended_ns) return;
  working.state = state;
  working.reason = reason;
  working.ended_ns = ended_ns;
  Query(set_state_, state, reason, ended_ns, working.row).run();
  if (is_other) add_state_row(working, ended_ns != 0 ? ended_ns : now_ns_);
}

std::size_t HistoryRows::end_absent_rings(const std::vector<std::int64_t>& begun, std::string_view state, std::string_view reason,
                                          std::int64_t ended_ns) {
  std::vector<StoredRing> absent;
  Statement find(database_, "SELECT r.id, p.last_step FROM rings r JOIN progress p ON p.ring = r.id WHERE r.ended_ns = 0");
  for (Query query(find); query.next();) {
    if (std::find(begun.begin(), begun.end(), query.integer(0)) != begun.end()) continue;
    StoredRing& ring = absent.emplace_back();
    ring.row = query.integer(0);
    ring.last_step = query.word(1);
    ring.state = state;
    ring.reason = reason;
  }
  for (const StoredRing& ring : absent) {
    Query(set_state_, state, reason, ended_ns, ring.row).run();
    add_state_row(ring, ended_ns);
  }
  return absent.size();
}

void HistoryRows::flush(WrittenRing& ring) {
  const StoredRing &now = ring.working, &before = ring.stored;
  if (now.ended_ns != 0 && now.tail_steps + ring.pending.size() > 1) {
    pack_tail(ring);
  } else if (ring.pending.size() > 0) {
    store_steps(ring);
  }
  // One that stands still costs nothing, and its age goes on.
  if (now.step_cursor == before.step_cursor && now.frame_cursor == before.frame_cursor && now.event_cursor == before.event_cursor &&
      now.steps == before.steps && now.revision == before.revision && now.state == before.state && now.reason == before.reason &&
      now.ended_ns == before.ended_ns)
    return;
  Query(set_progress_, now.row, now.step_cursor, now.frame_cursor, now.event_cursor, now.steps, now.first_step, now.last_step,
        now.first_time_ns, now.last_time_ns, now.revision, now_ns_)
      .run();
}

}  // namespace vigil
