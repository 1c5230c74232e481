#include "vigil/exporters/jsonl_exporter.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <set>
#include <stdexcept>
#include <system_error>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/dtype.h"
#include "vigil/monitor/metric_table.h"
#include "vigil/monitor/statistics.h"
#include "vigil/monitor/update_ratio.h"

namespace vigil {
namespace {

std::string begin_line(std::string_view type) { return "{\"type\":\"" + std::string(type) + "\""; }

std::runtime_error file_error(const std::string& what, const std::string& path, int error, const std::string& what_to_do) {
  return std::runtime_error("cannot " + what + " '" + path + "': " + std::generic_category().message(error) + what_to_do);
}

// Files that this process writes runs into. The lock below holds other processes off, but not this one: closing a second descriptor of a
// file gives the lock up, so a file in use must not even be opened.
class FilesInUse {
 public:
  static bool has(const struct stat& status) {
    const std::lock_guard<std::mutex> lock(mutex());
    return files().count({status.st_dev, status.st_ino}) > 0;
  }
  static void add(std::pair<dev_t, ino_t> file) {
    const std::lock_guard<std::mutex> lock(mutex());
    files().insert(file);
  }
  static void remove(std::pair<dev_t, ino_t> file) {
    const std::lock_guard<std::mutex> lock(mutex());
    files().erase(file);
  }

