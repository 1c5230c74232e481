// The terminal as a screen of its own, and the keys that are pressed on it.
#pragma once

#include <termios.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/tools/top_view.h"

namespace vigil::tools {

class SignalWait;

/// From its construction to its destruction the terminal shows the alternate screen, without cursor and echo, and gives keys at once. It is
/// made what it was also when the program dies of a fault (SIGSEGV, SIGABRT, …). Signals that end a program are SignalWait's to catch. One
/// at a time.
class TerminalScreen {
 public:
  /// @throws std::runtime_error when `input` or `output` is no terminal
  TerminalScreen(int input, int output);
  ~TerminalScreen();
  TerminalScreen(const TerminalScreen&) = delete;
  TerminalScreen& operator=(const TerminalScreen&) = delete;

  ScreenSize size() const;
  /// Writes the lines at once, over what was there. A signal that ends the program ends a write that waits for the terminal.
  void show(const std::vector<std::string>& lines, SignalWait& signals);
  /// The next show() begins with an empty screen.
  void clear() noexcept { is_clear_ = false; }
  /// Gives the terminal back and stops the program, as Ctrl-Z does; returns when it goes on.
  void stop_for_now();

 private:
  void enter();
  void leave();

  const int input_, output_;
  bool is_clear_ = false;
};

enum class Key : unsigned char { character, up, down, page_up, page_down, home, end, enter, escape };

struct KeyPress {
  Key key = Key::character;
  char character = 0;
};

/// Bytes of a terminal as keys.
class KeyReader {
 public:
  /// Reads what `input` has. False at its end.
  bool read_from(int input);
  /// Keys that are whole. `is_late`: nothing came for a while, so that what could have begun a sequence was the escape key.
  std::vector<KeyPress> take(bool is_late);
  bool has_part() const noexcept { return !bytes_.empty(); }

 private:
  std::string bytes_;
};

}  // namespace vigil::tools
