#include "vigil/tools/terminal_screen.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

#include "vigil/tools/signal_wait.h"

namespace vigil::tools {
namespace {

// The alternate screen, no cursor, and no line that goes on in the next one.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
constexpr std::string_view kLeave = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr std::array<int, 5> kFaults{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// For the handler, which can only see what lies here.
termios modes_before{};
volatile sig_atomic_t is_entered = 0;
int faulty_input = -1, faulty_output = -1;

// Async-signal-safe.
void restore() {
  if (is_entered == 0) return;
  is_entered = 0;
  // One that is held (Ctrl-S) takes nothing, and one whose other end does not read is not waited for.
  tcflow(faulty_output, TCOON);
  constexpr int kPatienceMs = 300;
  pollfd file{faulty_output, POLLOUT, 0};
  if (poll(&file, 1, kPatienceMs) > 0) {
    const ssize_t ignored = write(faulty_output, kLeave.data(), kLeave.size());
    static_cast<void>(ignored);
  }
  tcflush(faulty_input, TCIFLUSH);  // what was typed and not read is not for the shell
  tcsetattr(faulty_input, TCSANOW, &modes_before);
}

void on_fault(int number) {
  restore();
  raise(number);  // the handler is gone (SA_RESETHAND)
}

}  // namespace

TerminalScreen::TerminalScreen(int input, int output) : input_(input), output_(output) {
  if (isatty(input) != 1 || isatty(output) != 1 || tcgetattr(input, &modes_before) != 0)
    throw std::runtime_error("top needs a terminal to show itself in; --once prints one picture, and vigil ps a list");
  faulty_input = input;
  faulty_output = output;
  for (const int number : kFaults) {
    struct sigaction action {};
    action.sa_handler = &on_fault;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(number, &action, nullptr);
  }
  enter();
}

TerminalScreen::~TerminalScreen() {
  leave();
  for (const int number : kFaults) signal(number, SIG_DFL);
}

void TerminalScreen::enter() {
  termios modes = modes_before;
  modes.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // Ctrl-C and Ctrl-Z stay signals
  modes.c_cc[VMIN] = 0;
  modes.c_cc[VTIME] = 0;
  is_entered = 1;
  tcsetattr(input_, TCSANOW, &modes);
  const ssize_t ignored = write(output_, kEnter.data(), kEnter.size());
  static_cast<void>(ignored);
  is_clear_ = true;
}

void TerminalScreen::leave() { restore(); }

ScreenSize TerminalScreen::size() const {
  winsize size{};
  if (ioctl(output_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

void TerminalScreen::show(const std::vector<std::string>& lines, SignalWait& signals) {
  std::string picture = is_clear_ ? "\x1b[H" : "\x1b[H\x1b[2J";
  is_clear_ = true;
  const bool is_full = lines.size() >= size().lines;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    // Erased before, not behind: at the last column the cursor stands on what was written there.
    picture += "\x1b[K";
    picture += lines[i];
    if (i + 1 < lines.size()) picture += "\r\n";
  }
  if (!is_full) picture += "\r\n\x1b[J";
  signals.write(output_, picture);
}

void TerminalScreen::stop_for_now() {
  leave();
  raise(SIGSTOP);
  enter();
}

bool KeyReader::read_from(int input) {
  std::array<char, 256> buffer;
  const ssize_t size = read(input, buffer.data(), buffer.size());
  if (size < 0) return errno == EINTR || errno == EAGAIN;
  bytes_.append(buffer.data(), static_cast<std::size_t>(size));
  return size > 0;
}

std::vector<KeyPress> KeyReader::take(bool is_late) {
  std::vector<KeyPress> keys;
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    if (rest.front() != '\x1b') {
      const char c = rest.front();
      keys.push_back(c == '\r' || c == '\n' ? KeyPress{Key::enter, 0} : KeyPress{Key::character, c});
      rest.remove_prefix(1);
      continue;
    }
    if (rest.size() == 1 || (rest[1] != '[' && rest[1] != 'O')) {
      if (rest.size() == 1 && !is_late) break;
      keys.push_back({Key::escape, 0});
      rest.remove_prefix(1);
      continue;
    }
    // ESC [ parameters final, or ESC O final.
    std::size_t end = 2;
    while (end < rest.size() && (rest[end] < '@' || rest[end] > '~')) ++end;
    if (end == rest.size()) {
      constexpr std::size_t kLongest = 32;
      if (!is_late && end < kLongest) break;
      rest = {};
      break;
    }
    const std::string_view parameters = rest.substr(2, end - 2);
    switch (rest[end]) {
      case 'A': keys.push_back({Key::up, 0}); break;
      case 'B': keys.push_back({Key::down, 0}); break;
      case 'H': keys.push_back({Key::home, 0}); break;
      case 'F': keys.push_back({Key::end, 0}); break;
      case '~':
        if (parameters == "5") keys.push_back({Key::page_up, 0});
        if (parameters == "6") keys.push_back({Key::page_down, 0});
        if (parameters == "1" || parameters == "7") keys.push_back({Key::home, 0});
        if (parameters == "4" || parameters == "8") keys.push_back({Key::end, 0});
        break;
      default: break;
    }
    rest.remove_prefix(end + 1);
  }
  bytes_ = std::string(rest);
  return keys;
}

}  // namespace vigil::tools