 private:
  // Never destroyed: a monitor may end while the program's statics are.
  static std::mutex& mutex() {
    static auto& made = *new std::mutex;
    return made;
  }
  static std::set<std::pair<dev_t, ino_t>>& files() {
    static auto& made = *new std::set<std::pair<dev_t, ino_t>>;
    return made;
  }
};

void append_magnitudes(std::string& line, const MagnitudeHistogram& histogram, const Moments& moments) {
  for (const double q : kMagnitudeQuantiles) {
    const int percent = static_cast<int>(std::lround(100 * q));
    append_member(line, (percent < 10 ? "magnitude_p0" : "magnitude_p") + std::to_string(percent),
                  magnitude_quantile(histogram, moments, q));
  }
  line += ",\"magnitude_buckets\":[" + std::to_string(histogram.underflow);
  for (const std::uint64_t count : histogram.buckets) line += ',' + std::to_string(count);
  line += ',' + std::to_string(histogram.overflow) + ']';
}

// What the numbers of the lines that follow stand for.
void append_schema(std::string& line, const Schema& schema) {
  if (schema.is_continued) line += ",\"continued\":true";
  append_member(line, "learning_rates", schema.learning_rates);
  append_member(line, "groups", schema.groups);
  append_member(line, "max_activations", schema.activations);
  append_member(line, "parameters", schema.parameters);
  line += ",\"tensors\":[";
  for (const RowSchema& row : schema.rows) {
    line += &row == schema.rows.data() ? "{" : ",{";
    append_member(line, "kind", kTensorKindNames[static_cast<std::size_t>(row.kind)]);
    append_member(line, "name", row.name);
    append_member(line, "layer", row.layer);
    append_member(line, "shape", row.shape);
    append_member(line, "elements", row.element_count);
    append_member(line, "dtype", kDTypeNames[static_cast<std::size_t>(row.dtype)]);
    if (row.part != 0) append_member(line, "part", static_cast<std::uint64_t>(row.part));
    if (row.learning_rate != RowSchema::kNone) append_member(line, "learning_rate", static_cast<std::uint64_t>(row.learning_rate));
    if (row.infinite != 0) append_member(line, "infinite", row.infinite);
    line += '}';
  }
  line += ']';
}

void append_device_memory(std::string& line, const StepRecord& record) {
  line += ",\"device\":{";
  append_member(line, "allocated_bytes", record.device_allocated);
  append_member(line, "reserved_bytes", record.device_reserved);
  append_member(line, "peak_bytes", record.device_peak);
  append_member(line, "retries", record.device_retries);
  append_member(line, "out_of_memory", record.device_out_of_memory);
  line += '}';
}

constexpr const char* kWhatToDo = "; set exporters.jsonl.path to a file that this program may write";

}  // namespace

JsonlExporter::JsonlExporter(const JsonlConfig& config, const RunChannel& channel)
    : path_(config.path), max_bytes_(static_cast<std::uint64_t>(std::max<std::int64_t>(config.max_bytes, 1))), channel_(channel) {
  for (const RowSchema& row : channel.schema().rows) {
    std::string head = "{";
    append_member(head, "kind", kTensorKindNames[static_cast<std::size_t>(row.kind)]);
    append_member(head, "name", row.name);
    append_member(head, "layer", row.layer);
    row_heads_.push_back(std::move(head));
  }
  open();
  add_run_line();
}

JsonlExporter::~JsonlExporter() { close_file(); }

void JsonlExporter::close_file() {
  if (file_ < 0) return;
  if (is_regular_) FilesInUse::remove(identity_);
  close(file_);
  file_ = -1;
}

void JsonlExporter::open() {
  struct stat status {};
  if (stat(path_.c_str(), &status) == 0 && FilesInUse::has(status)) {
    throw std::runtime_error("cannot open '" + path_ +
                             "': another monitor of this program writes its run into it; set exporters.jsonl.path to " +
                             "a file of its own");
  }
  // Non-blocking, for the pipe that nobody empties.
  const int file = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  if (file < 0) throw file_error("open", path_, errno, kWhatToDo);
  if (fstat(file, &status) != 0) {
    const int error = errno;
    close(file);
    throw file_error("look at", path_, error, kWhatToDo);
  }
  // Two programs would mix their lines and rename the file under each other. A record lock, because a forked child does not inherit it. A
  // file system without locks is no reason not to write.
  struct flock whole_file {};
  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  if (S_ISREG(status.st_mode) && fcntl(file, F_SETLK, &whole_file) != 0 && (errno == EAGAIN || errno == EACCES)) {
    close(file);
    throw std::runtime_error("cannot open '" + path_ +
                             "': another program writes its run into it; set exporters.jsonl.path to a file of its own");
  }
  file_ = file;
  is_regular_ = S_ISREG(status.st_mode);
  identity_ = {status.st_dev, status.st_ino};
  if (is_regular_) FilesInUse::add(identity_);
  file_bytes_ = is_regular_ ? static_cast<std::uint64_t>(status.st_size) : 0;
  char last = '\n';
  if (file_bytes_ > 0 && pread(file_, &last, 1, static_cast<off_t>(file_bytes_ - 1)) == 1 && last != '\n') {
    pending_.insert(0, "\n");
  }
}

void JsonlExporter::rotate() {
  if (std::rename(path_.c_str(), (path_ + ".1").c_str()) != 0) throw file_error("rename", path_, errno, "");
  close_file();
  if (pending_.rfind('\n', 0) == 0) pending_.erase(0, 1);  // would have ended a line of the old file
}

void JsonlExporter::add_run_line() {
  std::string line = begin_line("run");
  append_run(line, channel_.schema().identity);
  append_schema(line, channel_.schema());
  line += "}\n";
  pending_.insert(pending_.rfind('\n', 0) == 0 ? 1 : 0, line);
}

void JsonlExporter::append_line(std::string_view line) {
  if (pending_.size() + line.size() > kMaxPendingBytes) {
    ++lost_lines_;
    return;
  }
  pending_ += line;
}

bool JsonlExporter::append_lost_line() {
  if (lost_lines_ == 0) return false;
  std::string line = begin_line("lost");
  append_member(line, "lines", lost_lines_);
  line += "}\n";
  pending_ += line;
  lost_lines_ = 0;
  return true;
}

void JsonlExporter::append_scalars(std::string& line, const StepRecord& record, const double* scalars) const {
  line += ",\"scalars\":{";
  const ScalarNames& names = channel_.scalar_names();
  const std::size_t count = std::min<std::size_t>(record.user_scalars, names.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) line += ',';
    line += to_json(names.at(i)) + ':';
    append(line, scalars[channel_.schema().learning_rates + i]);
  }
  line += '}';
}

