// Histories of known shape for vigild to serve, made in seconds instead of trained in hours.
//
//   known_history DATABASE KIND…     million | ten_thousand | wide | pair | hostile
//
// million: a run of 1,000,000 steps, 20 of them not finite. ten_thousand: 10,000 steps with a sampled frame every 50, of which one holds a
// NaN, with its report and an alert. wide: 500 parameters. pair: two runs, pair/a and pair/b. hostile: names that would be markup,
// would turn the direction of the text, or end the line.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>

#include "daemon/history_run.h"
#include "vigil/daemon/history_writer.h"

namespace {

using namespace vigil;
using namespace vigil::test;

struct Shape {
  std::string run;
  std::uint64_t seed = 1;
  std::uint64_t steps = 0;
  std::uint64_t every_frame = 0;      ///< steps from one frame to the next; 0: none
  std::uint64_t every_nonfinite = 0;  ///< steps from one that is not finite to the next; 0: none
  std::uint64_t nonfinite_at = 0;     ///< the step of a frame with a NaN, of its report and of the alert; 0: none
  std::size_t tensors = 3;
};

AlertMessage alert_of(const Shape& shape, const Schema& schema) {
  AlertMessage message;
  message.name = "nonfinite_gradient";
  message.severity = "critical";
  message.advice = "Look at the report.";
  message.alert.state = AlertState::firing;
  message.alert.since_step = message.alert.fired_step = message.alert.step = shape.nonfinite_at;
  message.alert.since_time_ns = message.alert.fired_time_ns = message.alert.time_ns =
      kNow + static_cast<std::int64_t>(shape.nonfinite_at) * 10'000'000;
  message.alert.value = 3;
  message.alert.parameter.assign(schema.rows.back().name);
  message.alert.layer.assign(schema.rows.back().layer);
  message.alert.sentence.assign("3 elements of the gradient of " + schema.rows.back().name + " are not finite");
  return message;
}

NonfiniteEvent event_of(const Shape& shape, const Schema& schema) {
  NonfiniteEvent event = make_event(shape.nonfinite_at);
  event.layer.assign(schema.rows.back().layer);
  event.parameter.assign(schema.rows.back().name);
  event.message.assign("step " + std::to_string(shape.nonfinite_at) + ": aten::log in " + schema.rows.back().layer + " made 6 NaN");
  return event;
}

void write(HistoryWriter& writer, const Shape& shape, Schema schema) {
  schema.identity.rank = 0;
  constexpr std::uint64_t kBatch = 2000;
  const RingKey key = writer.begin_ring(ring_id(shape.seed), schema, kNow).key;
  for (std::uint64_t step = 1; step <= shape.steps;) {
    writer.begin(kNow);
    for (std::uint64_t i = 0; i < kBatch && step <= shape.steps; ++i, ++step) {
      if (shape.every_frame > 0 && (step % shape.every_frame == 0 || step == shape.nonfinite_at))
        writer.add_frame(key, make_frame(schema, shape.seed, step, step != shape.nonfinite_at).view());
      MadeStep made = make_plausible_step(shape.seed, step, step == shape.nonfinite_at ? step : shape.every_nonfinite);
      writer.add_step(key, made.record, made.scalars.data(), made_scalar_names());
      if (step == shape.nonfinite_at) {
        writer.add_event(key, event_of(shape, schema));
        writer.add_alert(key, alert_of(shape, schema));
      }
    }
    writer.set_cursors(key, {step - 1, 0, 0});
    if (step > shape.steps) writer.set_state(key, "finished", "", kNow + static_cast<std::int64_t>(shape.steps) * 10'000'000);
    if (const HistoryOutcome outcome = writer.commit(); !outcome.ok()) throw std::runtime_error(outcome.reason);
  }
}

// Whatever of this is taken for markup changes the title, which a test looks at.
Schema hostile_schema(const std::string& run) {
  Schema schema = make_history_schema(run, 3);
  for (RowSchema& row : schema.rows) {
    row.layer = "<img src=x onerror=\"document.title='taken'\">" + row.layer;
    row.name = row.layer + ".\u202Ethgiew\nsecond line<script>document.title='taken'</script>";
  }
  schema.identity.model = "<b>Net</b>";
  schema.identity.host = "\"><script>document.title='taken'</script>";
  schema.parameters.clear();
  for (const RowSchema& row : schema.rows)
    if (row.kind == TensorKind::parameter) schema.parameters.push_back(row.name);
  return schema;
}

void write(HistoryWriter& writer, const std::string& kind) {
  if (kind == "million") {
    write(writer, {"million", 5, 1'000'000, 0, 50'000, 0}, make_history_schema("million"));
  } else if (kind == "ten_thousand") {
    write(writer, {"ten_thousand", 6, 10'000, 50, 0, 7'000}, make_history_schema("ten_thousand"));
  } else if (kind == "wide") {
    write(writer, {"wide", 7, 300, 10, 0, 0, 500}, make_history_schema("wide", 500));
  } else if (kind == "pair") {
    write(writer, {"pair/a", 8, 3'000, 50, 0, 0}, make_history_schema("pair/a"));
    write(writer, {"pair/b", 9, 2'000, 50, 0, 1'500}, make_history_schema("pair/b"));
  } else if (kind == "hostile") {
    const std::string run = "<img src=x onerror=\"document.title='taken'\">\u202Enur\nsecond line&amp;'\"";
    write(writer, {run, 10, 500, 50, 0, 400}, hostile_schema(run));
  } else {
    throw std::invalid_argument(kind + ": expected million, ten_thousand, wide, pair or hostile");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: known_history DATABASE KIND…\n";
    return 2;
  }
  try {
    HistoryOptions options;
    options.path = argv[1];
    options.frame_interval_ms = 0;
    options.retention_ms = 0;
    HistoryWriter writer(options);
    for (int i = 2; i < argc; ++i) write(writer, argv[i]);
  } catch (const std::exception& error) {
    std::cerr << "known_history: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
