// What the export thread does when a rule fires: log, callback, dump, checkpoint, stop, the snapshot, the lines of the file.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "files.h"
#include "http/http_recorder.h"
#include "vigil/exporters/export_thread.h"

namespace vigil {
namespace {

using namespace test;

class Actions : public testing::Test {
 protected:
  // One rule: a loss above 1, which does `actions`.
  Config watching(const std::string& actions) const {
    Config config;
    config.exporters.interval_ms = 60'000;
    config.exporters.prometheus.enabled = false;
    config.exporters.report.directory = folder.path().string();
    for (RuleConfig& rule : config.rules.catalogue) rule.enabled = false;
    config.rules.threshold = {"vigil_loss > 1 critical keep 0 steps as high_loss do " + actions};
    return config;
  }
  void fire_and_end(ExportThread& exporting) {
    run.publish_step(++step, 0.5);
    run.publish_step(++step, 2);
    exporting.refresh();
    run.publish_step(++step, 0.5);
    exporting.refresh();
  }
  // Of vigil's reports.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) names.push_back(entry.path().filename().string());
    return names;
  }

  CapturedLog captured;
  TemporaryFolder folder;
  TestRun run;
  std::uint64_t step = 0;
};

TEST_F(Actions, LogWritesALineWhenItFiresAndOneWhenItIsOver) {
  ExportThread exporting(run.channel(), watching("log"));
  fire_and_end(exporting);
  EXPECT_EQ(captured.count("warning: alert high_loss (critical) at step 2: vigil_loss is 2, the rule is > 1"), 1u);
  EXPECT_EQ(captured.count("info: alert high_loss is over at step 3; it was: vigil_loss is 2, the rule is > 1"), 1u);
  EXPECT_EQ(captured.count("alert"), 2u);
}

TEST_F(Actions, TheSnapshotHasWhatFiresAndHowOftenItDid) {
  ExportThread exporting(run.channel(), watching("callback"));
  run.publish_step(1, 2);
  auto snapshot = exporting.refresh();
  ASSERT_EQ(snapshot->active_alerts.size(), 1u);
  EXPECT_EQ(snapshot->active_alerts[0].alert, "high_loss");
  EXPECT_EQ(snapshot->active_alerts[0].since_step, 1u);
  ASSERT_EQ(snapshot->alert_counts.size(), 1u) << "of the rules that are on";
  EXPECT_EQ(snapshot->alert_counts[0].severity, "critical");
  EXPECT_EQ(snapshot->alert_counts[0].fired, 1u);
  run.publish_step(2, 0.5);
  run.publish_step(3, 2);
  run.publish_step(4, 0.5);
  snapshot = exporting.refresh();
  EXPECT_TRUE(snapshot->active_alerts.empty());
  EXPECT_EQ(snapshot->alert_counts[0].fired, 2u);
}

TEST_F(Actions, MetricAloneIsTheMetricsAlone) {
  Config config = watching("metric");
  config.exporters.jsonl.enabled = true;
  config.exporters.jsonl.path = folder.file("run.jsonl");
  ExportThread exporting(run.channel(), config);
  int calls = 0;
  exporting.set_on_alert([&calls](const AlertNotice&) { ++calls; });
  run.publish_step(1, 2);
  const auto snapshot = exporting.refresh();
  exporting.stop();
  EXPECT_EQ(snapshot->active_alerts.size(), 1u);
  EXPECT_EQ(snapshot->alert_counts.back().fired, 1u);
  EXPECT_EQ(captured.count("alert"), 0u);
  EXPECT_EQ(calls, 0);
}

TEST_F(Actions, TwoGroupsOfOneRuleAreTwoSeriesAndEndByThemselves) {
  Schema schema = make_schema();
  schema.learning_rates = 2;
  TestRun two_groups(schema);
  Config config = watching("log");
  config.rules.threshold = {"vigil_learning_rate > 0.5 keep 0 steps as high do log"};
  ExportThread exporting(two_groups.channel(), config);
  const auto subjects = [&] {
    std::multiset<std::string> found;
    for (const AlertNotice& alert : exporting.refresh()->active_alerts) found.insert(alert.subject);
    return found;
  };
  two_groups.scalars()[0] = two_groups.scalars()[1] = 1;
  two_groups.publish_step(1);
  EXPECT_EQ(subjects(), (std::multiset<std::string>{"group=\"0\"", "group=\"1\""}));
  two_groups.scalars()[1] = 0.1;
  two_groups.publish_step(2);
  EXPECT_EQ(subjects(), (std::multiset<std::string>{"group=\"0\""}));
}

TEST_F(Actions, AThresholdThatMatchesNoSeriesIsLoggedOnce) {
  Config config = watching("log");
  config.rules.threshold = {"vigil_gradient_l2_norm{layer=\"fcc\"} > 5 as big_fc"};
  ExportThread exporting(run.channel(), config);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    run.publish_frame(i);
    run.publish_step(i);
    exporting.refresh();
  }
  EXPECT_EQ(captured.count("warning: rule big_fc has seen no series of vigil_gradient_l2_norm{layer=\"fcc\"} so far"), 1u);
}

