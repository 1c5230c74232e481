#include "vigil/exporters/report_exporter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

std::string safe_name(std::string_view run) {
  std::string name(run.substr(0, 128));
  for (char& c : name) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!is_plain) c = '_';
  }
  return name;
}

std::runtime_error file_error(const std::string& what, const std::string& path, int error) {
  return std::runtime_error("cannot " + what + " '" + path + "': " + std::generic_category().message(error) +
                            "; set exporters.report.directory to one that this program may write into, or exporters.report.enabled: false");
}

void write_whole(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (file < 0) throw file_error("open", temporary, errno);
  std::size_t written = 0;
  int error = 0;
  while (written < text.size() && error == 0) {
    const ssize_t result = ::write(file, text.data() + written, text.size() - written);
    if (result > 0) {
      written += static_cast<std::size_t>(result);
    } else if (result == 0 || errno != EINTR) {
      error = result == 0 ? EIO : errno;
    }
  }
  if (close(file) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return;
  unlink(temporary.c_str());
  throw file_error("write", path, error);
}

}  // namespace

ReportExporter::ReportExporter(const ReportConfig& config, const RunChannel& channel) : config_(config), channel_(channel) {
  struct stat status {};
  if (stat(config_.directory.c_str(), &status) != 0) throw file_error("look at", config_.directory, errno);
  if (!S_ISDIR(status.st_mode)) throw file_error("write reports into", config_.directory, ENOTDIR);
}

void ReportExporter::on_step(const StepRecord& record, const double* /*scalars*/) {
  latest_step_ = record.step;
  if (lacks_its_step_ && latest_step_ >= event_.step) pending_ = true;
}

bool ReportExporter::may_write_another() {
  if (files_ < config_.max_files) {
    ++files_;
    return true;
  }
  if (!std::exchange(limit_told_, true)) {
    log(LogLevel::warning, "exporters.report.max_files reports of this run are written (" + std::to_string(files_) + "); no more will be");
  }
  return false;
}

void ReportExporter::on_event(const NonfiniteEvent& event) {
  if (event.found_by == FoundBy::bracket) {
    streak_step_ = may_write_another() ? event.step : 0;
    if (streak_step_ == 0) return;
  } else if (streak_step_ == 0) {
    return;
  }
  event_ = event;
  pending_ = true;
}

void ReportExporter::on_alert(const AlertMessage& message) {
  if (!message.has(AlertAction::dump) || message.alert.state != AlertState::firing) return;
  // Of a rule that fires for several layers at one step the first has the report: the others' would be the same file.
  const auto is_same = [&](const AlertMessage& one) {
    return one.name == message.name && one.alert.fired_step == message.alert.fired_step;
  };
  if (std::any_of(alerts_.begin(), alerts_.end(), is_same) || !may_write_another()) return;
  alerts_.push_back(message);
}

namespace {

// The latest `most` of what is added, one after the other.
class LatestTexts {
 public:
  explicit LatestTexts(std::size_t most) : most_(most) {}
  void add(std::string text) {
    texts_.push_back(std::move(text));
    if (texts_.size() > most_) texts_.pop_front();
  }
  std::string joined() const {
    std::string out;
    for (const std::string& text : texts_) out += (out.empty() ? "\n    " : ",\n    ") + text;
    return out;
  }

