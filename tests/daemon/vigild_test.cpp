// vigild as a whole: what it says of runs that go on, end well, crash, hang, or are no runs at all.
#include <cmath>
#include <csignal>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/known_run.h"
#include "daemon/vigild.h"
#include "e2e/wait_until.h"
#include "http/http_client.h"
#include "vigil/monitor/clock.h"
#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

using test::start_trainer;
using test::Vigild;

class Daemon : public testing::Test {
 protected:
  static std::string labels(const std::string& run) { return "{run=\"" + run + "\",rank=\"0\"}"; }
  static std::string state(const std::string& run, const std::string& is) {
    return "vigil_run_state{run=\"" + run + "\",rank=\"0\",state=\"" + is + "\"}";
  }
  /// Waits until vigild says so, and says how long that took, in seconds.
  static double seconds_until(const Vigild& vigild, const std::string& run, const std::string& is) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(wait_until(10, [&] { return vigild.state_of(run) == is; })) << run << " is " << vigild.state_of(run);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  test::TemporaryFolder folder;
};

TEST_F(Daemon, ServesEveryRunTogetherAndEachByItself) {
  const auto first = start_trainer(folder.path(), "first", {"--interval-us", "5000"});
  const auto second = start_trainer(folder.path(), "second", {"--interval-us", "5000"});
  const Vigild vigild(folder.path());
  ASSERT_TRUE(wait_until(10, [&] { return vigild.value("vigil_steps_total" + labels("second")) > 10; }));
  EXPECT_EQ(vigild.value("vigil_up" + labels("first")), 1);
  EXPECT_EQ(vigild.value(state("first", "running")), 1);
  EXPECT_EQ(vigild.value("vigil_daemon_runs{state=\"running\"}"), 2);

  const std::string one = vigild.get("/metrics?run=first");
  EXPECT_NE(one.find("vigil_loss{run=\"first\""), std::string::npos);
  EXPECT_NE(one.find("vigil_gradient_mean{run=\"first\""), std::string::npos);
  EXPECT_EQ(one.find("run=\"second\""), std::string::npos);
  EXPECT_EQ(one.find("vigil_daemon_"), std::string::npos);
  const std::string own = vigild.get("/metrics?collect[]=daemon");
  EXPECT_EQ(own.find("run=\"first\""), std::string::npos);
  EXPECT_NE(own.find("vigil_daemon_runs"), std::string::npos);
  EXPECT_EQ(test::request(vigild.endpoint(), "/metrics?collect[]=x").status, 400);
  EXPECT_EQ(test::request(vigild.endpoint(), "/metrics?run=third").status, 404);
  EXPECT_EQ(test::request(vigild.endpoint(), "/metrics?run=first&rank=1").status, 404);
  EXPECT_EQ(test::request(vigild.endpoint(), "/metrics?run=first&rank=x").status, 400);
}

TEST_F(Daemon, ExportsWhatFormatsLoseWhereItIsAskedTo) {
  Schema schema = test::known_schema("formats", 0, 1);
  schema.rows[0].histogram = 0;
  schema.histograms = 1;
  const SharedChannel shared = make_shared_channel(schema, ChannelBounds{64, 0}, test::ring_folder(folder.path()));
  std::vector<TensorRow> rows(schema.rows.size());
  MagnitudeHistogram histogram;
  rows[0].state = TensorRow::present;
  rows[0].moments.count = 8;
  rows[0].moments.zero_count = 4;
  rows[0].moments.max = 2;
  histogram.underflow = histogram.buckets[28] = 2;  // two of 2, and two that float16 makes 0
  shared.channel->publish(FrameHeader{1, wall_time_ns(), 0}, rows.data(), &histogram);
  shared.channel->live().state.store(RunState::running);
  shared.channel->beat(monotonic_time_ns());
  const std::string series =
      R"(vigil_parameter_format_underflow_ratio{run="formats",rank="0",parameter="layer0.weight",layer="layer0",format="float16"})";
  const std::string unsafe =
      R"(vigil_precision_advice_tensors{run="formats",rank="0",tensor="parameter",format="float16",verdict="unsafe"})";
  for (const bool is_asked : {true, false}) {
    const Vigild vigild(folder.path(), is_asked ? std::vector<std::string>{"--metrics.precision"} : std::vector<std::string>{});
    EXPECT_TRUE(wait_until(10, [&] { return vigild.value("vigil_model_sparsity_ratio" + labels("formats")) == 0.5; }));
    EXPECT_EQ(vigild.value(unsafe), 1);
    EXPECT_EQ(vigild.get("/metrics").find(series + " 0.5\n") != std::string::npos, is_asked);
  }
}

