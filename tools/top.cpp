#include "vigil/tools/top.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "vigil/config/config_reader.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/followed_run.h"
#include "vigil/tools/signal_wait.h"
#include "vigil/tools/terminal_screen.h"
#include "vigil/tools/top_view.h"

namespace vigil::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr milliseconds kSearchInterval{2000}, kKeyPause{50};

// The run that is shown, and what was seen of it.
struct ShownRun {
  ShownRun(FoundRing ring, const std::shared_ptr<const Config>& rules) : run(std::move(ring), rules) { poll(); }
  void poll() {
    run.poll([this](const StepRecord& record, const double*) { history.add(record); });
  }

  FollowedRun run;
  TopHistory history;
};

class Top {
 public:
  Top(const TopOptions& options, std::shared_ptr<const Config> rules)
      : options_(options), rules_(std::move(rules)), shown_(std::make_unique<ShownRun>(choose_ring(options.run), rules_)) {}

  void print(std::ostream& out) {
    state_.has_keys = false;
    const ScreenSize size{options_.place.columns > 0 ? options_.place.columns : 80, options_.place.lines > 0 ? options_.place.lines : 24};
    for (std::string& line : top_lines(shown_->run, shown_->history, state_, size, options_.place.colored, room_)) {
      if (!options_.place.colored) line.erase(line.find_last_not_of(' ') + 1);
      out << line << '\n';
    }
  }

  // Until the user quits: 0; or a signal comes: its number.
  int run() {
    SignalWait signals;
    TerminalScreen screen(STDIN_FILENO, STDOUT_FILENO);
    auto next_poll = Clock::now() + milliseconds(options_.interval_ms), next_search = Clock::now() + kSearchInterval;
    draw(screen, signals);
    while (signals.end_signal() == 0) {
      const auto until_poll = std::chrono::duration_cast<milliseconds>(next_poll - Clock::now()) + milliseconds(1);
      milliseconds pause = std::clamp(until_poll, milliseconds(0), milliseconds(options_.interval_ms));
      if (keys_.has_part()) pause = std::min(pause, kKeyPause);
      const bool has_input = signals.wait(pause, STDIN_FILENO);
      if (signals.end_signal() != 0) break;
      if (has_input && !keys_.read_from(STDIN_FILENO)) break;  // the terminal is gone
      for (const KeyPress& key : keys_.take(!has_input)) {
        if (!act_on(key)) return 0;
      }
      if (signals.take_stop()) screen.stop_for_now();
      if (signals.take_resize()) screen.clear();
      if (Clock::now() >= next_poll) {
        next_poll = Clock::now() + milliseconds(options_.interval_ms);
        if (!state_.is_held) shown_->poll();
      }
      if (Clock::now() >= next_search && !state_.is_held && !is_alive(shown_->run.condition().state)) {
        next_search = Clock::now() + kSearchInterval;
        FoundRing later = find_later_attempt(shown_->run.ring(), options_.run.directories);
        if (later.file != nullptr) show_run(std::move(later));
      }
      draw(screen, signals);
    }
    return signals.end_signal();
  }

 private:
  void draw(TerminalScreen& screen, SignalWait& signals) {
    const ScreenSize size = screen.size();
    const bool colored = options_.place.colored;
    screen.show(is_choosing_ ? choice_lines(choice_head_, entries_, chosen_, size, colored)
                             : top_lines(shown_->run, shown_->history, state_, size, colored, room_),
                signals);
  }

  void show_run(FoundRing ring) {
    shown_ = std::make_unique<ShownRun>(std::move(ring), rules_);
    state_.scroll = 0;
  }

  // False: quit.
  bool act_on(const KeyPress& key) {
    if (is_choosing_) return choose(key);
    switch (key.key) {
      case Key::up: state_.scroll -= std::min<std::size_t>(state_.scroll, 1); break;
      case Key::down: ++state_.scroll; break;
      case Key::page_up: state_.scroll -= std::min(state_.scroll, room_.page); break;
      case Key::page_down: state_.scroll += room_.page; break;
      case Key::home: state_.scroll = 0; break;
      case Key::end: state_.scroll = room_.last; break;
      case Key::enter:
      case Key::escape: break;
      case Key::character: return act_on(key.character);
    }
    state_.scroll = std::min(state_.scroll, room_.last);
    return true;
  }

