// `vigil top` in a terminal: what it shows, its keys, and the terminal as it leaves it.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "e2e/wait_until.h"
#include "environment.h"
#include "files.h"
#include "fork.h"
#include "tools/command.h"
#include "tools/ring_trainer.h"

namespace vigil {
namespace {

using namespace test;

// A program in a pseudo-terminal of 24 lines of 80 columns.
class TerminalProcess {
 public:
  explicit TerminalProcess(std::vector<std::string> words, const char* term = "xterm-256color") {
    words.insert(words.begin(), VIGIL_PROGRAM);
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    // As a shell has it.
    before_.c_iflag = ICRNL | IXON;
    before_.c_oflag = OPOST | ONLCR;
    before_.c_cflag = CS8 | CREAD;
    before_.c_lflag = ISIG | ICANON | ECHO | ECHOE | IEXTEN;
    before_.c_cc[VINTR] = 3;
    before_.c_cc[VSUSP] = 26;
    before_.c_cc[VSTART] = 17;
    before_.c_cc[VSTOP] = 19;
    before_.c_cc[VMIN] = 1;
    winsize size{24, 80, 0, 0};
    while (!other_threads_sleep()) poll(nullptr, 0, 1);
    pid_ = forkpty(&terminal_, nullptr, &before_, &size);
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      setenv("TERM", term, 1);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
    fcntl(terminal_, F_SETFL, O_NONBLOCK);
    tcgetattr(terminal_, &before_);
  }
  ~TerminalProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      kill(pid_, SIGCONT);
      waitpid(pid_, nullptr, 0);
    }
    close(terminal_);
  }
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;

  const std::string& output() {
    std::array<char, 65536> buffer;
    for (ssize_t size; (size = read(terminal_, buffer.data(), buffer.size())) > 0;)
      output_.append(buffer.data(), static_cast<std::size_t>(size));
    return output_;
  }
  // The latest picture that is whole: each begins at the first line, and another one has begun after it.
  std::string screen() {
    const std::string begin = "\x1b[H";
    std::string text = output();
    const std::size_t next = text.rfind(begin), at = next == std::string::npos || next == 0 ? next : text.rfind(begin, next - 1);
    if (at == std::string::npos) return "";
    text = text.substr(at + begin.size(), next - at - begin.size());
    std::string shown;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\x1b') {
        while (i < text.size() && std::isalpha(static_cast<unsigned char>(text[i])) == 0) ++i;
      } else if (text[i] != '\r') {
        shown += text[i];
      }
    }
    return shown;
  }
  std::vector<std::string> lines() {
    std::vector<std::string> lines;
    std::istringstream stream(screen());
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
  }
  bool shows(const std::string& part) {
    return wait_until(20, [&] { return screen().find(part) != std::string::npos; });
  }
  void type(const std::string& keys) { ASSERT_EQ(write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size())); }
  void resize(unsigned short lines, unsigned short columns) {
    const winsize size{lines, columns, 0, 0};
    ASSERT_EQ(ioctl(terminal_, TIOCSWINSZ, &size), 0);
  }
  void send(int signal) const { kill(pid_, signal); }
  // Exit code, or 128 + signal; -1: it did not end.
  int code() {
    int status = 0;
    if (!wait_until(20, [&] {
          output();
          return waitpid(pid_, &status, WNOHANG) == pid_;
        }))
      return -1;
    output();
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  bool is_stopped() {
    int status = 0;
    return wait_until(20, [&] { return waitpid(pid_, &status, WNOHANG | WUNTRACED) == pid_ && WIFSTOPPED(status); });
  }
  bool has_modes_of_before() const {
    termios now{};
    tcgetattr(terminal_, &now);
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag && now.c_oflag == before_.c_oflag &&
           std::memcmp(now.c_cc, before_.c_cc, sizeof now.c_cc) == 0;
  }
  // Cursor, lines that go on, and the screen of the shell.
  bool is_restored() {
    const std::string end = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l", &text = output();
    const std::size_t at = text.rfind(end);
    return has_modes_of_before() && at != std::string::npos && text.find("\x1b[?1049h", at) == std::string::npos;
  }

 private:
  pid_t pid_ = -1;
  int terminal_ = -1;
  termios before_{};
  std::string output_;
};

std::size_t characters_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

