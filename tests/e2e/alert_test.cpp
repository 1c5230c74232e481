// From a gradient that turns NaN in a real training to the message that a person gets, through the real servers.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <regex>

#include <gtest/gtest.h>

#include "servers/child_process.h"
#include "e2e/servers.h"
#include "e2e/wait_until.h"
#include "e2e/webhook_receiver.h"
#include "files.h"
#include "http/http_client.h"

namespace vigil {
namespace {

class AlertedTraining : public testing::Test {
 protected:
  // MNIST until it is told to end, with one NaN in the gradient of conv2.weight at step 100.
  void train(const std::string& policy, const std::string& more_exporters = "") {
    std::vector<std::string> command{VIGIL_MNIST,      "--data", VIGIL_DEPS_DIR "/mnist", "--epochs", "1000",    "--port", "0",
                                     "--on-nonfinite", policy,   "--inject-nan-at",       "100",      "--layer", "conv2"};
    const std::string exporters = "report: {directory: '" + folder_.path().string() + "'}" + more_exporters;
    command.push_back("--config");
    command.push_back(folder_.write("vigil.yml", "exporters: {" + exporters + "}\n").string());
    trainer_ = std::make_unique<ChildProcess>(command, folder_.file("trainer.log"));
    static const std::regex kAddress(R"(http://(127\.0\.0\.1:\d+)/metrics)");
    std::smatch match;
    std::string output;
    ASSERT_TRUE(wait_until(60, [&] {
      output = trainer_->output();
      return !trainer_->running() || std::regex_search(output, match, kAddress);
    }));
    ASSERT_TRUE(trainer_->running()) << output;
    target_ = match[1];
    alertmanager_ = std::make_unique<Alertmanager>(folder_.path(), webhook_.url());
    prometheus_ = std::make_unique<Prometheus>(folder_.path(), target_, alertmanager_->address());
  }

  // The labels of the alert once the webhook has it.
  nlohmann::json labels_of(const std::string& alert, const std::function<bool(const nlohmann::json&)>& also = {}) {
    const auto delivered = webhook_.wait_for(90, [&](const nlohmann::json& a) {
      return a["status"] == "firing" && a["labels"]["alertname"] == alert && (!also || also(a["labels"]));
    });
    EXPECT_TRUE(delivered) << alert << " was not delivered. Delivered:\n" << webhook_.delivered() << "\ntrainer:\n" << trainer_->output();
    return delivered ? (*delivered)["labels"] : nlohmann::json::object();
  }

  // The first SIGTERM ends the loop; the program then prints its summary.
  std::string end_training() {
    trainer_->send(SIGTERM);
    EXPECT_EQ(trainer_->wait(60), 0) << trainer_->output();
    return trainer_->output();
  }

