// A process that ends without having said so leaves a note of how in its ring file, and ends as it would have without vigil.
#include "vigil/monitor/crash_mark.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "monitor/ring_image.h"

namespace vigil {
namespace {

using namespace test;

constexpr std::array<int, 13> kSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL,  SIGABRT, SIGSYS, SIGTRAP,
                                       SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGXFSZ};

// AddressSanitizer has handlers of its own; here the signals are those of a plain program. No core files in the tree.
void become_plain() {
  for (const int number : kSignals) signal(number, SIG_DFL);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

struct End {
  int status = 0;  ///< of waitpid
  LiveReading live;
};

class CrashMarkTest : public testing::Test {
 protected:
  /// How a process ends that runs `life` in the middle of a run with a mark, and what its file says then.
  End end_of(
      const std::function<void()>& life, bool is_marked = true, const std::function<void()>& before = [] {}) {
    const pid_t child = fork();
    if (child == 0) {
      become_plain();
      before();
      const SharedChannel shared = make_shared_channel(tiny_schema(), {16, 0}, folder_.path().string());
      std::optional<CrashMark> mark;
      if (is_marked) mark.emplace(shared.channel->live());
      if (rename(shared.path.c_str(), path().c_str()) != 0) _exit(98);
      life();
      _exit(97);
    }
    End end;
    EXPECT_EQ(waitpid(child, &end.status, 0), child);
    const RingFile file(path());
    EXPECT_EQ(file.writer(this_process()), WriterState::gone);
    end.live = file.read_live();
    return end;
  }
  std::string path() const { return folder_.file("crashed.ring"); }

  /// That `life` ends by this signal with and without a mark, and that the file tells.
  void expect_signal(int number, const std::function<void()>& life) {
    const End plain = end_of(life, false), marked = end_of(life);
    EXPECT_EQ(marked.status, plain.status) << strsignal(number);
    EXPECT_TRUE(WIFSIGNALED(marked.status)) << strsignal(number);
    EXPECT_EQ(WTERMSIG(marked.status), number);
    EXPECT_EQ(plain.live.end_signal, 0);
    EXPECT_EQ(marked.live.end_signal, number);
    EXPECT_FALSE(marked.live.end_exit);
  }
  void expect_code(int code, bool end_exit, const std::function<void()>& life) {
    const End end = end_of(life);
    EXPECT_TRUE(WIFEXITED(end.status));
    EXPECT_EQ(WEXITSTATUS(end.status), code);
    EXPECT_EQ(end.live.end_signal, 0);
    EXPECT_EQ(end.live.end_exit, end_exit);
  }

 private:
  TemporaryFolder folder_;
};

// A write to memory that is there and may not be written to: no null pointer, which UBSan would see first.
void fault() { *static_cast<volatile char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) = 1; }

TEST_F(CrashMarkTest, OfFaultsAtTheirPlace) {
  expect_signal(SIGSEGV, fault);
  expect_signal(SIGABRT, [] { std::abort(); });
  expect_signal(SIGILL, [] { __builtin_trap(); });
  expect_signal(SIGBUS, [this] {
    // A page beyond the end of its file.
    const int file = open(path().c_str(), O_RDWR);
    const off_t end = lseek(file, 0, SEEK_END);
    auto* page = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, (end / 4096 + 2) * 4096));
    *page = 1;
  });
#if defined(__x86_64__)
  expect_signal(SIGFPE, [] {
    __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; idiv %%ecx" ::: "eax", "ecx", "edx", "cc");
  });
  expect_signal(SIGTRAP, [] { __asm__ volatile("int3"); });  // whose handler returns behind it, not to it
#endif
}

TEST_F(CrashMarkTest, OfSignalsThatAreSent) {
  for (const int number : kSignals) {
    expect_signal(number, [number] { kill(getpid(), number); });
    expect_signal(number, [number] {
      // To another thread than the one that waits.
      std::thread([number] { raise(number); }).join();
    });
  }
}

