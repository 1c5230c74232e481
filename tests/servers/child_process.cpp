#include "servers/child_process.h"

#include <csignal>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "e2e/wait_until.h"
#include "files.h"

namespace vigil {

ChildProcess::ChildProcess(const std::vector<std::string>& command, std::filesystem::path output) : output_(std::move(output)) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int file = open(output_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0) throw std::runtime_error("cannot write " + output_.string());
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(file);
  if (pid_ < 0) throw std::runtime_error("fork: " + std::string(std::strerror(errno)));
}

ChildProcess::~ChildProcess() {
  if (running()) {
    send(SIGKILL);
    wait(10);
  }
}

void ChildProcess::send(int signal) const { kill(pid_, signal); }

bool ChildProcess::running() {
  if (pid_ < 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  pid_ = -1;
  return false;
}

int ChildProcess::wait(double seconds) {
  wait_until(seconds, [&] { return !running(); });
  return status_;
}

std::string ChildProcess::output() const { return test::read_text(output_); }

}  // namespace vigil
