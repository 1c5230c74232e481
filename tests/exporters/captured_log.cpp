#include "exporters/captured_log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>

#include "vigil/exporters/logging.h"

namespace vigil::test {

struct CapturedLog::Sink : spdlog::sinks::base_sink<std::mutex> {
  std::vector<std::string> copy() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lines;
  }

  std::vector<std::string> lines;

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const auto level = spdlog::level::to_string_view(message.level);
    lines.push_back(std::string(level.data(), level.size()) + ": " + std::string(message.payload.data(), message.payload.size()));
  }
  void flush_() override {}
};

CapturedLog::CapturedLog() : sink_(std::make_shared<Sink>()) {
  auto logger = std::make_shared<spdlog::logger>("vigil", sink_);
  logger->set_level(spdlog::level::trace);
  spdlog::register_logger(logger);
}

CapturedLog::~CapturedLog() {
  spdlog::drop("vigil");
  set_log_level(LogLevel::info);
}

std::vector<std::string> CapturedLog::lines() const { return sink_->copy(); }

std::size_t CapturedLog::count(const std::string& text) const {
  const std::vector<std::string> all = lines();
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [&text](const std::string& line) { return line.find(text) != std::string::npos; }));
}

}  // namespace vigil::test
