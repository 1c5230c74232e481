// The host: which files it follows, which it refuses and for how long, and which of two runs of one name it shows.
#include "vigil/daemon/host.h"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/known_run.h"
#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "files.h"
#include "vigil/daemon/daemon_families.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

class HostTest : public testing::Test {
 protected:
  struct Run {
    SharedChannel shared;
    std::unique_ptr<test::KnownRun> known;
  };

  /// Its writer is this process, which lives; `before_ns` ago it began.
  Run start(const std::string& name, std::int64_t before_ns = 0, std::size_t tensors = 2, ChannelBounds bounds = {64, 0}) {
    Schema schema = test::known_schema(name, 0, tensors);
    schema.identity.start_time_ns = wall_time_ns() - before_ns;
    Run run{make_shared_channel(std::move(schema), bounds, folder.path()), nullptr};
    run.known = std::make_unique<test::KnownRun>(*run.shared.channel);
    step(run);
    return run;
  }
  static void step(Run& run) {
    run.shared.channel->live().state.store(RunState::running);
    run.known->step(true);
    run.shared.channel->beat(monotonic_time_ns());
  }
  static void finish(Run& run) { run.shared.channel->live().state.store(RunState::finished); }
  HostOptions options() const {
    HostOptions made;
    made.ring_directories = {folder.path().string()};
    made.retry = std::chrono::milliseconds(1);
    return made;
  }
  static const RunView* find(const HostView& view, const std::string& path) {
    for (const RunView& run : view.runs) {
      if (run.path == path) return &run;
    }
    return nullptr;
  }
  static bool is_followed_at_last(Host& host, const Run& run, const Host::MayRemove& may_remove = {}) {
    return wait_until(10, [&] {
      host.turn(may_remove);
      return find(*host.view(), run.shared.path) != nullptr;
    });
  }
  static bool is_removed_at_last(Host& host, const Run& run) {
    return wait_until(10, [&] {
      host.turn();
      return !std::filesystem::exists(run.shared.path);
    });
  }

  test::TemporaryFolder folder;
  test::CapturedLog log;
};

TEST_F(HostTest, AFileThatWasTooManyIsFollowedOnceThereIsRoomForIt) {
  HostOptions few = options();
  few.max_rings = 1;
  few.keep_ended_ms = 0;
  Run first = start("first"), second = start("second");
  Host host(few);
  for (int turn = 0; turn < 3; ++turn) host.turn();
  ASSERT_EQ(host.view()->runs.size(), 1u);
  EXPECT_EQ(host.view()->runs[0].identity().run, "first");
  ASSERT_EQ(host.view()->refused.size(), 1u);
  EXPECT_EQ(host.view()->refusals, 1u) << "one refusal, however often it is tried again";
  EXPECT_EQ(log.count("not following"), 1u);
  finish(first);
  EXPECT_TRUE(is_followed_at_last(host, second));
  EXPECT_TRUE(host.view()->refused.empty());
}

TEST_F(HostTest, FilesWhoseRecordsWouldTakeTooMuchMemoryAreRefusedUntilOthersHaveEnded) {
  Run first = start("first", 0, 100), second = start("second", 0, 100);
  HostOptions small = options();
  small.keep_ended_ms = 0;
  small.max_bytes = Host::bytes_for(RingFile(second.shared.path)) * 3 / 2;
  Host host(small);
  for (int turn = 0; turn < 3; ++turn) host.turn();
  ASSERT_EQ(host.view()->runs.size(), 1u);
  ASSERT_EQ(host.view()->refused.size(), 1u);
  EXPECT_NE(host.view()->refused[0].reason.find("MiB of memory"), std::string::npos) << host.view()->refused[0].reason;
  EXPECT_EQ(log.count("not following"), 1u);
  finish(first);
  EXPECT_TRUE(is_followed_at_last(host, second));
}

TEST_F(HostTest, EndedRunsThatAreStoredYieldToOneThatGoesOnAndKeepTheirFiles) {
  HostOptions few = options();
  few.max_rings = 2;
  few.keep_ended_ms = 3'600'000;
  Run first = start("first"), second = start("second");
  Host host(few);
  host.turn();
  finish(second);  // that ends before the other one
  host.turn();
  finish(first);
  host.turn();
  Run ended = start("third, ended");
  finish(ended);
  Run living = start("fourth, living");
  bool is_stored = false;
  const auto may_remove = [&](const RingFile&) { return is_stored; };
  host.turn(may_remove);
  EXPECT_EQ(host.view()->refused.size(), 2u) << "what is not stored stays";
  is_stored = true;
  EXPECT_TRUE(is_followed_at_last(host, living, may_remove));
  EXPECT_NE(find(*host.view(), first.shared.path), nullptr) << "it ended last";
  EXPECT_EQ(find(*host.view(), second.shared.path), nullptr);
  EXPECT_EQ(find(*host.view(), ended.shared.path), nullptr) << "none yields to a run that has ended";
  for (int turn = 0; turn < 3; ++turn) host.turn(may_remove);
  EXPECT_EQ(host.view()->yielded, 1u);
  EXPECT_EQ(host.view()->runs.size(), 2u);
  EXPECT_EQ(log.count("run 'second' rank 0 has ended and is told of no more"), 1u);
  EXPECT_EQ(host.view()->removed, 0u);
  EXPECT_TRUE(std::filesystem::exists(second.shared.path));
}