void JsonlExporter::on_step(const StepRecord& record, const double* scalars) {
  const bool again = record.has(StepRecord::again);
  std::string line = begin_line(again ? "scalars" : "step");
  if (again) {
    append_member(line, "step", record.step);
    append_scalars(line, record, scalars);
    line += "}\n";
    append_line(line);
    return;
  }
  append_step(line, record, scalars, channel_.schema().learning_rates);
  append_scalars(line, record, scalars);
  if (record.has(StepRecord::has_total_time)) {
    append_member(line, "total_seconds", to_seconds(record.total_ns));
    append_member(line, "forward_backward_seconds", to_seconds(record.forward_backward_ns));
    append_member(line, "vigil_seconds", to_seconds(record.vigil_ns));
  }
  if (record.has(StepRecord::has_data_time)) append_member(line, "data_seconds", to_seconds(record.data_ns));
  if (record.has(StepRecord::has_optimizer_time)) append_member(line, "optimizer_seconds", to_seconds(record.optimizer_ns));
  if (record.has(StepRecord::has_clip_ratio)) append_member(line, "clip_ratio", record.clip_ratio);
  if (record.examples > 0) append_member(line, "examples", record.examples);
  if (record.multiply_accumulates > 0) append_member(line, "multiply_accumulates", record.multiply_accumulates);
  append_member(line, "nonfinite", record.has(StepRecord::nonfinite));
  append_member(line, "skipped", record.has(StepRecord::skipped));
  if (record.origin_step != 0) {
    append_member(line, "origin_step", record.origin_step);
    const std::string_view origin = origin_parameter(record, channel_.schema());
    if (!origin.empty()) append_member(line, "origin", origin);
  }
  line += ",\"nonfinite_values\":{";
  for (std::size_t i = 0; i < kNonfiniteInNames.size(); ++i) {
    const NonfiniteCounts& counts = record.totals.nonfinite_values[i];
    append_member(line, std::string(kNonfiniteInNames[i]) + "_nan", counts.nan);
    append_member(line, std::string(kNonfiniteInNames[i]) + "_inf", counts.inf);
  }
  line += '}';
  append_member(line, "nonfinite_steps", record.totals.nonfinite_steps);
  append_member(line, "skipped_steps", record.totals.skipped_steps);
  append_member(line, "rollbacks", record.totals.rollbacks);
  append_member(line, "micro_batches", record.totals.micro_batches);
  append_member(line, "examples_total", record.totals.examples);
  append_member(line, "samples", record.totals.samples);
  append_member(line, "layers_dropped", record.totals.layers_dropped);
  append_member(line, "overhead_seconds", to_seconds(record.totals.overhead_ns));
  append_member(line, "loop_overhead_seconds", to_seconds(record.totals.loop_overhead_ns));
  append_member(line, "loop_seconds", to_seconds(record.totals.loop_ns));
  line += ",\"hook_errors\":{";
  for (std::size_t i = 0; i < kHookNames.size(); ++i) {
    if (record.totals.hook_errors[i] > 0) append_member(line, kHookNames[i], record.totals.hook_errors[i]);
  }
  line += '}';
  if (record.has(StepRecord::has_device_memory)) append_device_memory(line, record);
  line += "}\n";
  append_line(line);
}

void JsonlExporter::append_tensor(std::string& line, std::size_t index, const Frame& frame) const {
  const TensorRow& row = frame.rows[index];
  const RowSchema& schema = channel_.schema().rows[index];
  line += row_heads_[index];
  if (row.state != TensorRow::present) {
    append_member(line, "state",
                  row.state == TensorRow::absent   ? std::string_view("absent")
                  : row.state == TensorRow::frozen ? "frozen"
                                                   : "unreadable");
    line += '}';
    return;
  }
  append_member(line, "elements", row.moments.count);
  for (const Statistic& statistic : kStatistics) append_member(line, statistic.name, statistic.value(row.moments));
  if (const auto ratio = update_ratio(schema, row)) {
    append_member(line, "update_norm", row.update_norm);
    append_member(line, metric_row(TensorMetric::update_ratio).name, *ratio);
  }
  if (schema.has_distance) {
    if (const auto distance = norm_of_change(row, row.distance)) append_member(line, metric_row(TensorMetric::distance).name, *distance);
  }
  if (schema.has_cosine && !is_nan_bits(row.cosine)) append_member(line, metric_row(TensorMetric::cosine).name, row.cosine);
  for (std::size_t i = 0; i < schema.optimizer_state.size() && i < RowSchema::kStateNorms; ++i) {
    if (row.has_state(i)) append_member(line, schema.optimizer_state[i] + "_norm", row.state_norms[i]);
  }
  const auto histogram = static_cast<std::size_t>(schema.histogram);  // kNone is beyond every list
  if (histogram < frame.histograms.size()) append_magnitudes(line, frame.histograms[histogram], row.moments);
  line += '}';
}

