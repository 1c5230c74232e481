// Kills trainers at random moments, and looks at what is left of them: in their ring files, and by vigild's word.
//
//   crash_trials [--trials N] [--seed N] [--parallel N] [--trainer PROGRAM]
//
// Without --trainer the trainer publishes a run whose every figure is known, so that a torn record would show. A program that is given
// trains with vigil by the file in VIGIL_CONFIG, as examples/minimal does; of its records is checked what must hold of any.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <poll.h>
#include <unistd.h>

#include "daemon/known_run.h"
#include "daemon/vigild.h"
#include "http/http_client.h"
#include "vigil/monitor/ring_file_reader.h"

namespace vigil {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSecondsToTell = 2;  // within which vigild is to say that a run has crashed
constexpr double kSecondsToGiveUp = 20;

struct Options {
  int trials = 20, parallel = 4;
  unsigned seed = 1;
  std::string trainer;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--trials")
      options.trials = std::stoi(value);
    else if (name == "--parallel")
      options.parallel = std::max(1, std::stoi(value));
    else if (name == "--seed")
      options.seed = static_cast<unsigned>(std::stoul(value));
    else if (name == "--trainer")
      options.trainer = value;
    else
      throw std::invalid_argument("unknown argument " + name + ", there are --trials, --parallel, --seed and --trainer");
  }
  if (argc % 2 == 0) throw std::invalid_argument(std::string(argv[argc - 1]) + " has no value");
  return options;
}

struct Tally {
  int before_file = 0, before_step = 0, with_steps = 0, torn_slots = 0;
  std::uint64_t records = 0, frames = 0;
  std::vector<double> seconds;          // until vigild told
  std::vector<std::string> complaints;  // what must not be
};

// One trainer on its way to its end.
class Trial {
 public:
  Trial(const Options& options, const std::filesystem::path& folder, int number, std::mt19937& random)
      : folder_(folder), run_("trial" + std::to_string(number)), is_known_(options.trainer.empty()) {
    std::vector<std::string> command;
    if (is_known_) {
      // Some with few slots, which are overwritten all the time; some slow, which are killed between two steps.
      const bool is_small = random() % 2 == 0, is_slow = random() % 4 == 0;
      command = {VIGIL_RING_TRAINER,      test::ring_folder(folder).string(), run_, "--sample-every", "3", "--step-records",
                 is_small ? "16" : "4096"};
      if (is_slow) command.insert(command.end(), {"--interval-us", "2000"});
    } else {
      const std::string config = (folder / (run_ + ".yml")).string();
      std::ofstream(config)
          << "run: {name: " << run_ << "}\nring: {shared: true, directory: " << test::ring_folder(folder).string()
          << "}\nexporters: {prometheus: {enabled: false}, report: {enabled: false}}\nsampling: {every_steps: 3}\nlog: {level: \"off\"}\n";
      command = {"/usr/bin/env", "VIGIL_CONFIG=" + config, "OMP_NUM_THREADS=1", options.trainer};
    }
    trainer_ = std::make_unique<ChildProcess>(command, folder / (run_ + ".log"));
    // Counted from when the ring file is there, in one of ten cases from when the process begins; libtorch alone takes a second to load.
    waits_for_file_ = random() % 10 != 0;
    const double longest = is_known_ ? 0.15 : waits_for_file_ ? 0.25 : 1.0;
    delay_ = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(std::uniform_real_distribution<double>(0, longest)(random)));
  }

  /// True when it is over.
  bool go_on(const test::Vigild& vigild, Tally& tally) {
    if (!is_killed_) {
      const Clock::time_point now = Clock::now();
      if (waits_for_file_ && find_file()) {
        waits_for_file_ = false;
        begun_at_ = now;
      }
      if (waits_for_file_ ? now - begun_at_ < std::chrono::seconds(20) : now - begun_at_ < delay_) return false;
      trainer_->send(SIGKILL);
      is_killed_ = true;
      killed_at_ = Clock::now();
      if (trainer_->wait(10) != 128 + SIGKILL) tally.complaints.push_back(run_ + ": the trainer ended by itself: " + trainer_->output());
      if (!find_file()) {
        ++tally.before_file;
        return true;
      }
      look_at_file(tally);
    }
    const std::string answer = test::request(vigild.endpoint(), "/metrics?run=" + run_).body;
    const double seconds = std::chrono::duration<double>(Clock::now() - killed_at_).count();
    if (answer.find("state=\"crashed\"} 1") == std::string::npos) {
      if (seconds < kSecondsToGiveUp) return false;
      tally.complaints.push_back(run_ + ": vigild does not say that it crashed: " + answer.substr(0, 200));
      return true;
    }
    tally.seconds.push_back(seconds);
    if (seconds > kSecondsToTell) tally.complaints.push_back(run_ + ": vigild took " + std::to_string(seconds) + " s");
    const std::string steps = "\nvigil_steps_total{run=\"" + run_ + "\",rank=\"0\"} " + std::to_string(last_step_) + "\n";
    if (answer.find(steps) == std::string::npos)
      tally.complaints.push_back(run_ + ": vigild does not have its last step, " + std::to_string(last_step_));
    return true;
  }

 private:
  bool find_file() {
    for (const auto& entry : std::filesystem::directory_iterator(test::ring_folder(folder_))) {
      if (entry.path().filename().string().rfind(run_ + ".", 0) == 0 && entry.path().extension() == ".ring") file_ = entry.path().string();
    }
    return !file_.empty();
  }

  void look_at_file(Tally& tally) {
    const auto complain = [&](const std::string& what) { tally.complaints.push_back(run_ + ": " + what); };
    try {
      const auto file = std::make_shared<const RingFile>(file_);
      if (file->writer(this_process()) != WriterState::gone) complain("its writer is not gone");
      auto reader = std::make_unique<RingFileReader>(file);
      const RingFileReader& looks = *reader;
      RunFollower follower(std::move(reader));
      std::uint64_t before = 0;
      follower.poll(
          [&](const StepRecord& record, const double* scalars) {
            ++tally.records;
            if (before != 0 && record.step != before + 1)
              complain("step " + std::to_string(record.step) + " follows " + std::to_string(before));
            if (is_known_ ? !test::is_known(record, scalars) : !(record.loss > 0 && record.loss < 1e6 && record.has(StepRecord::has_loss)))
              complain("step " + std::to_string(record.step) + " is not what was published");
            before = record.step;
          },
          [&](const Frame& frame) {
            ++tally.frames;
            bool is_good = !is_known_ || test::is_known(frame.header, frame.rows);
            for (std::size_t i = 0; i < frame.rows.size(); ++i)
              is_good = is_good && frame.rows[i].state == TensorRow::present &&
                        frame.rows[i].moments.count == file->schema().rows[i].element_count;
            if (!is_good) complain("the frame of step " + std::to_string(frame.header.step) + " is not what was published");
          });
      last_step_ = before;
      // The slot that was being written is the only one that may be torn, of each ring.
      const std::uint64_t torn = looks.losses(RingKind::steps).torn + looks.losses(RingKind::frames).torn;
      tally.torn_slots += torn > 0 ? 1 : 0;
      if (before < looks.live().last_step)
        complain("its last step is " + std::to_string(looks.live().last_step) + ", readable is " + std::to_string(before));
      before == 0 ? ++tally.before_step : ++tally.with_steps;
    } catch (const std::exception& error) {
      complain(std::string("its file cannot be read: ") + error.what());
    }
  }

  const std::filesystem::path folder_;
  const std::string run_;
  const bool is_known_;
  std::unique_ptr<ChildProcess> trainer_;
  Clock::time_point begun_at_ = Clock::now(), killed_at_;
  Clock::duration delay_{};
  bool waits_for_file_ = false, is_killed_ = false;
  std::string file_;
  std::uint64_t last_step_ = 0;
};

