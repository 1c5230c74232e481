#include "vigil/tools/export.h"

#include <algorithm>
#include <array>
#include <deque>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/record_json.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/terminal/output_file.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/csv_table.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/run_json.h"
#include "vigil/tools/sample_table.h"
#include "vigil/tools/step_window.h"

namespace vigil::tools {
namespace {

using Write = std::function<void(std::string_view)>;

// Says what a scrape saw of the exporter or the run at that time, and nothing of a step.
constexpr std::array<Metric, 12> kOfScrapes{Metric::build_info,       Metric::up,
                                            Metric::run_state,        Metric::alert_active,
                                            Metric::alerts,           Metric::alerts_dropped,
                                            Metric::ring_overwritten, Metric::ring_torn,
                                            Metric::series,           Metric::series_dropped,
                                            Metric::exporter_errors,  Metric::activation_layers_dropped};

bool is_of_scrapes(std::string_view name) noexcept {
  return std::any_of(kOfScrapes.begin(), kOfScrapes.end(), [name](Metric metric) { return metric_row(metric).name == name; });
}

bool is_of_run(std::string_view name) noexcept {
  return std::any_of(kMetrics.begin(), kMetrics.end(), [name](const MetricRow& row) { return row.name == name; });
}

// A step is told when the next one comes, with what was logged after it.
class Steps {
 public:
  Steps(const ExportSource& source, const ExportOptions& options, ProgressLine& progress, StepWindow::OnLeave on_step)
      : progress_(progress),
        on_step_(std::move(on_step)),
        window_(options.last.value_or(1), scalar_capacity(*source.schema), options.last ? StepWindow::OnLeave() : on_step_),
        is_none_(options.last == std::size_t{0}) {}

  void add(const StepRecord& record, const double* scalars) {
    progress_.show([&record] { return "exporting: step " + grouped(record.step); });
    window_.add(record, scalars);
  }
  void finish() {
    if (is_none_) return;
    for (const StepLine& line : window_.lines()) on_step_(line);
  }

