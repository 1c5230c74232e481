#include "vigil/exporters/api.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/exporters/api_json.h"
#include "vigil/exporters/content_negotiation.h"
#include "vigil/exporters/gzip_stream.h"
#include "vigil/exporters/json_text.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

// Less than this is not worth the time.
constexpr std::size_t kLeastGzipBytes = 4096;

HttpResponse json_response(const HttpRequest& request, unsigned status, std::string text) {
  HttpResponse response = text_response(status, std::move(text), "application/json");
  response.headers = {{"Vary", "Accept-Encoding"}};
  if (response.body->size() < kLeastGzipBytes || !prefers_gzip(request.header("Accept-Encoding"))) return response;
  GzipStream gzip;
  gzip.write(*response.body);
  response.body = std::make_shared<const std::string>(gzip.finish());
  response.headers.emplace_back("Content-Encoding", "gzip");
  return response;
}

unsigned status_of(HistoryError::Kind kind) noexcept {
  switch (kind) {
    case HistoryError::Kind::not_found: return 404;
    case HistoryError::Kind::invalid: return 400;
    case HistoryError::Kind::too_long: return 504;
    case HistoryError::Kind::unavailable: return 503;
    case HistoryError::Kind::damaged: return 500;
  }
  return 500;
}

// Parameters of a question. What is wrong with one is told by its name.
class Question {
 public:
  static constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();

  explicit Question(const HttpRequest& request) : request_(request) {}

  bool has(const char* name) const { return request_.query(name).has_value(); }
  std::string text(const char* name) const {
    const auto value = request_.query(name);
    if (!value || value->empty()) throw std::invalid_argument(std::string(name) + ": expected a value, got none");
    return std::string(*value);
  }
  std::optional<std::uint64_t> number(const char* name, std::uint64_t max, std::uint64_t min = 0) const {
    const auto value = request_.query(name);
    if (!value) return std::nullopt;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error != std::errc{} || end != value->data() + value->size() || number < min || number > max)
      throw std::invalid_argument(std::string(name) + ": expected a whole number from " + std::to_string(min) + " to " +
                                  std::to_string(max));
    return number;
  }
  RunSelector run() const {
    RunSelector selector;
    selector.run = text("run");
    selector.rank = static_cast<int>(number("rank", std::numeric_limits<int>::max()).value_or(0));
    if (const auto attempt = number("attempt", std::numeric_limits<std::int64_t>::max()))
      selector.attempt = static_cast<std::int64_t>(*attempt);
    return selector;
  }
  std::optional<HistoryCursor> since() const {
    const auto value = request_.query("since");
    if (!value) return std::nullopt;
    const auto cursor = HistoryCursor::parse(*value);
    if (!cursor) throw std::invalid_argument("since: expected a step, or what an answer gave as \"next\"");
    return cursor;
  }
  std::uint64_t until() const { return number("until", kAny).value_or(kAny); }
  std::size_t max_points() const {
    return static_cast<std::size_t>(number("max_points", RunHistory::kMaxPoints, RunHistory::kMinPoints).value_or(2000));
  }
  TensorKind kind() const {
    const auto value = request_.query("kind");
    if (!value) return TensorKind::parameter;
    for (std::size_t i = 0; i < kTensorKindNames.size(); ++i) {
      if (kTensorKindNames[i] == *value) return static_cast<TensorKind>(i);
    }
    throw std::invalid_argument("kind: expected parameter, gradient or buffer");
  }
  std::vector<std::string> event_kinds() const {
    std::vector<std::string> kinds;
    for (const std::string_view kind : request_.queries("kind")) {
      if (std::find(kEventKinds.begin(), kEventKinds.end(), kind) == kEventKinds.end())
        throw std::invalid_argument("kind: expected nonfinite, alert, state, phase or checkpoint");
      kinds.emplace_back(kind);
    }
    return kinds;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const std::string_view name : request_.queries("name")) names.emplace_back(name);
    if (names.empty()) throw std::invalid_argument("name: expected at least one; /api/v1/series/names lists them");
    return names;
  }

 private:
  const HttpRequest& request_;
};

// One that nobody reads is a slip of who asks. `known`: names with a space behind each.
void check_parameters(const HttpRequest& request, std::string_view known) {
  for (const auto& [name, value] : request.queries()) {
    bool is_known = false;
    for (std::string_view rest = known; !rest.empty(); rest.remove_prefix(rest.find(' ') + 1))
      is_known = is_known || rest.substr(0, rest.find(' ')) == name;
    if (is_known) continue;
    throw std::invalid_argument(name + ": no such parameter of " + std::string(request.path()) + "; it takes " +
                                (known.empty() ? "none" : std::string(known.substr(0, known.size() - 1))));
  }
}

template <class Request>
Request in_range(const Question& query) {
  Request request;
  request.run = query.run();
  request.since = query.since();
  request.until = query.until();
  return request;
}

std::string series(RunHistory& history, const Question& query) {
  auto request = in_range<SeriesRequest>(query);
  request.names = query.names();
  request.max_points = query.max_points();
  return series_json(history.series(request));
}

