#include "vigil/tools/tail.h"

#include <poll.h>
#include <signal.h>

#include <chrono>
#include <ostream>
#include <string>
#include <utility>

#include "vigil/exporters/json_text.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/run_json.h"
#include "vigil/tools/step_window.h"

namespace vigil::tools {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kInterval{100}, kSearchInterval{1000};

class Tail {
 public:
  Tail(const TailOptions& options, std::ostream& out, std::ostream& err) : options_(options), out_(out), err_(err) {}

  int run() {
    std::size_t others = 0;
    FoundRing ring;
    for (bool is_told = false; ring.file == nullptr;) {
      try {
        ring = choose_ring(options_.run, &others);
      } catch (const NoSuchRun& error) {
        if (!options_.follow) throw;
        if (!std::exchange(is_told, true)) err_ << "vigil: note: " << error.what() << "; waiting for it\n" << std::flush;
        if (!wait(kSearchInterval)) return kReaderGone;
      }
    }
    if (options_.run.word.empty() && others > 0)
      err_ << "vigil: note: following '" << printable(ring.identity().run) << "', rank " << ring.identity().rank << "; there are " << others
           << " others, which can be named\n"
           << std::flush;
    for (;;) {
      FollowedRun run(ring);
      if (!follow(run)) return kReaderGone;
      if (!out_) return 1;  // the caller says so
      const RunState state = run.condition().state;
      if (state == RunState::finished) return 0;
      if (!options_.follow) return 1;
      FoundRing later = find_later_attempt(ring, options_.run.directories);
      while (later.file == nullptr) {
        if (!wait(kSearchInterval)) return kReaderGone;
        later = find_later_attempt(ring, options_.run.directories);
      }
      ring = std::move(later);
    }
  }

