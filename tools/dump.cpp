#include "vigil/tools/dump.h"

#include <memory>
#include <ostream>
#include <stdexcept>

#include "vigil/config/config_reader.h"
#include "vigil/exporters/alert_text.h"
#include "vigil/exporters/json_text.h"
#include "vigil/exporters/record_json.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/ring_file.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/csv_table.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/run_json.h"
#include "vigil/tools/run_text.h"
#include "vigil/tools/step_window.h"

namespace vigil::tools {
namespace {

// What a file holds beside its steps and its latest frame.
struct Kept {
  std::uint64_t steps = 0;
  std::vector<double> losses;
  std::vector<NonfiniteEvent> events;
};

void dump_text(FollowedRun& run, const DumpOptions& options, std::ostream& out, ProgressLine& progress) {
  StepWindow steps(options.last.value_or(kDumpedSteps), scalar_capacity(run.schema()));
  Kept kept;
  run.poll(
      [&](const StepRecord& record, const double* scalars) {
        if (!record.has(StepRecord::again)) ++kept.steps;
        if (record.has(StepRecord::has_loss) && !record.has(StepRecord::again)) kept.losses.push_back(record.loss);
        steps.add(record, scalars);
        progress.show([&record] { return "reading: step " + grouped(record.step); });
      },
      {}, [&](const NonfiniteEvent& event) { kept.events.push_back(event); });
  progress.clear();
  bool is_first = true;
  // Parts with an empty line between them.
  const auto add = [&](DumpPart part, const std::string& text) {
    if ((options.part != DumpPart::all && options.part != part) || text.empty()) return;
    if (!is_first) out << '\n';
    is_first = false;
    out << text;
  };
  add(DumpPart::summary, summary_text(run, kept.steps, kept.losses, options.place));
  add(DumpPart::summary, alerts_text(run, options.place));
  add(DumpPart::events, events_text(kept.events, options.place));
  add(DumpPart::summary, notes_text(run, options.place));
  if (options.last != std::size_t{0}) add(DumpPart::steps, steps_text(steps.lines(), run, options.place));
  add(DumpPart::tensors, tensors_text(run, options.order, options.place));
  if (options.part == DumpPart::schema) add(DumpPart::schema, schema_text(run.schema(), options.place));
}

void append_header(std::string& out, const RingHeader& header) {
  out += ",\"header\":{";
  append_member(out, "abi_major", header.abi_major);
  append_member(out, "abi_minor", header.abi_minor);
  append_member(out, "bytes", header.total_size);
  append_member(out, "pid", header.pid);
  append_member(out, "uid", header.uid);
  append_member(out, "made_time", to_seconds(header.wall_time_ns));
  out += '}';
}

void append_state(std::string& out, const FollowedRun& run) {
  const Snapshot& snapshot = *run.snapshot();
  append_member(out, "state", kRunStateNames[static_cast<std::size_t>(run.condition().state)]);
  append_member(out, "reason", run.condition().reason);
  append_member(out, "phase", run.phase());
  append_member(out, "last_step", snapshot.has_step ? snapshot.step.step : 0);
  if (snapshot.mean_step_seconds > 0) append_member(out, "mean_step_seconds", snapshot.mean_step_seconds);
  append_member(out, "overhead_ratio", snapshot.overhead_ratio());
  append_member(out, "steps_overwritten", snapshot.step_ring.overwritten);
  append_member(out, "frames_overwritten", snapshot.frame_ring.overwritten);
  if (!run.problem().empty()) append_member(out, "problem", run.problem());
  out += ",\"notes\":{";
  for (std::size_t i = 0; i < kHookNames.size(); ++i) {
    try {
      const std::string note = run.file().read_note(static_cast<Hook>(i));
      if (!note.empty()) append_member(out, kHookNames[i], note);
    } catch (const RingFileError&) {
      // Told as the problem of the file.
    }
  }
  out += "},\"alerts\":[";
  for (const Alert* const alert : run.firing()) {
    out += out.back() == '[' ? "{" : ",{";
    append_alert(out, message_of(*alert, run.rules()[alert->rule]));
    out += '}';
  }
  out += ']';
}

// One object; the steps go out as they are read.
void dump_json(FollowedRun& run, const DumpOptions& options, std::ostream& out) {
  const bool wants_all = options.part == DumpPart::all;
  std::string text = "{";
  append_member(text, "file", run.ring().path);
  append_header(text, run.file().header());
  text += ",\"run\":{";
  append_run(text, run.identity());
  if (wants_all || options.part == DumpPart::schema) append_schema(text, run.schema());
  out << printable_json(text + '}');

  const bool wants_steps = wants_all || options.part == DumpPart::steps;
  if (wants_steps) out << ",\"steps\":[";
  bool is_first_step = true;
  const auto write_step = [&](const StepLine& line) {
    if (!wants_steps) return;
    out << (is_first_step ? "" : ",") << json_of_step(line, run.schema(), run.scalar_names());
    is_first_step = false;
  };
  const bool is_all = !options.last.has_value();
  StepWindow steps(is_all ? 1 : *options.last, scalar_capacity(run.schema()), is_all ? write_step : StepWindow::OnLeave());
  std::vector<NonfiniteEvent> events;
  run.poll([&](const StepRecord& record, const double* scalars) { steps.add(record, scalars); }, {},
           [&](const NonfiniteEvent& event) { events.push_back(event); });
  if (options.last != std::size_t{0}) {
    for (const StepLine& line : steps.lines()) write_step(line);
  }
  if (wants_steps) out << ']';

  text.clear();
  if (wants_all || options.part == DumpPart::events) {
    text += ",\"events\":[";
    for (const NonfiniteEvent& event : events) text += (&event == events.data() ? "" : ",") + json_of_event(event);
    text += ']';
  }
  const Snapshot& snapshot = *run.snapshot();
  if ((wants_all || options.part == DumpPart::tensors) && snapshot.has_frame)
    text += ",\"frame\":" +
            json_of_frame({snapshot.frame, snapshot.rows, snapshot.histograms, snapshot.activations, *snapshot.layers}, run.schema());
  out << text;
  text = "{";
  append_state(text, run);
  out << ',' << printable_json(text).substr(1) << "}\n";
}

void dump_csv(FollowedRun& run, const DumpOptions& options, std::ostream& out) {
  if (options.part == DumpPart::schema) {
    out << csv_of_schema(run.schema());
    run.poll();
    return;
  }
  if (options.part == DumpPart::tensors) {
    run.poll();
    const Snapshot& snapshot = *run.snapshot();
    out << csv_head_of_tensors(run.schema());
    if (snapshot.has_frame)
      out << csv_of_tensors({snapshot.frame, snapshot.rows, snapshot.histograms, snapshot.activations, *snapshot.layers}, run.schema());
    return;
  }
  if (options.part == DumpPart::events) {
    out << csv_head_of_events();
    run.poll({}, {}, [&](const NonfiniteEvent& event) { out << csv_of_event(event); });
    return;
  }
  // Names are known before the records that use them.
  std::optional<std::size_t> names;
  const auto write_head = [&] {
    if (names) return;
    names = run.scalar_names().size();
    out << csv_head_of_steps(run.schema(), run.scalar_names());
  };
  const auto write_step = [&](const StepLine& line) {
    write_head();
    out << csv_of_step(line, run.schema(), *names);
  };
  const bool is_all = !options.last.has_value();
  StepWindow steps(is_all ? 1 : *options.last, scalar_capacity(run.schema()), is_all ? write_step : StepWindow::OnLeave());
  run.poll([&](const StepRecord& record, const double* scalars) { steps.add(record, scalars); });
  write_head();
  if (options.last == std::size_t{0}) return;
  for (const StepLine& line : steps.lines()) write_step(line);
}

}  // namespace

int dump(const DumpOptions& options, std::ostream& out, std::ostream& err) {
  std::shared_ptr<const Config> rules;
  try {
    rules = std::make_shared<const Config>(options.rules.empty() ? Config{} : load_config(options.rules));
  } catch (const std::runtime_error& error) {
    err << error.what() << '\n';
    return 1;
  }
  int code = 0;
  bool is_first = true;
  for (const std::string& path : options.files) {
    const FoundRing ring = open_ring(path);
    if (ring.file == nullptr) {
      const bool is_name = path.find('/') == std::string::npos && !is_ring_file_name(path);
      err << "vigil: " << printable(path) << ": " << ring.problem
          << (is_name ? "; dump takes the path of a ring file, which vigil ps shows" : "") << '\n';
      code = 1;
      continue;
    }
    if (!is_first && options.format == DumpFormat::text) out << '\n';
    is_first = false;
    try {
      FollowedRun run(ring, rules);
      if (options.format == DumpFormat::text) {
        ProgressLine progress(err, options.shows_progress);
        dump_text(run, options, out, progress);
      } else if (options.format == DumpFormat::json) {
        dump_json(run, options, out);
      } else {
        dump_csv(run, options, out);
      }
      if (run.problem().empty()) continue;
      out.flush();
      err << "vigil: " << printable(path) << ": not all of it can be read: " << run.problem() << '\n';
    } catch (const std::invalid_argument& error) {  // a rule asks for a metric that this run has not
      err << options.rules << ": " << error.what() << '\n';
    }
    code = 1;
  }
  return code;
}

}  // namespace vigil::tools
