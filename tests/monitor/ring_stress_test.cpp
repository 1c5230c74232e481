// A writer at full speed in tiny rings, and who reads its file meanwhile, or after it was killed.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "monitor/checked_records.h"
#include "monitor/ring_image.h"

namespace vigil {
namespace {

using namespace test;
using Clock = std::chrono::steady_clock;

constexpr std::array<RingKind, 3> kRings{RingKind::steps, RingKind::frames, RingKind::events};

// Shared with a forked child.
template <class T>
class SharedMemory {
 public:
  SharedMemory() : value_(new (mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T) {}
  ~SharedMemory() { munmap(value_, sizeof(T)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  T* value_;
};

struct Stress {
  std::atomic<bool> is_made{false};
  std::array<char, 4096> path{};
  std::atomic<bool> may_end{false};
  std::atomic<std::uint64_t> published{0};  // records of each ring
  std::atomic<bool> has_ended{false};
};

// As fast as it can, until it may end.
void write_records(RunChannel& channel, Stress& stress) {
  CheckedRecords records(channel.schema());
  channel.layer_names().find_or_append("fc", 0);
  std::uint64_t number = 0;
  for (; !stress.may_end.load(); ++number) {
    records.publish_frame(channel, number);
    records.publish_event(channel, number);
    records.publish_step(channel, number);
  }
  stress.published.store(number);
  stress.has_ended.store(true);
}

// Reads until it has met enough torn records, lets the writer end, and reads what is left.
void read_records(const std::string& path, Stress& stress) {
  constexpr std::uint64_t kTornEnough = 50;
  constexpr std::uint64_t kReadEnough = 500;
  const auto file = std::make_shared<const RingFile>(path);
  RingFileReader reader(file);
  CheckedRecords records(file->schema());
  std::array<std::uint64_t, 3> broken{}, disordered{}, next{};
  std::vector<std::uint64_t> words;
  const auto deadline = Clock::now() + std::chrono::seconds(5);  // on a busy machine, or under a sanitizer, few are torn, if any
  for (bool is_last = false;;) {
    is_last = stress.has_ended.load();
    reader.refresh();
    std::uint64_t least_torn = ~std::uint64_t{0}, least_read = least_torn;
    for (const RingKind ring : kRings) {
      const auto i = static_cast<std::size_t>(ring);
      words.resize(reader.geometry(ring).payload_words);
      while (reader.try_read(ring, words.data())) {
        broken[i] += records.is_whole(ring, words.data()) ? 0 : 1;
        disordered[i] += words[0] < next[i] ? 1 : 0;
        next[i] = words[0] + 1;
      }
      least_torn = std::min(least_torn, reader.losses(ring).torn);
      least_read = std::min(least_read, reader.losses(ring).read);
    }
    if (is_last) break;
    if ((least_torn >= kTornEnough && least_read >= kReadEnough) || Clock::now() > deadline) stress.may_end.store(true);
  }
  for (const RingKind ring : kRings) {
    const auto i = static_cast<std::size_t>(ring);
    const RingLosses losses = reader.losses(ring);
    EXPECT_EQ(broken[i], 0u);
    EXPECT_EQ(disordered[i], 0u);
    EXPECT_EQ(losses.read + losses.overwritten, stress.published.load());
    EXPECT_LE(losses.torn, losses.overwritten);
    const std::string name(kSectionNames[static_cast<std::size_t>(SectionKind::steps) - 1 + i]);
    testing::Test::RecordProperty(name, std::to_string(losses.read) + " read, " + std::to_string(losses.overwritten) + " overwritten, " +
                                            std::to_string(losses.torn) + " torn");
  }
}

// Two slots of each but the events.
constexpr ChannelBounds kTiny{2, 0};

TEST(RingStress, AnotherProcessSeesEveryRecordWholeOrCountsIt) {
  TemporaryFolder folder;
  SharedMemory<Stress> stress;
  const pid_t child = fork();
  if (child == 0) {
    const SharedChannel shared = make_shared_channel(small_schema(), kTiny, folder.path().string());
    std::copy(shared.path.begin(), shared.path.end(), stress->path.begin());
    stress->is_made.store(true);
    write_records(*shared.channel, *stress);
    _exit(0);
  }
  while (!stress->is_made.load()) std::this_thread::yield();
  read_records(stress->path.data(), *stress);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// Likewise where ThreadSanitizer sees both.
TEST(RingStress, AnotherThreadSeesEveryRecordOfTheFileWholeOrCountsIt) {
  TemporaryFolder folder;
  Stress stress;
  const SharedChannel shared = make_shared_channel(small_schema(), kTiny, folder.path().string());
  std::thread writing([&] { write_records(*shared.channel, stress); });
  read_records(shared.path, stress);
  writing.join();
}

// --- killed ------------------------------------------------------------------------------------------------------------------

// How far a writer has come, as it says after each thing that it did.
struct Progress {
  std::atomic<bool> begun{false};
  std::atomic<bool> made{false};
  std::atomic<std::uint64_t> steps{0}, frames{0}, names{0};
};

std::string name_of(std::uint64_t number) { return "scalar " + std::to_string(number) + std::string(number % 60, '.'); }

[[noreturn]] void write_until_killed(const std::string& folder, Progress& progress) {
  progress.begun.store(true);
  const SharedChannel shared = make_shared_channel(small_schema(), {4, 0}, folder);
  CheckedRecords records(shared.channel->schema());
  progress.made.store(true);
  shared.channel->live().state.store(RunState::running);
  for (std::uint64_t number = 0;; ++number) {
    records.publish_frame(*shared.channel, number);
    progress.frames.store(number + 1);
    records.publish_step(*shared.channel, number);
    progress.steps.store(number + 1);
    if (number % 16 == 0 && shared.channel->scalar_names().append(name_of(number / 16), 0)) progress.names.store(number / 16 + 1);
  }
}

// What `folder` holds: the path of the one ring file, or nothing; and whether there is one that was being made.
std::string ring_in(const std::string& folder, bool& has_unfinished) {
  std::string path;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".ring") path = entry.path().string();
    has_unfinished |= entry.path().extension() == ".tmp";
  }
  return path;
}

struct Trials {
  std::size_t without_file = 0, unfinished = 0, without_step = 0, within_record = 0, within_names = 0, with_all_names = 0;
  std::vector<double> detected_ms;  // from the signal on
};

void look_at_what_is_left(const std::string& path, const Progress& progress, Trials& trials) {
  const auto file = std::make_shared<const RingFile>(path);
  EXPECT_EQ(file->writer(this_process()), WriterState::gone);
  RingFileReader reader(file);
  reader.refresh();
  CheckedRecords records(file->schema());
  const auto newest_of = [&](RingKind ring, std::uint64_t published) {
    std::uint64_t read = 0, newest = 0;
    std::vector<std::uint64_t> words(reader.geometry(ring).payload_words);
    while (reader.try_read(ring, words.data())) {
      EXPECT_TRUE(records.is_whole(ring, words.data())) << words[0];
      EXPECT_TRUE(read == 0 || words[0] == newest + 1) << words[0] << " after " << newest;
      newest = words[0];
      ++read;
    }
    // It may have died after the record and before it said so.
    const std::uint64_t count = read == 0 ? 0 : newest + 1;
    EXPECT_TRUE(count == published || count == published + 1) << count << " records, " << published << " were published";
    const std::uint64_t slots = reader.geometry(ring).slot_count;
    EXPECT_GE(read, std::min(count, slots) - (count >= slots ? 1 : 0));
    trials.within_record += count >= slots && read < slots ? 1 : 0;
    return count;
  };
  const std::uint64_t frames = newest_of(RingKind::frames, progress.frames.load());
  const std::uint64_t steps = newest_of(RingKind::steps, progress.steps.load());
  EXPECT_TRUE(frames == steps || frames == steps + 1);
  trials.without_step += steps == 0 ? 1 : 0;
  EXPECT_TRUE(reader.live().commits == frames + steps || reader.live().commits + 1 == frames + steps);

  const NameTable& names = reader.scalar_names();
  const std::uint64_t named = progress.names.load();
  EXPECT_TRUE(names.size() == named || names.size() == named + 1);
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(names.at(i), name_of(i));
  ++(names.size() == ScalarNames::kCapacity ? trials.with_all_names : trials.within_names);
}

TEST(RingStress, WhatAKilledWriterLeavesIsWholeAndItsEndIsSeenAtOnce) {
  constexpr int kTrials = 1000;
  TemporaryFolder folder;
  SharedMemory<Progress> progress;
  const ProcessIdentity self = this_process();
  std::mt19937_64 random(20);
  Trials trials;
  for (int trial = 0; trial < kTrials && !HasFailure(); ++trial) {
    new (&*progress) Progress;
    const pid_t child = fork();
    if (child == 0) write_until_killed(folder.path().string(), *progress);
    // While it sets up (some tenths of a millisecond), in its first steps, or later.
    while (!progress->begun.load()) std::this_thread::yield();
    const std::uint64_t most_ns = trial % 4 == 0 ? 300'000 : trial % 4 == 1 ? 1'000'000 : 6'000'000;
    const auto until = Clock::now() + std::chrono::nanoseconds(random() % most_ns);
    const std::uint64_t steps = trial % 4 == 3 ? 1 + random() % 400 : 0;
    while (Clock::now() < until || progress->steps.load() < steps) {
    }
    bool has_unfinished = false;
    const std::string path_before = ring_in(folder.path().string(), has_unfinished);
    const auto opened = path_before.empty() ? nullptr : std::make_unique<const RingFile>(path_before);
    EXPECT_TRUE(opened == nullptr || opened->writer(self) == WriterState::alive);
    const auto killed = Clock::now();
    ASSERT_EQ(kill(child, SIGKILL), 0);
    if (opened) {
      // Nobody has waited for it yet.
      while (opened->writer(self) != WriterState::gone) std::this_thread::yield();
      trials.detected_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - killed).count());
    }
    ASSERT_EQ(waitpid(child, nullptr, 0), child);

    has_unfinished = false;
    const std::string path = ring_in(folder.path().string(), has_unfinished);
    EXPECT_TRUE(!path.empty() || !progress->made.load());
    if (path.empty()) {
      ++(has_unfinished ? trials.unfinished : trials.without_file);
    } else {
      EXPECT_FALSE(has_unfinished);
      look_at_what_is_left(path, *progress, trials);
    }
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) std::filesystem::remove(entry.path());
  }
  std::sort(trials.detected_ms.begin(), trials.detected_ms.end());
  ASSERT_FALSE(trials.detected_ms.empty());
  RecordProperty("without_file", static_cast<int>(trials.without_file));
  RecordProperty("while_it_was_made", static_cast<int>(trials.unfinished));
  RecordProperty("before_the_first_step", static_cast<int>(trials.without_step));
  RecordProperty("within_a_record", static_cast<int>(trials.within_record));
  RecordProperty("within_the_names", static_cast<int>(trials.within_names));
  RecordProperty("with_all_names", static_cast<int>(trials.with_all_names));
  RecordProperty("detected_ms_median", std::to_string(trials.detected_ms[trials.detected_ms.size() / 2]));
  RecordProperty("detected_ms_most", std::to_string(trials.detected_ms.back()));
  EXPECT_LT(trials.detected_ms.back(), 2000);
}

}  // namespace
}  // namespace vigil