TEST_F(Daemon, TheFiguresAreThoseOfTheLatestStep) {
  const auto trainer = start_trainer(folder.path(), "known", {"--steps", "500"});
  const Vigild vigild(folder.path());
  ASSERT_TRUE(wait_until(10, [&] { return vigild.state_of("known") == "finished"; }));
  const nlohmann::json run = vigild.get_json("/api/v1/runs").at("runs").at(0);
  EXPECT_EQ(run.at("step"), 500);
  EXPECT_EQ(run.at("loss"), test::known_loss(500));
  EXPECT_EQ(run.at("gradient_norm"), test::known_gradient_norm(500));
}

TEST_F(Daemon, ARunThatIsKilledHasCrashedWithinTwoSecondsAndKeepsItsLastStep) {
  const auto trainer = start_trainer(folder.path(), "victim", {"--interval-us", "1000"});
  const Vigild vigild(folder.path());
  ASSERT_TRUE(wait_until(10, [&] { return vigild.value("vigil_steps_total" + labels("victim")) > 100; }));
  trainer->send(SIGKILL);
  EXPECT_EQ(trainer->wait(10), 128 + SIGKILL);
  EXPECT_LE(seconds_until(vigild, "victim", "crashed"), 2);
  EXPECT_EQ(vigild.value("vigil_up" + labels("victim")), 0);
  EXPECT_EQ(vigild.value(state("victim", "crashed")), 1);
  EXPECT_GT(vigild.value("vigil_steps_total" + labels("victim")), 100);
  const std::string metrics = vigild.get("/metrics?run=victim");
  EXPECT_NE(metrics.find("vigil_run_end_info{run=\"victim\",rank=\"0\",reason=\"no word: killed"), std::string::npos);
  EXPECT_EQ(metrics.find("vigil_loss"), std::string::npos) << "a gauge of a run that is gone looks as if it still went on";

  const nlohmann::json run = vigild.get_json("/api/v1/runs").at("runs").at(0);
  const auto last = run.at("step").get<std::uint64_t>();
  EXPECT_EQ(run.at("loss"), test::known_loss(last));
  EXPECT_TRUE(wait_until(10, [&] {
    const test::HttpAnswer answer = test::request(vigild.endpoint(), "/api/v1/series?run=victim&name=loss");
    if (answer.status != 200) return false;
    const nlohmann::json steps = nlohmann::json::parse(answer.body).at("series").at(0).at("steps");
    return !steps.empty() && steps.back() == last;
  }));
}

