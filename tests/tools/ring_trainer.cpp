#include "tools/ring_trainer.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

#include "fork.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/crash_mark.h"
#include "vigil/monitor/ring_file.h"

namespace vigil::test {
namespace {

struct Order {
  char what = 0;
  std::uint64_t number = 0;
};

Schema schema_of(const TrainingSetup& setup) {
  Schema schema = eventful_schema(setup.figures);
  schema.identity.run = setup.run;
  schema.identity.attempt = setup.attempt;
  schema.identity.start_time_ns = setup.start_time_ns;
  schema.identity.pid = getpid();
  schema.identity.model = "Net";
  if (setup.change) setup.change(schema);
  return schema;
}

[[noreturn]] void die(int signal) {
  std::signal(signal, SIG_DFL);
  raise(signal);
  _exit(99);
}

[[noreturn]] void work(const TrainingSetup& setup, int commands, int answers) {
  std::signal(SIGSEGV, SIG_DFL);  // AddressSanitizer has one of its own
  const SharedChannel shared = make_shared_channel(schema_of(setup), {setup.step_records, std::size_t{4} << 20}, setup.directory.string());
  RunChannel& channel = *shared.channel;
  EventfulAuthor author(setup.figures, channel);
  if (setup.is_starting) channel.live().state.store(RunState::starting);
  const CrashMark mark(channel.live());
  std::array<char, 4096> path{};
  shared.path.copy(path.data(), path.size() - 1);
  if (write(answers, path.data(), path.size()) != static_cast<ssize_t>(path.size())) _exit(98);
  std::uint64_t step = 0;
  for (Order order; read(commands, &order, sizeof order) == static_cast<ssize_t>(sizeof order);) {
    if (order.what == 'T') {
      for (std::uint64_t i = 0; i < order.number; ++i) {
        author.write(++step);
        channel.beat(monotonic_time_ns());
        channel.live().last_step.store(step);
      }
    } else if (order.what == 'S') {
      channel.beat(monotonic_time_ns() - static_cast<std::int64_t>(order.number) * 1'000'000'000);
    } else if (order.what == static_cast<char>(TrainingEnd::finished)) {
      channel.live().state.store(RunState::finished);
      _exit(0);
    } else if (order.what == static_cast<char>(TrainingEnd::failed)) {
      channel.live().state.store(RunState::failed);
      _exit(1);
    } else if (order.what == static_cast<char>(TrainingEnd::killed)) {
      raise(SIGKILL);
    } else if (order.what == static_cast<char>(TrainingEnd::terminated)) {
      raise(SIGTERM);
    } else {
      raise(SIGSEGV);
    }
    if (write(answers, "a", 1) != 1) _exit(97);
  }
  die(SIGKILL);
}

}  // namespace

RingTrainer::RingTrainer(TrainingSetup setup) {
  std::array<int, 2> commands{}, answers{};
  if (pipe(commands.data()) != 0 || pipe(answers.data()) != 0) throw std::runtime_error("no pipe");
  pid_ = fork_quietly();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(commands[1]);
    close(answers[0]);
    work(setup, commands[0], answers[1]);
  }
  close(commands[0]);
  close(answers[1]);
  commands_ = commands[1];
  answers_ = answers[0];
  std::array<char, 4096> path{};
  if (read(answers_, path.data(), path.size()) != static_cast<ssize_t>(path.size())) throw std::runtime_error("the training did not begin");
  path_ = path.data();
}

RingTrainer::~RingTrainer() {
  close(commands_);
  close(answers_);
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void RingTrainer::command(char what, std::uint64_t number) {
  Order order;
  order.what = what;
  order.number = number;
  ASSERT_EQ(write(commands_, &order, sizeof order), static_cast<ssize_t>(sizeof order));
}

void RingTrainer::train(std::uint64_t steps) {
  command('T', steps);
  char answer = 0;
  ASSERT_EQ(read(answers_, &answer, 1), 1);
}

void RingTrainer::be_silent(std::uint8_t seconds) {
  command('S', seconds);
  char answer = 0;
  ASSERT_EQ(read(answers_, &answer, 1), 1);
}

void RingTrainer::end(TrainingEnd how) {
  command(static_cast<char>(how), 0);
  ASSERT_EQ(waitpid(pid_, nullptr, 0), pid_);
  pid_ = -1;
}

std::string trained(const TrainingSetup& setup, std::uint64_t steps, TrainingEnd how) {
  RingTrainer trainer(setup);
  trainer.train(steps);
  trainer.end(how);
  return trainer.path();
}

PublishedRun published(const TrainingSetup& setup, std::uint64_t steps) {
  PublishedRun run;
  RunChannel channel(schema_of(setup), {setup.step_records, std::size_t{4} << 20});
  EventfulAuthor author(setup.figures, channel);
  RunFollower follower(channel);
  for (std::uint64_t step = 1; step <= steps; ++step) {
    author.write(step);
    follower.poll(
        [&](const StepRecord& record, const double* scalars) {
          if (record.has(StepRecord::again)) {
            run.steps.back().record.user_scalars = record.user_scalars;
          } else {
            run.steps.push_back({record, {}});
          }
          run.steps.back().scalars.assign(scalars, scalars + channel.scalar_capacity());
        },
        [&](const Frame& frame) {
          run.frames.emplace_back(frame.header, frame.rows);
          run.histograms = frame.histograms;
        },
        [&](const NonfiniteEvent& event) { run.events.push_back(event); });
  }
  run.schema = channel.schema();
  for (std::size_t i = 0; i < channel.scalar_names().size(); ++i) run.scalar_names.emplace_back(channel.scalar_names().at(i));
  return run;
}

}  // namespace vigil::test
