#include "vigil/tools/history_source.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "vigil/daemon/history_reader.h"
#include "vigil/exporters/jsonl_decoder.h"

namespace vigil::tools {
namespace {

// What is read, and what was found out while it was.
struct Read {
  Read(HistoryReader from, RunSelector of) : reader(std::move(from)), run(std::move(of)) {}

  HistoryReader reader;
  RunSelector run;
  ScalarNames names;
  RunState state = RunState::running;
  std::uint64_t unreadable_steps = 0, unreadable_events = 0;
};

const HistoryAttempt& newest_attempt(const std::vector<HistoryRun>& runs, const RunSelector& of, const std::string& path) {
  const auto found =
      std::find_if(runs.begin(), runs.end(), [&](const HistoryRun& one) { return one.run == of.run && one.rank == of.rank; });
  if (found == runs.end())
    throw std::runtime_error(path + " has no run '" + of.run + "' of rank " + std::to_string(of.rank) +
                             "; /api/v1/runs of vigild lists them");
  return found->attempts.front();
}

RunState state_of(const std::string& name) noexcept {
  const auto found = std::find(kRunStateNames.begin(), kRunStateNames.end(), name);
  return found == kRunStateNames.end() ? RunState::running : static_cast<RunState>(found - kRunStateNames.begin());
}

// Those of the newest steps, which name all that there are.
void learn_names(Read& read, const StepsReply& reply) {
  for (const std::string& name : reply.scalar_names) read.names.find_or_append(name);
}

void read_steps(Read& read, const RunFollower::OnStep& on_step) {
  std::optional<HistoryCursor> since;
  for (;;) {
    const StepsReply reply = read.reader.steps(read.run, since, HistoryReader::kMaxSteps);
    learn_names(read, reply);
    read.unreadable_steps += reply.unreadable_steps;
    std::vector<double> scalars(reply.rows.rates() + ScalarNames::kCapacity);
    for (std::size_t i = 0; i < reply.rows.size(); ++i) {
      const StepRecord record = reply.rows.record(i);
      for (std::size_t k = 0; k < reply.rows.rates(); ++k) scalars[k] = reply.rows.rate(i, k);
      const std::size_t count = std::min<std::size_t>(record.user_scalars, reply.rows.scalars());
      for (std::size_t k = 0; k < count; ++k) scalars[reply.rows.rates() + k] = reply.rows.scalar(i, k);
      if (on_step) on_step(record, scalars.data());
    }
    if (reply.rows.size() == 0) return;
    since = reply.next;
  }
}

// Before the steps, since the database has them apart: whoever takes them keeps them until their step comes.
void read_events(Read& read, const RunFollower::OnEvent& on_event) {
  EventsRequest request;
  request.run = read.run;
  request.since = 0;
  request.max_events = HistoryReader::kMaxEvents;
  for (;;) {
    const EventsReply reply = read.reader.events(request);
    if (reply.events.empty()) return;
    for (const HistoryEvent& stored : reply.events) {
      if (stored.kind != "nonfinite") continue;
      try {
        NonfiniteEvent event = read_event(stored.json);
        event.wall_time_ns = stored.time_ns;  // to the nanosecond
        on_event(event);
      } catch (const std::exception&) {
        ++read.unreadable_events;
      }
    }
    request.since = reply.next;
  }
}

// What could not be read; empty: nothing.
std::string problem_of(const Read& read) {
  std::string problem;
  if (read.unreadable_steps > 0) problem = std::to_string(read.unreadable_steps) + " steps of the history are damaged";
  if (read.unreadable_events > 0)
    problem += (problem.empty() ? "" : "; ") + std::to_string(read.unreadable_events) + " events of the history are damaged";
  return problem;
}

}  // namespace

ExportSource history_source(const std::string& path, const std::string& run, int rank) {
  const auto read = std::make_shared<Read>(HistoryReader({path}), RunSelector{run, rank, {}});
  const HistoryAttempt attempt = newest_attempt(read->reader.runs(), read->run, path);
  read->run.attempt = attempt.attempt;
  read->state = state_of(attempt.state);
  auto schema = std::make_shared<Schema>(*read->reader.schema(read->run));
  const StepsReply first = read->reader.steps(read->run, {}, 1);
  schema->learning_rates = first.rows.rates();
  learn_names(*read, first);
  // A name is there from the step on that it was first logged at.
  if (attempt.last_step > 1) learn_names(*read, read->reader.steps(read->run, HistoryCursor{attempt.attempt, attempt.last_step - 1}, 1));

  ExportSource source;
  source.schema = std::move(schema);
  source.scalar_names = [read]() -> const NameTable& { return read->names; };
  source.read = [read](const RunFollower::OnStep& on_step, const RunFollower::OnFrame&, const RunFollower::OnEvent& on_event) {
    if (on_event) read_events(*read, on_event);
    read_steps(*read, on_step);
  };
  source.state = [read] { return read->state; };
  source.problem = [read] { return problem_of(*read); };
  return source;
}

}  // namespace vigil::tools