TEST_F(Daemon, TellsASignalAnExitAndAHangApart) {
  const auto aborted = start_trainer(folder.path(), "aborted", {"--steps", "10", "--end", "abort"});
  const auto returned = start_trainer(folder.path(), "returned", {"--steps", "10", "--end", "exit"});
  const auto finished = start_trainer(folder.path(), "finished", {"--steps", "10"});
  const auto hung = start_trainer(folder.path(), "hung", {"--steps", "10", "--end", "hang"});
  const Vigild vigild(folder.path(), {"--ring.hung-after=1s"});
  seconds_until(vigild, "aborted", "crashed");
  seconds_until(vigild, "returned", "crashed");
  seconds_until(vigild, "finished", "finished");
  seconds_until(vigild, "hung", "hung");
  const std::string metrics = vigild.get("/metrics");
  EXPECT_NE(metrics.find("run=\"aborted\",rank=\"0\",reason=\"signal 6 (SIGABRT)\""), std::string::npos);
  EXPECT_NE(metrics.find("run=\"returned\",rank=\"0\",reason=\"it called exit()"), std::string::npos);
  EXPECT_EQ(metrics.find("vigil_run_end_info{run=\"finished\""), std::string::npos);
  EXPECT_EQ(vigild.value("vigil_up" + labels("hung")), 1);
  hung->send(SIGKILL);
  seconds_until(vigild, "hung", "crashed");
}

TEST_F(Daemon, AFileThatIsNoRingIsToldOfAndHarmsNobody) {
  std::ofstream(test::ring_folder(folder.path()) / "odd\n\"name.ring") << std::string(8192, 'x');
  std::filesystem::create_directory(test::ring_folder(folder.path()) / "folder.ring");
  const auto trainer = start_trainer(folder.path(), "good", {"--interval-us", "5000"});
  const Vigild vigild(folder.path());
  ASSERT_TRUE(wait_until(10, [&] { return vigild.value("vigil_up" + labels("good")) == 1; }));
  EXPECT_EQ(vigild.value("vigil_ring_refused_total"), 2);
  const std::string metrics = vigild.get("/metrics");
  EXPECT_NE(metrics.find("odd\\n\\\"name.ring\",reason=\"it does not begin like a ring file\"} 1"), std::string::npos);
  EXPECT_NE(metrics.find("folder.ring\",reason=\"it is a directory\"} 1"), std::string::npos);
  EXPECT_NE(vigild.log().find("odd?\"name.ring: it does not begin like a ring file"), std::string::npos);
  ASSERT_TRUE(wait_until(10, [&] { return vigild.value("vigil_steps_total" + labels("good")) > 10; }));
}

TEST_F(Daemon, ACopyOfARingFileIsNoRun) {
  const auto trainer = start_trainer(folder.path(), "original", {"--interval-us", "5000"});
  const std::filesystem::path rings = test::ring_folder(folder.path());
  const std::filesystem::path original = std::filesystem::directory_iterator(rings)->path();
  std::filesystem::copy_file(original, rings / "00.ring");  // is found before it
  std::filesystem::copy_file(original, rings / "zz.ring");  // and after it
  const Vigild vigild(folder.path());
  EXPECT_EQ(vigild.value("vigil_daemon_runs{state=\"running\"}"), 1);
  EXPECT_EQ(vigild.value("vigil_runs_hidden"), 0);
  const std::string metrics = vigild.get("/metrics");
  for (const char* copy : {"00.ring", "zz.ring"}) {
    EXPECT_NE(
        metrics.find((rings / copy).string() + "\",reason=\"it is a copy of " + original.string() + ", and no process writes to it\""),
        std::string::npos)
        << copy;
  }
  ASSERT_TRUE(wait_until(10, [&] { return vigild.value("vigil_steps_total" + labels("original")) > 100; }));
  EXPECT_EQ(vigild.log().find("another run.name"), std::string::npos);
}

TEST_F(Daemon, SaysWhereItLooksAndWhereItKeepsTheHistory) {
  const std::string rings = test::ring_folder(folder.path()).string();
  {
    const Vigild vigild(folder.path());
    EXPECT_NE(
        vigild.log().find("looking for ring files in " + rings + "; the history is kept in " + test::database_path(folder.path()).string()),
        std::string::npos)
        << vigild.log();
  }
  {
    const Vigild vigild(folder.path(), {"--storage.disabled"});
    EXPECT_NE(vigild.log().find("no history is kept (--storage.disabled)"), std::string::npos) << vigild.log();
  }
  const ChildProcess homeless(
      {"/bin/sh", "-c",
       "unset HOME XDG_STATE_HOME STATE_DIRECTORY; exec " VIGIL_VIGILD " --web.listen-address=127.0.0.1:0 --ring.directory=" + rings},
      folder.path() / "homeless.log");
  EXPECT_TRUE(wait_until(10, [&] {
    return homeless.output().find("[warning] no history is kept: neither --storage.path nor $HOME says where") != std::string::npos;
  })) << homeless.output();
}