 private:
  ProgressLine& progress_;
  const StepWindow::OnLeave on_step_;
  StepWindow window_;
  const bool is_none_;
};

void export_csv(const ExportSource& source, const ExportOptions& options, ProgressLine& progress, const Write& write) {
  if (options.tensors) {
    write(csv_head_of_tensors(*source.schema));
    source.read(
        [&progress](const StepRecord& record, const double*) { progress.show([&] { return "exporting: step " + grouped(record.step); }); },
        [&](const Frame& frame) { write(csv_of_tensors(frame, *source.schema)); }, {});
    return;
  }
  std::optional<std::size_t> names;
  const auto write_head = [&] {
    if (names) return;
    names = source.scalar_names().size();
    write(csv_head_of_steps(*source.schema, source.scalar_names()));
  };
  Steps steps(source, options, progress, [&](const StepLine& line) {
    write_head();
    write(csv_of_step(line, *source.schema, *names));
  });
  source.read([&](const StepRecord& record, const double* scalars) { steps.add(record, scalars); }, {}, {});
  write_head();
  steps.finish();
}

void export_json(const ExportSource& source, const ExportOptions& options, ProgressLine& progress, const Write& write) {
  std::string head = "{\"run\":{";
  append_run(head, source.schema->identity);
  append_schema(head, *source.schema);
  write(printable_json(head));
  write("},\"steps\":[");
  bool is_first = true;
  Steps steps(source, options, progress, [&](const StepLine& line) {
    write((is_first ? "\n" : ",\n") + json_of_step(line, *source.schema, source.scalar_names()));
    is_first = false;
  });
  // Frames come between steps: they wait as text.
  std::string frames, events;
  source.read([&](const StepRecord& record, const double* scalars) { steps.add(record, scalars); },
              [&](const Frame& frame) {
                if (options.tensors) frames += (frames.empty() ? "\n" : ",\n") + json_of_frame(frame, *source.schema);
              },
              [&](const NonfiniteEvent& event) { events += (events.empty() ? "\n" : ",\n") + json_of_event(event); });
  steps.finish();
  write("],\"events\":[");
  write(events);
  if (options.tensors) {
    write("],\"frames\":[");
    write(frames);
  }
  write("],\"state\":\"");
  write(kRunStateNames[static_cast<std::size_t>(source.state())]);
  write("\"}\n");
}

void export_openmetrics(const ExportSource& source, const ExportOptions& options, ProgressLine& progress, const Write& write,
                        std::ostream& err) {
  SampleTable table;
  Snapshot snapshot;
  snapshot.schema = source.schema;
  snapshot.state = RunState::running;
  StepTimes times;
  std::int64_t last_ms = 0;
  const auto add_run = [&](bool is_last) {
    for (const Family& family : make_run_families(snapshot, 0, 0)) {
      if (!is_of_scrapes(family.name)) table.add(family, last_ms, is_last);
    }
  };
  std::deque<NonfiniteEvent> events;  // that come with a later step
  Steps steps(source, options, progress, [&](const StepLine& line) {
    for (; !events.empty() && events.front().step <= line.record.step; events.pop_front()) snapshot.origin = events.front();
    fold(snapshot, line.record);
    if (line.record.has(StepRecord::has_total_time)) times.add(line.record.total_ns);
    snapshot.mean_step_seconds = times.mean_seconds();
    const auto rates = static_cast<std::ptrdiff_t>(source.schema->learning_rates);
    snapshot.learning_rates.assign(line.scalars.begin(), line.scalars.begin() + rates);
    snapshot.user_scalars.clear();
    for (std::size_t i = 0; i < std::min<std::size_t>(line.record.user_scalars, source.scalar_names().size()); ++i)
      snapshot.user_scalars.emplace_back(std::string(source.scalar_names().at(i)), line.scalars[static_cast<std::size_t>(rates) + i]);
    last_ms = line.record.wall_time_ns / 1'000'000;
    add_run(false);
  });
  PrometheusConfig all;
  all.per_parameter = PerParameter::all;
  all.max_series = 10'000'000;
  all.precision = true;
  const SeriesPlan plan(*source.schema, all);
  source.read([&](const StepRecord& record, const double* scalars) { steps.add(record, scalars); },
              [&](const Frame& frame) {
                Snapshot sampled;
                sampled.schema = source.schema;
                sampled.has_frame = true;
                sampled.frame = frame.header;
                sampled.rows = frame.rows;
                sampled.histograms = frame.histograms;
                sampled.activations = frame.activations;
                sampled.layers = std::make_shared<const std::vector<LayerLabel>>(frame.layers);
                for (const Family& family : options.tensors ? make_families(sampled, plan) : make_run_families(sampled, 0, 0)) {
                  // Of the run itself it is the one that a frame has.
                  const bool is_its_own = family.name == metric_row(Metric::update_ratio).name ||
                                          family.name == metric_row(Metric::model_sparsity).name || !is_of_run(family.name);
                  if (is_its_own) table.add(family, frame.header.wall_time_ns / 1'000'000);
                }
              },
              [&events](const NonfiniteEvent& event) { events.push_back(event); });
  steps.finish();
  if (snapshot.has_step) add_run(true);
  table.write(write);
  if (table.left_out() == 0) return;
  progress.clear();
  err << "vigil: note: " << counted(table.left_out(), "sample") << " older than the one before, as after a clock was set back, left out\n";
}

}  // namespace

ExportSource ring_source(const RunChoice& choice) {
  const auto run = std::make_shared<FollowedRun>(choose_ring(choice));
  return {run->file().shared_schema(), [run]() -> const NameTable& { return run->scalar_names(); },
          [run](const RunFollower::OnStep& on_step, const RunFollower::OnFrame& on_frame, const RunFollower::OnEvent& on_event) {
            run->poll(on_step, on_frame, on_event);
          },
          [run] { return run->condition().state; },
          [run] { return run->problem().empty() ? std::string() : printable(run->ring().path) + ": " + run->problem(); }};
}

int export_run(const ExportSource& source, const ExportOptions& options, std::ostream& out, std::ostream& err) {
  std::optional<OutputFile> file;
  if (!options.output.empty()) file.emplace(options.output);
  std::ostream& to = file ? file->stream() : out;
  const Write write = [&](std::string_view text) {
    if (!options.is_terminal || file || options.format != ExportFormat::openmetrics) {
      to << text;
      return;
    }
    // The other formats are printable as they stand.
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      to << printable(text.substr(0, end));
      if (end < text.size()) to << '\n';
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  };
  ProgressLine progress(err, options.shows_progress);
  switch (options.format) {
    case ExportFormat::csv: export_csv(source, options, progress, write); break;
    case ExportFormat::json: export_json(source, options, progress, write); break;
    case ExportFormat::openmetrics: export_openmetrics(source, options, progress, write, err); break;
  }
  progress.clear();
  if (file) file->commit();
  const std::string problem = source.problem();
  if (problem.empty()) return 0;
  err << "vigil: not all of it can be read: " << problem << '\n';
  return 1;
}

int export_run(const ExportOptions& options, std::ostream& out, std::ostream& err) {
  try {
    return export_run(ring_source(options.run), options, out, err);
  } catch (const std::runtime_error& error) {
    err << "vigil: " << error.what() << '\n';
  }
  return 1;
}

}  // namespace vigil::tools