TEST_F(Actions, AReceiverThatNoRuleUsesIsLogged) {
  Config config = watching("log");
  config.exporters.webhook.url = "http://127.0.0.1:1";
  config.rules.actions = {"log"};
  const ExportThread exporting(run.channel(), config);
  EXPECT_EQ(captured.count("warning: exporters.webhook.url is set, but no rule uses it: add webhook to rules.actions"), 1u);
  EXPECT_EQ(captured.count("exporters.alertmanager.url"), 0u);
}

TEST_F(Actions, StopAndCheckpointAreAskedForOnceItFires) {
  ExportThread exporting(run.channel(), watching("stop checkpoint"));
  run.publish_step(1, 0.5);
  exporting.refresh();
  EXPECT_FALSE(run.channel()->requests().stop.load());
  run.publish_step(2, 2);
  exporting.refresh();
  EXPECT_TRUE(run.channel()->requests().stop.load());
  EXPECT_EQ(run.channel()->requests().checkpoints.load(), 1u);
  run.publish_step(3, 0.5);
  exporting.refresh();
  EXPECT_EQ(run.channel()->requests().checkpoints.load(), 1u) << "none when it is over";
}

TEST_F(Actions, DumpWritesAReportOfTheTimeBefore) {
  ExportThread exporting(run.channel(), watching("dump"));
  run.publish_frame(1);
  fire_and_end(exporting);
  ASSERT_EQ(files(), std::vector<std::string>{"vigil-alert-mnist__a_b_-rank0-high_loss-2.json"});
  const auto report = nlohmann::json::parse(read_text(folder.path() / files()[0]));
  EXPECT_EQ(report["alert"]["alert"], "high_loss");
  EXPECT_EQ(report["alert"]["state"], "firing");
  EXPECT_EQ(report["alert"]["sentence"], "vigil_loss is 2, the rule is > 1");
  EXPECT_EQ(report["run"]["model"], "Net");
  ASSERT_EQ(report["steps"].size(), 2u);
  EXPECT_EQ(report["steps"][1]["step"], 2);
  EXPECT_EQ(report["frames"].size(), 1u);
}

TEST_F(Actions, OfARuleThatFiresForSeveralTensorsAtOneStepThereIsOneReport) {
  Config config = watching("log");
  config.rules.threshold = {"vigil_parameter_l2_norm >= 0 as norms do dump log"};
  config.exporters.report.max_files = 2;
  ExportThread exporting(run.channel(), config);
  run.publish_frame(1);
  run.publish_step(1);
  exporting.refresh();
  EXPECT_EQ(captured.count("alert norms (warning)"), 3u);
  ASSERT_EQ(files(), std::vector<std::string>{"vigil-alert-mnist__a_b_-rank0-norms-1.json"});
  EXPECT_EQ(nlohmann::json::parse(read_text(folder.path() / files()[0]))["alert"]["parameter"], "conv.weight");
  EXPECT_EQ(captured.count("exporters.report.max_files"), 0u);
}

