// A program under test in its own process, whose output goes to a file and which does not outlive the test.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace vigil {

class ChildProcess {
 public:
  /// Starts `command`; stdout and stderr together go to `output`. The kernel kills it when the test's thread dies.
  /// @throws std::runtime_error when it cannot be started
  ChildProcess(const std::vector<std::string>& command, std::filesystem::path output);
  /// SIGKILLs what still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void send(int signal) const;
  /// Whether it still runs.
  bool running();
  /// Waits for the end; the exit code, 128 + signal, or -1 when it still runs after `seconds`.
  int wait(double seconds);
  std::string output() const;

 private:
  pid_t pid_ = -1;
  int status_ = -1;
  std::filesystem::path output_;
};

}  // namespace vigil