  test::TemporaryFolder folder_;  // first: what runs in it ends before it goes
  WebhookReceiver webhook_;
  std::unique_ptr<Alertmanager> alertmanager_;
  std::unique_ptr<Prometheus> prometheus_;
  std::unique_ptr<ChildProcess> trainer_;
  std::string target_;
};

TEST_F(AlertedTraining, SkipStepAlertsNamesTheParameterAndKeepsTheWeightsFinite) {
  train("skip_step");
  const auto labels = labels_of("VigilNonfiniteGradient");
  EXPECT_EQ(labels.value("run", ""), "mnist");
  EXPECT_EQ(labels.value("parameter", ""), "conv2.weight");
  EXPECT_EQ(labels.value("layer", ""), "conv2");
  EXPECT_EQ(labels.value("operation", ""), "scalar argument of aten::mul") << "which is how the NaN is injected";
  EXPECT_EQ(labels.value("severity", ""), "critical");

  EXPECT_EQ(prometheus_->value("vigil_skipped_steps_total"), 1);
  EXPECT_EQ(prometheus_->value("sum(vigil_nonfinite_values_total{tensor=\"parameter\"})"), 0);
  EXPECT_EQ(prometheus_->value("sum(vigil_nonfinite_values_total{tensor=\"gradient\"})"), 16 * 32 * 25);
  const double steps = prometheus_->value("vigil_steps_total");
  EXPECT_TRUE(wait_until(30, [&] { return prometheus_->value("vigil_steps_total") > steps + 20; })) << "training must go on";
  EXPECT_LT(prometheus_->value("vigil_loss"), 1.0);

  const std::string summary = end_training();
  EXPECT_NE(summary.find("non-finite steps: 1, skipped: 1"), std::string::npos) << summary;
  const auto table = summary.find("as last sampled");
  ASSERT_NE(table, std::string::npos) << summary;
  EXPECT_EQ(summary.find(" nan", table), std::string::npos) << summary;
  const nlohmann::json report = nlohmann::json::parse(test::read_text(folder_.path() / "vigil-nan-mnist-100.json"));
  EXPECT_EQ(report["nonfinite"]["found_by"], "replay");
  EXPECT_EQ(report["nonfinite"]["parameter"], "conv2.weight");
  EXPECT_EQ(report["nonfinite"]["nearest_finite"], "conv2.bias");
  EXPECT_EQ(report["steps"].size(), 100U);
}

TEST_F(AlertedTraining, WarnLetsTheWeightsBecomeNanAndAlertsOnThemToo) {
  train("warn");
  EXPECT_EQ(labels_of("VigilNonfiniteGradient").value("parameter", ""), "conv2.weight");
  EXPECT_EQ(labels_of("VigilNonfiniteParameter").value("run", ""), "mnist");
  EXPECT_EQ(prometheus_->value("vigil_skipped_steps_total"), 0);
  EXPECT_GE(prometheus_->value("vigil_parameter_nan_values{parameter=\"conv2.weight\"}"), 16 * 32 * 25);
  end_training();
}

TEST_F(AlertedTraining, StopEndsTheTrainingAtTheStepOfTheNanAndIsSeenAllTheSame) {
  train("stop", ", prometheus: {linger_ms: 60s}");
  const auto labels = labels_of("VigilNonfiniteGradient");
  EXPECT_EQ(labels.value("parameter", ""), "conv2.weight");
  EXPECT_EQ(trainer_->wait(60), 0);
  EXPECT_NE(trainer_->output().find("\n100 steps in"), std::string::npos) << trainer_->output();
  EXPECT_NE(trainer_->output().find("nearest to the loss: conv2.weight"), std::string::npos) << trainer_->output();
}

TEST_F(AlertedTraining, ScrapesDuringTrainingAreQuickAndPleasePromtool) {
  train("warn");
  ASSERT_TRUE(wait_until(30, [&] { return prometheus_->value("vigil_steps_total") > 20; }));
  std::vector<double> seconds;
  test::HttpAnswer answer;
  for (int i = 0; i < 41; ++i) {
    answer = test::request(target_, "/metrics");
    ASSERT_EQ(answer.status, 200);
    seconds.push_back(answer.seconds);
  }
  std::sort(seconds.begin(), seconds.end());
  EXPECT_LT(seconds[20], 0.050) << "median of 41 scrapes";
  RecordProperty("median_ms", static_cast<int>(1e3 * seconds[20]));
  RecordProperty("max_ms", static_cast<int>(1e3 * seconds.back()));

  const std::string exposition = folder_.write("metrics.txt", answer.body).string();
  ChildProcess promtool({"/bin/sh", "-c", VIGIL_DEPS_DIR "/prometheus/usr/bin/promtool check metrics < " + exposition},
                        folder_.file("promtool.log"));
  EXPECT_EQ(promtool.wait(30), 0);
  EXPECT_EQ(promtool.output(), "");
  end_training();
}

// The healthy runs of this example; those of the others are in tests/faults.
TEST(Healthy, MnistOfSeveralSeedsHasNoReport) {
  for (const char* seed : {"2", "3", "4", "5"}) {
    const test::TemporaryFolder folder;
    const std::string config = folder.write("vigil.yml", "exporters: {report: {directory: '" + folder.path().string() + "'}}\n").string();
    ChildProcess run(
        {VIGIL_MNIST, "--data", VIGIL_DEPS_DIR "/mnist", "--port", "0", "--max-steps", "200", "--seed", seed, "--config", config},
        folder.file("run.log"));
    ASSERT_EQ(run.wait(60), 0) << run.output();
    EXPECT_EQ(run.output().find("not finite"), std::string::npos) << run.output();
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      EXPECT_NE(entry.path().extension(), ".json") << "a report: " << entry.path();
    }
  }
}

// What scripts/demo.sh runs.
TEST(Demo, LearnsMnistInOneEpochAndEndsWithASummary) {
  const test::TemporaryFolder folder;
  ChildProcess demo({VIGIL_MNIST, "--data", VIGIL_DEPS_DIR "/mnist", "--port", "0"}, folder.file("demo.log"));
  ASSERT_EQ(demo.wait(280), 0) << demo.output();
  const std::string output = demo.output();
  const auto number = [&](const std::string& pattern) {
    std::smatch match;
    EXPECT_TRUE(std::regex_search(output, match, std::regex(pattern))) << pattern << " is not in\n" << output;
    return match.size() > 1 ? std::stod(match[1]) : std::nan("");
  };
  EXPECT_EQ(number("(\\d+) steps in"), 937) << "60000 images by 64";
  EXPECT_GE(number("test accuracy ([0-9.]+) %"), 97);
  EXPECT_GT(number("global gradient norm ([0-9.]+)"), 0);
  EXPECT_EQ(output.find("not finite"), std::string::npos) << "a healthy run has no report: " << output;
  EXPECT_LT(number("own overhead ([0-9.]+) %"), 5);
  number("step 937/937  loss ([0-9.]+)  [0-9.]+ steps/s  ETA 0 s");
  for (const char* parameter : {"conv1.weight", "norm1.running_mean", "fc2.bias"}) number(std::string("\n") + parameter + " +\\[(\\d+)");
}

}  // namespace
}  // namespace vigil