// Such a signal has a cause like a fault's, but nothing that would happen again.
TEST_F(CrashMarkTest, OfSignalsThatTheKernelSendsWithoutAFault) {
  expect_signal(SIGINT, [] {
    // Ctrl-C on a terminal of its own.
    const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(terminal);
    unlockpt(terminal);
    setsid();
    const int side = open(ptsname(terminal), O_RDWR);
    if (side < 0) _exit(96);
    static_cast<void>(!write(terminal, "\x03", 1));
    alarm(10);  // of a terminal that sends nothing it dies otherwise
    pause();
  });
  expect_signal(SIGXFSZ, [this] {
    const rlimit little{1024, 1024};
    setrlimit(RLIMIT_FSIZE, &little);
    const int file = open(path().c_str(), O_RDWR);
    lseek(file, 0, SEEK_END);
    static_cast<void>(!write(file, "x", 1));
  });
  expect_signal(SIGXCPU, [] {
    const rlimit little{1, 10};
    setrlimit(RLIMIT_CPU, &little);
    for (;;) static_cast<void>(!write(-1, "", 0));  // ThreadSanitizer hands signals over at calls
  });
}

TEST_F(CrashMarkTest, OfExitAndOfNothingAtAll) {
  expect_code(3, true, [] { std::exit(3); });
  expect_code(0, true, [] { std::exit(0); });
  expect_code(4, false, [] { _exit(4); });
  const End killed = end_of([] { kill(getpid(), SIGKILL); });
  EXPECT_EQ(WTERMSIG(killed.status), SIGKILL);
  EXPECT_EQ(killed.live.end_signal, 0);
  EXPECT_FALSE(killed.live.end_exit);
}

// std::terminate() and an exception that nobody catches are calls of abort().
TEST_F(CrashMarkTest, OfAnExceptionThatNobodyCatches) {
  expect_signal(SIGABRT, [] {
    close(STDERR_FILENO);
    std::thread([] { throw 1; }).join();
  });
}

// What the kernel says of a death is what it says without vigil, but for the core that is not written here.
TEST_F(CrashMarkTest, LeavesTheCoreToTheKernel) {
  const auto dumps = [&](bool is_marked) {
    return end_of(
               [this] {
                 const rlimit some{1 << 20, 1 << 20};
                 setrlimit(RLIMIT_CORE, &some);
                 static_cast<void>(!chdir(path().substr(0, path().rfind('/')).c_str()));
                 fault();
               },
               is_marked)
        .status;
  };
  EXPECT_EQ(dumps(true), dumps(false)) << "WCOREDUMP among it";
}

#if defined(__x86_64__)
// A debugger, and the core, show where it was and why.
TEST_F(CrashMarkTest, TheSignalThatEndsTheProcessIsTheFaultsAtItsPlace) {
  const pid_t child = fork();
  if (child == 0) {
    become_plain();
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    LiveWords live;
    const CrashMark mark(live);
    fault();
    _exit(97);
  }
  std::vector<std::pair<siginfo_t, unsigned long long>> stops;  // and the address of the instruction
  int status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    siginfo_t why{};
    user_regs_struct registers{};
    ASSERT_EQ(ptrace(PTRACE_GETSIGINFO, child, nullptr, &why), 0);
    ASSERT_EQ(ptrace(PTRACE_GETREGS, child, nullptr, &registers), 0);
    stops.emplace_back(why, registers.rip);
    ASSERT_EQ(ptrace(PTRACE_CONT, child, nullptr, WSTOPSIG(status)), 0);
  }
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  ASSERT_EQ(stops.size(), 2u) << "one for the handler, one for the end";
  const auto& [first, second] = std::pair(stops[0], stops[1]);
  EXPECT_EQ(second.first.si_signo, SIGSEGV);
  EXPECT_EQ(second.first.si_code, SEGV_ACCERR);
  EXPECT_EQ(second.first.si_addr, first.first.si_addr);
  EXPECT_EQ(second.second, first.second);
}
#endif

