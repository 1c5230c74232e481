#include "vigil/daemon/ring_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

constexpr std::uint32_t kChanges = IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_ONLYDIR;

}  // namespace

RingWatch::RingWatch(std::vector<std::string> directories)
    : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), names_(std::move(directories)) {
  if (inotify_ < 0) {
    throw std::runtime_error("cannot watch directories (" + std::generic_category().message(errno) +
                             "); raise fs.inotify.max_user_instances");
  }
  for (const std::string& path : names_) directories_.push_back({path, -1});
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

void RingWatch::look_through() {
  files_.clear();
  left_out_ = 0;
  for (Directory& directory : directories_) {
    // Watched before it is read: what appears in between is seen twice rather than never.
    if (directory.watch < 0) directory.watch = inotify_add_watch(inotify_, directory.path.c_str(), kChanges);
    // Its error is passed over: a directory need not be there yet.
    list_ring_files(directory.path, [&](std::string_view name) {
      files_.push_back(directory.path + "/" + std::string(name));
      return true;
    });
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
