// A process that writes checkpoints is killed, again and again: the latest good one loads every time.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "files.h"
#include "model/counting_model.h"
#include "vigil/model/checkpointer.h"

namespace vigil {
namespace {

namespace fs = std::filesystem;
constexpr int kTrials = 200;

// The writer's own process, with a pipe from what it says.
class Writer {
 public:
  Writer(const fs::path& directory, const fs::path& copy) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("no pipe");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      execl(VIGIL_CHECKPOINT_WRITER, VIGIL_CHECKPOINT_WRITER, directory.c_str(), copy.c_str(), nullptr);
      _exit(127);
    }
    close(ends[1]);
    from_ = ends[0];
  }
  ~Writer() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(from_);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // The next line; empty at the end.
  std::string line() {
    std::string text;
    for (char c = 0; read(from_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  // Kills it, and returns all that it has said until then and was not read.
  std::string end() {
    kill(pid_, SIGKILL);
    std::string rest;
    char piece[4096];
    for (ssize_t got; (got = read(from_, piece, sizeof piece)) > 0;) rest.append(piece, static_cast<std::size_t>(got));
    return rest;
  }

 private:
  pid_t pid_ = -1;
  int from_ = -1;
};

TEST(KilledWhileSaving, TheLatestGoodCheckpointLoadsEveryTime) {
  const test::TemporaryFolder folder;
  CheckpointOptions options;
  options.directory = folder.path() / "checkpoints";
  options.copies = {folder.path() / "copies"};
  fs::create_directory(options.directory);
  std::mt19937 random(std::random_device{}());
  int within_a_save = 0, skipped = 0;
  std::uint64_t steps = 0;
  std::chrono::microseconds usual{3000};  // of one save
  for (int trial = 0; trial < kTrials; ++trial) {
    std::string last;
    std::uint64_t complete = 0;
    {
      Writer writer(options.directory, options.copies[0]);
      ASSERT_EQ(writer.line().rfind("started ", 0), 0U) << "trial " << trial;
      ASSERT_EQ(writer.line().rfind("saving ", 0), 0U);
      const auto begin = std::chrono::steady_clock::now();
      if (trial % 20 == 0) {  // how long does one take here?
        const std::string saved = writer.line();
        ASSERT_EQ(saved.rfind("saved ", 0), 0U) << saved;
        usual = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
        complete = std::stoull(saved.substr(6));
      }
      // Any moment of the next two saves.
      const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % static_cast<unsigned>(2 * usual.count()));
      while (std::chrono::steady_clock::now() < until) continue;
      const std::string said = writer.end();
      const auto line = said.rfind('\n', said.size() - 2);
      last = said.empty() ? "saving" : said.substr(line == std::string::npos ? 0 : line + 1);
      if (const auto found = said.rfind("saved "); found != std::string::npos) complete = std::stoull(said.substr(found + 6));
    }
    within_a_save += last.rfind("saving", 0) == 0;
    CountingModel model;
    torch::optim::Adam optimizer(model.parameters());
    const auto loaded = Checkpointer(options).load_latest_good(model, optimizer);
    for (const auto& one : loaded.skipped) std::printf("skipped %s: %s\n", one.path.c_str(), one.reason.c_str());
    skipped += static_cast<int>(loaded.skipped.size());
    ASSERT_TRUE(loaded.loaded || (complete == 0 && steps == 0)) << "trial " << trial;
    ASSERT_GE(loaded.step, std::max(complete, steps)) << "trial " << trial << ": a complete checkpoint was lost";
    ASSERT_TRUE(!loaded.loaded || model.is_at(loaded.step, optimizer)) << "trial " << trial;
    steps = loaded.step;
  }
  std::printf(
      "\n| kills | within a save | latest good one loaded | its content right | unusable ones met | steps saved "
      "|\n|---|---|---|---|---|---|\n");
  std::printf("| %d | %d | %d | %d | %d | %llu |\n\n", kTrials, within_a_save, kTrials, kTrials, skipped,
              static_cast<unsigned long long>(steps));
  EXPECT_GE(within_a_save, kTrials / 4) << "the kills do not fall where they are meant to";
}

}  // namespace
}  // namespace vigil
