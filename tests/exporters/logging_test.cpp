// The log: levels, the program's own logger, and standard error without one.
#include "vigil/exporters/logging.h"

#include <gtest/gtest.h>

#include "exporters/captured_log.h"

namespace vigil {
namespace {

using Lines = std::vector<std::string>;

TEST(Logging, LinesBelowTheLevelAreNotLogged) {
  const test::CapturedLog captured;
  log(LogLevel::debug, "one");
  log(LogLevel::info, "two");
  set_log_level(LogLevel::error);
  log(LogLevel::warning, "three");
  log(LogLevel::error, "four");
  set_log_level(LogLevel::debug);
  log(LogLevel::debug, "five");
  set_log_level(LogLevel::off);
  log(LogLevel::error, "six");
  EXPECT_EQ(captured.lines(), (Lines{"info: two", "error: four", "debug: five"}));
}

TEST(Logging, TextIsNoFormat) {
  const test::CapturedLog captured;
  log(LogLevel::info, "{} {0} %s {");
  EXPECT_EQ(captured.lines(), Lines{"info: {} {0} %s {"});
}

TEST(Logging, GoesToStandardErrorWhenTheProgramHasNoLoggerOfThatName) {
  testing::internal::CaptureStderr();
  log(LogLevel::warning, "to whom it may concern");
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_NE(written.find("[vigil] "), std::string::npos) << written;
  EXPECT_NE(written.find("to whom it may concern\n"), std::string::npos) << written;
}

TEST(Logging, AProgramMayRegisterItsLoggerLater) {
  testing::internal::CaptureStderr();
  log(LogLevel::warning, "before");
  const test::CapturedLog captured;
  log(LogLevel::warning, "after");
  EXPECT_EQ(captured.lines(), Lines{"warning: after"});
  EXPECT_EQ(testing::internal::GetCapturedStderr().find("after"), std::string::npos);
}

}  // namespace
}  // namespace vigil
