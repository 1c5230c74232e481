// `vigil replay` over the files of several ranks.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "files.h"
#include "tools/command.h"
#include "tools/eventful_run.h"

namespace vigil {
namespace {

using nlohmann::json;
using namespace test;

class RankReplay : public testing::Test {
 protected:
  // Files of ranks that all go well but for what `change` does to one.
  template <class Change>
  std::vector<std::string> files_of(int ranks, Change change) {
    std::vector<std::string> files;
    for (int rank = 0; rank < ranks; ++rank) {
      EventfulRun run;
      run.steps = 400;
      run.is_healthy = true;
      run.rank = rank;
      run.seed = static_cast<std::uint32_t>(10 + rank);
      run.world_size = ranks;
      change(run);
      Config config;
      config.exporters.jsonl.path = folder.file("run.jsonl.rank" + std::to_string(rank));
      export_eventful_run(run, config);
      files.push_back(config.exporters.jsonl.path);
    }
    return files;
  }

  static CommandResult replay(std::vector<std::string> files) {
    files.insert(files.begin(), {"replay", "--json"});
    return run_vigil(files);
  }

  static std::vector<json> alerts_of(const CommandResult& result) {
    std::vector<json> alerts;
    for (json& line : json_lines(result.out)) {
      if (line["type"] == "alert") alerts.push_back(std::move(line));
    }
    return alerts;
  }

  TemporaryFolder folder;
};

TEST_F(RankReplay, RanksThatAgreeAreSilent) {
  const CommandResult result = replay(files_of(4, [](EventfulRun&) {}));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(alerts_of(result).empty()) << result.out;
  EXPECT_EQ(json_lines(result.out).back()["runs"], 4);
}

TEST_F(RankReplay, TheFirstSampledStepAtWhichARankHasAnotherModelIsNamed) {
  const CommandResult result = replay(files_of(3, [](EventfulRun& run) { run.diverges_at = run.rank == 2 ? 203 : 0; }));
  const std::vector<json> alerts = alerts_of(result);
  ASSERT_EQ(alerts.size(), 1u) << result.out;
  EXPECT_EQ(alerts[0]["alert"], "rank_divergence");
  EXPECT_EQ(alerts[0]["severity"], "critical");
  EXPECT_EQ(alerts[0]["state"], "firing");
  EXPECT_EQ(alerts[0]["step"], 205);
  EXPECT_NEAR(alerts[0]["value"], 0.01 / 1.01, 1e-12);
  EXPECT_FALSE(alerts[0].contains("rank"));
  EXPECT_NE(alerts[0]["sentence"].get<std::string>().find("on rank 2"), std::string::npos) << alerts[0]["sentence"];
}

TEST_F(RankReplay, TheRankThatTheOthersWaitForIsNamed) {
  const CommandResult result = replay(files_of(4, [](EventfulRun& run) { run.data_seconds = run.rank == 1 ? 0.025 : 0.01; }));
  const std::vector<json> alerts = alerts_of(result);
  ASSERT_EQ(alerts.size(), 1u) << result.out;
  EXPECT_EQ(alerts[0]["alert"], "straggler_rank");
  // The first step has no times; 128 make a median, which has to be too large for 100 steps more.
  EXPECT_EQ(alerts[0]["since_step"], 129);
  EXPECT_EQ(alerts[0]["step"], 229);
  EXPECT_NE(alerts[0]["sentence"].get<std::string>().find("rank 1 spends"), std::string::npos) << alerts[0]["sentence"];
}

TEST_F(RankReplay, TheOrderOfTheFilesDoesNotMatterAndTextNamesTheRanks) {
  std::vector<std::string> files = files_of(2, [](EventfulRun& run) { run.diverges_at = run.rank == 1 ? 100 : 0; });
  std::swap(files[0], files[1]);
  const CommandResult result = run_vigil({"replay", files[0], files[1]});
  EXPECT_NE(result.out.find("2 ranks, attempt 0: " + files[1] + ", " + files[0] + "\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("step 100  rank all  firing    critical  rank_divergence"), std::string::npos) << result.out;
}

TEST_F(RankReplay, ARankThatEndsEarlyDoesNotHoldTheOthersUp) {
  const CommandResult result = replay(files_of(3, [](EventfulRun& run) {
    if (run.rank == 0) run.steps = 90;
    run.diverges_at = run.rank == 2 ? 300 : 0;
  }));
  const std::vector<json> alerts = alerts_of(result);
  ASSERT_EQ(alerts.size(), 1u) << result.out;
  EXPECT_EQ(alerts[0]["step"], 300);
}

}  // namespace
}  // namespace vigil
