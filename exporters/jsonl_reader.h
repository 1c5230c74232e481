// A run's JSONL files read back, line by line, as the export thread saw the run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "vigil/exporters/jsonl_decoder.h"

namespace vigil {

/// A file that cannot be read on; what() is `file:line: what is wrong`.
struct JsonlError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Reads files one after the other: those of one run, the older ones first (`run.jsonl.1`, `run.jsonl`). What it keeps in memory is bounded
/// by the longest line and what a run's first line tells of the model. One thread.
///
/// A line that a crash has cut off, at the end of a file or in front of a "run" line, is passed over and noted.
class JsonlReader {
 public:
  /// Bytes of one line: twice what JsonlExporter keeps in memory at all.
  static constexpr std::size_t kMaxLineBytes = std::size_t{16} << 20;

  /// Opens the first file; there is at least one. @throws JsonlError when it cannot be opened
  explicit JsonlReader(std::vector<std::string> paths);

  /// What the next line holds; nothing after the last line of the last file. Lines of other types are passed over.
  /// @throws JsonlError; after that, nothing more is read
  std::optional<JsonlItem> next();

  /// Of what next() returned.
  const JsonlDecoder& decoder() const noexcept { return decoder_; }
  /// `file:line` of it.
  std::string place() const;

  std::uint64_t bytes_read() const noexcept { return bytes_read_; }
  std::uint64_t bytes_in_all() const noexcept { return bytes_in_all_; }  ///< when the reader was made; 0: not known, as of a pipe
  /// What a user is to know of what was passed over, each time a whole sentence. Emptied by the call.
  std::vector<std::string> take_notes() { return std::move(notes_); }

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  void open(std::size_t index);
  bool read_line();
  bool fill();
  void pass_over_cut_off(bool is_by_crash);
  [[noreturn]] void fail(const std::string& what);

  std::vector<std::string> paths_;
  std::size_t file_index_ = 0;
  std::unique_ptr<std::FILE, Close> file_;
  JsonlDecoder decoder_;
  std::string line_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // of what is in the buffer and not yet in a line
  std::uint64_t line_number_ = 0, bytes_read_ = 0, bytes_in_all_ = 0;
  bool is_whole_ = true;           // the line ended in a newline
  std::string cut_off_at_;         // place of a line that was no JSON, to be passed over if a run begins after it
  bool cut_off_is_whole_ = false;  // that line ended in a newline
  std::vector<std::string> notes_;
};

}  // namespace vigil