class Top : public testing::Test {
 protected:
  Top() { setup.directory = folder.path(); }
  std::vector<std::string> words(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "top");
    more.insert(more.end(), {"--ring.directory", folder.path().string(), "--interval", "0.1"});
    return more;
  }
  // The layers in the order in which they stand there.
  static std::vector<std::string> layers_in(const std::vector<std::string>& lines) {
    std::vector<std::string> layers;
    for (const std::string& line : lines) {
      if (line.rfind("layer", 0) == 0 || line.rfind("norm ", 0) == 0) layers.push_back(line.substr(0, line.find(' ')));
    }
    return layers;
  }

  TemporaryFolder folder;
  TrainingSetup setup;
};

TEST_F(Top, ShowsARunLiveAndFitsTheScreen) {
  RingTrainer trainer(setup);
  trainer.train(50);
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("step 50")) << top.output();
  trainer.train(370);
  ASSERT_TRUE(top.shows("step 420")) << top.screen();
  const PublishedRun wrote = published(setup, 420);
  const std::string screen = top.screen();
  for (const char* text : {"running", "mnist  rank 0 of 1", "steps/s", "examples/s", "loss ", "gradient norm ", "parameter norm ",
                           "step time ", "NaN  3 of 420 steps", "aten::log in layer1", "critical", "LAYER", "GRAD NORM▼", "q quit"})
    EXPECT_NE(screen.find(text), std::string::npos) << text << "\n" << screen;
  const std::vector<std::string> lines = top.lines();
  EXPECT_LE(lines.size(), 24u);
  for (const std::string& line : lines) EXPECT_LE(characters_of(line), 80u) << line;
  // Each picture is one that begins at the first line; nothing is erased as a whole in between.
  EXPECT_EQ(top.output().find("\x1b[2J", top.output().find("\x1b[H")), std::string::npos) << "no flicker";
  top.type("q");
  EXPECT_EQ(top.code(), 0);
  EXPECT_TRUE(top.is_restored());
}

TEST_F(Top, ItsKeysSortAndScroll) {
  RingTrainer trainer(setup);
  trainer.train(620);  // the gradients of layer1 are zero
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("GRAD NORM▼"));
  ASSERT_TRUE(top.shows("layer"));
  EXPECT_EQ(layers_in(top.lines())[4], "layer1") << top.screen();
  top.type("n");
  ASSERT_TRUE(top.shows("LAYER▲"));
  EXPECT_EQ(layers_in(top.lines()), (std::vector<std::string>{"layer0", "layer1", "layer2", "layer3", "layer4", "norm"}));
  top.type("p");
  ASSERT_TRUE(top.shows("PARAM NORM▼"));
  EXPECT_EQ(layers_in(top.lines()).front(), "layer3") << "its parameters are large";
  top.type("u");
  ASSERT_TRUE(top.shows("UPDATE▼"));
  EXPECT_EQ(layers_in(top.lines())[4], "layer3") << "so they change little";
  top.type("s");
  ASSERT_TRUE(top.shows("PARAM NORM▼"));
  top.type("n");
  top.resize(19, 80);
  ASSERT_TRUE(wait_until(20, [&] { return layers_in(top.lines()).size() < 5; })) << top.screen();
  const std::size_t room = layers_in(top.lines()).size();
  ASSERT_GT(room, 0u);
  top.type("\x1b[B");
  ASSERT_TRUE(wait_until(20, [&] { return layers_in(top.lines()).front() == "layer1"; })) << top.screen();
  top.type("\x1b[F");
  ASSERT_TRUE(wait_until(20, [&] { return layers_in(top.lines()).back() == "norm"; })) << top.screen();
  top.type("\x1b[B\x1b[6~\x1b[6~");  // not beyond the end
  top.type("\x1b[5~\x1b[5~\x1b[5~");
  ASSERT_TRUE(wait_until(20, [&] { return layers_in(top.lines()).front() == "layer0"; })) << top.screen();
  EXPECT_EQ(layers_in(top.lines()).size(), room);
  top.type("q");
  EXPECT_EQ(top.code(), 0);
}

