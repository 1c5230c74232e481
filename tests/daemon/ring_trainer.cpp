// A trainer without libtorch: publishes a known run into a ring file, as fast or as slowly as it is told.
//
//   ring_trainer DIRECTORY RUN [--runs N] [--tensors N] [--steps N] [--interval-us N] [--sample-every N] [--end finish|exit|abort|hang]
//
// With --runs it publishes that many runs, RUN-0, RUN-1, … from one thread. Prints a line "ready" when the files are there.
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/known_run.h"
#include "vigil/monitor/crash_mark.h"
#include "vigil/monitor/ring_file.h"

namespace {

struct Options {
  std::string directory, run, end = "finish";
  std::size_t runs = 0, tensors = 4;
  std::uint64_t steps = ~std::uint64_t{0}, sample_every = 10, step_records = 4096;
  std::chrono::microseconds interval{0};
};

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 3) std::exit(2);
  options.directory = argv[1];
  options.run = argv[2];
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--runs")
      options.runs = std::stoul(value);
    else if (name == "--tensors")
      options.tensors = std::stoul(value);
    else if (name == "--steps")
      options.steps = std::stoull(value);
    else if (name == "--step-records")
      options.step_records = std::stoull(value);
    else if (name == "--interval-us")
      options.interval = std::chrono::microseconds(std::stol(value));
    else if (name == "--sample-every")
      options.sample_every = std::stoull(value);
    else if (name == "--end")
      options.end = value;
    else
      std::exit(2);
  }
  return options;
}

struct Run {
  explicit Run(vigil::SharedChannel made) : shared(std::move(made)), mark(shared.channel->live()), known(*shared.channel) {}
  vigil::SharedChannel shared;
  vigil::CrashMark mark;
  vigil::test::KnownRun known;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::vector<std::unique_ptr<Run>> runs;
  for (std::size_t i = 0; i < std::max<std::size_t>(options.runs, 1); ++i) {
    const std::string name = options.runs == 0 ? options.run : options.run + "-" + std::to_string(i);
    runs.push_back(std::make_unique<Run>(
        vigil::make_shared_channel(vigil::test::known_schema(name, 0, options.tensors), {options.step_records, 0}, options.directory)));
  }
  std::cout << "ready" << std::endl;
  auto next = std::chrono::steady_clock::now();
  for (std::uint64_t step = 1; step <= options.steps; ++step) {
    for (const auto& run : runs) {
      run->known.step(step == 1 || step % options.sample_every == 0, static_cast<std::uint64_t>(options.interval.count()) * 1000);
    }
    next += options.interval;
    if (options.interval.count() > 0) std::this_thread::sleep_until(next);
  }
  if (options.end == "abort") std::abort();
  if (options.end == "exit") std::exit(0);
  if (options.end == "hang") poll(nullptr, 0, -1);
  if (options.end == "finish") {
    for (const auto& run : runs) run->shared.channel->live().state.store(vigil::RunState::finished);
  }
  return 0;
}
