#include "vigil/exporters/jsonl_exporter.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <mutex>
#include <set>
#include <stdexcept>
#include <system_error>

#include "vigil/exporters/json_text.h"
#include "vigil/exporters/logging.h"
#include "vigil/exporters/record_json.h"
#include "vigil/exporters/seconds.h"

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
    append_tensor_head(head, row);
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

void JsonlExporter::on_step(const StepRecord& record, const double* scalars) {
  const bool again = record.has(StepRecord::again);
  std::string line = begin_line(again ? "scalars" : "step");
  if (again) {
    append_member(line, "step", record.step);
    append_scalars(line, record, scalars, channel_.schema(), channel_.scalar_names());
    line += "}\n";
    append_line(line);
    return;
  }
  append_step(line, record, scalars, channel_.schema().learning_rates);
  append_scalars(line, record, scalars, channel_.schema(), channel_.scalar_names());
  append_step_details(line, record, channel_.schema());
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

void JsonlExporter::on_frame(const Frame& frame) {
  std::string line = begin_line("frame");
  append_member(line, "step", frame.header.step);
  append_member(line, "time", to_seconds(frame.header.wall_time_ns));
  line += ",\"tensors\":[";
  const std::size_t count = std::min(frame.rows.size(), row_heads_.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) line += ',';
    line += row_heads_[i];
    const RowSchema& schema = channel_.schema().rows[i];
    const auto histogram = static_cast<std::size_t>(schema.histogram);  // kNone is beyond every list
    append_tensor(line, schema, frame.rows[i], histogram < frame.histograms.size() ? &frame.histograms[histogram] : nullptr);
    line += '}';
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