TEST_F(CrashMarkTest, TheProgramsOwnHandlerIsLeftAlone) {
  // Installed before.
  const auto status_of = [&](const std::function<void()>& before, const std::function<void()>& life) {
    const pid_t child = fork();
    if (child == 0) {
      become_plain();
      before();
      const SharedChannel shared = make_shared_channel(tiny_schema(), {16, 0}, path().substr(0, path().rfind('/')));
      const CrashMark mark(shared.channel->live());
      static_cast<void>(!rename(shared.path.c_str(), path().c_str()));
      life();
      _exit(97);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  };
  const auto handler = [](int) { _exit(42); };
  int status = status_of([&] { signal(SIGTERM, handler); }, [] { raise(SIGTERM); });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  EXPECT_EQ(RingFile(path()).read_live().end_signal, 0);
  // Ignored: it goes on being ignored.
  status = status_of([] { signal(SIGHUP, SIG_IGN); }, [] { raise(SIGHUP), _exit(43); });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 43);
  // Installed later.
  status = status_of([] {}, [&] { signal(SIGTERM, handler), raise(SIGTERM); });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  EXPECT_EQ(RingFile(path()).read_live().end_signal, 0);
}

volatile char* page = nullptr;

// Some libraries have handlers from their loading on, to print where it was.
TEST_F(CrashMarkTest, AFaultThatSomebodyElseHandlesIsNotedAndTheirsAllTheSame) {
  const auto expect_end = [&](void (*theirs)(int), const std::function<void()>& life, int noted) {
    const auto before = [theirs] { signal(SIGSEGV, theirs), signal(SIGABRT, theirs); };
    const End plain = end_of(life, false, before), marked = end_of(life, true, before);
    EXPECT_EQ(marked.status, plain.status);
    EXPECT_EQ(marked.live.end_signal, noted);
    return marked.status;
  };
  // One that ends the process by the same signal, as UCX's and glog's do; by a default that it leaves; by an exit code; by another signal.
  EXPECT_EQ(WTERMSIG(expect_end([](int number) { signal(number, SIG_DFL), raise(number); }, fault, SIGSEGV)), SIGSEGV);
  EXPECT_EQ(WTERMSIG(expect_end([](int number) { signal(number, SIG_DFL); }, fault, SIGSEGV)), SIGSEGV);
  EXPECT_EQ(WEXITSTATUS(expect_end([](int) { _exit(42); }, fault, SIGSEGV)), 42);
  EXPECT_EQ(WTERMSIG(expect_end([](int) { raise(SIGKILL); }, fault, SIGSEGV)), SIGKILL);
  EXPECT_EQ(WTERMSIG(expect_end([](int) {}, [] { std::abort(); }, SIGABRT)), SIGABRT);
  // One that mends it: the program goes on.
  page = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const auto mend = [](int) { mprotect(const_cast<char*>(page), 4096, PROT_READ | PROT_WRITE); };
  const auto go_on = [] {
    *page = 1;
    _exit(43);
  };
  EXPECT_EQ(WEXITSTATUS(expect_end(mend, go_on, 0)), 43);
}

// A handler that hands on to the one that it found, as some libraries' do.
struct sigaction found;
TEST_F(CrashMarkTest, AHandlerThatCallsTheOneBeforeItEndsTheProcessAllTheSame) {
  expect_signal(SIGSEGV, [] {
    struct sigaction theirs {};
    theirs.sa_sigaction = [](int number, siginfo_t* why, void* where) {
      if ((found.sa_flags & SA_SIGINFO) != 0) return found.sa_sigaction(number, why, where);
      signal(number, SIG_DFL);
      raise(number);
    };
    theirs.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &theirs, &found);
    fault();
  });
}

