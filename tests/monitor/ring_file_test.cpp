// A run's rings in a file: what another process reads is what was written.
#include "vigil/monitor/ring_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "monitor/ring_image.h"
#include "vigil/monitor/ring_file_reader.h"

namespace vigil {
namespace {

using namespace test;

struct Written {
  explicit Written(ChannelBounds bounds = {16, 0}) : shared(make_shared_channel(small_schema(), bounds, folder.path().string())) {}

  RunChannel& channel() { return *shared.channel; }
  std::shared_ptr<const RingFile> open() const { return std::make_shared<const RingFile>(shared.path); }

  TemporaryFolder folder;
  SharedChannel shared;
};

// The files of a folder with this ending.
std::size_t files_in(const TemporaryFolder& folder, const std::string& extension = ".ring") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) files += entry.path().extension() == extension ? 1 : 0;
  return files;
}

// What a process that does `life` exits with.
template <class Life>
int code_of(Life life) {
  const pid_t child = fork();
  if (child == 0) _exit(life());
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// What `make_shared_channel` says in this folder; empty when it makes a file, which is gone then.
std::string problem_in(const std::string& directory, const Schema& schema = small_schema()) {
  try {
    remove_ring_file(make_shared_channel(schema, {16, 0}, directory).path);
    return {};
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

TEST(RingFile, TellsTheSchemaOfItsRun) {
  const Written written;
  const auto file = written.open();
  const Schema &read = file->schema(), wrote = small_schema();
  EXPECT_EQ(read.identity.run, wrote.identity.run);
  EXPECT_EQ(read.identity.rank, 3);
  EXPECT_EQ(read.identity.world_size, 8);
  EXPECT_EQ(read.identity.model, "Net");
  EXPECT_EQ(read.identity.libtorch, "1.13.1");
  EXPECT_EQ(read.identity.host, "node7");
  EXPECT_EQ(read.identity.pid, 4711);
  EXPECT_EQ(read.identity.start_time_ns, wrote.identity.start_time_ns);
  ASSERT_EQ(read.rows.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const RowSchema &row = read.rows[i], &of = wrote.rows[i];
    EXPECT_EQ(std::tie(row.kind, row.name, row.layer, row.shape, row.element_count, row.dtype, row.histogram, row.has_update,
                       row.has_distance, row.has_cosine, row.part, row.learning_rate, row.infinite, row.optimizer_state),
              std::tie(of.kind, of.name, of.layer, of.shape, of.element_count, of.dtype, of.histogram, of.has_update, of.has_distance,
                       of.has_cosine, of.part, of.learning_rate, of.infinite, of.optimizer_state));
  }
  EXPECT_EQ(read.parameters, wrote.parameters);
  EXPECT_EQ(read.groups, wrote.groups);
  EXPECT_EQ(std::tie(read.histograms, read.learning_rates, read.activations, read.layers, read.peak_flops, read.trainable.bytes),
            std::tie(wrote.histograms, wrote.learning_rates, wrote.activations, wrote.layers, wrote.peak_flops, wrote.trainable.bytes));
}

TEST(RingFile, TellsTheFingerprintOfTheModelWhereThereIsOneAndItIsWhole) {
  const TemporaryFolder folder;
  const auto fingerprint_of = [&](const Bytes& image) {
    write_image(folder.file("image.ring"), image);
    return RingFile(folder.file("image.ring")).schema().identity.model_fingerprint;
  };
  Schema schema = small_schema();
  EXPECT_EQ(fingerprint_of(make_image(schema, {16, 0}, fixed_origin())), "");
  schema.identity.model_fingerprint = "no fingerprint";
  EXPECT_EQ(fingerprint_of(make_image(schema, {16, 0}, fixed_origin())), "");
  schema.identity.model_fingerprint = "a7d1f3eac31e31f49e8def25b6964ce3";
  Bytes image = make_image(schema, {16, 0}, fixed_origin());
  EXPECT_EQ(fingerprint_of(image), "a7d1f3eac31e31f49e8def25b6964ce3");
  EXPECT_EQ(image[RingHeaderAddition::kOffset], std::byte{0xa7});
  image[RingHeaderAddition::kOffset + 3] ^= std::byte{1};
  EXPECT_EQ(fingerprint_of(image), "");
}

TEST(RingFile, IsReadableForItsGroupAndAppearsAsAWhole) {
  const Written written;
  struct stat status {};
  ASSERT_EQ(stat(written.shared.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  EXPECT_EQ(written.shared.path.find(written.folder.file("mnist_run_1.3." + std::to_string(getpid()) + ".")), 0u);
  EXPECT_EQ(files_in(written.folder), 1u);
  EXPECT_EQ(files_in(written.folder, ".tmp"), 0u);
}

TEST(RingFile, AFollowerOfItSeesWhatOneOfTheChannelSees) {
  Written written;
  RunFollower here(written.channel());
  RunFollower there(std::make_unique<RingFileReader>(written.open()));
  written.channel().live().state.store(RunState::running);
  written.channel().scalar_names().find_or_append("validation/loss");
  publish_frame(written.channel(), 1);
  for (std::uint64_t step = 1; step <= 3; ++step) publish_step(written.channel(), step);
  std::vector<std::uint64_t> steps_here, steps_there;
  here.poll([&](const StepRecord& record, const double*) { steps_here.push_back(record.step); });
  there.poll([&](const StepRecord& record, const double*) { steps_there.push_back(record.step); });
  EXPECT_EQ(steps_there, steps_here);
  const auto left = here.snapshot(), right = there.snapshot();
  EXPECT_EQ(right->state, RunState::running);
  EXPECT_EQ(right->loss, left->loss);
  EXPECT_EQ(right->user_scalars, left->user_scalars);
  EXPECT_EQ(right->learning_rates, left->learning_rates);
  ASSERT_EQ(right->rows.size(), 2u);
  EXPECT_EQ(std::memcmp(right->rows.data(), left->rows.data(), 2 * sizeof(TensorRow)), 0);
}

TEST(RingFile, AReaderThatGoesOnFromItsCursorsMissesNothingAndReadsNothingTwice) {
  Written written;
  for (std::uint64_t step = 1; step <= 5; ++step) publish_step(written.channel(), step);
  RingCursors cursors{};
  std::vector<std::uint64_t> words(written.channel().geometry(RingKind::steps).payload_words), seen;
  for (int turn = 0; turn < 3; ++turn) {
    RingFileReader reader(written.open(), cursors);
    reader.refresh();
    while (reader.try_read(RingKind::steps, words.data())) seen.push_back(words[0]);
    cursors = reader.cursors();
    publish_step(written.channel(), 6 + static_cast<std::uint64_t>(turn));
  }
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7}));
}

TEST(RingFile, TellsThatItsWriterLivesAndThatItIsGone) {
  TemporaryFolder folder;
  int ready[2], go[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  const pid_t child = fork();
  if (child == 0) {
    const SharedChannel shared = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
    char path[4096] = {};
    std::strncpy(path, shared.path.c_str(), sizeof path - 1);
    static_cast<void>(!write(ready[1], path, sizeof path));
    static_cast<void>(!read(go[0], path, 1));
    _exit(0);
  }
  char path[4096];
  ASSERT_EQ(read(ready[0], path, sizeof path), static_cast<ssize_t>(sizeof path));
  const RingFile file(path);
  const ProcessIdentity self = this_process();
  EXPECT_EQ(file.writer(self), WriterState::alive);
  ASSERT_EQ(write(go[1], "x", 1), 1);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(file.writer(self), WriterState::gone) << "though its parent has not waited for it";
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(file.writer(self), WriterState::gone);
}

// A trainer in a container: its number says nothing outside, but its lock has ended with it.
TEST(RingFile, OfAWriterInAnotherPidNamespaceTheLockAloneTells) {
  const TemporaryFolder folder;
  int paths[2], end[2];
  ASSERT_EQ(pipe(paths) + pipe(end), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(end[1]);
    const SharedChannel shared = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
    static_cast<void>(!write(paths[1], shared.path.data(), shared.path.size() + 1));
    char told = 0;
    static_cast<void>(!read(end[0], &told, 1));
    _exit(0);
  }
  char path[4096] = {};
  ASSERT_GT(read(paths[0], path, sizeof path), 0);
  ProcessIdentity outside = this_process();
  outside.pid_namespace += 1;
  EXPECT_EQ(RingFile(path).writer(outside), WriterState::alive);
  close(end[1]);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(RingFile(path).writer(outside), WriterState::gone);
  for (const int descriptor : {paths[0], paths[1], end[0]}) close(descriptor);

  // One that got no lock, as on a file system without locks.
  RingOrigin origin = new_ring_origin();
  ASSERT_FALSE(origin.holds_lock);
  write_image(folder.file("unlocked.ring"), make_image(small_schema(), {16, 0}, origin));
  EXPECT_EQ(RingFile(folder.file("unlocked.ring")).writer(outside), WriterState::unknown);
}

TEST(RingFile, AWatchedProcessCanWatchARunAgainAndOldFilesGo) {
  TemporaryFolder folder;
  for (int i = 0; i < 3; ++i) {
    // Each in a process of its own: a file is kept as long as its writer lives.
    EXPECT_EQ(code_of([&] {
                make_shared_channel(small_schema(), {16, 0}, folder.path().string());
                return 0;
              }),
              0);
  }
  const SharedChannel first = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
  const SharedChannel second = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
  EXPECT_EQ(second.path, first.path.substr(0, first.path.size() - 5) + "-2.ring");
  EXPECT_EQ(files_in(folder), 2 + kKeptFiles);
}

TEST(RingFile, OldFilesOfWhomeverLivesStayAndSoDoesWhatCannotBeRead) {
  TemporaryFolder folder;
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  std::vector<pid_t> living;
  for (int i = 0; i < 4; ++i) {
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    living.push_back(fork());
    if (living.back() == 0) {
      const SharedChannel shared = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
      close(go[1]);
      char byte = 'x';
      if (write(ready[1], &byte, 1) == 1) static_cast<void>(!read(go[0], &byte, 1));
      _exit(0);
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
  }
  const std::string prefix = folder.file("mnist_run_1.3.1.");
  for (const char* name : {"1.ring", "2.ring", "3.ring", "4.ring"}) write_image(prefix + name, Bytes(10'000));
  for (const char* name : {"1", "2", "3", "4"}) write_image(prefix + name + "5.ring", small_image());  // nobody's: gone
  ASSERT_EQ(mkfifo((prefix + "6.ring").c_str(), 0600), 0);
  ASSERT_EQ(symlink("/dev/null", (prefix + "7.ring").c_str()), 0);
  const SharedChannel shared = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
  EXPECT_EQ(files_in(folder), 4 + 4 + kKeptFiles + 2 + 1);
  close(go[1]);
  for (const pid_t child : living) EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

// Runs of one name and rank, which no launcher has numbered, that begin at once.
TEST(RingFile, ManyProcessesOfOneNameBeginAtTheSameTime) {
  constexpr int kProcesses = 24;
  TemporaryFolder folder;
  int go[2];
  ASSERT_EQ(pipe(go), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(fork());
    if (children.back() == 0) {
      close(go[1]);
      char byte;
      static_cast<void>(!read(go[0], &byte, 1));
      for (int again = 0; again < 20; ++again) {
        const std::string problem = problem_in(folder.path().string());
        if (!problem.empty()) _exit(1);
      }
      _exit(0);
    }
  }
  close(go[1]);
  for (const pid_t child : children) {
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(files_in(folder) + files_in(folder, ".tmp"), 0u);
}

TEST(RingFile, TakesANameThatIsFree) {
  TemporaryFolder folder;
  const std::string path = make_shared_channel(small_schema(), {16, 0}, folder.path().string()).path;
  const std::string name = path.substr(0, path.size() - 5);
  remove_ring_file(path);
  // Another container's process of the same number is making one; a third is a trap.
  write_image(name + ".tmp", {});
  ASSERT_EQ(symlink("/etc/passwd", (name + "-2.tmp").c_str()), 0);
  ASSERT_EQ(symlink("/nowhere", (name + "-3.ring").c_str()), 0);
  write_image(name + "-4.ring", {});
  const SharedChannel shared = make_shared_channel(small_schema(), {16, 0}, folder.path().string());
  // Nobody is behind the third, and a name that leads nowhere is replaced.
  EXPECT_EQ(shared.path, name + "-3.ring");
  EXPECT_TRUE(std::filesystem::is_regular_file(std::filesystem::symlink_status(shared.path)));
  EXPECT_EQ(make_shared_channel(small_schema(), {16, 0}, folder.path().string()).path, name + "-5.ring");
  EXPECT_EQ(files_in(folder, ".tmp"), 2u);
}

TEST(RingFile, WhatADeadProcessWasMakingGoesAfterAnHour) {
  TemporaryFolder folder;
  const std::string old = folder.file("mnist_run_1.3.1.1.tmp"), young = folder.file("mnist_run_1.3.1.2.tmp"),
                    another = folder.file("other.3.1.1.tmp");
  for (const std::string& path : {old, young, another}) write_image(path, small_image());
  for (const std::string& path : {old, another})
    std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(2));
  EXPECT_EQ(problem_in(folder.path().string()), "");
  EXPECT_FALSE(std::filesystem::exists(old));
  EXPECT_TRUE(std::filesystem::exists(young));
  EXPECT_TRUE(std::filesystem::exists(another)) << "of another run";
}

TEST(RingFile, SaysWhatToDoWhenItCannotBeMade) {
  EXPECT_EQ(
      problem_in("/nowhere/at/all"),
      "ring.shared: /nowhere/at/all: cannot make a file there (No such file or directory); set ring.directory to a directory that this "
      "program may write to, best on a tmpfs");
  TemporaryFolder folder;
  EXPECT_EQ(
      code_of([&] {
        signal(SIGXFSZ, SIG_IGN);
        const rlimit little{4096, 4096};
        setrlimit(RLIMIT_FSIZE, &little);
        return problem_in(folder.path().string()) ==
                       "ring.shared: " + folder.path().string() +
                           ": there is no room for 1 MiB; lower ring.step_records or ring.frame_bytes, or choose another ring.directory"
                   ? 0
                   : 1;
      }),
      0);
  Schema schema = small_schema();
  schema.rows[0].name.assign(kMaxTextBytes + 1, 'n');
  EXPECT_EQ(problem_in(folder.path().string(), schema),
            "ring.shared: the model does not fit into a ring file: section rows: a text is longer than 1024 bytes; leave tensors out "
            "(sampling.include, sampling.exclude), or set ring.shared: false");
  schema = small_schema();
  schema.identity.model.assign(100'000, 'T');  // the name of a C++ type
  EXPECT_EQ(problem_in(folder.path().string(), schema), "");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "of what cannot be made nothing stays";
}

}  // namespace
}  // namespace vigil