 private:
  // Shows what there is, then waits; false when nobody reads any more.
  bool wait(milliseconds duration) {
    out_.flush();
    // Nothing is asked for: errors are told all the same. What is no pipe has none.
    pollfd file{options_.descriptor, 0, 0};
    return ::poll(&file, 1, static_cast<int>(duration.count())) <= 0 || (file.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
  }

  // Until the run is over; false when nobody reads any more.
  bool follow(FollowedRun& run) {
    write_beginning(run);
    StepWindow before(options_.last, scalar_capacity(run.schema()));
    std::vector<NonfiniteEvent> events;
    run.poll([&](const StepRecord& record, const double* scalars) { before.add(record, scalars); }, {},
             [&](const NonfiniteEvent& event) { events.push_back(event); });
    if (options_.last > 0) {
      for (const StepLine& line : before.lines()) {
        for (const NonfiniteEvent& event : events) {
          if (event.step == line.record.step) write_event(event);
        }
        write_step(line, run);
      }
    }
    // A step waits for what is logged after it until a newer one comes, but not beyond one look.
    StepWindow fresh(1, scalar_capacity(run.schema()), [&](const StepLine& line) { write_step(line, run); });
    bool is_hung = false;
    while (is_alive(run.condition().state)) {
      if (!wait(kInterval)) return false;
      run.poll([&](const StepRecord& record, const double* scalars) { fresh.add(record, scalars); }, {},
               [&](const NonfiniteEvent& event) {
                 fresh.flush();
                 write_event(event);
               });
      fresh.flush();
      const bool was_hung = std::exchange(is_hung, run.condition().state == RunState::hung);
      if (is_hung && !was_hung) err_ << "vigil: note: the run is " << condition_text(run.condition()) << '\n' << std::flush;
      if (!out_) break;  // the disk is full, or nobody reads any more
    }
    if (out_) write_end(run);
    return wait(milliseconds(0));
  }

  void write_beginning(const FollowedRun& run) {
    const RunIdentity& who = run.identity();
    if (options_.json) {
      std::string line = "{";
      append_member(line, "type", std::string_view("run"));
      append_member(line, "file", run.ring().path);
      append_run(line, who);
      out_ << printable_json(line) << "}\n";
      return;
    }
    out_ << styled("run '" + printable(who.run) + "', rank " + std::to_string(who.rank) + ", attempt " + std::to_string(who.attempt) +
                       ", process " + std::to_string(who.pid),
                   Style::bold, options_.place.colored)
         << '\n'
         << styled(line_of("STEP", "TIME", "LOSS", "GRADIENT NORM", "RATE", "STEP TIME", ""), Style::bold, options_.place.colored) << '\n';
  }

  static std::string line_of(const std::string& step, const std::string& time, const std::string& loss, const std::string& norm,
                             const std::string& rate, const std::string& duration, const std::string& note) {
    std::string line = right_aligned(step, 10) + "  " + padded(time, 12) + "  " + right_aligned(loss, 10) + "  " + right_aligned(norm, 13) +
                       "  " + right_aligned(rate, 10) + "  " + right_aligned(duration, 9) + "  " + note;
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  }

  void write_step(const StepLine& line, const FollowedRun& run) {
    const StepRecord& step = line.record;
    const bool is_nonfinite = step.has(StepRecord::nonfinite);
    if (step.step % options_.every != 0 && !is_nonfinite) return;
    if (options_.json) {
      out_ << json_of_step(line, run.schema(), run.scalar_names(), "step") << '\n';
      return;
    }
    std::string note = is_nonfinite ? "not finite" : "";
    if (step.has(StepRecord::skipped)) note += note.empty() ? "skipped" : ", skipped";
    const bool has_rate = run.schema().learning_rates > 0;
    const std::string text =
        line_of(std::to_string(step.step), time_of_day(step.wall_time_ns), step.has(StepRecord::has_loss) ? short_number(step.loss) : "-",
                step.has(StepRecord::has_gradient_norm) ? short_number(step.gradient_norm) : "-",
                has_rate ? short_number(line.scalars.front()) : "-",
                step.has(StepRecord::has_total_time) ? seconds_text(1e-9 * static_cast<double>(step.total_ns)) : "-", note);
    const std::size_t columns = options_.place.columns;
    out_ << styled(columns > 0 ? clipped(text, columns) : text, is_nonfinite ? Style::red : Style::plain, options_.place.colored) << '\n';
  }

  void write_event(const NonfiniteEvent& event) {
    if (options_.json) {
      out_ << json_of_event(event, "nonfinite") << '\n';
    } else {
      out_ << styled(right_aligned(std::to_string(event.step), 10) + "  " + sentence_of(event), Style::red, options_.place.colored) << '\n';
    }
  }

  void write_end(const FollowedRun& run) {
    const RunCondition& condition = run.condition();
    if (options_.json) {
      std::string line = "{";
      append_member(line, "type", std::string_view("end"));
      append_member(line, "state", kRunStateNames[static_cast<std::size_t>(condition.state)]);
      append_member(line, "reason", condition.reason);
      append_member(line, "last_step", run.snapshot()->has_step ? run.snapshot()->step.step : 0);
      out_ << printable_json(line) << "}\n";
    } else {
      out_ << styled(condition_text(condition) + ", after step " + std::to_string(run.snapshot()->has_step ? run.snapshot()->step.step : 0),
                     style_of(condition.state), options_.place.colored)
           << '\n';
    }
    out_.flush();
    if (!run.problem().empty()) err_ << "vigil: " << printable(run.ring().path) << ": not all of it can be read: " << run.problem() << '\n';
  }

  const TailOptions& options_;
  std::ostream &out_, &err_;
};

}  // namespace

int tail(const TailOptions& options, std::ostream& out, std::ostream& err) {
  signal(SIGPIPE, SIG_IGN);
  try {
    return Tail(options, out, err).run();
  } catch (const SearchError& error) {
    err << "vigil: " << error.what() << '\n';
  }
  return 1;
}

}  // namespace vigil::tools
