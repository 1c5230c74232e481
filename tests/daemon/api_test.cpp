// What the API takes, and what it says where it does not.
#include "vigil/exporters/api.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/history_run.h"
#include "files.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/exporters/http_target.h"

namespace vigil {
namespace {

using namespace test;

class ApiTest : public testing::Test {
 protected:
  struct Answer {
    unsigned status = 0;
    nlohmann::json body;
    std::string error() const { return body.value("error", ""); }
  };
  static std::vector<ExposedRun> runs_now() {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->schema = std::make_shared<const Schema>(make_history_schema("living"));
    snapshot->state = RunState::running;
    return {{snapshot, std::make_shared<const SeriesPlan>(*snapshot->schema, PrometheusConfig{}), false}};
  }
  ApiSources sources() {
    ApiSources sources;
    sources.program = "vigild";
    sources.runs = runs_now;
    sources.own_families = [] { return std::vector<Family>{make_build_info()}; };
    sources.with_history = [this](const auto& ask) { return readers_.with_reader(ask); };
    return sources;
  }
  Answer ask(const std::string& target) {
    const HttpTarget parsed = parse_target("/api/v1" + target).value();
    const HttpResponse response = api_.answer(HttpRequest(nullptr, "GET", parsed));
    return {response.status, nlohmann::json::parse(*response.body)};
  }
  void keep_history() {
    HistoryOptions options;
    options.path = path_;
    HistoryWriter writer(options);
    write_steps(writer, writer.begin_ring(ring_id(1), make_history_schema(), kNow).key, 5, 1, 1000);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("history.db");
  HistoryReaders readers_{[this] {
                            HistoryReaderOptions options;
                            options.path = path_;
                            return options;
                          }(),
                          1};
  const Api api_{sources()};
};

TEST_F(ApiTest, AParameterThatAPathDoesNotTakeIsNamedWithThoseThatItTakes) {
  keep_history();
  const Answer answer = ask("/series?run=mnist&rank=1&name=loss&max_point=5");
  EXPECT_EQ(answer.status, 400u);
  EXPECT_EQ(answer.error(), "max_point: no such parameter of /api/v1/series; it takes run rank attempt name since until max_points");
  EXPECT_EQ(ask("/runs?run=mnist").error(), "run: no such parameter of /api/v1/runs; it takes none");
  // Each path takes what the document says of it.
  EXPECT_EQ(ask("/series?run=mnist&rank=1&attempt=1&name=loss&name=gradient_norm&since=1&until=9&max_points=5").status, 200u);
  EXPECT_EQ(ask("/series/names?run=mnist&rank=1&attempt=1").status, 200u);
  EXPECT_EQ(ask("/events?run=mnist&rank=1&attempt=1&since=0&max_events=1").status, 200u);
  for (const std::string path : {"/tensors?step=1", "/tensors/series?kind=gradient&tensor=x&statistic=mean&since=0&until=9&max_points=5",
                                 "/distribution?kind=gradient&tensor=x&step=1"}) {
    const Answer of_tensor = ask(path + "&run=mnist&rank=1&attempt=1");
    EXPECT_EQ(of_tensor.status, 404u) << of_tensor.body;  // there are no frames
  }
}

TEST_F(ApiTest, NoAnswerHasMorePointsThanWereAskedFor) {
  keep_history();
  for (const std::string few : {"0", "1", "4"})
    EXPECT_EQ(ask("/series?run=mnist&rank=1&name=loss&max_points=" + few).error(), "max_points: expected a whole number from 5 to 20000");
  for (const std::size_t points : {5u, 6u, 9u, 999u}) {
    const Answer answer = ask("/series?run=mnist&rank=1&name=loss&name=gradient_norm&max_points=" + std::to_string(points));
    ASSERT_EQ(answer.status, 200u);
    for (const auto& series : answer.body.at("series")) EXPECT_LE(series.at("steps").size(), points);
  }
}

TEST_F(ApiTest, EventsOfARunThatThereIsNotAreNotFound) {
  keep_history();
  EXPECT_EQ(ask("/events?run=nope").status, 404u);
  EXPECT_EQ(ask("/events?run=nope").error(), "the history has no run 'nope' of rank 0");
  EXPECT_EQ(ask("/events?run=mnist&rank=1&attempt=2").status, 404u);
  EXPECT_EQ(ask("/events?run=mnist&rank=1").status, 200u);
  EXPECT_EQ(ask("/events").status, 200u);
  EXPECT_EQ(ask("/events?kind=alert&kind=phase").status, 200u);
  EXPECT_EQ(ask("/events?kind=gradient").error(), "kind: expected nonfinite, alert, state, phase or checkpoint");
  EXPECT_EQ(ask("/events?max_events=0").error(), "max_events: expected a whole number from 1 to 1000");
}

TEST_F(ApiTest, RunsThatAreThereAreToldOfWithoutTheHistory) {
  const Answer answer = ask("/runs");
  EXPECT_EQ(answer.status, 200u);
  ASSERT_EQ(answer.body.at("runs").size(), 1u);
  EXPECT_EQ(answer.body.at("runs").at(0).at("run"), "living");
  EXPECT_NE(answer.body.at("history_error").get<std::string>().find(path_), std::string::npos);
  EXPECT_EQ(ask("/series/names?run=living").status, 503u);
  keep_history();
  EXPECT_EQ(ask("/runs").body.at("runs").size(), 2u);
  EXPECT_FALSE(ask("/runs").body.contains("history_error"));
}

}  // namespace
}  // namespace vigil