// And who hands on to ours, which hands on to who was there before, when a second mark is made above them.
TEST_F(CrashMarkTest, HandlersThatHandOnToEachOtherComeToAnEnd) {
  const End end = end_of(
      [] {
        struct sigaction theirs {};
        theirs.sa_sigaction = [](int number, siginfo_t* why, void* where) { found.sa_sigaction(number, why, where); };
        theirs.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &theirs, &found);
        LiveWords other;
        const CrashMark second(other);
        fault();
      },
      true, [] { signal(SIGSEGV, [](int) { _exit(44); }); });
  EXPECT_EQ(WEXITSTATUS(end.status), 44);
  EXPECT_EQ(end.live.end_signal, SIGSEGV);
}

TEST_F(CrashMarkTest, AForkedChildNotesNothing) {
  for (const int number : {SIGSEGV, SIGTERM, 0}) {
    const End end = end_of([number] {
      const pid_t grandchild = fork();
      if (grandchild == 0) {
        if (number == 0) std::exit(5);
        raise(number);
      }
      int status = 0;
      if (waitpid(grandchild, &status, 0) != grandchild) _exit(1);
      _exit(number == 0                                         ? WIFEXITED(status) && WEXITSTATUS(status) == 5 ? 7 : 2
            : WIFSIGNALED(status) && WTERMSIG(status) == number ? 7
                                                                : 3);
    });
    EXPECT_TRUE(WIFEXITED(end.status));
    EXPECT_EQ(WEXITSTATUS(end.status), 7);
    EXPECT_EQ(end.live.end_signal, 0);
    EXPECT_FALSE(end.live.end_exit);
  }
}

TEST_F(CrashMarkTest, AProgramThatIsStartedInItsPlaceNotesNothing) {
  expect_code(1, false, [] { execl("/bin/false", "false", nullptr); });
}

TEST_F(CrashMarkTest, HandlersGoWithTheLastMark) {
  expect_code(0, false, [] {
    // end_of() has made the first mark.
    const auto is_standard = [](int number) {
      struct sigaction now {};
      sigaction(number, nullptr, &now);
      return (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL;
    };
    for (const int number : kSignals) {
      if (is_standard(number)) _exit(1);
    }
    signal(SIGHUP, SIG_IGN);  // the program's by now
    LiveWords other, another;
    {
      const CrashMark second(other), third(another);
      for (const int number : kSignals) {
        if (number != SIGHUP && is_standard(number)) _exit(2);
      }
    }
    if (is_standard(SIGTERM)) _exit(3);
    _exit(0);
  });

  // And with that one.
  const pid_t child = fork();
  if (child == 0) {
    become_plain();
    const auto theirs = [](int) { _exit(3); };
    signal(SIGBUS, theirs);
    LiveWords live;
    {
      const CrashMark mark(live);
      signal(SIGHUP, SIG_IGN);
    }
    for (const int number : kSignals) {
      struct sigaction now {};
      sigaction(number, nullptr, &now);
      if (now.sa_handler != (number == SIGHUP ? SIG_IGN : number == SIGBUS ? +theirs : SIG_DFL)) _exit(1);
    }
    raise(SIGTERM);
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
}

TEST_F(CrashMarkTest, EveryRunOfTheProcessIsMarked) {
  constexpr int kMarks = CrashMark::kMarks;
  auto* const live = new (mmap(nullptr, sizeof(LiveWords) * (kMarks + 1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
      LiveWords[kMarks + 1];
  const pid_t child = fork();
  if (child == 0) {
    become_plain();
    std::vector<std::unique_ptr<CrashMark>> marks;
    for (int i = 0; i < kMarks + 1; ++i) marks.push_back(std::make_unique<CrashMark>(live[i]));
    marks[3].reset();
    raise(SIGTERM);
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  for (int i = 0; i < kMarks + 1; ++i)
    EXPECT_EQ(live[i].end_signal.load(), i == 3 || i == kMarks ? 0u : static_cast<unsigned>(SIGTERM)) << i;
  munmap(live, sizeof(LiveWords) * (kMarks + 1));
}

}  // namespace
}  // namespace vigil