TEST_F(Daemon, TheFileOfARunThatEndedLongAgoIsRemovedOnceAllOfItIsStored) {
  const auto trainer = start_trainer(folder.path(), "past", {"--steps", "300"});
  Vigild vigild(folder.path(), {"--ring.keep-ended=1s"});
  ASSERT_TRUE(wait_until(20, [&] { return std::filesystem::is_empty(test::ring_folder(folder.path())); })) << vigild.log();
  ASSERT_TRUE(wait_until(10, [&] { return std::isnan(vigild.value("vigil_up" + labels("past"))); }));
  const nlohmann::json run = vigild.get_json("/api/v1/runs").at("runs").at(0);
  EXPECT_EQ(run.at("state"), "finished");
  EXPECT_EQ(run.at("attempts").at(0).at("steps"), 300);
}

TEST_F(Daemon, ARunThatStartsAgainIsAnotherAttemptOfTheSameName) {
  const Vigild vigild(folder.path());
  for (int attempt = 1; attempt <= 2; ++attempt) {
    const auto trainer = start_trainer(folder.path(), "again", {"--steps", "50"});
    ASSERT_EQ(trainer->wait(10), 0);
    ASSERT_TRUE(wait_until(10, [&] {
      const nlohmann::json runs = vigild.get_json("/api/v1/runs").at("runs");
      return !runs.empty() && runs.at(0).contains("attempts") && runs.at(0).at("attempts").size() == static_cast<std::size_t>(attempt) &&
             runs.at(0).at("attempts").at(0).at("state") == "finished";
    }));
  }
  // One series each, though there are two files.
  const std::string metrics = vigild.get("/metrics");
  const std::string series = "\nvigil_up" + labels("again");
  EXPECT_NE(metrics.find(series), std::string::npos);
  EXPECT_EQ(metrics.find(series, metrics.find(series) + 1), std::string::npos);
  EXPECT_EQ(vigild.get_json("/api/v1/runs").at("runs").at(0).at("attempts").at(0).at("attempt"), 2);
}

