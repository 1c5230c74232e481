#include "vigil/exporters/logging.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

namespace vigil {
namespace {

// relaxed everywhere: a lone setting, nothing is published with it.
std::atomic<LogLevel> least_level{LogLevel::info};

spdlog::level::level_enum to_spdlog(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: break;
  }
  return spdlog::level::off;
}

spdlog::logger& own_logger() {
  // Never destroyed: a thread may log while the program's statics are.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("vigil", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

}  // namespace

void set_log_level(LogLevel level) noexcept { least_level.store(level, std::memory_order_relaxed); }

void log(LogLevel level, std::string_view message) noexcept {
  if (level == LogLevel::off || level < least_level.load(std::memory_order_relaxed)) return;
  try {
    const std::shared_ptr<spdlog::logger> registered = spdlog::get("vigil");
    spdlog::logger& logger = registered ? *registered : own_logger();
    logger.log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
  } catch (...) {
    // Nowhere left to tell.
  }
}

}  // namespace vigil