 private:
  const std::size_t most_;
  std::deque<std::string> texts_;
};

std::string text_of(const StepRecord& record, const double* scalars, std::size_t rates) {
  std::string text = "{";
  append_step(text, record, scalars, rates);
  if (record.has(StepRecord::has_clip_ratio)) append_member(text, "clip_ratio", record.clip_ratio);
  if (record.has(StepRecord::has_total_time)) append_member(text, "total_seconds", to_seconds(record.total_ns));
  append_member(text, "nonfinite", record.has(StepRecord::nonfinite));
  append_member(text, "skipped", record.has(StepRecord::skipped));
  return text + "}";
}

std::string text_of(const Frame& frame, const Schema& schema) {
  std::string text = "{";
  append_member(text, "step", frame.header.step);
  text += ",\"tensors\":[";
  bool is_first = true;
  for (std::size_t i = 0; i < frame.rows.size(); ++i) {
    const TensorRow& row = frame.rows[i];
    if (row.state != TensorRow::present) continue;
    text += is_first ? "\n      {" : ",\n      {";
    is_first = false;
    append_member(text, "kind", kTensorKindNames[static_cast<std::size_t>(schema.rows[i].kind)]);
    append_member(text, "name", schema.rows[i].name);
    append_member(text, "l2_norm", l2_norm(row.moments));
    append_member(text, "min", row.moments.min);
    append_member(text, "max", row.moments.max);
    append_member(text, "nan_values", row.moments.nan_count);
    append_member(text, "inf_values", row.moments.inf_count);
    if (const auto ratio = update_ratio(schema.rows[i], row)) append_member(text, "update_ratio", *ratio);
    text += '}';
  }
  text += "],\"activations\":[";
  is_first = true;
  for (std::size_t i = 0; i < frame.activations.size() && i < frame.layers.size(); ++i) {
    if (frame.activations[i].step == 0) continue;
    text += is_first ? "\n      {" : ",\n      {";
    is_first = false;
    append_activation(text, frame.activations[i], frame.layers[i]);
    text += '}';
  }
  return text + "]}";
}

}  // namespace

std::string ReportExporter::make_report(std::string_view what, const std::string& members, std::uint64_t last_step) const {
  const Schema& schema = channel_.schema();
  LatestTexts steps(kSteps), frames(kFrames);
  RunFollower(channel_).poll(
      [&](const StepRecord& record, const double* scalars) {
        if (!record.has(StepRecord::again) && record.step <= last_step) steps.add(text_of(record, scalars, schema.learning_rates));
      },
      [&](const Frame& frame) {
        if (frame.header.step <= last_step) frames.add(text_of(frame, schema));
      });
  std::string out = "{\n  \"run\": {";
  append_run(out, schema.identity);
  out += "},\n  \"" + std::string(what) + "\": " + members;
  out += ",\n  \"steps\": [" + steps.joined() + "],\n  \"frames\": [" + frames.joined() + "]\n}\n";
  return out;
}

std::string ReportExporter::path_of(std::string_view what, std::uint64_t step) const {
  const RunIdentity& identity = channel_.schema().identity;
  const std::string rank = identity.world_size > 1 ? "-rank" + std::to_string(identity.rank) : "";
  const auto [head, tail] = std::pair(what.substr(0, what.find('-')), what.substr(std::min(what.size(), what.find('-'))));
  return config_.directory + "/vigil-" + std::string(head) + "-" + safe_name(identity.run) + rank + safe_name(tail) + "-" +
         std::to_string(step) + ".json";
}

void ReportExporter::on_poll() {
  while (!alerts_.empty()) {
    const AlertMessage message = alerts_.front();
    alerts_.pop_front();  // first: what cannot be written is not tried again, as the next one may
    std::string members = "{";
    append_alert(members, message);
    const std::string path = path_of("alert-" + message.name, message.alert.fired_step);
    write_whole(path, make_report("alert", members + "}", message.alert.fired_step));
    log(LogLevel::info, "a report of the alert " + message.name + " is in " + path);
  }
  if (!std::exchange(pending_, false)) return;
  std::string members = "{";
  append_event(members, event_);
  const std::string path = path_of("nan", streak_step_);
  write_whole(path, make_report("nonfinite", members + "}", event_.step));
  if (told_step_ != streak_step_) log(LogLevel::info, "a report of step " + std::to_string(streak_step_) + " is in " + path);
  told_step_ = streak_step_;
  lacks_its_step_ = latest_step_ < event_.step;
}

}  // namespace vigil
