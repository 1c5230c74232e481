// What lies where a ring file should, or changes while it is read: another kind of file, somebody else's, one that claims to be huge.
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "effort.h"
#include "files.h"
#include "monitor/ring_image.h"

namespace vigil {
namespace {

using namespace test;
using Clock = std::chrono::steady_clock;

class RingPlace : public testing::Test {
 protected:
  /// What `call` returns in a process of another user, who may look into the folder.
  template <class Call>
  int as_nobody(Call call) {
    constexpr id_t kNobody = 65534;
    EXPECT_EQ(chmod(folder.path().c_str(), 0755), 0);
    const pid_t child = fork();
    if (child == 0) _exit(setgroups(0, nullptr) == 0 && setegid(kNobody) == 0 && seteuid(kNobody) == 0 ? call() : 99);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TemporaryFolder folder;
  const std::string path = folder.file("some.ring");
  const Bytes good = small_image();
};

TEST_F(RingPlace, IsNoRegularFile) {
  EXPECT_EQ(problem_of(path), "it cannot be opened: No such file or directory");
  EXPECT_EQ(problem_of(path + "/deeper"), "it cannot be opened: No such file or directory");
  EXPECT_EQ(problem_of(std::string(5000, 'x')), "it cannot be opened: File name too long");
  EXPECT_EQ(problem_of(folder.path().string()), "it is a directory");
  EXPECT_EQ(problem_of("/dev/zero"), "it is a device");
  EXPECT_EQ(problem_of("/dev/null"), "it is a device");
  EXPECT_EQ(problem_of("/proc/self/status"), "it is shorter than a header: 0 bytes");

  ASSERT_EQ(mkfifo(folder.file("pipe.ring").c_str(), 0600), 0);
  EXPECT_EQ(problem_of(folder.file("pipe.ring")), "it is a pipe") << "without waiting for who writes it";
  const int socket_file = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, folder.file("socket.ring").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(socket_file, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(problem_of(folder.file("socket.ring")), "it is a socket");
  close(socket_file);

  write_image(path, good);
  ASSERT_EQ(symlink(path.c_str(), folder.file("link.ring").c_str()), 0);
  EXPECT_EQ(problem_of(folder.file("link.ring")), "it is a symbolic link");
  ASSERT_EQ(symlink("link2.ring", folder.file("link2.ring").c_str()), 0);
  EXPECT_EQ(problem_of(folder.file("link2.ring")), "it is a symbolic link");
  EXPECT_EQ(problem_of(path), "");
}

TEST_F(RingPlace, BelongsToAnotherUserThanItSays) {
  Bytes of_another = good;
  write_at(of_another, offsetof(RingHeader, uid), std::uint32_t{geteuid() + 1});
  repair_crc(of_another);
  write_image(path, of_another);
  EXPECT_EQ(problem_of(path),
            "it belongs to user " + std::to_string(geteuid()) + ", and says that user " + std::to_string(geteuid() + 1) + " wrote it");
  if (geteuid() != 0) return;
  write_image(path, good);
  ASSERT_EQ(chown(path.c_str(), 4321, 4321), 0);
  EXPECT_EQ(problem_of(path), "it belongs to user 4321, and says that user 0 wrote it");
}

TEST_F(RingPlace, MayNotBeRead) {
  write_image(path, good);
  ASSERT_EQ(chmod(path.c_str(), 0000), 0);
  const std::string expected = "it cannot be opened: Permission denied";
  if (geteuid() == 0) {
    EXPECT_EQ(as_nobody([&] { return problem_of(path) == expected ? 0 : 1; }), 0);
  } else {
    EXPECT_EQ(problem_of(path), expected);
  }
}

// Who may read may hold a read lock as well; only who may write tells by a lock that it lives.
TEST_F(RingPlace, IsLockedByAReader) {
  write_image(path, good);
  int ready[2], go[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  const pid_t child = fork();
  if (child == 0) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;
    char byte = fcntl(file, F_SETLK, &lock) == 0 ? 'y' : 'n';
    static_cast<void>(!write(ready[1], &byte, 1));
    static_cast<void>(!read(go[0], &byte, 1));
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(byte, 'y');
  EXPECT_EQ(RingFile(path).writer(this_process()), WriterState::gone);
  ASSERT_EQ(write(go[1], "x", 1), 1);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

TEST_F(RingPlace, GoesOnBeingReadWhenItsNameIsGone) {
  write_image(path, good);
  RunFollower follower(std::make_unique<RingFileReader>(std::make_shared<const RingFile>(path)));
  ASSERT_EQ(unlink(path.c_str()), 0);
  follower.poll();
  EXPECT_EQ(follower.snapshot()->step.step, 3u);
}

TEST_F(RingPlace, BecomesShorterOrNothingBetweenTwoReads) {
  for (const off_t length : {off_t{0}, off_t{100}, off_t{5000}, static_cast<off_t>(section_of(good, SectionKind::steps).offset + 100)}) {
    write_image(path, good);
    const auto file = std::make_shared<const RingFile>(path);
    RingFileReader reader(file);
    reader.refresh();
    ASSERT_EQ(truncate(path.c_str(), length), 0);
    std::vector<std::uint64_t> words(reader.geometry(RingKind::steps).payload_words);
    EXPECT_THROW(reader.try_read(RingKind::steps, words.data()), RingFileError);
    EXPECT_THROW(RunFollower(std::make_unique<RingFileReader>(file)).poll(), RingFileError);
    // Longer again: the rest of it is zeros now.
    ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(good.size())), 0);
    EXPECT_THROW((reader.refresh(), reader.try_read(RingKind::steps, words.data())), RingFileError);
  }
}

// For a second each, somebody changes the file as fast as possible while it is opened and read over and over.
TEST_F(RingPlace, ChangesWhileItIsRead) {
  const auto read_while = [&](const std::string& what, auto change) {
    write_image(path, good);
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(file, 0);
    std::atomic<bool> done{false};
    std::thread changing([&] {
      std::mt19937_64 random(3);
      while (!done.load()) change(file, random);
    });
    std::size_t readable = 0, refused = 0;
    for (const auto end = Clock::now() + std::chrono::seconds(1); Clock::now() < end || readable + refused < 10;) {
      const std::string problem = problem_of(path);
      ++(problem.empty() ? readable : refused);
    }
    done.store(true);
    changing.join();
    close(file);
    RecordProperty(what + "_readable", static_cast<int>(readable));
    RecordProperty(what + "_refused", static_cast<int>(refused));
    EXPECT_GT(refused, 0u) << what;
  };
  const auto length_of = [&](std::mt19937_64& random) { return static_cast<off_t>(random() % (good.size() + 1)); };
  read_while("shrinks_and_grows", [&](int file, std::mt19937_64& random) {
    static_cast<void>(!ftruncate(file, length_of(random)));
    static_cast<void>(!pwrite(file, good.data(), good.size(), 0));
  });
  read_while("grows", [&](int file, std::mt19937_64& random) {
    static_cast<void>(!ftruncate(file, static_cast<off_t>(good.size()) + length_of(random)));
    static_cast<void>(!ftruncate(file, static_cast<off_t>(good.size())));
  });
  read_while("random_words", [&](int file, std::mt19937_64& random) {
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t word = random() % 4 == 0 ? random() : random() % 8;
      static_cast<void>(!pwrite(file, &word, sizeof word, length_of(random) / 8 * 8));
    }
    if (random() % 4 == 0) static_cast<void>(!pwrite(file, good.data(), good.size(), 0));
  });
  const Bytes other = make_image(tiny_schema(), {64, 4096}, fixed_origin(), [](RunChannel& channel) { publish_step(channel, 1); });
  read_while("becomes_another_run", [&](int file, std::mt19937_64& random) {
    const Bytes& image = random() % 2 == 0 ? good : other;
    static_cast<void>(!ftruncate(file, static_cast<off_t>(image.size())));
    static_cast<void>(!pwrite(file, image.data(), image.size(), 0));
  });
}

// --- memory ----------------------------------------------------------------------------------------------------------------

// KiB of "VmHWM:      1234 kB".
long peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return -1;
}

// MiB that this process has needed more than before, at most, while it did `work`.
template <class Work>
long peak_mib_of(Work work) {
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak is what there is now
  const long before = peak_kib();
  work();
  return (peak_kib() - before) / 1024;
}

// A file with no memory behind it but for what is written.
class SparseFile {
 public:
  SparseFile(const std::string& path, std::uint64_t bytes) : file_(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)) {
    EXPECT_EQ(ftruncate(file_, static_cast<off_t>(bytes)), 0);
  }
  ~SparseFile() { close(file_); }
  SparseFile(const SparseFile&) = delete;
  SparseFile& operator=(const SparseFile&) = delete;