TEST_F(HostTest, TheFileOfARunThatHasYieldedIsRemovedWhenItsTimeHasCome) {
  HostOptions one = options();
  one.max_rings = 1;
  one.keep_ended_ms = 1500;
  Run ended = start("ended");
  finish(ended);
  Host host(one);
  host.turn();
  const std::int64_t ended_ns = host.view()->runs.at(0).ended_ns;
  Run living = start("living");
  ASSERT_TRUE(is_followed_at_last(host, living));
  EXPECT_EQ(host.view()->yielded, 1u);
  ASSERT_TRUE(std::filesystem::exists(ended.shared.path));
  ASSERT_TRUE(is_removed_at_last(host, ended));
  EXPECT_GE(wall_time_ns() - ended_ns, one.keep_ended_ms * 1'000'000);
  EXPECT_EQ(host.view()->removed, 1u);
}

TEST_F(HostTest, ARunThatHasYieldedAndIsStoredNoMoreIsFollowedAgain) {
  HostOptions one = options();
  one.max_rings = 1;
  one.keep_ended_ms = 500;
  Run ended = start("ended");
  finish(ended);
  Host host(one);
  host.turn([](const RingFile&) { return false; });
  Run living = start("living");
  ASSERT_TRUE(is_followed_at_last(host, living));
  EXPECT_EQ(host.view()->yielded, 1u);
  const auto is_lost = [&](const RingFile& file) { return file.path() != ended.shared.path; };
  finish(living);
  ASSERT_TRUE(is_followed_at_last(host, ended, is_lost));
  EXPECT_TRUE(std::filesystem::exists(ended.shared.path));
}

TEST_F(HostTest, EndedRunsYieldTheMemoryThatARunThatGoesOnNeeds) {
  Run first = start("first", 0, 100), second = start("second", 0, 100);
  HostOptions small = options();
  small.max_bytes = Host::bytes_for(RingFile(second.shared.path)) * 3 / 2;
  finish(first);
  Host host(small);
  EXPECT_TRUE(is_followed_at_last(host, second));
  EXPECT_EQ(host.view()->yielded, 1u);
}

TEST_F(HostTest, ARunHasEndedOnlyWhenAllOfItsRecordsHaveBeenRead) {
  constexpr std::uint64_t kSteps = 12;
  constexpr std::size_t kTensors = 40'000;  // a frame is 12 MB: six of them are more than is read at a time
  Run run = start("large", 0, kTensors, {64, std::size_t{200} << 20});
  while (run.known->steps() < kSteps) step(run);
  finish(run);
  HostOptions at_once = options();
  at_once.keep_ended_ms = 0;
  at_once.rules.enabled = false;
  Host host(at_once);
  host.turn();
  const RunView* first = find(*host.view(), run.shared.path);
  ASSERT_NE(first, nullptr);
  EXPECT_FALSE(first->has_ended());
  EXPECT_LT(first->snapshot->step.step, kSteps);
  EXPECT_TRUE(std::filesystem::exists(run.shared.path)) << "not all of it has been read";
  std::uint64_t last = 0;
  EXPECT_TRUE(wait_until(10, [&] {
    host.turn([&](const RingFile&) {
      last = host.view()->runs.at(0).snapshot->step.step;
      return false;
    });
    return host.view()->runs.at(0).has_ended();
  }));
  EXPECT_EQ(host.view()->runs.at(0).snapshot->step.step, kSteps);
  EXPECT_EQ(host.view()->runs.at(0).snapshot->state, RunState::finished);
  host.turn();
  EXPECT_FALSE(std::filesystem::exists(run.shared.path));
}

TEST_F(HostTest, FilesOfADirectoryThatIsALinkAreRemovedToo) {
  const test::TemporaryFolder elsewhere;
  HostOptions linked = options();
  linked.ring_directories = {elsewhere.file("rings")};
  linked.keep_ended_ms = 0;
  std::filesystem::create_directory_symlink(folder.path(), linked.ring_directories[0]);
  Run run = start("linked");
  finish(run);
  Host host(linked);
  EXPECT_TRUE(is_removed_at_last(host, run));
  EXPECT_EQ(host.view()->removed, 1u);
}