std::string tensor_series(RunHistory& history, const Question& query) {
  auto request = in_range<TensorSeriesRequest>(query);
  request.kind = query.kind();
  request.tensor = query.text("tensor");
  request.statistic = query.text("statistic");
  request.max_points = query.max_points();
  return tensor_series_json(history.tensor_series(request));
}

std::string heatmap(RunHistory& history, const Question& query) {
  auto request = in_range<HeatmapRequest>(query);
  request.kind = query.kind();
  request.statistic = query.text("statistic");
  request.max_columns =
      static_cast<std::size_t>(query.number("max_columns", RunHistory::kMaxColumns, RunHistory::kMinColumns).value_or(request.max_columns));
  return heatmap_json(history.heatmap(request), request.kind, request.statistic);
}

std::string events(RunHistory& history, const Question& query) {
  constexpr std::uint64_t kMaxId = std::numeric_limits<std::int64_t>::max();
  EventsRequest request;
  if (query.has("run")) request.run = query.run();
  if (const auto since = query.number("since", kMaxId)) request.since = static_cast<std::int64_t>(*since);
  request.kinds = query.event_kinds();
  request.max_events = static_cast<std::size_t>(query.number("max_events", RunHistory::kMaxEvents, 1).value_or(100));
  return events_json(history.events(request));
}

}  // namespace

std::string Api::info() const {
  std::string out = "{";
  append_member(out, "program", sources_.program);
  append_member(out, "version", vigil_version());
  append_member(out, "metrics_path", sources_.metrics_path);
  append_member(out, "history", static_cast<bool>(sources_.with_history));
  append_member(out, "now", to_seconds(wall_time_ns()));
  return out + "}\n";
}

std::string Api::runs() const {
  const std::vector<ExposedRun> now = sources_.runs();
  if (!sources_.with_history) return runs_json({}, now);
  std::vector<HistoryRun> kept;
  std::string problem;
  try {
    sources_.with_history([&kept](RunHistory& history) {
      kept = history.runs();
      return std::string();
    });
  } catch (const HistoryError& error) {
    problem = error.what();  // what goes on now is known all the same
  }
  return runs_json(kept, now, problem);
}

std::string Api::metrics(const HttpRequest& request) const {
  if (!request.query("run")) {
    if (request.query("rank")) throw std::invalid_argument("rank: expected a run as well");
    return metrics_json(sources_.own_families());
  }
  const RunSelector asked = Question(request).run();
  for (const ExposedRun& run : sources_.runs()) {
    const RunIdentity& who = run.snapshot->schema->identity;
    if (who.run == asked.run && who.rank == asked.rank) return metrics_json(make_run_families(run));
  }
  throw HistoryError(HistoryError::Kind::not_found, "there is no run '" + asked.run + "' of rank " + std::to_string(asked.rank) +
                                                        " here now; /api/v1/runs lists those that there are");
}

HttpResponse Api::answer(const HttpRequest& request) const {
  const std::string_view path = request.path();
  const Question query(request);
  try {
    if (path == "/api/v1/info") {
      check_parameters(request, "");
      return json_response(request, 200, info());
    }
    if (path == "/api/v1/runs") {
      check_parameters(request, "");
      return json_response(request, 200, runs());
    }
    if (path == "/api/v1/metrics") {
      check_parameters(request, "run rank ");
      return json_response(request, 200, metrics(request));
    }
    struct Route {
      std::string_view path, parameters;
      std::string (*ask)(RunHistory& history, const Question& query);
    };
    static constexpr Route kRoutes[] = {
        {"/api/v1/series", "run rank attempt name since until max_points ", series},
        {"/api/v1/series/names", "run rank attempt ",
         [](RunHistory& history, const Question& of) { return series_names_json(history.series_names(of.run())); }},
        {"/api/v1/tensors", "run rank attempt step ",
         [](RunHistory& history, const Question& of) { return tensors_json(history.frame(of.run(), of.number("step", Question::kAny))); }},
        {"/api/v1/tensors/series", "run rank attempt kind tensor statistic since until max_points ", tensor_series},
        {"/api/v1/tensors/heatmap", "run rank attempt kind statistic since until max_columns ", heatmap},
        {"/api/v1/distribution", "run rank attempt kind tensor step ",
         [](RunHistory& history, const Question& of) {
           return distribution_json(history.distribution(of.run(), of.kind(), of.text("tensor"), of.number("step", Question::kAny)));
         }},
        {"/api/v1/events", "run rank attempt kind since max_events ", events},
    };
    for (const Route& route : kRoutes) {
      if (route.path != path) continue;
      check_parameters(request, route.parameters);
      if (!sources_.with_history) return json_response(request, 503, error_json(sources_.no_history));
      return json_response(request, 200, sources_.with_history([&](RunHistory& history) { return route.ask(history, query); }));
    }
    return json_response(
        request, 404,
        error_json("No such path. Try /api/v1/runs, /info, /metrics, /series, /series/names, /tensors, /tensors/series, /tensors/heatmap, "
                   "/distribution or /events below /api/v1."));
  } catch (const HistoryError& error) {
    return json_response(request, status_of(error.kind()), error_json(error.what()));
  } catch (const std::invalid_argument& error) {
    return json_response(request, 400, error_json(error.what()));
  }
}

}  // namespace vigil