  bool act_on(char key) {
    switch (key) {
      case 'q': return false;
      case 's': sort_by(static_cast<LayerOrder>((static_cast<std::size_t>(state_.order) + 1) % kLayerOrders)); break;
      case 'g': sort_by(LayerOrder::gradient_norm); break;
      case 'u': sort_by(LayerOrder::update_ratio); break;
      case 'p': sort_by(LayerOrder::parameter_norm); break;
      case 'x': sort_by(LayerOrder::nonfinite); break;
      case 'n': sort_by(LayerOrder::name); break;
      case 'k': return act_on(KeyPress{Key::up, 0});
      case 'j': return act_on(KeyPress{Key::down, 0});
      case 'r': begin_choice(); break;
      case ' ': state_.is_held = !state_.is_held; break;
      default: break;
    }
    return true;
  }

  void sort_by(LayerOrder order) {
    state_.order = order;
    state_.scroll = 0;
  }

  void begin_choice() {
    constexpr std::size_t kMaxRuns = 256;
    rings_.clear();
    entries_.clear();
    std::vector<std::string> notes;
    try {
      rings_ = find_rings(options_.run.directories, notes);
    } catch (const SearchError&) {
      return;  // the directory is gone; the run that is shown stays
    }
    rings_.erase(std::remove_if(rings_.begin(), rings_.end(), [](const FoundRing& ring) { return ring.file == nullptr; }), rings_.end());
    if (rings_.size() > kMaxRuns) rings_.resize(kMaxRuns);
    const auto line = [](const std::string& run, const std::string& rank, const std::string& attempt, const std::string& step,
                         const std::string& state) {
      return padded(clipped(run, 28), 28) + "  " + right_aligned(rank, 4) + "  " + right_aligned(attempt, 7) + "  " +
             right_aligned(step, 12) + "  " + state;
    };
    choice_head_ = line("RUN", "RANK", "ATTEMPT", "STEP", "STATE");
    chosen_ = 0;
    for (const FoundRing& ring : rings_) {
      FollowedRun run(ring);
      run.poll();
      const RunIdentity& who = run.identity();
      if (ring.path == shown_->run.ring().path) chosen_ = entries_.size();
      entries_.push_back({line(printable(who.run), std::to_string(who.rank), std::to_string(who.attempt),
                               run.snapshot()->has_step ? grouped(run.snapshot()->step.step) : "-", condition_text(run.condition())),
                          style_of(run.condition().state)});
    }
    is_choosing_ = !entries_.empty();
  }

  // False: quit.
  bool choose(const KeyPress& key) {
    if (key.character == 'q') return false;
    const bool is_up = key.key == Key::up || key.character == 'k', is_down = key.key == Key::down || key.character == 'j';
    if (is_up && chosen_ > 0) --chosen_;
    if (is_down && chosen_ + 1 < entries_.size()) ++chosen_;
    if (key.key == Key::enter) show_run(rings_[chosen_]);
    if (key.key == Key::enter || key.key == Key::escape || key.character == 'r') {
      is_choosing_ = false;
      rings_.clear();
    }
    return true;
  }

  const TopOptions& options_;
  const std::shared_ptr<const Config> rules_;
  std::unique_ptr<ShownRun> shown_;
  TopState state_;
  ScrollRoom room_;  // of the latest picture
  KeyReader keys_;
  bool is_choosing_ = false;
  std::vector<FoundRing> rings_;
  std::vector<RunEntry> entries_;
  std::string choice_head_;
  std::size_t chosen_ = 0;
};

}  // namespace

int top(const TopOptions& options, std::ostream& out, std::ostream& err) {
  try {
    const char* const term = std::getenv("TERM");
    const bool is_plain = term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
    if (!options.once && (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1 || is_plain)) {
      err << "vigil: top needs a terminal to show itself in, and TERM to name its kind; --once prints one picture, and vigil ps a list\n";
      return 2;
    }
    Top top(options, std::make_shared<const Config>(options.rules.empty() ? Config{} : load_config(options.rules)));
    if (options.once) {
      top.print(out);
      return 0;
    }
    const int signal = top.run();
    // Ctrl-C is how one leaves; by the others the program dies, as who sent them expects.
    if (signal != 0 && signal != SIGINT) die_of(signal);
    return 0;
  } catch (const std::invalid_argument& error) {
    err << (options.rules.empty() ? std::string("vigil: ") : options.rules + ": ") << error.what() << '\n';
  } catch (const std::runtime_error& error) {
    err << "vigil: " << error.what() << '\n';
  }
  return 1;
}

}  // namespace vigil::tools
