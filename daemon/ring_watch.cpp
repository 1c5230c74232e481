#include "vigil/daemon/ring_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "vigil/config/printable.h"
#include "vigil/exporters/logging.h"
#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

constexpr std::uint32_t kChanges = IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_ONLYDIR;

}  // namespace

RingWatch::RingWatch(std::vector<std::string> directories, bool some_may_be_missing)
    : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), some_may_be_missing_(some_may_be_missing) {
  if (inotify_ < 0) {
    throw std::runtime_error("cannot watch directories (" + std::generic_category().message(errno) +
                             "); raise fs.inotify.max_user_instances");
  }
  for (std::string& path : directories) directories_.push_back({std::move(path)});
}

RingWatch::~RingWatch() { close(inotify_); }

bool RingWatch::drain() noexcept {
  alignas(inotify_event) std::array<char, 16384> events;
  bool any = false;
  for (ssize_t size; (size = read(inotify_, events.data(), events.size())) > 0;) {
    any = true;
    for (ssize_t at = 0; at < size;) {
      inotify_event event;
      std::copy_n(events.data() + at, sizeof event, reinterpret_cast<char*>(&event));
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_IGNORED) == 0) continue;
      for (Directory& directory : directories_) {
        if (directory.watch == event.wd) directory.watch = -1;
      }
    }
  }
  return any;
}

void RingWatch::tell(Directory& directory, int error) const {
  const bool may_be = error == ENOENT && some_may_be_missing_;
  const int told = std::exchange(directory.error, may_be ? 0 : error);
  if (directory.error == told) return;
  if (directory.error != 0) {
    log(LogLevel::warning, "the ring directory " + printable(directory.path) + " cannot be read (" +
                               std::generic_category().message(error) +
                               "): no run in it is found; make it, let this user read it, or name another with --ring.directory");
  } else if (error == 0) {
    log(LogLevel::info, "the ring directory " + printable(directory.path) + " can be read now");
  }
}

std::size_t RingWatch::unreadable() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(directories_.begin(), directories_.end(), [](const Directory& directory) { return directory.error != 0; }));
}

void RingWatch::look_through() {
  files_.clear();
  left_out_ = 0;
  for (Directory& directory : directories_) {
    // Watched before it is read: what appears in between is seen twice rather than never.
    if (directory.watch < 0) directory.watch = inotify_add_watch(inotify_, directory.path.c_str(), kChanges);
    const int error = list_ring_files(directory.path, [&](std::string_view name) {
      files_.push_back(directory.path + "/" + std::string(name));
      return true;
    });
    tell(directory, error);
  }
  std::sort(files_.begin(), files_.end());
  files_.erase(std::unique(files_.begin(), files_.end()), files_.end());
  if (files_.size() > kMaxFiles) {
    left_out_ = files_.size() - kMaxFiles;
    files_.resize(kMaxFiles);
  }
}

const std::vector<std::string>& RingWatch::files(std::chrono::steady_clock::time_point now) {
  const bool has_changed = drain();
  if (has_changed || now >= next_look_) {
    look_through();
    next_look_ = now + kRescan;
  }
  return files_;
}

}  // namespace vigil