TEST_F(HostTest, WhatTakesTheFilesPlaceBeforeItIsRemovedStays) {
  for (const bool is_directory : {true, false}) {
    const test::TemporaryFolder place;
    const std::filesystem::path rings = place.path() / "rings", others = place.path() / "others";
    std::filesystem::create_directory(rings);
    std::filesystem::create_directory(others);
    Run run{make_shared_channel(test::known_schema("swapped", 0, 2), {64, 0}, rings), nullptr};
    run.known = std::make_unique<test::KnownRun>(*run.shared.channel);
    step(run);
    finish(run);
    const std::filesystem::path file = run.shared.path, other = others / file.filename();
    std::ofstream(other) << "somebody's";
    HostOptions at_once = options();
    at_once.ring_directories = {rings};
    at_once.keep_ended_ms = 0;
    Host host(at_once);
    bool is_swapped = false;
    const auto swap = [&](const RingFile&) {
      std::filesystem::rename(is_directory ? rings : file, place.path() / "moved");
      if (is_directory) {
        std::filesystem::create_directory_symlink(others, rings);
      } else {
        std::filesystem::rename(other, file);
      }
      return is_swapped = true;
    };
    EXPECT_TRUE(wait_until(10, [&] {
      host.turn(swap);
      return is_swapped;
    }));
    EXPECT_EQ(std::filesystem::file_size(file), 10u) << "what stands there now";
    EXPECT_EQ(host.view()->removed, 0u);
  }
}

TEST_F(HostTest, OfTwoRunsOfOneNameTheLaterIsShownAndThatTheOtherIsHiddenIsSaid) {
  constexpr std::int64_t kMinute = 60'000'000'000;
  Run earlier = start("same", kMinute), later = start("same");
  Host host(options());
  host.turn();
  step(earlier);  // it is still at work
  for (int turn = 0; turn < 3; ++turn) host.turn();
  const auto view = host.view();
  EXPECT_TRUE(find(*view, earlier.shared.path)->is_superseded);
  EXPECT_FALSE(find(*view, later.shared.path)->is_superseded);
  EXPECT_EQ(view->hidden, 1u);
  EXPECT_EQ(log.count("is not shown"), 1u);
  EXPECT_EQ(log.count("run.name"), 1u);
  bool is_told = false;
  for (const Family& family : make_daemon_families(*view, {})) {
    if (family.name != "vigil_runs_hidden") continue;
    is_told = true;
    EXPECT_EQ(family.samples.at(0).value, 1);
  }
  EXPECT_TRUE(is_told);
  finish(earlier);
  host.turn();
  EXPECT_EQ(host.view()->hidden, 0u);
}

TEST_F(HostTest, ARunThatSaysItBeganInTheFutureHidesNone) {
  constexpr std::int64_t kHour = 3'600'000'000'000;
  Run of_tomorrow = start("same", -24 * kHour), of_today = start("same");
  Host host(options());
  host.turn();
  EXPECT_TRUE(find(*host.view(), of_tomorrow.shared.path)->is_superseded);
  EXPECT_FALSE(find(*host.view(), of_today.shared.path)->is_superseded);
}

TEST_F(HostTest, ARunWhoseNameIsNoTextIsRefused) {
  const Run one = start("bad \xff"), other = start("bad \xfe"), good = start("good \xc3\xa4");
  Host host(options());
  host.turn();
  ASSERT_EQ(host.view()->runs.size(), 1u) << "both would have the series of one name";
  EXPECT_EQ(host.view()->runs[0].identity().run, "good \xc3\xa4");
  ASSERT_EQ(host.view()->refused.size(), 2u);
  EXPECT_EQ(host.view()->refused[0].reason, "the name of its run is no UTF-8");
}

TEST_F(HostTest, ADirectoryThatCannotBeReadIsToldOfOnceAndWhenItCan) {
  const auto unreadable = [](const HostView& view) {
    for (const Family& family : make_daemon_families(view, {})) {
      if (family.name == "vigil_ring_directories_unreadable") return family.samples.at(0).value;
    }
    return -1.0;
  };
  HostOptions absent = options();
  absent.ring_directories = {folder.file("rings")};
  Host host(absent);
  const auto look_again = [&] {
    host.turn();
    return unreadable(*host.view());
  };
  for (int turn = 0; turn < 3; ++turn) EXPECT_EQ(look_again(), 1);
  EXPECT_EQ(log.count("warning: the ring directory " + folder.file("rings") + " cannot be read (No such file or directory)"), 1u);
  EXPECT_EQ(log.count("name another with --ring.directory"), 1u);
  std::filesystem::create_directory(folder.file("rings"));
  EXPECT_TRUE(wait_until(10, [&] { return look_again() == 0; }));
  EXPECT_EQ(log.count("info: the ring directory " + folder.file("rings") + " can be read now"), 1u);

  folder.write("file", "");
  HostOptions usual = options();
  usual.ring_directories = {folder.file("none"), folder.file("file")};
  usual.are_directories_usual = true;
  Host of_usual(usual);
  of_usual.turn();
  EXPECT_EQ(log.count(folder.file("none")), 0u) << "the usual ones are not there on every host";
  EXPECT_EQ(log.count(folder.file("file") + " cannot be read (Not a directory)"), 1u);
  EXPECT_EQ(unreadable(*of_usual.view()), 1);
}

TEST_F(HostTest, NoNameOfARunMakesALineOfTheLog) {
  const Run run = start("evil\n[error] \x1b[2Jforged");
  Host host(options());
  host.turn();
  EXPECT_EQ(log.count("following run 'evil?[error] ?[2Jforged'"), 1u);
}

}  // namespace
}  // namespace vigil