TEST_F(Top, TakesTheSizeThatTheWindowGets) {
  RingTrainer trainer(setup);
  trainer.train(450);
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("q quit"));
  const std::vector<std::pair<unsigned short, unsigned short>> sizes{{50, 132}, {24, 80}, {10, 40}, {3, 12}, {1, 1}, {200, 500}, {24, 80}};
  for (const auto& [lines, columns] : sizes) {
    top.resize(lines, columns);
    // A picture that was drawn after the change: the screen is erased once.
    ASSERT_TRUE(wait_until(20,
                           [&, height = lines, width = columns] {
                             const std::vector<std::string> shown = top.lines();
                             return !shown.empty() && shown.size() <= height && characters_of(shown.front()) == width;
                           }))
        << lines << "x" << columns << "\n"
        << top.screen();
    for (const std::string& line : top.lines()) EXPECT_LE(characters_of(line), columns) << line;
  }
  top.type("q");
  EXPECT_EQ(top.code(), 0);
  EXPECT_TRUE(top.is_restored());
}

TEST_F(Top, LeavesTheTerminalAsItWasWhateverEndsIt) {
  trained(setup, 5, TrainingEnd::killed);
  for (const int signal : {SIGTERM, SIGHUP, SIGQUIT, SIGINT, SIGSEGV, SIGABRT, SIGBUS}) {
    TerminalProcess top(words({"mnist"}));
    ASSERT_TRUE(top.shows("q quit"));
    EXPECT_FALSE(top.has_modes_of_before());
    top.send(signal);
    EXPECT_EQ(top.code(), signal == SIGINT ? 0 : 128 + signal) << strsignal(signal);
    EXPECT_TRUE(top.is_restored()) << strsignal(signal) << "\n" << top.output().substr(top.output().size() - 80);
  }
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("q quit"));
  top.type("\x03");
  EXPECT_EQ(top.code(), 0) << "Ctrl-C";
  EXPECT_TRUE(top.is_restored());
}

TEST_F(Top, CtrlZGivesTheTerminalBackUntilItGoesOn) {
  trained(setup, 5, TrainingEnd::killed);
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("q quit"));
  top.type("\x1a");
  ASSERT_TRUE(top.is_stopped());
  EXPECT_TRUE(top.is_restored());
  const std::size_t before = top.output().size();
  top.send(SIGCONT);
  ASSERT_TRUE(wait_until(20, [&] { return top.output().find("q quit", before) != std::string::npos; }));
  EXPECT_FALSE(top.has_modes_of_before());
  top.type("q");
  EXPECT_EQ(top.code(), 0);
  EXPECT_TRUE(top.is_restored());
}

TEST_F(Top, ATerminalThatIsHeldHoldsNoSignalOff) {
  RingTrainer trainer(setup);
  trainer.train(50);
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("q quit"));
  top.type("\x13");  // Ctrl-S
  // Nothing more comes, though a picture is due every 100 ms.
  ASSERT_TRUE(wait_until(20, [&, size = std::size_t{0}, same = 0]() mutable {
    same = top.output().size() == size ? same + 1 : 0;
    size = top.output().size();
    return same > 25;
  }));
  top.send(SIGTERM);
  EXPECT_EQ(top.code(), 128 + SIGTERM);
  EXPECT_TRUE(top.has_modes_of_before());
}

TEST_F(Top, AnotherRunCanBeChosen) {
  RingTrainer trainer(setup);
  trainer.train(3);
  setup.run = "another";
  trained(setup, 7, TrainingEnd::killed);
  TerminalProcess top(words());
  ASSERT_TRUE(top.shows("step 3")) << "the one that lives";
  top.type("r");
  ASSERT_TRUE(top.shows("▶ mnist")) << top.screen();
  EXPECT_NE(top.screen().find("  another"), std::string::npos);
  top.type("\x1b[A");
  ASSERT_TRUE(top.shows("▶ another"));
  top.type("\r");
  ASSERT_TRUE(top.shows("step 7"));
  EXPECT_NE(top.screen().find("crashed"), std::string::npos);
  EXPECT_EQ(top.screen().find("steps/s"), std::string::npos) << "a dead run has no pace";
  top.type("r\x1b");  // and back
  ASSERT_TRUE(top.shows("space hold"));
  top.type("r");
  ASSERT_TRUE(top.shows("escape back"));
  top.type("q");
  EXPECT_EQ(top.code(), 0);
}

