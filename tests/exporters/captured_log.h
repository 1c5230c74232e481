// Catches what vigil logs, by registering a logger under its name.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace vigil::test {

/// While it lives, lines of `vigil::log` come here instead of standard error. One at a time.
class CapturedLog {
 public:
  CapturedLog();
  ~CapturedLog();
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;

  /// "level: text" of all lines so far.
  std::vector<std::string> lines() const;
  /// How many of them hold `text`.
  std::size_t count(const std::string& text) const;

 private:
  struct Sink;
  std::shared_ptr<Sink> sink_;
};

}  // namespace vigil::test
