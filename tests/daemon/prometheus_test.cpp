// vigild with the servers it is made for: a real Prometheus that finds the runs by http_sd, and that is written to.
#include <csignal>

#include <gtest/gtest.h>

#include "daemon/known_run.h"
#include "daemon/vigild.h"
#include "e2e/wait_until.h"
#include "http/http_client.h"
#include "servers/push_receivers.h"

namespace vigil {
namespace {

TEST(DaemonAndPrometheus, EachRunFoundByHttpSdIsATargetOfItsOwn) {
  const test::TemporaryFolder folder;
  const auto first = test::start_trainer(folder.path(), "first", {"--interval-us", "5000"});
  const auto second = test::start_trainer(folder.path(), "second run/ü", {"--interval-us", "5000"});
  const test::Vigild vigild(folder.path());
  const std::string config = folder
                                 .write("prometheus.yml",
                                        "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: vigil\n    honor_labels: true\n"
                                        "    http_sd_configs: [{url: 'http://" +
                                            vigild.endpoint() +
                                            "/sd', refresh_interval: 1s}]\n"
                                            "  - job_name: vigild\n    static_configs: [{targets: ['" +
                                            vigild.endpoint() +
                                            "']}]\n"
                                            "    honor_labels: true\n")
                                 .string();
  const std::string address = "127.0.0.1:" + std::to_string(test::free_port());
  const auto prometheus = start_server({server_program("prometheus/usr/bin/prometheus"), "--config.file=" + config,
                                        "--storage.tsdb.path=" + folder.file("tsdb"), "--web.listen-address=" + address},
                                       folder.path() / "prometheus.log", address);
  const auto count = [&](const std::string& expression) { return query_prometheus(address, expression).size(); };
  ASSERT_TRUE(wait_until(30, [&] { return count("up{job=\"vigil\"} == 1") == 2; })) << query_prometheus(address, "up").dump();
  EXPECT_TRUE(
      wait_until(30, [&] { return count("vigil_up{job=\"vigil\",run=\"second run/ü\",instance=~\".*/second run/ü/0\"} == 1") == 1; }));
  EXPECT_TRUE(
      wait_until(30, [&] { return count("up{job=\"vigild\"} == 1") == 1 && count("vigil_daemon_runs{state=\"running\"} == 2") == 1; }));
  // A run that is killed: its gauges are stale with the next scrape, its state stays.
  ASSERT_TRUE(wait_until(30, [&] { return count("vigil_loss{job=\"vigil\",run=\"first\"}") == 1; }));
  first->send(SIGKILL);
  EXPECT_TRUE(wait_until(30, [&] { return count("vigil_run_state{job=\"vigil\",run=\"first\",state=\"crashed\"} == 1") == 1; }));
  EXPECT_TRUE(wait_until(30, [&] { return count("vigil_loss{job=\"vigil\",run=\"first\"}") == 0; }));
  EXPECT_EQ(count("vigil_up{job=\"vigil\",run=\"first\"} == 0"), 1u);
}

TEST(DaemonAndPrometheus, EveryStepIsWrittenWithItsOwnTimeAndTheResultIsPushed) {
  const test::TemporaryFolder folder;
  RemoteWriteReceiver receiver(folder.path());
  receiver.start();
  PushgatewayServer gateway(folder.path());
  gateway.start();
  test::Vigild vigild(folder.path(), {"--remote-write.url=" + receiver.write_url(), "--pushgateway.url=" + gateway.url()});
  constexpr std::uint64_t kSteps = 200;
  const auto trainer = test::start_trainer(folder.path(), "written", {"--steps", std::to_string(kSteps), "--interval-us", "5000"});
  ASSERT_EQ(trainer->wait(30), 0);
  const std::string last = "last_over_time(vigil_steps_total{run=\"written\"}[5m]) == " + std::to_string(kSteps);
  ASSERT_TRUE(wait_until(30, [&] { return receiver.query(last).size() == 1; })) << vigild.log();
  const nlohmann::json losses = receiver.query("vigil_loss{run=\"written\"}[5m]"),
                       steps = receiver.query("vigil_steps_total{run=\"written\"}[5m]");
  const nlohmann::json &values = losses.at(0).at("values"), &numbers = steps.at(0).at("values");
  // Of steps that end in one millisecond, as on a machine that is busy, the last is sent.
  EXPECT_GT(values.size(), kSteps / 2);
  ASSERT_EQ(values.size(), numbers.size());
  EXPECT_EQ(values.size() == kSteps, vigild.value("vigil_remote_write_samples_total{outcome=\"replaced\"}") == 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t step = std::stoull(numbers.at(i).at(1).get<std::string>());
    EXPECT_EQ(std::stod(values.at(i).at(1).get<std::string>()), test::known_loss(step));
    EXPECT_EQ(values.at(i).at(0), numbers.at(i).at(0));
  }
  EXPECT_EQ(receiver.query("vigil_loss{run=\"written\"}").size(), 0u) << "its end is marked";
  const auto result = [&] { return test::request(gateway.address(), "/metrics").body; };
  EXPECT_TRUE(wait_until(30, [&] { return result().find("job=\"written\"") != std::string::npos; })) << result();
  EXPECT_GE(vigild.value("vigil_remote_write_samples_total{outcome=\"sent\"}"), kSteps);
  EXPECT_EQ(vigild.value("vigil_remote_write_samples_total{outcome=\"failed\"}"), 0);
  EXPECT_EQ(vigild.value("vigil_pushes_total{outcome=\"sent\"}"), 2) << "forgotten at the start, put at the end";
}

TEST(DaemonAndPrometheus, ItsExpositionPassesPromtool) {
  const test::TemporaryFolder folder;
  const auto trainer = test::start_trainer(folder.path(), "checked", {"--interval-us", "5000"});
  const auto ended = test::start_trainer(folder.path(), "ended", {"--steps", "10"});
  const test::Vigild vigild(folder.path());
  ASSERT_TRUE(wait_until(10, [&] { return vigild.state_of("ended") == "finished" && vigild.state_of("checked") == "running"; }));
  const std::string text = folder.write("metrics.txt", vigild.get("/metrics")).string();
  ChildProcess promtool({"/bin/sh", "-c", server_program("prometheus/usr/bin/promtool") + " check metrics < " + text},
                        folder.path() / "promtool.log");
  EXPECT_EQ(promtool.wait(30), 0) << promtool.output();
  EXPECT_EQ(promtool.output(), "");
}

TEST(DaemonUnit, SystemdFindsNothingWrongWithItAndItIsHardened) {
  const test::TemporaryFolder folder;
  // The unit as it is, but for the place of the program.
  std::string unit = test::read_text(VIGIL_UNIT);
  const std::string installed = "/usr/bin/vigild";
  ASSERT_NE(unit.find(installed), std::string::npos);
  unit.replace(unit.find(installed), installed.size(), VIGIL_VIGILD);
  const std::string path = folder.write("vigild.service", unit).string();
  const auto run = [&](const std::vector<std::string>& arguments, std::string& output) {
    std::vector<std::string> command{"/usr/bin/systemd-analyze"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    ChildProcess process(command, folder.path() / "analyze.log");
    const int code = process.wait(60);
    output = process.output();
    return code;
  };
  std::string output;
  EXPECT_EQ(run({"verify", "--man=no", path}, output), 0) << output;
  EXPECT_EQ(output.find("vigild.service"), std::string::npos) << output;
  // An exposure of 2.0 of 10; Debian's units without hardening have 9.6.
  EXPECT_EQ(run({"security", "--offline=true", "--threshold=20", path}, output), 0) << output;
}

}  // namespace
}  // namespace vigil
