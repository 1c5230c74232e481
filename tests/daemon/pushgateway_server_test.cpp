// Results of runs at the real Pushgateway: put, read back, replaced, deleted.
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>
#include <string>

#include "e2e/wait_until.h"
#include "exporters/captured_log.h"
#include "exporters/test_run.h"
#include "exporters/text_parser.h"
#include "files.h"
#include "http/http_client.h"
#include "servers/password_file.h"
#include "servers/push_receivers.h"
#include "vigil/exporters/pushgateway.h"
#include "vigil/exporters/text_format.h"

namespace vigil {
namespace {

using namespace test;
using nlohmann::json;

constexpr std::int64_t kEndNs = kStartNs + 90'500'000'000;

Snapshot snapshot_of(const std::string& run) {
  Snapshot snapshot = *make_running_snapshot();
  Schema schema = *snapshot.schema;
  schema.identity.run = run;
  snapshot.schema = std::make_shared<const Schema>(schema);
  return snapshot;
}

class PushgatewayResult : public testing::Test {
 protected:
  PushgatewayOptions options() const {
    PushgatewayOptions options;
    options.url = server.url();
    return options;
  }
  static bool is_done(const Pushgateway& gateway) {
    return wait_until(60, [&] { return gateway.counters().waiting == 0; });
  }
  // What the gateway would be scraped for.
  ParsedText scraped() const {
    const HttpAnswer answer = request(server.address(), "/metrics");
    EXPECT_EQ(answer.status, 200);
    // Without its metrics of itself, among which are summaries, which the reader does not know.
    std::istringstream text(answer.body);
    std::string ours;
    for (std::string line; std::getline(text, line);) {
      for (const char* begin : {"vigil_", "push_", "# HELP vigil_", "# TYPE vigil_", "# HELP push_", "# TYPE push_"}) {
        if (line.rfind(begin, 0) == 0) ours += line + "\n";
      }
    }
    return parse_prometheus_text(ours);
  }
  // The groups of the API, by job.
  std::map<std::string, json> groups() const {
    std::map<std::string, json> all;
    const HttpAnswer answer = request(server.address(), "/api/v1/metrics");
    EXPECT_EQ(answer.status, 200);
    const json parsed = json::parse(answer.body);
    for (const json& group : parsed["data"]) all[group["labels"]["job"].get<std::string>()] = group;
    return all;
  }
  static std::string key(const std::string& run, const std::string& name, std::map<std::string, std::string> labels = {}) {
    labels.insert({{"run", run}, {"job", run}, {"instance", ""}});
    return series_key(name, labels);
  }

