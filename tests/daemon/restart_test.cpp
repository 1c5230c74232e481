// vigild killed and started again while runs go on: what it keeps of them.
#include <algorithm>
#include <csignal>
#include <random>

#include <gtest/gtest.h>
#include <poll.h>
#include <sqlite3.h>

#include "daemon/known_run.h"
#include "daemon/vigild.h"
#include "e2e/wait_until.h"
#include "vigil/daemon/history_reader.h"

namespace vigil {
namespace {

std::string integrity_of(const std::filesystem::path& path) {
  sqlite3* database = nullptr;
  std::string result = "not opened";
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK) {
    result.clear();
    sqlite3_exec(
        database, "PRAGMA integrity_check",
        [](void* text, int, char** values, char**) {
          static_cast<std::string*>(text)->append(values[0]);
          return 0;
        },
        &result, nullptr);
  }
  sqlite3_close(database);
  return result;
}

TEST(Restart, AVigildThatIsKilledTwentyTimesLosesNoStepAndStoresNoneTwice) {
  constexpr int kRuns = 20, kKills = 20;
  constexpr std::uint64_t kSteps = 3000;  // fewer than a ring holds: even what was published while nobody read is there
  const test::TemporaryFolder folder;
  const auto trainer = test::start_trainer(folder.path(), "run",
                                           {"--runs", std::to_string(kRuns), "--steps", std::to_string(kSteps), "--interval-us", "4000"});
  std::mt19937 random(7);
  for (int kill = 0; kill < kKills; ++kill) {
    test::Vigild vigild(folder.path());
    // No condition is waited for: it is to be killed at any moment, also within a transaction.
    poll(nullptr, 0, static_cast<int>(50 + random() % 1500));
    vigild.process().send(SIGKILL);
    ASSERT_EQ(vigild.process().wait(10), 128 + SIGKILL);
  }
  {
    test::Vigild vigild(folder.path());
    ASSERT_TRUE(wait_until(60, [&] {
      const nlohmann::json answer = vigild.get_json("/api/v1/runs");
      int complete = 0;
      for (const auto& run : answer.at("runs"))
        complete += run.contains("attempts") && run.at("attempts").at(0).at("last_step") == kSteps &&
                            run.at("attempts").at(0).at("state") == "finished"
                        ? 1
                        : 0;
      return complete == kRuns;
    })) << vigild.log();
    vigild.process().send(SIGTERM);
    ASSERT_EQ(vigild.process().wait(20), 0);
  }
  EXPECT_EQ(integrity_of(test::database_path(folder.path())), "ok");
#ifdef VIGIL_CLI
  // What the command line makes of it: a heading, and a line a step.
  ChildProcess exported({VIGIL_CLI, "export", "run-0", "--storage.path", test::database_path(folder.path()).string()},
                        folder.path() / "run-0.csv");
  ASSERT_EQ(exported.wait(60), 0) << exported.output();
  const std::string csv = exported.output();
  EXPECT_EQ(static_cast<std::uint64_t>(std::count(csv.begin(), csv.end(), '\n')), kSteps + 1);
#endif
  HistoryReader reader({test::database_path(folder.path()).string()});
  for (int run = 0; run < kRuns; ++run) {
    const RunSelector selector{"run-" + std::to_string(run), 0, {}};
    const StepsReply reply = reader.steps(selector, {}, 2 * kSteps);
    ASSERT_EQ(reply.rows.size(), kSteps) << selector.run;
    for (std::size_t i = 0; i < kSteps; ++i) {
      const StepRecord record = reply.rows.record(i);
      const double rate = reply.rows.rate(i, 0);
      ASSERT_EQ(record.step, i + 1);
      ASSERT_TRUE(test::is_known(record, &rate)) << "step " << record.step;
    }
  }
}

}  // namespace
}  // namespace vigil