TEST_F(Daemon, TheApiGivesBackWhatWasPublished) {
  const auto trainer = start_trainer(folder.path(), "api", {"--steps", "1000", "--sample-every", "100", "--interval-us", "300"});
  const Vigild vigild(folder.path(), {"--storage.frame-interval=1ms"});
  ASSERT_TRUE(wait_until(20, [&] {
    const nlohmann::json runs = vigild.get_json("/api/v1/runs").at("runs");
    return !runs.empty() && runs.at(0).contains("attempts") && runs.at(0).at("attempts").at(0).at("last_step") == 1000;
  }));
  const nlohmann::json series = vigild.get_json("/api/v1/series?run=api&name=loss&name=gradient_norm&max_points=5000");
  EXPECT_FALSE(series.at("downsampled").get<bool>());
  ASSERT_EQ(series.at("series").at(0).at("values").size(), 1000u);
  for (std::size_t i = 0; i < 1000; ++i) {
    const auto step = series.at("series").at(0).at("steps").at(i).get<std::uint64_t>();
    ASSERT_EQ(step, i + 1);
    ASSERT_EQ(series.at("series").at(0).at("values").at(i), test::known_loss(step));
    ASSERT_EQ(series.at("series").at(1).at("values").at(i), test::known_gradient_norm(step));
  }
  const nlohmann::json more = vigild.get_json("/api/v1/series?run=api&name=loss&since=" + series.at("next").get<std::string>());
  EXPECT_TRUE(more.at("series").at(0).at("values").empty());

  const nlohmann::json few = vigild.get_json("/api/v1/series?run=api&name=loss&max_points=20");
  EXPECT_TRUE(few.at("downsampled").get<bool>());
  double largest = 0, kept = 0;
  for (std::uint64_t step = 1; step <= 1000; ++step) largest = std::max(largest, test::known_loss(step));
  for (const double value : few.at("series").at(0).at("values")) kept = std::max(kept, value);
  EXPECT_EQ(kept, largest);

  const nlohmann::json frame = vigild.get_json("/api/v1/tensors?run=api");
  EXPECT_EQ(frame.at("step"), 1000);
  ASSERT_EQ(frame.at("tensors").size(), 8u);
  EXPECT_FLOAT_EQ(frame.at("tensors").at(3).at("mean").get<float>(), static_cast<float>(test::known_mean(1000, 3)));
  EXPECT_EQ(test::request(vigild.endpoint(), "/api/v1/tensors?run=other").status, 404);
  EXPECT_EQ(test::request(vigild.endpoint(), "/api/v1/series?run=api").status, 400);
  EXPECT_EQ(test::request(vigild.endpoint(), "/api/v1/nothing").status, 404);
  bool has_end = false;
  const nlohmann::json answer = vigild.get_json("/api/v1/events?run=api");
  for (const auto& event : answer.at("events"))
    has_end = has_end || (event.at("kind") == "state" && event.at("details").dump().find("finished") != std::string::npos);
  EXPECT_TRUE(has_end);
}

TEST_F(Daemon, ARunWhoseFileIsGoneWhenItStartsAgainIsNotSaidToRun) {
  const auto trainer = start_trainer(folder.path(), "lost", {"--interval-us", "5000"});
  {
    Vigild vigild(folder.path());
    ASSERT_TRUE(wait_until(10, [&] {
      const nlohmann::json runs = vigild.get_json("/api/v1/runs").at("runs");
      return !runs.empty() && runs.at(0).contains("attempts");
    }));
    vigild.process().send(SIGTERM);
    ASSERT_EQ(vigild.process().wait(20), 0);
  }
  trainer->send(SIGKILL);
  ASSERT_EQ(trainer->wait(10), 128 + SIGKILL);
  std::filesystem::remove_all(test::ring_folder(folder.path()));
  const Vigild vigild(folder.path());
  EXPECT_LE(seconds_until(vigild, "lost", "crashed"), 5);
}

TEST_F(Daemon, ThePageRefersToWhatLiesBesideIt) {
  const Vigild vigild(folder.path(), {"--web.telemetry-path=/own/metrics"});
  const std::string page = vigild.get("/");
  EXPECT_NE(page.find("src=\"assets/app.js\""), std::string::npos) << page;
  for (const char* absolute : {"href=\"/", "src=\"/"})
    EXPECT_EQ(page.find(absolute), std::string::npos) << "behind a prefix that leads elsewhere";
  EXPECT_NE(vigild.get("/api/v1/info").find(R"("metrics_path":"/own/metrics")"), std::string::npos);
}

TEST_F(Daemon, EndsCleanlyOnSigterm) {
  Vigild vigild(folder.path());
  vigild.process().send(SIGTERM);
  EXPECT_EQ(vigild.process().wait(20), 0) << vigild.log();
}

