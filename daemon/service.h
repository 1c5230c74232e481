// vigild at work: its parts, in the order in which they start, and stop the other way round.
#pragma once

#include <memory>

#include "vigil/daemon/options.h"

namespace vigil {

/// One thread makes it, turns it and destroys it.
class Service {
 public:
  /// Reads the files that the options name, opens the database, looks for runs, and listens.
  /// @throws ConfigError for a file that is wrong; std::invalid_argument for an option that is; std::runtime_error with what to do for what
  ///         cannot be had
  explicit Service(DaemonOptions options);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  /// Looks at all ring files once. What fails is counted and logged.
  void turn() noexcept;
  /// Reads the files again that the options name; what was wrong with them, empty when nothing was. Any thread.
  std::string reload() noexcept;
  /// Readable when a file has appeared, for poll(2).
  int descriptor() const noexcept;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace vigil
