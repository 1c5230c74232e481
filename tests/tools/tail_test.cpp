// `vigil tail`: the steps of a run as they come, to its end.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>
#include <vector>

#include "e2e/wait_until.h"
#include "files.h"
#include "fork.h"
#include "tools/command.h"
#include "tools/ring_trainer.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

// `vigil tail …` beside the test, with its output in a pipe.
class TailProcess {
 public:
  // `err`: the file that stderr goes to, if any.
  explicit TailProcess(std::vector<std::string> words, const std::string& err = "") {
    words.insert(words.begin(), {VIGIL_PROGRAM, "tail"});
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    std::array<int, 2> out{};
    EXPECT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
    pid_ = fork_quietly();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(out[1], STDOUT_FILENO);
      if (!err.empty()) dup2(open(err.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), STDERR_FILENO);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
    close(out[1]);
    out_ = out[0];
    fcntl(out_, F_SETFL, O_NONBLOCK);
  }
  ~TailProcess() {
    close_reader();
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  TailProcess(const TailProcess&) = delete;
  TailProcess& operator=(const TailProcess&) = delete;

  const std::string& text() {
    std::array<char, 65536> buffer;
    for (ssize_t size; out_ >= 0 && (size = read(out_, buffer.data(), buffer.size())) > 0;)
      text_.append(buffer.data(), static_cast<std::size_t>(size));
    return text_;
  }
  bool waits_for(const std::string& part) {
    return wait_until(20, [&] { return text().find(part) != std::string::npos; });
  }
  void send(int signal) const { kill(pid_, signal); }
  void close_reader() {
    if (out_ >= 0) close(out_);
    out_ = -1;
  }
  // Exit code, or 128 + signal; -1: it did not end.
  int code() {
    int status = 0;
    if (!wait_until(20, [&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
    text();
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::string text_;
};

class Tail : public testing::Test {
 protected:
  Tail() { setup.directory = folder.path(); }
  std::vector<std::string> with(std::vector<std::string> more) const {
    more.insert(more.end(), {"--ring.directory", folder.path().string()});
    return more;
  }
  static std::vector<std::uint64_t> steps_in(const std::string& text) {
    std::vector<std::uint64_t> steps;
    for (const json& line : json_lines(text)) {
      if (line["type"] == "step") steps.push_back(line["step"]);
    }
    return steps;
  }

  TemporaryFolder folder;
  TrainingSetup setup;
};

TEST_F(Tail, ShowsEachStepOnceAsItComesAndEndsWithTheRun) {
  RingTrainer trainer(setup);
  trainer.train(30);
  TailProcess tail(with({"mnist", "--json", "--last", "5"}));
  ASSERT_TRUE(tail.waits_for("\"step\":30,"));
  for (int i = 0; i < 5; ++i) trainer.train(100);
  ASSERT_TRUE(tail.waits_for("\"step\":530,"));
  trainer.end(TrainingEnd::finished);
  EXPECT_EQ(tail.code(), 0);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t step = 26; step <= 530; ++step) expected.push_back(step);
  EXPECT_EQ(steps_in(tail.text()), expected);
  const std::vector<json> lines = json_lines(tail.text());
  EXPECT_EQ(lines.front()["type"], "run");
  EXPECT_EQ(lines.back(), json::parse(R"({"type":"end","state":"finished","reason":"","last_step":530})"));
  const PublishedRun wrote = published(setup, 530);
  std::size_t events = 0;
  for (const json& line : lines) {
    if (line["type"] == "nonfinite") ++events;
    if (line["type"] != "step" || line["loss"].is_string()) continue;
    EXPECT_EQ(line["loss"].get<double>(), wrote.steps[line["step"].get<std::size_t>() - 1].record.loss);
  }
  EXPECT_EQ(events, wrote.events.size());
}

TEST_F(Tail, ItsExitCodeTellsHowTheRunEnded) {
  for (const auto& [end, code] : {std::pair(TrainingEnd::finished, 0), std::pair(TrainingEnd::failed, 1), std::pair(TrainingEnd::killed, 1),
                                  std::pair(TrainingEnd::segmentation_fault, 1)}) {
    const std::string path = trained(setup, 12, end);
    const CommandResult result = run_vigil({"tail", path});
    EXPECT_EQ(result.code, code);
    EXPECT_NE(result.out.find("        12  "), std::string::npos) << result.out;
    EXPECT_NE(result.out.find(", after step 12\n"), std::string::npos) << result.out;
    std::filesystem::remove(path);
  }
  EXPECT_EQ(run_vigil({"tail", folder.file("none.ring")}).code, 1);
  const CommandResult unknown = run_vigil(with({"tail", "nobody"}));
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("no run is called 'nobody'"), std::string::npos) << unknown.err;
}

TEST_F(Tail, ShowsEveryNthStepAndAllThatAreNotFinite) {
  trained(setup, 450, TrainingEnd::finished);
  const CommandResult result = run_vigil(with({"tail", "mnist", "--json", "--last", "100", "--every", "25"}));
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(steps_in(result.out), (std::vector<std::uint64_t>{375, 400, 401, 402, 425, 450}));
}

TEST_F(Tail, GoesAwayWithItsReaderAlsoWhenNothingIsToBeSaid) {
  RingTrainer trainer(setup);
  trainer.train(3);
  TailProcess tail(with({"mnist"}));
  ASSERT_TRUE(tail.waits_for("         3  "));
  tail.close_reader();
  EXPECT_EQ(tail.code(), 0);
}

TEST_F(Tail, GoesAwayWithItsReaderInTheMiddleOfALine) {
  RingTrainer trainer(setup);
  trainer.train(4000);
  TailProcess tail(with({"mnist", "--json", "--last", "4000"}));  // more than a pipe holds
  ASSERT_TRUE(wait_until(20, [&] { return tail.text().size() > 100; }));
  tail.close_reader();
  EXPECT_EQ(tail.code(), 0);
}

TEST_F(Tail, CtrlCEndsItBetweenTwoLines) {
  RingTrainer trainer(setup);
  trainer.train(30);
  TailProcess tail(with({"mnist"}));
  ASSERT_TRUE(tail.waits_for("        30  "));
  tail.send(SIGINT);
  EXPECT_EQ(tail.code(), 128 + SIGINT);
  EXPECT_EQ(tail.text().back(), '\n');
}

TEST_F(Tail, FollowsALaterAttemptUntilOneFinishes) {
  RingTrainer first(setup);
  first.train(20);
  TailProcess tail(with({"mnist", "--json", "--follow"}));
  ASSERT_TRUE(tail.waits_for("\"step\":20,"));
  first.end(TrainingEnd::killed);
  ASSERT_TRUE(tail.waits_for("\"state\":\"crashed\""));
  setup.attempt = 1;
  setup.start_time_ns += 1'000'000'000;
  RingTrainer second(setup);
  second.train(3);
  ASSERT_TRUE(tail.waits_for("\"attempt\":1,"));
  ASSERT_TRUE(tail.waits_for("\"step\":3,"));
  second.end(TrainingEnd::finished);
  EXPECT_EQ(tail.code(), 0);
}

TEST_F(Tail, WaitsForARunThatHasNotBegun) {
  setup.run = "other";
  trained(setup, 3, TrainingEnd::finished);
  setup.run = "mnist";
  TailProcess tail(with({"mnist", "--json", "--follow"}), folder.file("err"));
  const std::string note = "vigil: note: no run is called 'mnist'; there are 'other'; waiting for it\n";
  ASSERT_TRUE(wait_until(20, [&] { return read_text(folder.file("err")) == note; })) << read_text(folder.file("err"));
  RingTrainer trainer(setup);
  trainer.train(3);
  ASSERT_TRUE(tail.waits_for("\"step\":3,"));
  trainer.end(TrainingEnd::finished);
  EXPECT_EQ(tail.code(), 0);
  EXPECT_EQ(read_text(folder.file("err")), note) << "once";
  // A directory that is not there is none in which a run will begin.
  EXPECT_EQ(run_vigil({"tail", "mnist", "--follow", "--ring.directory", folder.file("none")}).code, 1);
}

TEST_F(Tail, CtrlCEndsItsWaitForARun) {
  TailProcess tail(with({"--follow"}), folder.file("err"));
  ASSERT_TRUE(wait_until(20, [&] { return read_text(folder.file("err")).find("waiting for it") != std::string::npos; }));
  tail.send(SIGINT);
  EXPECT_EQ(tail.code(), 128 + SIGINT);
}

TEST_F(Tail, WithoutANameTakesTheRunThatLivesAndSaysThatThereAreOthers) {
  setup.run = "over";
  setup.start_time_ns += 1'000'000'000;
  trained(setup, 3, TrainingEnd::killed);
  setup.run = "alive";
  setup.start_time_ns -= 1'000'000'000;
  RingTrainer trainer(setup);
  trainer.train(5);
  TailProcess tail(with({"--json"}));
  ASSERT_TRUE(tail.waits_for("\"run\":\"alive\""));
  trainer.end(TrainingEnd::finished);
  EXPECT_EQ(tail.code(), 0);
}

TEST_F(Tail, SaysThatTheDiskIsFull) {
  trained(setup, 400, TrainingEnd::finished);
  // The reader is there, and takes nothing.
  const pid_t child = fork_quietly();
  if (child == 0) {
    dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
    dup2(open(folder.file("err").c_str(), O_WRONLY | O_CREAT, 0600), STDERR_FILENO);
    execl(VIGIL_PROGRAM, VIGIL_PROGRAM, "tail", "mnist", "--last", "400", "--ring.directory", folder.path().c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
  EXPECT_NE(read_text(folder.file("err")).find("the output cannot be written"), std::string::npos);
}

}  // namespace
}  // namespace vigil