TEST_F(Daemon, ReloadsOnSighupAndOverHttpWhenThatIsAllowed) {
  const std::string rules = folder.write("rules.yml", "rules: {max_instances: 4}\n").string();
  {
    const Vigild vigild(folder.path());
    EXPECT_EQ(test::request(vigild.endpoint(), "/-/reload", {}, "POST").status, 403);
    EXPECT_EQ(test::request(vigild.endpoint(), "/-/reload").status, 405);
  }
  Vigild vigild(folder.path(), {"--web.enable-lifecycle", "--rules.file=" + rules});
  EXPECT_EQ(test::request(vigild.endpoint(), "/-/reload", {}, "POST").status, 200);
  folder.write("rules.yml", "rules: {max_instance: 4}\n");
  const test::HttpAnswer answer = test::request(vigild.endpoint(), "/-/reload", {}, "POST");
  EXPECT_EQ(answer.status, 500);
  EXPECT_NE(answer.body.find("rules.yml:1:9: rules.max_instance: expected"), std::string::npos) << answer.body;
  vigild.process().send(SIGHUP);
  ASSERT_TRUE(wait_until(10, [&] { return vigild.value("vigil_reload_failures_total") == 2; }));
  EXPECT_NE(vigild.log().find("--rules.file: the rules that held before stay: " + rules), std::string::npos) << vigild.log();
}

TEST_F(Daemon, WrongFlagsAndFilesAreToldWithExitCodeTwo) {
  const auto run = [&](std::vector<std::string> command, int& code) {
    command.insert(command.begin(), VIGIL_VIGILD);
    ChildProcess process(command, folder.path() / "wrong.log");
    code = process.wait(20);
    return process.output();
  };
  int code = 0;
  EXPECT_NE(run({"--ring.intervall=1s"}, code).find("--ring.intervall"), std::string::npos);
  EXPECT_EQ(code, 2);
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--storage.path=", "--web.listen-address=127.0.0.1:0"}, {"--storage.path", "--storage.disabled"}}) {
    EXPECT_NE(run(flags, code).find("--storage.path: expected a value, got "), std::string::npos);
    EXPECT_EQ(code, 2);
  }
  EXPECT_NE(run({"--ring.interval=5"}, code).find("--ring.interval"), std::string::npos);
  EXPECT_EQ(code, 2);
  for (const std::string flag : {"--ring.keep-ended", "--storage.retention.time", "--storage.frame-interval"}) {
    for (const std::string time : {"-1s", "3651d"}) {
      EXPECT_NE(run({flag + "=" + time}, code).find(flag + ": expected 0s to 3650d"), std::string::npos) << flag << " " << time;
      EXPECT_EQ(code, 2) << flag << " " << time;
    }
  }
  EXPECT_NE(run({"--ring.keep-ended=200000000000d"}, code).find("--ring.keep-ended"), std::string::npos);
  EXPECT_EQ(code, 2);
  for (const std::string time : {"-1s", "0s", "999ms", "3651d"})
    EXPECT_NE(run({"--ring.hung-after=" + time}, code).find("--ring.hung-after: expected 1s to 3650d"), std::string::npos) << time;
  EXPECT_NE(run({"--storage.disabled", "--web.listen-address=nowhere"}, code).find("--web.listen-address"), std::string::npos);
  EXPECT_EQ(code, 2);
  EXPECT_NE(run({"--storage.disabled", "--rules.file=/nowhere.yml", "--web.listen-address=127.0.0.1:0"}, code).find("/nowhere.yml"),
            std::string::npos);
  EXPECT_EQ(code, 2);
  const std::string headers = folder.write("headers", "no header\n").string();
  for (const std::string flag : {"--remote-write", "--pushgateway"}) {
    for (const std::string& file : {headers, std::string("/nowhere/headers")}) {
      EXPECT_NE(
          run({"--storage.disabled", "--web.listen-address=127.0.0.1:0", flag + ".url=http://127.0.0.1:1", flag + ".headers-file=" + file},
              code)
              .find(file),
          std::string::npos);
      EXPECT_EQ(code, 2) << flag << " " << file;
    }
  }
  struct Refused {
    std::vector<std::string> flags;
    const char* says;
  };
  for (const Refused& refused :
       {Refused{{"--web.telemetry-path=/sd"}, "--web.telemetry-path: expected a path that vigild does not need itself"},
        Refused{{"--web.telemetry-path=/api/v1/runs"}, "--web.telemetry-path: expected a path that vigild does not need itself"},
        Refused{{"--web.telemetry-path=/a b?c"}, "--web.telemetry-path: expected a path of letters"},
        Refused{{"--web.telemetry-path=metrics"}, "--web.telemetry-path: expected a path of letters"},
        Refused{{"--web.external-address=host name:80"}, "--web.external-address: expected HOST:PORT"},
        Refused{{"--web.external-address=host:99999"}, "--web.external-address: expected HOST:PORT"},
        Refused{{"--web.external-address=:80"}, "--web.external-address: expected HOST:PORT"},
        Refused{{"--remote-write.url=http://127.0.0.1:99999/x"}, "--remote-write.url: expected a URL"},
        Refused{{"--pushgateway.url=gateway:9091"}, "--pushgateway.url: expected a URL"},
        Refused{{"--pushgateway.url=http://127.0.0.1:9091/metrics/"}, "--pushgateway.url: expected the gateway's address without /metrics"},
        Refused{{"--remote-write.headers-file=" + headers}, "--remote-write.headers-file requires --remote-write.url"},
        Refused{{"--remote-write.tensors"}, "--remote-write.tensors requires --remote-write.url"},
        Refused{{"--pushgateway.basic-auth-file=" + headers}, "--pushgateway.basic-auth-file requires --pushgateway.url"},
        Refused{{"--ring.interval=1s", "--ring.interval=2s"}, "--ring.interval"}}) {
    const std::string said = run(refused.flags, code);
    EXPECT_NE(said.find(refused.says), std::string::npos) << said;
    EXPECT_EQ(code, 2) << refused.says;
  }
  EXPECT_NE(run({"--storage.path=" + headers + "/history.db", "--web.listen-address=127.0.0.1:0"}, code).find("--storage.path"),
            std::string::npos);
  EXPECT_EQ(code, 1);
  EXPECT_NE(run({"--help"}, code).find("--storage.retention.time"), std::string::npos);
  EXPECT_EQ(code, 0);
  ChildProcess full({"/bin/sh", "-c", std::string(VIGIL_VIGILD) + " --help > /dev/full"}, folder.path() / "full.log");
  EXPECT_EQ(full.wait(20), 1);
  EXPECT_NE(full.output().find("cannot write to standard output"), std::string::npos) << full.output();
}

