#include "vigil/tools/replay.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <utility>

#include "vigil/config/config_reader.h"
#include "vigil/exporters/alert_rules.h"
#include "vigil/tools/alert_lines.h"
#include "vigil/tools/rank_group.h"
#include "vigil/tools/run_replay.h"

namespace vigil::tools {
namespace {

using Ranks = std::vector<std::unique_ptr<RunReplay>>;

// A line that is written over itself, while a file is long enough to wait for.
class Progress {
 public:
  Progress(std::ostream& out, std::ostream& err, bool is_shown) : out_(out), err_(err), is_shown_(is_shown) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(const RunReplay& replay) { bytes_in_all_ += replay.bytes_in_all(); }
  void show(std::uint64_t bytes_read) {
    constexpr std::uint64_t kWorthIt = std::uint64_t{16} << 20;
    if (!is_shown_ || bytes_in_all_ < kWorthIt) return;
    const std::uint64_t percent = std::min<std::uint64_t>(100 * bytes_read / bytes_in_all_, 100);
    if (percent == percent_) return;
    percent_ = percent;
    out_.flush();  // the two may be one terminal
    err_ << "\rreplaying: " << percent << " %" << std::flush;
  }
  void clear() {
    if (percent_ != kNothing) err_ << "\r                  \r" << std::flush;
    percent_ = kNothing;
  }

 private:
  static constexpr std::uint64_t kNothing = ~std::uint64_t{0};
  std::ostream &out_, &err_;
  const bool is_shown_;
  std::uint64_t bytes_in_all_ = 0, percent_ = kNothing;
};

bool has(const std::vector<std::string>& files, const std::string& file) {
  return std::find(files.begin(), files.end(), file) != files.end();
}

// Files that belong to one rank: what was rotated away comes before what came after it.
std::vector<std::vector<std::string>> files_by_rank(std::vector<std::string> files, std::vector<std::string>& notes) {
  std::vector<std::string> once;
  for (std::string& file : files) {
    if (!has(once, file)) once.push_back(std::move(file));
  }
  std::vector<std::vector<std::string>> by_rank;
  const std::string kOld = ".1";
  for (const std::string& file : once) {
    const bool is_old = file.size() > kOld.size() && file.compare(file.size() - kOld.size(), kOld.size(), kOld) == 0;
    if (is_old && has(once, file.substr(0, file.size() - kOld.size()))) continue;  // comes with its newer one
    const bool has_old = has(once, file + kOld);
    std::error_code ignored;
    if (!has_old && std::filesystem::exists(file + kOld, ignored)) {
      std::string note = file;
      note += kOld;
      note += " holds what came before " + file + "; name it, too, to replay the whole run";
      notes.push_back(std::move(note));
    }
    by_rank.push_back(has_old ? std::vector<std::string>{file + kOld, file} : std::vector<std::string>{file});
  }
  return by_rank;
}

// Those of one run together, in the order of their ranks; two files of one rank are replayed on their own.
std::vector<Ranks> group_by_run(Ranks replays) {
  std::vector<Ranks> groups;
  const auto identity_of = [](const std::unique_ptr<RunReplay>& replay) -> RunIdentity { return replay->schema()->identity; };
  for (std::unique_ptr<RunReplay>& replay : replays) {
    const RunIdentity identity = identity_of(replay);
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const Ranks& known) {
      return identity_of(known.front()).run == identity.run &&
             std::none_of(known.begin(), known.end(), [&](const auto& other) { return identity_of(other).rank == identity.rank; });
    });
    Ranks& ranks = group == groups.end() ? groups.emplace_back() : *group;
    ranks.push_back(std::move(replay));
  }
  for (Ranks& ranks : groups) {
    std::sort(ranks.begin(), ranks.end(), [&](const auto& a, const auto& b) { return identity_of(a).rank < identity_of(b).rank; });
  }
  return groups;
}

void say(std::ostream& err, const std::vector<std::string>& notes) {
  for (const std::string& note : notes) err << "vigil: note: " << note << '\n';
}

class Replay {
 public:
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
  Replay(const ReplayOptions& options, std::ostream& out, std::ostream& err)
      : config_(options.rules.empty() ? Config{} : load_config(options.rules)),
        lines_(out, alert_rules(config_), options.json),
        err_(err),
        progress_(out, err, options.shows_progress) {
    lines_.set_before_lines([this] { progress_.clear(); });
    if (!config_.rules.enabled) say(err, {options.rules + ": rules.enabled is false there; they are replayed all the same"});
    std::vector<std::string> notes;
    Ranks replays;
    for (std::vector<std::string>& files : files_by_rank(options.files, notes)) {
      replays.push_back(std::make_unique<RunReplay>(std::move(files), config_));
      RunReplay& replay = *replays.back();
      if (!replay.has_next()) {
        say(err, replay.take_notes());
        throw JsonlError(replay.paths().front() +
                         ": expected the lines of a run, got a file without; name what exporters.jsonl.path names");
      }
      progress_.add(replay);
    }
    say(err, notes);
    groups_ = group_by_run(std::move(replays));
  }

  void run() {
    ReplayedAmount amount;
    std::uint64_t bytes_before = 0;
    for (Ranks& ranks : groups_) {
      RankGroup group(std::move(ranks), config_, lines_);
      try {
        group.run([&] { progress_.show(bytes_before + bytes_read(group)); });
      } catch (...) {
        say_notes(group);
        throw;
      }
      say_notes(group);
      bytes_before += bytes_read(group);
      amount.runs += group.runs();
      for (const auto& rank : group.ranks()) {
        amount.steps += rank->steps();
        amount.frames += rank->frames();
      }
    }
    lines_.finish(amount);
  }

  bool has_fired(Severity least) const { return lines_.has_fired(least); }

 private:
  void say_notes(RankGroup& group) {
    progress_.clear();
    say(err_, group.take_notes());
    for (const auto& rank : group.ranks()) say(err_, rank->take_notes());
  }

  static std::uint64_t bytes_read(const RankGroup& group) {
    std::uint64_t bytes = 0;
    for (const auto& rank : group.ranks()) bytes += rank->bytes_read();
    return bytes;
  }

  const Config config_;
  AlertLines lines_;
  std::ostream& err_;
  Progress progress_;
  std::vector<Ranks> groups_;
};

}  // namespace

int replay(const ReplayOptions& options, std::ostream& out, std::ostream& err) {
  try {
    Replay run(options, out, err);
    run.run();
    return options.fail_on && run.has_fired(*options.fail_on) ? 1 : 0;
  } catch (const std::invalid_argument& error) {
    err << (options.rules.empty() ? std::string() : options.rules + ": ") << error.what() << '\n';
  } catch (const std::runtime_error& error) {  // of the configuration, or of a line
    err << error.what() << '\n';
  }
  return 1;
}

}  // namespace vigil::tools
