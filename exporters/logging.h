// vigil's own log: lines named "vigil" on standard error, or wherever the program wants them.
#pragma once

#include <string_view>

#include "vigil/config/config.h"

namespace vigil {

/// Least level that is logged; `LogLevel::info` before the first call. Any thread.
void set_log_level(LogLevel level) noexcept;

/// Logs one line. Goes to the spdlog logger named "vigil" if the program has registered one, else to vigil's own on standard
/// error, which is not registered, so that the program may still register its own. Any thread; never throws: a line that cannot
/// be written is lost. Not for the training thread.
void log(LogLevel level, std::string_view message) noexcept;

}  // namespace vigil
