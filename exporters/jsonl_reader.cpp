#include "vigil/exporters/jsonl_reader.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace vigil {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 16;

std::string because(int error) { return std::generic_category().message(error); }

}  // namespace

JsonlReader::JsonlReader(std::vector<std::string> paths) : paths_(std::move(paths)), buffer_(kBufferBytes) {
  for (const std::string& path : paths_) {
    struct stat status {};
    if (stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) bytes_in_all_ += static_cast<std::uint64_t>(status.st_size);
  }
  open(0);
}

void JsonlReader::open(std::size_t index) {
  file_index_ = index;
  line_number_ = 0;
  begin_ = end_ = 0;
  const std::string& path = paths_[index];
  struct stat status {};
  file_.reset(std::fopen(path.c_str(), "re"));
  if (file_ == nullptr) throw JsonlError(path + ": cannot be opened: " + because(errno));
  if (fstat(fileno(file_.get()), &status) == 0 && S_ISDIR(status.st_mode)) {
    throw JsonlError(path + ": is a directory; name the file that exporters.jsonl.path names");
  }
}

std::string JsonlReader::place() const { return paths_[file_index_] + ":" + std::to_string(line_number_); }

void JsonlReader::fail(const std::string& what) {
  const std::string where = place();
  file_.reset();
  throw JsonlError(where + ": " + what);
}

bool JsonlReader::fill() {
  if (begin_ < end_) return true;
  begin_ = 0;
  end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
  bytes_read_ += end_;
  if (end_ == 0 && std::ferror(file_.get()) != 0) fail("cannot be read: " + because(errno));
  return end_ > 0;
}

// False at the end of the file.
bool JsonlReader::read_line() {
  line_.clear();
  ++line_number_;
  is_whole_ = false;
  while (!is_whole_ && fill()) {
    const char* const from = buffer_.data() + begin_;
    const void* const newline = std::memchr(from, '\n', end_ - begin_);
    is_whole_ = newline != nullptr;
    const std::size_t size = is_whole_ ? static_cast<std::size_t>(static_cast<const char*>(newline) - from) : end_ - begin_;
    if (line_.size() + size > kMaxLineBytes) {
      fail("expected a line of at most " + std::to_string(kMaxLineBytes >> 20) +
           " MiB, got a longer one; is this a file of exporters.jsonl?");
    }
    line_.append(from, size);
    begin_ += size + (is_whole_ ? 1 : 0);
  }
  return is_whole_ || !line_.empty();
}

void JsonlReader::pass_over_cut_off(bool is_by_crash) {
  if (!is_by_crash) {
    file_.reset();
    throw JsonlError(cut_off_at_ + ": " + kNoJsonLine);
  }
  notes_.push_back(cut_off_at_ + ": the line is cut off, as by a crash; it is passed over");
  cut_off_at_.clear();
}

std::optional<JsonlItem> JsonlReader::next() {
  while (file_ != nullptr) {
    if (!read_line()) {
      if (!cut_off_at_.empty()) pass_over_cut_off(!cut_off_is_whole_);
      if (file_index_ + 1 == paths_.size()) {
        file_.reset();
        return std::nullopt;
      }
      open(file_index_ + 1);
      continue;
    }
    if (line_.empty()) continue;
    JsonlItem item = JsonlItem::other;
    try {
      item = decoder_.decode(line_);
    } catch (const JsonlSyntaxError& error) {
      // A line that a crash cut off ends with the file, or is followed by that of the run which came next.
      if (!cut_off_at_.empty() || line_.front() != '{') fail(error.what());
      cut_off_at_ = place();
      cut_off_is_whole_ = is_whole_;
      continue;
    } catch (const std::invalid_argument& error) {
      fail(error.what());
    }
    if (!cut_off_at_.empty()) pass_over_cut_off(item == JsonlItem::run || item == JsonlItem::continued);
    if (item == JsonlItem::lost) {
      notes_.push_back(place() + ": the run could not write " + std::to_string(decoder_.lost_lines()) + " lines; they are missing here");
    } else if (item != JsonlItem::other) {
      return item;
    }
  }
  return std::nullopt;
}

}  // namespace vigil