TEST_F(Top, GoesOnWithALaterAttempt) {
  RingTrainer first(setup);
  first.train(30);
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("step 30"));
  first.end(TrainingEnd::segmentation_fault);
  ASSERT_TRUE(top.shows("crashed: signal 11 (SIGSEGV)"));
  setup.attempt = 1;
  setup.start_time_ns += 1;
  RingTrainer second(setup);
  second.train(4);
  ASSERT_TRUE(top.shows("attempt 1"));
  ASSERT_TRUE(top.shows("step 4"));
}

TEST_F(Top, NoNameReachesTheTerminalAsItStands) {
  const std::string hostile =
      "e\x1b[2J\x1b]0;x\x07\xc2\x9b"
      "5n\xe2\x80\xae";
  setup.change = [&](Schema& schema) {
    schema.identity.run = hostile;
    for (RowSchema& row : schema.rows) row.layer = row.name = hostile + row.name;
  };
  RingTrainer trainer(setup);
  trainer.train(450);
  TerminalProcess top(words());
  ASSERT_TRUE(top.shows("e?[2J?]0;x??5n?"));
  top.type("r");
  ASSERT_TRUE(top.shows("▶ e?[2J?]0;x??5n?"));
  top.type("\x1b");
  ASSERT_TRUE(top.shows("q quit"));
  top.type("q");
  EXPECT_EQ(top.code(), 0);
  for (const char* bad : {"\x1b]", "\x07", "\xc2\x9b", "\xe2\x80\xae"}) EXPECT_EQ(top.output().find(bad), std::string::npos);
}

TEST_F(Top, OnceIsAPictureAsPlainText) {
  trained(setup, 450, TrainingEnd::killed);
  const std::vector<std::string> arguments = words({"mnist", "--once"});
  const CommandResult plain = run_vigil(arguments);
  EXPECT_EQ(plain.code, 0) << plain.err;
  EXPECT_EQ(plain.out.find('\x1b'), std::string::npos);
  EXPECT_NE(plain.out.find("crashed: no word"), std::string::npos) << plain.out;
  EXPECT_EQ(plain.out.find("q quit"), std::string::npos) << plain.out;
  EXPECT_LE(std::count(plain.out.begin(), plain.out.end(), '\n'), 24);
  const EnvironmentVariable lines("LINES", "40"), columns("COLUMNS", "120");
  const CommandResult wide = run_vigil(arguments);
  std::istringstream text(wide.out);
  std::size_t widest = 0;
  for (std::string line; std::getline(text, line);) widest = std::max(widest, characters_of(line));
  EXPECT_GT(widest, 80u);
  EXPECT_LE(widest, 120u);
}

TEST_F(Top, NoColorIsRespected) {
  trained(setup, 450, TrainingEnd::killed);
  const EnvironmentVariable variable("NO_COLOR", "1");
  TerminalProcess top(words({"mnist"}));
  ASSERT_TRUE(top.shows("q quit"));
  top.type("q");
  EXPECT_EQ(top.code(), 0);
  EXPECT_EQ(top.output().find("\x1b[1;31m"), std::string::npos);
  EXPECT_EQ(top.output().find("\x1b[7m"), std::string::npos);
}

TEST_F(Top, WithoutATerminalOrARunItSaysSo) {
  const CommandResult no_run = run_vigil(words({"nobody", "--once"}));
  EXPECT_EQ(no_run.code, 1);
  EXPECT_NE(no_run.err.find("no ring file of a run lies in"), std::string::npos) << no_run.err;
  trained(setup, 5, TrainingEnd::killed);
  const CommandResult no_terminal = run_vigil(words({"mnist"}));
  EXPECT_EQ(no_terminal.code, 2);
  EXPECT_NE(no_terminal.err.find("--once"), std::string::npos) << no_terminal.err;
  EXPECT_EQ(run_vigil({"top", "--interval", "0"}).code, 2);
  for (const char* term : {"", "dumb"}) {
    TerminalProcess top(words({"mnist"}), term);
    EXPECT_EQ(top.code(), 2) << term;
    EXPECT_NE(top.output().find("top needs a terminal"), std::string::npos) << top.output();
    EXPECT_EQ(top.output().find('\x1b'), std::string::npos) << top.output();
  }
}

}  // namespace
}  // namespace vigil
