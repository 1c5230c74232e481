// Colours of what the command line prints, and how wide it may be.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "vigil/monitor/run_state.h"

namespace vigil {

enum class Style : unsigned char { plain, bold, dim, red, yellow, green, cyan, heading, alarm };

/// `text` in a style; as it stands when `colored` is false.
std::string styled(std::string_view text, Style style, bool colored);

/// That of a run's state.
Style style_of(RunState state) noexcept;

/// When colours are used.
enum class ColorMode : unsigned char { automatic, always, never };

/// What is known of where a text goes.
struct OutputPlace {
  bool is_terminal = false;
  bool colored = false;
  std::size_t columns = 0, lines = 0;  ///< 0: no bound
};

/// Asks of a file descriptor. Colours are automatic on a terminal unless NO_COLOR (https://no-color.org) is set to something, or TERM is
/// "dumb". Where it is no terminal, the variables COLUMNS and LINES give the size, if they are there.
OutputPlace look_at_output(int descriptor, ColorMode mode);

/// A line of a screen: at most so many columns, whatever is added.
class ScreenLine {
 public:
  ScreenLine(std::size_t columns, bool colored) noexcept : left_(columns), colored_(colored) {}

  /// Adds a printable text, clipped to what room there is.
  ScreenLine& add(std::string_view text, Style style = Style::plain);
  /// Fills up with spaces to column `columns`, counted from 0.
  ScreenLine& to(std::size_t columns);

  std::size_t left() const noexcept { return left_; }
  const std::string& text() const noexcept { return text_; }

 private:
  std::size_t left_, used_ = 0;
  bool colored_;
  std::string text_;
};

}  // namespace vigil