int run(const Options& options) {
  const test::TemporaryFolder folder;
  const test::Vigild vigild(folder.path(), {"--ring.keep-ended=3s", "--storage.disabled", "--ring.interval=250ms"});
  std::mt19937 random(options.seed);
  Tally tally;
  std::vector<std::unique_ptr<Trial>> trials;
  int started = 0, done = 0;
  while (done < options.trials) {
    while (started < options.trials && trials.size() < static_cast<std::size_t>(options.parallel))
      trials.push_back(std::make_unique<Trial>(options, folder.path(), ++started, random));
    for (auto& trial : trials) {
      if (!trial->go_on(vigild, tally)) continue;
      trial.reset();
      ++done;
      if (isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "\r%d of %d", done, options.trials);
    }
    trials.erase(std::remove(trials.begin(), trials.end(), nullptr), trials.end());
    poll(nullptr, 0, 5);
  }
  if (isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "\r                \r");
  std::sort(tally.seconds.begin(), tally.seconds.end());
  std::printf("%d trainers were killed (%s, seed %u)\n", options.trials, options.trainer.empty() ? "known figures" : "libtorch",
              options.seed);
  std::printf("  before their file was there  %6d\n", tally.before_file);
  std::printf("  before their first step      %6d\n", tally.before_step);
  std::printf("  later                        %6d\n", tally.with_steps);
  std::printf("  step records read back       %6llu\n", static_cast<unsigned long long>(tally.records));
  std::printf("  frames read back             %6llu\n", static_cast<unsigned long long>(tally.frames));
  std::printf("  files with a slot half written, which was left out  %d\n", tally.torn_slots);
  if (!tally.seconds.empty())
    std::printf("  until vigild said crashed    median %.2f s, longest %.2f s\n", tally.seconds[tally.seconds.size() / 2],
                tally.seconds.back());
  for (const std::string& complaint : tally.complaints) std::printf("WRONG %s\n", complaint.c_str());
  std::printf("%zu complaints\n", tally.complaints.size());
  return tally.complaints.empty() ? 0 : 1;
}

}  // namespace
}  // namespace vigil

int main(int argc, char** argv) {
  try {
    return vigil::run(vigil::parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "crash_trials: " << error.what() << '\n';
    return 2;
  }
}