  const TemporaryFolder folder;
  PushgatewayServer server{folder.path()};
  CapturedLog captured;
};

TEST_F(PushgatewayResult, IsThereWithEverySeriesAndValue) {
  server.start();
  Pushgateway gateway(options());
  const Snapshot snapshot = snapshot_of("mnist");
  gateway.put(snapshot, RunEnd::finished, kEndNs);
  ASSERT_TRUE(is_done(gateway));
  EXPECT_EQ(gateway.counters().sent, 1u);

  const ParsedText all = scraped();
  std::size_t series = 0;
  for (const Family& family : make_result_families(snapshot, RunEnd::finished, kEndNs)) {
    EXPECT_EQ(all.families.at(std::string(family.name)).help, family.help);
    for (const Sample& sample : family.samples) {
      std::map<std::string, std::string> labels;
      for (const Label& label : sample.labels->labels()) labels[label.name] = label.value;
      const auto found = all.values.find(key("mnist", std::string(family.name), labels));
      ASSERT_NE(found, all.values.end()) << family.name << "{" << sample.labels->text() << "}";
      EXPECT_EQ(found->second, sample.value) << family.name;
      ++series;
    }
  }
  for (const auto& [name, value] : all.values) series -= name.rfind("vigil_", 0) == 0;
  EXPECT_EQ(series, 0u) << "and nothing else of vigil's";
  EXPECT_GT(all.values.at(series_key("push_time_seconds", {{"job", "mnist"}, {"instance", ""}})), 1e9);
  EXPECT_EQ(all.values.at(series_key("push_failure_time_seconds", {{"job", "mnist"}, {"instance", ""}})), 0);

  const json group = groups().at("mnist");
  EXPECT_EQ(group["last_push_successful"], true);
  EXPECT_EQ(group["labels"], (json{{"job", "mnist"}})) << "no rank";
  EXPECT_EQ(group["vigil_result_loss"]["type"], "GAUGE");
  EXPECT_EQ(group["vigil_result_loss"]["metrics"][0]["value"], "0.1");
  EXPECT_EQ(group["vigil_result_gradient_norm"]["metrics"][0]["value"], "+Inf");
}

TEST_F(PushgatewayResult, OfANextTimeReplacesAllOfTheOneBefore) {
  server.start();
  Pushgateway gateway(options());
  gateway.put(snapshot_of("mnist"), RunEnd::crashed, kEndNs);
  gateway.put(snapshot_of("other"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(is_done(gateway));
  EXPECT_EQ(scraped().values.count(key("mnist", "vigil_result_user_scalar", {{"name", "validation/accuracy"}})), 1u);
  Snapshot next = snapshot_of("mnist");
  next.user_scalars.clear();
  next.loss = kNan;
  gateway.put(next, RunEnd::finished, kEndNs + 1'000'000'000);
  ASSERT_TRUE(is_done(gateway));
  const auto values = scraped().values;
  EXPECT_EQ(values.count(key("mnist", "vigil_result_user_scalar", {{"name", "validation/accuracy"}})), 0u);
  EXPECT_TRUE(std::isnan(values.at(key("mnist", "vigil_result_loss"))));
  EXPECT_EQ(values.at(key("mnist", "vigil_result_state", {{"state", "finished"}})), 1);
  EXPECT_EQ(values.at(key("mnist", "vigil_result_duration_seconds")), 91.5);
  EXPECT_EQ(values.at(key("other", "vigil_result_duration_seconds")), 90.5) << "as it was";
}

TEST_F(PushgatewayResult, IsGoneOnceTheRunStartsAgain) {
  server.start();
  Pushgateway gateway(options());
  for (const char* run : {"mnist", "other"}) gateway.put(snapshot_of(run), RunEnd::finished, kEndNs);
  ASSERT_TRUE(is_done(gateway));
  gateway.remove(snapshot_of("mnist").schema->identity);
  gateway.remove(snapshot_of("never was there").schema->identity);
  ASSERT_TRUE(is_done(gateway));
  EXPECT_EQ(gateway.counters().sent, 4u);
  const auto left = groups();
  EXPECT_EQ(left.size(), 1u);
  EXPECT_EQ(left.count("other"), 1u);
  for (const auto& [name, value] : scraped().values) EXPECT_EQ(name.find("mnist"), std::string::npos) << name;
}

TEST_F(PushgatewayResult, MayHaveAnyNameOfARun) {
  server.start();
  Pushgateway gateway(options());
  const std::vector<std::string> names{"a/b/c",
                                       "/",
                                       "a b",
                                       "a%2Fb",
                                       "a+b",
                                       "x?y=z#w",
                                       "\"quoted\\\"",
                                       "été 中文",
                                       "..",
                                       ".",
                                       "//",
                                       "job@base64",
                                       std::string(128, 'x'),
                                       "a=b&c",
                                       "line\nbreak",
                                       "mnist"};
  for (const std::string& name : names) {
    gateway.put(snapshot_of(name), RunEnd::finished, kEndNs);
    ASSERT_TRUE(is_done(gateway));
    EXPECT_EQ(groups().count(name), 1u) << name;
    EXPECT_EQ(scraped().values.count(key(name, "vigil_result_loss")), 1u) << name;
  }
  EXPECT_EQ(groups().size(), names.size());
  EXPECT_EQ(gateway.counters().sent, names.size());
  for (const std::string& name : names) gateway.remove(snapshot_of(name).schema->identity);
  ASSERT_TRUE(is_done(gateway));
  EXPECT_TRUE(groups().empty());
  EXPECT_EQ(gateway.counters().failed, 0u);
}

TEST_F(PushgatewayResult, WaitsForAGatewayThatIsDown) {
  Pushgateway gateway(options());
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(wait_until(30, [&] { return gateway.counters().retried > 0; }));
  server.start();
  ASSERT_TRUE(is_done(gateway));
  EXPECT_EQ(gateway.counters().sent, 1u);
  EXPECT_EQ(groups().count("mnist"), 1u);
}

TEST_F(PushgatewayResult, ThatTheGatewayRefusesIsToldWithItsWords) {
  server.start();
  // Somebody else has a metric of the same name and another type.
  HttpPoster poster(server.url() + "/metrics/job/somebody", std::chrono::seconds(10), [] { return false; });
  HttpMessage message;
  message.method = "PUT";
  message.content_type = content_type(TextFormat::prometheus);
  message.body = "# TYPE vigil_result_loss counter\nvigil_result_loss 1\n";
  ASSERT_TRUE(poster.send(message).is_success());
  Pushgateway gateway(options());
  gateway.put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
  ASSERT_TRUE(is_done(gateway));
  EXPECT_EQ(gateway.counters().failed, 1u);
  EXPECT_EQ(captured.count("given up after 1 tries (further ones are logged once a minute): HTTP status 400: pushed metrics are invalid or "
                           "inconsistent with existing metrics"),
            1u);
}

TEST_F(PushgatewayResult, GetsInWithAPassword) {
  PushgatewayServer guarded(folder.path(), folder.write("web.yml", kPasswordFile).string());
  guarded.start();
  PushgatewayOptions without = options();
  without.url = guarded.url();
  PushgatewayOptions with = without;
  with.files.basic_auth = folder.write("password", "aladdin:sesame\n").string();
  Pushgateway first(without), second(with);
  for (Pushgateway* gateway : {&first, &second}) {
    gateway->put(snapshot_of("mnist"), RunEnd::finished, kEndNs);
    ASSERT_TRUE(is_done(*gateway));
  }
  EXPECT_EQ(first.counters().failed, 1u);
  EXPECT_EQ(second.counters().sent, 1u);
}

// promtool's own lint of names, help and types.
TEST_F(PushgatewayResult, IsWhatPromtoolHasNothingToSayAbout) {
  const auto text =
      folder.write("result.txt", render_text(make_result_families(snapshot_of("mnist"), RunEnd::finished, kEndNs), TextFormat::prometheus));
  ChildProcess promtool({"/bin/sh", "-c", server_program("prometheus/usr/bin/promtool") + " check metrics < " + text.string()},
                        folder.file("promtool.log"));
  EXPECT_EQ(promtool.wait(60), 0) << promtool.output();
  EXPECT_EQ(promtool.output(), "");
}

}  // namespace
}  // namespace vigil
