#include "vigil/exporters/report_exporter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/seconds.h"
#include "vigil/exporters/update_ratio.h"

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

void ReportExporter::on_event(const NonfiniteEvent& event) {
  if (event.found_by == FoundBy::bracket) {
    streak_step_ = event.step;
    if (files_ >= config_.max_files) {
      if (!std::exchange(limit_told_, true)) {
        log(LogLevel::warning,
            "exporters.report.max_files reports of this run are written (" + std::to_string(files_) + "); no more will be");
      }
      streak_step_ = 0;
      return;
    }
    ++files_;
  } else if (streak_step_ == 0) {
    return;
  }
  event_ = event;
  pending_ = true;
}

void ReportExporter::append_steps(std::string& out) const {
  const RingGeometry geometry = channel_.step_geometry();
  RingReader reader = channel_.step_reader();
  std::vector<std::uint64_t> words(geometry.payload_words);
  std::deque<std::pair<StepRecord, std::vector<double>>> latest;
  const std::size_t rates = channel_.schema().learning_rates;
  for (std::size_t i = 0; i < geometry.slot_count && reader.try_read(words.data()); ++i) {
    StepRecord record;
    std::memcpy(static_cast<void*>(&record), words.data(), sizeof record);
    if (record.has(StepRecord::again) || record.step > event_.step) continue;
    std::vector<double> scalars(rates);
    std::memcpy(scalars.data(), words.data() + sizeof record / 8, rates * sizeof(double));
    latest.emplace_back(record, std::move(scalars));
    if (latest.size() > kSteps) latest.pop_front();
  }
  bool is_first = true;
  for (const auto& [record, scalars] : latest) {
    out += is_first ? "\n    {" : ",\n    {";
    is_first = false;
    append_member(out, "step", record.step);
    append_member(out, "time", to_seconds(record.wall_time_ns));
    if (record.has(StepRecord::has_loss)) append_member(out, "loss", record.loss);
    if (record.has(StepRecord::has_gradient_norm)) append_member(out, "gradient_norm", record.gradient_norm);
    if (record.has(StepRecord::has_parameter_norm)) append_member(out, "parameter_norm", record.parameter_norm);
    out += ",\"learning_rates\":[";
    for (std::size_t i = 0; i < scalars.size(); ++i) {
      if (i > 0) out += ',';
      append(out, scalars[i]);
    }
    out += ']';
    if (record.has(StepRecord::has_clip_ratio)) append_member(out, "clip_ratio", record.clip_ratio);
    if (record.has(StepRecord::has_total_time)) append_member(out, "total_seconds", to_seconds(record.total_ns));
    append_member(out, "nonfinite", record.has(StepRecord::nonfinite));
    append_member(out, "skipped", record.has(StepRecord::skipped));
    out += '}';
  }
}

void ReportExporter::append_frames(std::string& out) const {
  const Schema& schema = channel_.schema();
  std::deque<std::string> latest;
  const auto take = [&](const Frame& frame) {
    if (frame.header.step > event_.step) return;
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
    latest.push_back(text + "]}");
    if (latest.size() > kFrames) latest.pop_front();
  };
  RunFollower(channel_).poll({}, take);
  for (std::size_t i = 0; i < latest.size(); ++i) out += (i > 0 ? ",\n    " : "\n    ") + latest[i];
}

std::string ReportExporter::make_report() const {
  const RunIdentity& identity = channel_.schema().identity;
  std::string out = "{\n  \"run\": {";
  append_member(out, "run", identity.run);
  append_member(out, "rank", identity.rank);
  append_member(out, "world_size", identity.world_size);
  append_member(out, "model", identity.model);
  append_member(out, "libtorch", identity.libtorch);
  append_member(out, "vigil", vigil_version());
  append_member(out, "host", identity.host);
  append_member(out, "pid", identity.pid);
  append_member(out, "attempt", identity.attempt);
  append_member(out, "start_time", to_seconds(identity.start_time_ns));
  out += "},\n  \"nonfinite\": {";
  append_event(out, event_);
  out += "},\n  \"steps\": [";
  append_steps(out);
  out += "],\n  \"frames\": [";
  append_frames(out);
  out += "]\n}\n";
  return out;
}

void ReportExporter::on_poll() {
  if (!std::exchange(pending_, false)) return;
  const RunIdentity& identity = channel_.schema().identity;
  const std::string rank = identity.world_size > 1 ? "-rank" + std::to_string(identity.rank) : "";
  const std::string path =
      config_.directory + "/vigil-nan-" + safe_name(identity.run) + rank + "-" + std::to_string(streak_step_) + ".json";
  write_whole(path, make_report());
  if (told_step_ != streak_step_) log(LogLevel::info, "a report of step " + std::to_string(streak_step_) + " is in " + path);
  told_step_ = streak_step_;
  lacks_its_step_ = latest_step_ < event_.step;
}

}  // namespace vigil
