// Where ring files appear: directories watched by inotify, and looked through now and then all the same.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace vigil {

/// One thread.
class RingWatch {
 public:
  /// Directories need not be there yet. One that cannot be read is warned of once, and again when that changes; with `some_may_be_missing`
  /// not because it is not there. @throws std::runtime_error when the kernel gives no inotify instance, and says what to do
  explicit RingWatch(std::vector<std::string> directories, bool some_may_be_missing = false);
  ~RingWatch();
  RingWatch(const RingWatch&) = delete;
  RingWatch& operator=(const RingWatch&) = delete;

  /// For poll(2): readable when something has appeared.
  int descriptor() const noexcept { return inotify_; }

  /// Paths of all ring files of all directories, sorted; at most kMaxFiles of them. Looks through a directory when the kernel has told of a
  /// change, when it was not there before, or when the last look is kRescan ago (inotify loses events, and knows nothing of other hosts on
  /// a network file system).
  const std::vector<std::string>& files(std::chrono::steady_clock::time_point now);
  /// Files that were too many at the last look.
  std::size_t left_out() const noexcept { return left_out_; }
  /// Directories that could not be read at the last look, but for those that may be missing.
  std::size_t unreadable() const noexcept;

  static constexpr std::size_t kMaxFiles = 1024;
  static constexpr std::chrono::seconds kRescan{5};

 private:
  struct Directory {
    std::string path;
    int watch = -1;  // -1: not there
    int error = 0;   // for which it could not be read, as the log was told; 0: none
  };
  bool drain() noexcept;
  void look_through();
  void tell(Directory& directory, int error) const;

  int inotify_;
  const bool some_may_be_missing_;
  std::vector<Directory> directories_;
  std::vector<std::string> files_;
  std::size_t left_out_ = 0;
  std::chrono::steady_clock::time_point next_look_{};
};

}  // namespace vigil
