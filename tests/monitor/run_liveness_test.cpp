// What is said of a run whose process lives, is gone or says nothing.
#include "vigil/monitor/run_liveness.h"

#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "files.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/crash_mark.h"
#include "vigil/monitor/process_identity.h"
#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

constexpr std::int64_t kNow = 1'000'000'000'000'000;

LiveReading running(double seconds_ago) {
  LiveReading live;
  live.state = RunState::running;
  live.last_step = 7;
  live.heartbeat_ns = kNow - static_cast<std::int64_t>(seconds_ago * 1e9);
  return live;
}

RunState state_of(const LiveReading& live, WriterState writer = WriterState::alive, double mean_step_seconds = 0.1) {
  return judge(live, writer, true, mean_step_seconds, kNow).state;
}

TEST(RunLiveness, WhatTheWriterSaidOfItsEndStands) {
  for (const RunState said : {RunState::finished, RunState::failed}) {
    LiveReading live = running(1e6);
    live.state = said;
    live.end_exit = true;
    for (const WriterState writer : {WriterState::alive, WriterState::gone, WriterState::unknown}) {
      EXPECT_EQ(judge(live, writer, false, 0.1, kNow).state, said);
      EXPECT_EQ(judge(live, writer, true, 0.1, kNow).reason, "");
    }
  }
}

TEST(RunLiveness, AProcessThatCannotBeAskedAboutIsNotTakenForGone) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    setrlimit(RLIMIT_NOFILE, &none);
    _exit(look_at_process(getppid()).is_known ? 1 : 0);
  }
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "no descriptors are left";
  EXPECT_TRUE(look_at_process(getpid()).is_known);
  EXPECT_TRUE(look_at_process(getpid()).is_there);
  EXPECT_TRUE(look_at_process(child).is_known);
  EXPECT_FALSE(look_at_process(child).is_there);
}

TEST(RunLiveness, AWriterThatIsGoneWithoutAWordHasCrashedAndTheReasonIsTold) {
  LiveReading live = running(0);
  RunCondition condition = judge(live, WriterState::gone, true, 0.1, kNow);
  EXPECT_EQ(condition.state, RunState::crashed);
  EXPECT_EQ(condition.reason, "no word: killed (SIGKILL, out of memory) or _exit()");
  EXPECT_EQ(judge(live, WriterState::gone, false, 0.1, kNow).reason, "the machine was restarted");
  live.end_exit = true;
  EXPECT_EQ(judge(live, WriterState::gone, true, 0.1, kNow).reason, "it called exit() before the run had ended");
  live.end_signal = SIGSEGV;
  EXPECT_EQ(judge(live, WriterState::gone, true, 0.1, kNow).reason, "signal 11 (SIGSEGV)");
  live.end_signal = 63;
  EXPECT_EQ(judge(live, WriterState::gone, true, 0.1, kNow).reason, "signal 63");
  live.state = RunState::starting;
  EXPECT_EQ(judge(live, WriterState::gone, true, 0.1, kNow).state, RunState::crashed);
}

TEST(RunLiveness, HungIsAfterAMinuteOrTwentyStepsWhicheverIsLonger) {
  EXPECT_EQ(state_of(running(59)), RunState::running);
  EXPECT_EQ(state_of(running(61)), RunState::hung);
  EXPECT_EQ(state_of(running(61), WriterState::unknown), RunState::hung);
  EXPECT_EQ(state_of(running(59), WriterState::unknown), RunState::running);
  EXPECT_EQ(state_of(running(199), WriterState::alive, 10), RunState::running);
  EXPECT_EQ(state_of(running(201), WriterState::alive, 10), RunState::hung);
  EXPECT_EQ(judge(running(75), WriterState::alive, true, 0.1, kNow).reason, "no sign of life for 75 s");
  EXPECT_EQ(judge(running(6), WriterState::alive, true, 0.1, kNow, HungAfter{5}).state, RunState::hung);
}

