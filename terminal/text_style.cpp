#include "vigil/terminal/text_style.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

std::string_view sequence_of(Style style) noexcept {
  switch (style) {
    case Style::plain: return "";
    case Style::bold: return "\x1b[1m";
    case Style::dim: return "\x1b[2m";
    case Style::red: return "\x1b[1;31m";
    case Style::yellow: return "\x1b[33m";
    case Style::green: return "\x1b[32m";
    case Style::cyan: return "\x1b[36m";
    case Style::heading: return "\x1b[7m";
    case Style::alarm: return "\x1b[1;37;41m";
  }
  return "";
}

bool is_set(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

std::size_t size_from(const char* variable) {
  constexpr unsigned long kMax = 10000;
  const char* const value = std::getenv(variable);
  const unsigned long size = value == nullptr ? 0 : std::strtoul(value, nullptr, 10);
  return size <= kMax ? size : 0;
}

}  // namespace

std::string styled(std::string_view text, Style style, bool colored) {
  if (!colored || style == Style::plain || text.empty()) return std::string(text);
  return std::string(sequence_of(style)) + std::string(text) + "\x1b[0m";
}

Style style_of(RunState state) noexcept {
  switch (state) {
    case RunState::starting: return Style::cyan;
    case RunState::running: return Style::green;
    case RunState::finished: return Style::plain;
    case RunState::hung: return Style::yellow;
    case RunState::failed:
    case RunState::crashed:
    case RunState::unreadable: return Style::red;
  }
  return Style::plain;
}

OutputPlace look_at_output(int descriptor, ColorMode mode) {
  OutputPlace place;
  place.is_terminal = isatty(descriptor) == 1;
  const char* const term = std::getenv("TERM");
  const bool is_dumb = term != nullptr && std::string_view(term) == "dumb";
  place.colored = mode == ColorMode::always || (mode == ColorMode::automatic && place.is_terminal && !is_set("NO_COLOR") && !is_dumb);
  winsize size{};
  if (place.is_terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    place.columns = size.ws_col;
    place.lines = size.ws_row;
  } else {
    place.columns = size_from("COLUMNS");
    place.lines = size_from("LINES");
  }
  return place;
}

ScreenLine& ScreenLine::add(std::string_view text, Style style) {
  if (left_ == 0) return *this;
  const std::string shown = clipped(text, left_);
  const std::size_t columns = columns_of(shown);
  text_ += styled(shown, style, colored_);
  left_ -= columns < left_ ? columns : left_;
  used_ += columns;
  return *this;
}

ScreenLine& ScreenLine::to(std::size_t columns) { return columns > used_ ? add(std::string(columns - used_, ' ')) : *this; }

}  // namespace vigil
