// From a rule that fires in a real training to those who are told, without Prometheus: a webhook, and the real Alertmanager.
#include <algorithm>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "servers/child_process.h"
#include "e2e/servers.h"
#include "e2e/wait_until.h"
#include "files.h"
#include "http/http_client.h"
#include "http/http_recorder.h"

namespace vigil {
namespace {

using nlohmann::json;
using Requests = std::vector<test::RecordedRequest>;

// An alert with one more member, "arrival": when it came, seconds since the epoch.
json arrived(json alert, const test::RecordedRequest& request) {
  alert["arrival"] = 1e-9 * static_cast<double>(request.arrival_ns);
  return alert;
}

// What the webhook was posted, in order.
std::vector<json> posted(const Requests& requests) {
  std::vector<json> alerts;
  alerts.reserve(requests.size());
  for (const test::RecordedRequest& request : requests) alerts.push_back(arrived(json::parse(request.body)["alert"], request));
  return alerts;
}

// What Alertmanager passed on.
std::vector<json> passed_on(const Requests& requests) {
  std::vector<json> alerts;
  for (const test::RecordedRequest& request : requests) {
    const json message = json::parse(request.body);
    for (const json& alert : message["alerts"]) alerts.push_back(arrived(alert, request));
  }
  return alerts;
}

// Waits for the first of `alerts(requests)` that is as wanted; null when there is none.
template <class Alerts, class Wanted>
json wait_for(const test::HttpRecorder& receiver, double seconds, Alerts alerts, Wanted wanted) {
  json found;
  receiver.wait_for(seconds, [&](const Requests& requests) {
    for (const json& alert : alerts(requests)) {
      if (!wanted(alert)) continue;
      found = alert;
      return true;
    }
    return false;
  });
  return found;
}

class AlertedDirectly : public testing::Test {
 protected:
  // MNIST until it is told to end, with one NaN in the gradient of conv2.weight at step 100, and a rule for every 20th step up to 200.
  void train(const std::string& webhook_url, const std::string& alertmanager_url) {
    std::string yaml = "rules:\n  actions: [log, webhook" + std::string(alertmanager_url.empty() ? "" : ", alertmanager") + "]\n";
    yaml += "  nonfinite_gradient: {keep_firing_steps: 50}\n  threshold:\n";
    for (int step = 20; step <= 200; step += 20)
      yaml += "    - vigil_steps_total >= " + std::to_string(step) + " info as reached_" + std::to_string(step) + " do log webhook\n";
    yaml += "exporters:\n  report: {directory: '" + folder_.path().string() + "'}\n";
    yaml += "  jsonl: {enabled: true, path: '" + folder_.file("run.jsonl") + "'}\n";
    yaml += "  webhook: {url: '" + webhook_url + "'}\n";
    if (!alertmanager_url.empty()) yaml += "  alertmanager: {url: '" + alertmanager_url + "', resend_ms: 1s}\n";
    trainer_ = std::make_unique<ChildProcess>(
        std::vector<std::string>{VIGIL_MNIST, "--data", std::string(VIGIL_DEPS_DIR) + "/mnist", "--epochs", "1000", "--port", "0",
                                 "--on-nonfinite", "skip_step", "--inject-nan-at", "100", "--layer", "conv2", "--config",
                                 folder_.write("vigil.yml", yaml).string()},
        folder_.file("trainer.log"));
  }
  bool wait_for_line(const std::string& text) {
    return wait_until(120, [&] { return trainer_->output().find(text) != std::string::npos || !trainer_->running(); }) &&
           trainer_->running();
  }
  void end_training() {
    trainer_->send(SIGTERM);
    EXPECT_EQ(trainer_->wait(60), 0) << trainer_->output();
  }
  // Alerts as the run's own file has them: "name state".
  std::vector<std::string> recorded() const {
    std::vector<std::string> alerts;
    std::ifstream file(folder_.file("run.jsonl"));
    for (std::string line; std::getline(file, line);) {
      const json parsed = json::parse(line);
      if (parsed["type"] == "alert") alerts.push_back(parsed["alert"].get<std::string>() + " " + parsed["state"].get<std::string>());
    }
    return alerts;
  }
  static std::vector<std::string> names_of(const std::vector<json>& alerts) {
    std::vector<std::string> names;
    names.reserve(alerts.size());
    for (const json& alert : alerts) names.push_back(alert["alert"].get<std::string>() + " " + alert["state"].get<std::string>());
    return names;
  }