TEST_F(Actions, DumpKeepsToTheNumberOfFiles) {
  Config config = watching("dump");
  config.exporters.report.max_files = 2;
  ExportThread exporting(run.channel(), config);
  for (int i = 0; i < 4; ++i) fire_and_end(exporting);
  EXPECT_EQ(files().size(), 2u);
  EXPECT_EQ(captured.count("exporters.report.max_files reports of this run are written"), 1u);
}

TEST_F(Actions, EveryAlertIsALineOfTheFile) {
  Config config = watching("callback");
  config.exporters.jsonl.enabled = true;
  config.exporters.jsonl.path = folder.file("run.jsonl");
  ExportThread exporting(run.channel(), config);
  fire_and_end(exporting);
  exporting.stop();
  std::ifstream file(config.exporters.jsonl.path);
  std::vector<std::string> states;
  for (std::string line; std::getline(file, line);) {
    const auto parsed = nlohmann::json::parse(line);
    if (parsed["type"] == "alert") states.push_back(parsed["state"].get<std::string>() + "@" + parsed["step"].dump());
  }
  EXPECT_EQ(states, (std::vector<std::string>{"firing@2", "resolved@3"}));
}

TEST_F(Actions, CallbackIsCalledInOrderWithTheAlert) {
  ExportThread exporting(run.channel(), watching("callback"));
  std::vector<AlertNotice> notices;  // of the callback's thread, which stop() joins
  exporting.set_on_alert([&](const AlertNotice& notice) { notices.push_back(notice); });
  fire_and_end(exporting);
  fire_and_end(exporting);
  exporting.stop();
  ASSERT_EQ(notices.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(notices[i].is_over, i % 2 == 1);
  EXPECT_EQ(notices[2].step, 5u);
  EXPECT_EQ(notices[0].severity, "critical");
}

TEST_F(Actions, ACallbackThatThrowsIsCountedAndCalledAgain) {
  ExportThread exporting(run.channel(), watching("callback"));
  std::mutex mutex;
  int calls = 0;
  exporting.set_on_alert([&](const AlertNotice&) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (++calls % 2 == 0) throw 5;
    throw std::runtime_error("not today");
  });
  {
    const std::lock_guard<std::mutex> lock(mutex);  // so that they wait for each other
    for (int i = 0; i < 5; ++i) fire_and_end(exporting);
  }
  EXPECT_TRUE(wait_until(4, [&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return calls == 10;
  })) << "without a pause after each";
  EXPECT_GE(errors_of(*exporting.refresh(), "callback"), 1u);
  EXPECT_EQ(captured.count("the function given to on_alert() threw"), 1u);
  exporting.stop();
}

TEST_F(Actions, ASlowCallbackHoldsUpNoFigures) {
  ExportThread exporting(run.channel(), watching("callback"));
  std::mutex mutex;
  std::condition_variable changed;
  bool is_called = false, may_return = false;
  exporting.set_on_alert([&](const AlertNotice&) {
    std::unique_lock<std::mutex> lock(mutex);
    is_called = true;
    changed.notify_all();
    changed.wait(lock, [&] { return may_return; });
  });
  run.publish_step(++step, 2);
  exporting.refresh();
  {
    std::unique_lock<std::mutex> lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return is_called; }));
  }
  for (int i = 0; i < 50; ++i) {
    fire_and_end(exporting);  // while it is within the call, or this would never end
    EXPECT_EQ(exporting.snapshot()->step.step, step);
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    may_return = true;
    changed.notify_all();
  }
  exporting.stop();
}