  template <class T>
  void put(std::uint64_t offset, const T& value) const {
    EXPECT_EQ(pwrite(file_, &value, sizeof value, static_cast<off_t>(offset)), static_cast<ssize_t>(sizeof value));
  }
  void put_header(RingHeader header) const {
    header.crc = crc32c(&header, offsetof(RingHeader, crc));
    put(0, header);
  }

 private:
  int file_;
};

TEST_F(RingPlace, ClaimsToBeHuge) {
  constexpr std::uint64_t kHuge = std::uint64_t{16} << 30;
  std::vector<std::string> problems;
  const long mib = peak_mib_of([&] {
    for (std::size_t i = 0; i < kSectionCount; ++i) {
      for (const std::uint64_t count : {std::uint64_t{1}, std::uint64_t{2}, kMaxRows, std::uint64_t{1} << 24, std::uint64_t{1} << 32}) {
        RingHeader header = header_of(good);
        header.total_size = header.sections[i].offset + kHuge;
        header.sections[i].size = kHuge;
        header.sections[i].count = count;
        header.sections[i].record_size = kHuge / count;
        SparseFile(path, header.total_size).put_header(header);
        problems.push_back(problem_of(path));
      }
    }
  });
  for (const std::string& problem : problems) EXPECT_EQ(problem.rfind("section ", 0), 0u) << problem;
  RecordProperty("peak_mib", static_cast<int>(mib));
  EXPECT_LT(mib, kIsSanitized ? 512 : 64);
}

// The largest run that a file may be of: every bound reached, and records in every ring. Then it is read, and two snapshots are kept.
TEST_F(RingPlace, OfTheLargestRunIsReadWithinTheStatedMemory) {
  Schema schema;
  schema.identity.run = "largest";
  schema.rows.resize(kMaxRows);
  for (std::size_t i = 0; i < kMaxRows; ++i) {
    schema.rows[i].histogram = static_cast<std::int32_t>(i);
    // As many bytes of text as there may be, and as many texts that are longer than what a string holds in itself.
    schema.rows[i].name.assign(kMaxStringBytes / kMaxRows - 16, 'n');
  }
  schema.histograms = kMaxRows;
  schema.parameters.resize(kMaxParameters);
  schema.learning_rates = kMaxParameterGroups;
  schema.groups.resize(kMaxParameterGroups);
  schema.activations = kMaxLayers;
  const RingLayout layout = layout_of(schema, kLeastSlots, kLeastSlots);
  EXPECT_LE(8 * layout.geometry(RingKind::frames).payload_words, std::uint64_t{64} << 20);
  {
    const SharedChannel shared = make_shared_channel(schema, {kLeastSlots, 0}, folder.path().string());
    const std::string name(LayerNames::kMaxBytes, 'l');
    for (std::size_t i = 0; i < kMaxLayers; ++i) shared.channel->layer_names().append(name, 0);
    publish_step(*shared.channel, 1);
    publish_frame(*shared.channel, 1);
    publish_event(*shared.channel, 1);
    publish_step(*shared.channel, 2);
    publish_frame(*shared.channel, 2);
    ASSERT_EQ(rename(shared.path.c_str(), path.c_str()), 0);
  }
  schema = Schema();

  int answer[2];
  ASSERT_EQ(pipe(answer), 0);
  // In a process of its own, whose memory is not what was made above.
  const pid_t child = fork();
  if (child == 0) {
    long mib = -1;
    malloc_trim(0);  // or it would be used again unseen
    try {
      mib = peak_mib_of([&] {
        RunFollower follower(std::make_unique<RingFileReader>(std::make_shared<const RingFile>(path)));
        follower.poll();
        const auto one = follower.snapshot();
        const auto another = follower.snapshot();
        if (another->rows.size() != kMaxRows || another->activations.size() != kMaxLayers || !another->origin) _exit(1);
      });
    } catch (...) {
    }
    static_cast<void>(!write(answer[1], &mib, sizeof mib));
    _exit(0);
  }
  long mib = -1;
  close(answer[1]);
  EXPECT_EQ(read(answer[0], &mib, sizeof mib), static_cast<ssize_t>(sizeof mib));
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  RecordProperty("peak_mib", static_cast<int>(mib));
  EXPECT_GT(mib, 0);
  EXPECT_TRUE(mib < 512 || kIsSanitized) << mib;

  // One more of anything, and nobody would make the file.
  schema.rows.resize(kMaxRows + 1);
  try {
    make_shared_channel(schema, {kLeastSlots, 0}, folder.path().string());
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("131073 records; there may be 131072; leave tensors out (sampling.include"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace vigil