void JsonlExporter::on_frame(const Frame& frame) {
  std::string line = begin_line("frame");
  append_member(line, "step", frame.header.step);
  append_member(line, "time", to_seconds(frame.header.wall_time_ns));
  line += ",\"tensors\":[";
  const std::size_t count = std::min(frame.rows.size(), row_heads_.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) line += ',';
    append_tensor(line, i, frame);
  }
  line += ']';
  bool is_first = true;
  for (std::size_t i = 0; i < frame.activations.size() && i < frame.layers.size(); ++i) {
    if (told_activations_.size() <= i) told_activations_.resize(i + 1);
    // What an earlier frame has told is not told again.
    if (frame.activations[i].step == told_activations_[i]) continue;
    told_activations_[i] = frame.activations[i].step;
    line += is_first ? ",\"activations\":[{" : ",{";
    is_first = false;
    append_activation(line, frame.activations[i], frame.layers[i]);
    line += '}';
  }
  line += is_first ? "}\n" : "]}\n";
  append_line(line);
}

void JsonlExporter::on_event(const NonfiniteEvent& event) {
  std::string line = begin_line("nonfinite");
  append_event(line, event);
  line += "}\n";
  append_line(line);
}

void JsonlExporter::on_alert(const AlertMessage& message) {
  std::string line = begin_line("alert");
  append_alert(line, message);
  line += "}\n";
  append_line(line);
}

// Bytes of the whole pending lines that the file still has room for; 0 when not even the first fits.
std::size_t JsonlExporter::lines_that_fit() const {
  if (!is_regular_) return pending_.size();
  const std::uint64_t room = max_bytes_ - std::min(max_bytes_, file_bytes_);
  if (pending_.size() <= room) return pending_.size();
  if (room == 0) return 0;
  const auto end = pending_.rfind('\n', room - 1);
  return end == std::string::npos ? 0 : end + 1;
}

// Whether the reader of a full pipe makes room within what is left of the time for it.
bool JsonlExporter::has_room_soon() const {
  using std::chrono::milliseconds;
  const auto left = std::chrono::duration_cast<milliseconds>(wait_until_ - std::chrono::steady_clock::now());
  pollfd pipe{file_, POLLOUT, 0};
  return left.count() > 0 && poll(&pipe, 1, static_cast<int>(std::min(left, milliseconds(100)).count())) == 1;
}

bool JsonlExporter::write_pending(std::size_t bytes) {
  std::size_t written = 0;
  int error = 0;
  while (written < bytes && error == 0) {
    const ssize_t result = ::write(file_, pending_.data() + written, bytes - written);
    if (result < 0) {
      error = errno;
      if (error == EINTR || (error == EAGAIN && has_room_soon())) error = 0;
    } else if (result == 0) {
      error = EIO;
    } else {
      written += static_cast<std::size_t>(result);
    }
  }
  if (written > 0) within_line_ = pending_[written - 1] != '\n';
  pending_.erase(0, written);
  file_bytes_ += written;
  if (error != 0 && error != EAGAIN) throw file_error("write", path_, error, "; trying again");
  return error == 0;
}

bool JsonlExporter::write_pending_lines() {
  while (!pending_.empty()) {
    std::size_t bytes = lines_that_fit();
    if (bytes == 0) bytes = pending_.find('\n') + 1;  // what is longer than the bound still has to go somewhere
    // A line is never spread over two files.
    if (!within_line_ && file_bytes_ > 0 && is_regular_ && file_bytes_ + bytes > max_bytes_) {
      rotate();
      open();
      add_run_line();
      // With the run's line at least one more, or else nothing but these would ever be written.
      bytes = std::max(lines_that_fit(), pending_.find('\n', pending_.find('\n') + 1) + 1);
    }
    if (!write_pending(bytes)) return false;
  }
  return true;
}

void JsonlExporter::on_poll() {
  if (file_ < 0) {
    open();
    add_run_line();
  }
  wait_until_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (write_pending_lines() && append_lost_line()) {
  }
  if (lost_lines_ > 0) throw std::runtime_error("cannot write '" + path_ + "': its reader is too slow, lines are lost; trying again");
}

void JsonlExporter::stop() noexcept {
  if (pending_.empty()) return;
  try {
    log(LogLevel::error, std::to_string(std::count(pending_.begin(), pending_.end(), '\n') + static_cast<std::ptrdiff_t>(lost_lines_)) +
                             " lines of the run could not be written to '" + path_ + "' before it ended");
  } catch (...) {
    // No memory for the text.
  }
}

}  // namespace vigil
