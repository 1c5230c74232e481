// The threads of this process, and forking it beside them.
#pragma once

#include <dirent.h>
#include <poll.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

namespace vigil::test {

/// Folders in /proc of all threads of the process but the calling one.
inline std::vector<std::string> other_threads() {
  std::vector<std::string> folders;
  DIR* tasks = opendir("/proc/self/task");
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.' || entry->d_name == std::to_string(gettid())) continue;
    folders.push_back("/proc/self/task/" + std::string(entry->d_name));
  }
  closedir(tasks);
  return folders;
}

/// Whether every other thread of the process is asleep, so that none is inside an allocation.
inline bool other_threads_sleep() {
  for (const std::string& folder : other_threads()) {
    std::ifstream file(folder + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');  // "pid (name) S …"
    if (name_end != std::string::npos && text.substr(name_end, 3) != ") S") return false;
  }
  return true;
}

/// fork(2), once no other thread is running. glibc's allocator is usable in the child of a program with threads; that of AddressSanitizer
/// (of GCC 12) is not when another thread was in it, and the child would wait forever.
inline pid_t fork_quietly() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!other_threads_sleep() && std::chrono::steady_clock::now() < deadline) poll(nullptr, 0, 1);
  return fork();
}

}  // namespace vigil::test