TEST_F(Daemon, ASecondOneOnTheSameDatabaseSaysSo) {
  const Vigild vigild(folder.path());
  try {
    const Vigild second(folder.path());
    FAIL() << "it serves";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find(test::database_path(folder.path()).string()), std::string::npos) << error.what();
  }
}

TEST_F(Daemon, TellsSystemdThatItIsReady) {
  const std::string path = folder.file("notify");
  const int socket_file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(socket_file, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  setenv("WATCHDOG_USEC", "200000", 1);
  Vigild vigild(folder.path(), {"--ring.interval=60s"});  // it is not the files that it waits for
  unsetenv("WATCHDOG_USEC");
  unsetenv("NOTIFY_SOCKET");
  std::string told;
  const auto hears = [&](const char* what) {
    char buffer[4096];
    for (ssize_t size; (size = recv(socket_file, buffer, sizeof buffer, 0)) > 0;)
      told.append(buffer, static_cast<std::size_t>(size)) += '\n';
    return told.find(what) != std::string::npos;
  };
  EXPECT_TRUE(wait_until(10, [&] { return hears("READY=1"); })) << told;
  EXPECT_TRUE(wait_until(10, [&] { return hears("WATCHDOG=1"); })) << told;
  told.clear();
  EXPECT_TRUE(wait_until(10, [&] { return hears("WATCHDOG=1\nWATCHDOG=1\nWATCHDOG=1"); })) << told;
  vigild.process().send(SIGTERM);
  EXPECT_TRUE(wait_until(10, [&] { return hears("STOPPING=1"); })) << told;
  close(socket_file);
}

}  // namespace
}  // namespace vigil