// A hundred callbacks of a second each: of those that wait, few are called.
TEST_F(Actions, TheEndWaitsForTheCallUnderWayAndForFewThatArePending) {
  ExportThread exporting(run.channel(), watching("callback"));
  std::atomic<int> calls{0};
  exporting.set_on_alert([&](const AlertNotice&) {
    ++calls;
    const auto begin = std::chrono::steady_clock::now();
    wait_until(2, [&] { return std::chrono::steady_clock::now() - begin > std::chrono::seconds(1); });
  });
  for (int i = 0; i < 50; ++i) fire_and_end(exporting);
  const auto begin = std::chrono::steady_clock::now();
  exporting.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_LE(calls, 5);
  EXPECT_EQ(captured.count(" alerts were not given to the function of on_alert() before the run ended"), 1u);
}

TEST_F(Actions, ACallbackMayStopTheThreadAndIsWaitedForByTheNextStop) {
  ExportThread exporting(run.channel(), watching("callback"));
  std::atomic<bool> has_stopped{false}, may_return{false}, has_returned{false};
  exporting.set_on_alert([&](const AlertNotice&) {
    exporting.stop();
    exporting.stop();
    has_stopped = true;
    wait_until(10, [&] { return may_return.load(); });
    has_returned = true;
  });
  run.publish_step(1, 2);
  exporting.refresh();
  ASSERT_TRUE(wait_until(10, [&] { return has_stopped.load(); }));
  EXPECT_EQ(exporting.refresh()->step.step, 1u) << "what was published by then";
  EXPECT_FALSE(exporting.is_calling());
  may_return = true;
  exporting.stop();
  EXPECT_TRUE(has_returned);
}

TEST_F(Actions, ACallbackThatStopsWhatIsBeingStoppedHoldsNobodyUp) {
  ExportThread exporting(run.channel(), watching("callback"));
  std::atomic<bool> is_called{false}, has_returned{false};
  exporting.set_on_alert([&](const AlertNotice&) {
    is_called = true;
    wait_until(10, [&] { return exporting.snapshot()->step.step == 2; });  // the last poll of the other stop()
    exporting.stop();
    has_returned = true;
  });
  run.publish_step(1, 2);
  exporting.refresh();
  ASSERT_TRUE(wait_until(10, [&] { return is_called.load(); }));
  run.publish_step(2, 0.5);
  exporting.stop();
  EXPECT_TRUE(has_returned);
}

TEST_F(Actions, ACallbackMayDestroyTheThread) {
  auto exporting = std::make_shared<ExportThread>(run.channel(), watching("callback"));
  std::weak_ptr<ExportThread> left = exporting;
  std::atomic<bool> has_returned{false};
  exporting->set_on_alert([&has_returned, owner = std::make_shared<std::shared_ptr<ExportThread>>(exporting)](const AlertNotice&) {
    owner->reset();
    has_returned = true;
  });
  run.publish_step(1, 2);
  exporting->refresh();
  exporting.reset();
  EXPECT_TRUE(wait_until(10, [&] { return has_returned && left.expired(); }));
}

TEST_F(Actions, SeveralReceiversThatAreDeadShareTheTimeAtTheEnd) {
  const SilentListener silent;
  Config config = watching("webhook alertmanager");
  config.exporters.webhook.url = config.exporters.alertmanager.url = silent.url();
  config.exporters.webhook.timeout_ms = config.exporters.alertmanager.timeout_ms = 60'000;
  ExportThread exporting(run.channel(), config);
  fire_and_end(exporting);
  const auto begin = std::chrono::steady_clock::now();
  exporting.stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(3500));
}

TEST_F(Actions, WithoutRulesNothingFires) {
  Config config = watching("stop");
  config.rules.enabled = false;
  ExportThread exporting(run.channel(), config);
  fire_and_end(exporting);
  EXPECT_FALSE(run.channel()->requests().stop.load());
  EXPECT_TRUE(exporting.snapshot()->alert_counts.empty());
}

TEST_F(Actions, AConfigurationThatCannotBeHadStartsNothing) {
  Config config = watching("webhook");
  EXPECT_THROW(ExportThread(run.channel(), config), std::invalid_argument);
}

}  // namespace
}  // namespace vigil