TEST(RunLiveness, ARunMayWaitTenTimesAsLongBeforeItsFirstStepAndOutsideOfTraining) {
  LiveReading first = running(599);
  first.state = RunState::starting;
  first.last_step = 0;
  EXPECT_EQ(state_of(first), RunState::starting);
  first.heartbeat_ns -= 2'000'000'000;
  EXPECT_EQ(state_of(first), RunState::hung);
  LiveReading validation = running(599);
  validation.phase = 1;
  EXPECT_EQ(state_of(validation), RunState::running);
  validation.heartbeat_ns -= 2'000'000'000;
  EXPECT_EQ(state_of(validation), RunState::hung);
}

TEST(RunLiveness, NumbersThatNoWriterWouldWriteAreJudgedAllTheSame) {
  LiveReading live = running(0);
  live.heartbeat_ns = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(state_of(live), RunState::hung);
  live.heartbeat_ns = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(state_of(live), RunState::running);
  EXPECT_EQ(state_of(running(61), WriterState::alive, std::numeric_limits<double>::quiet_NaN()), RunState::hung);
  EXPECT_EQ(state_of(running(61), WriterState::alive, std::numeric_limits<double>::infinity()), RunState::hung);
}

// Makes a ring file in a child that then ends as `end` has it, and tells what is judged of it.
template <class End>
RunCondition judged_after(End end) {
  const test::TemporaryFolder folder;
  int paths[2];
  EXPECT_EQ(pipe(paths), 0);
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);  // AddressSanitizer has one of its own
    Schema schema;
    schema.identity.run = "r";
    const SharedChannel shared = make_shared_channel(std::move(schema), {16, 0}, folder.path().string());
    const CrashMark mark(shared.channel->live());
    shared.channel->live().state.store(RunState::running);
    static_cast<void>(!write(paths[1], shared.path.data(), shared.path.size()));
    close(paths[1]);
    end(*shared.channel);
    _exit(0);
  }
  close(paths[1]);
  std::string path(4096, '\0');
  const ssize_t size = read(paths[0], path.data(), path.size());
  close(paths[0]);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  path.resize(static_cast<std::size_t>(size > 0 ? size : 0));
  return judge(RingFile(path), this_process(), 0, monotonic_time_ns());
}

TEST(RunLiveness, ToldOfRealProcesses) {
  EXPECT_EQ(judged_after([](RunChannel& channel) { channel.live().state.store(RunState::finished); }).state, RunState::finished);
  EXPECT_EQ(judged_after([](RunChannel&) { raise(SIGKILL); }).reason, "no word: killed (SIGKILL, out of memory) or _exit()");
  EXPECT_EQ(judged_after([](RunChannel&) { raise(SIGTERM); }).reason, "signal 15 (SIGTERM)");
  const RunCondition segfault = judged_after([](RunChannel&) { raise(SIGSEGV); });
  EXPECT_EQ(segfault.state, RunState::crashed);
  EXPECT_EQ(segfault.reason, "signal 11 (SIGSEGV)");
}

// The kernel sends it, which is no fault that would happen again.
TEST(RunLiveness, CtrlCEndsAMarkedProcessAtOnce) {
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    signal(SIGINT, SIG_DFL);
    LiveWords live;
    const CrashMark mark(live);
    static_cast<void>(!write(STDOUT_FILENO, "x", 1));
    alarm(10);  // of a Ctrl-C that never comes it dies otherwise
    pause();
    _exit(0);
  }
  char ready = 0;
  ASSERT_EQ(read(terminal, &ready, 1), 1);
  ASSERT_EQ(write(terminal, "\x03", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  close(terminal);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
}

TEST(RunLiveness, AFileThatHasBecomeShorterIsUnreadable) {
  const test::TemporaryFolder folder;
  Schema schema;
  schema.identity.run = "r";
  const SharedChannel shared = make_shared_channel(std::move(schema), {16, 0}, folder.path().string());
  const std::string copy = folder.file("copy.ring");
  std::filesystem::copy_file(shared.path, copy);
  const RingFile file(copy);
  EXPECT_NE(judge(file, this_process(), 0, monotonic_time_ns()).state, RunState::unreadable);
  std::filesystem::resize_file(copy, 4096);
  const RunCondition condition = judge(file, this_process(), 0, monotonic_time_ns());
  EXPECT_EQ(condition.state, RunState::unreadable);
  EXPECT_EQ(condition.reason, "it has become shorter");
}

}  // namespace
}  // namespace vigil
