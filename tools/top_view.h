// What `vigil top` shows, as lines: a function of the run and of what the user chose.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/layer_figures.h"

namespace vigil::tools {

/// The latest steps, for the charts; a step without a loss or norm adds nothing.
struct TopHistory {
  static constexpr std::size_t kMaxSteps = 8192;
  std::vector<double> losses, gradient_norms;

  void add(const StepRecord& record);
};

/// What the user chose.
struct TopState {
  bool has_keys = true;  ///< the last line tells the keys
  LayerOrder order = LayerOrder::gradient_norm;
  std::size_t scroll = 0;  ///< the layer that stands first; brought into range by top_lines
  bool is_held = false;    ///< nothing new is read
};

/// What there is to scroll.
struct ScrollRoom {
  std::size_t page = 0;  ///< layers that there is room for
  std::size_t last = 0;  ///< the largest TopState::scroll
};

struct ScreenSize {
  std::size_t columns = 80, lines = 24;
};

/// At most `size.lines` lines of at most `size.columns` columns.
std::vector<std::string> top_lines(const FollowedRun& run, const TopHistory& history, TopState& state, ScreenSize size, bool colored,
                                   ScrollRoom& room);

/// A run to choose.
struct RunEntry {
  std::string text;  ///< printable, in columns
  Style style = Style::plain;
};

/// `head` and the entries, with `chosen` marked and on the screen.
std::vector<std::string> choice_lines(const std::string& head, const std::vector<RunEntry>& entries, std::size_t chosen, ScreenSize size,
                                      bool colored);

}  // namespace vigil::tools