  test::TemporaryFolder folder_;  // first: what runs in it ends before it goes
  std::unique_ptr<Alertmanager> alertmanager_;
  std::unique_ptr<ChildProcess> trainer_;
};

TEST_F(AlertedDirectly, ANanIsAtTheWebhookAndBehindAlertmanagerWithinASecondAndItsEndToo) {
  const test::HttpRecorder webhook, behind;
  alertmanager_ = std::make_unique<Alertmanager>(folder_.path(), behind.url());
  train(webhook.url(), "http://" + alertmanager_->address());

  const json post = wait_for(webhook, 120, posted, [](const json& alert) { return alert["alert"] == "nonfinite_gradient"; });
  ASSERT_FALSE(post.is_null()) << trainer_->output();
  EXPECT_EQ(post["state"], "firing");
  EXPECT_EQ(post["step"], 100);
  EXPECT_EQ(post["parameter"], "conv2.weight");
  EXPECT_EQ(post["layer"], "conv2");
  const double fired = post["fired_time"];
  EXPECT_GE(post["arrival"].get<double>(), fired);
  EXPECT_LT(post["arrival"].get<double>() - fired, 1);
  RecordProperty("webhook_ms", static_cast<int>(1e3 * (post["arrival"].get<double>() - fired)));

  const json message =
      wait_for(behind, 30, passed_on, [](const json& alert) { return alert["labels"]["alertname"] == "VigilNonfiniteGradient"; });
  ASSERT_FALSE(message.is_null()) << trainer_->output();
  EXPECT_EQ(message["status"], "firing");
  EXPECT_EQ(message["labels"]["run"], "mnist");
  EXPECT_EQ(message["labels"]["parameter"], "conv2.weight");
  EXPECT_NE(message["annotations"].value("summary", "").find("NaN and 0 infinite values in gradients"), std::string::npos) << message;
  EXPECT_LT(message["arrival"].get<double>() - fired, 1) << "from the step to who reads it";
  RecordProperty("behind_alertmanager_ms", static_cast<int>(1e3 * (message["arrival"].get<double>() - fired)));

  const json post_end = wait_for(webhook, 60, posted,
                                 [](const json& alert) { return alert["alert"] == "nonfinite_gradient" && alert["state"] == "resolved"; });
  ASSERT_FALSE(post_end.is_null()) << trainer_->output();
  EXPECT_EQ(post_end["step"], 150);
  const json end = wait_for(behind, 60, passed_on, [](const json& alert) {
    return alert["labels"]["alertname"] == "VigilNonfiniteGradient" && alert["status"] == "resolved";
  });
  EXPECT_FALSE(end.is_null()) << trainer_->output();
  const auto answer = test::request(alertmanager_->address(), "/api/v2/alerts");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body.find("VigilNonfiniteGradient"), std::string::npos) << answer.body;
  end_training();
  EXPECT_EQ(names_of(posted(webhook.requests())), recorded());
}

TEST_F(AlertedDirectly, WhatFiresWhileTheReceiverIsDownArrivesLaterInOrder) {
  const int port = test::free_port();
  train("http://127.0.0.1:" + std::to_string(port), "");
  ASSERT_TRUE(wait_for_line("alert reached_160")) << trainer_->output();
  const test::HttpRecorder webhook(port);
  const json last = wait_for(webhook, 60, posted, [](const json& alert) { return alert["alert"] == "reached_200"; });
  ASSERT_FALSE(last.is_null()) << trainer_->output();
  end_training();
  const std::vector<std::string> told = names_of(posted(webhook.requests()));
  EXPECT_EQ(told, recorded());
  EXPECT_EQ(told.front(), "reached_20 firing");
  EXPECT_EQ(std::count(told.begin(), told.end(), "nonfinite_gradient firing"), 1);
}

}  // namespace
}  // namespace vigil
