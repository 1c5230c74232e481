#include "vigil/daemon/api.h"

#include <charconv>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/daemon/api_json.h"

namespace vigil {
namespace {

HttpResponse json_response(unsigned status, std::string text) { return text_response(status, std::move(text), "application/json"); }

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
    return static_cast<std::size_t>(number("max_points", HistoryReader::kMaxPoints, HistoryReader::kMinPoints).value_or(2000));
  }
  TensorKind kind() const {
    const auto value = request_.query("kind");
    if (!value) return TensorKind::parameter;
    for (std::size_t i = 0; i < kTensorKindNames.size(); ++i) {
      if (kTensorKindNames[i] == *value) return static_cast<TensorKind>(i);
    }
    throw std::invalid_argument("kind: expected parameter, gradient or buffer");
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

std::string series(HistoryReader& reader, const Question& query) {
  SeriesRequest request;
  request.run = query.run();
  request.names = query.names();
  request.since = query.since();
  request.until = query.until();
  request.max_points = query.max_points();
  return series_json(reader.series(request));
}

std::string tensor_series(HistoryReader& reader, const Question& query) {
  TensorSeriesRequest request;
  request.run = query.run();
  request.kind = query.kind();
  request.tensor = query.text("tensor");
  request.statistic = query.text("statistic");
  request.since = query.since();
  request.until = query.until();
  request.max_points = query.max_points();
  return tensor_series_json(reader.tensor_series(request));
}

std::string events(HistoryReader& reader, const HttpRequest& from, const Question& query) {
  constexpr std::uint64_t kMaxId = std::numeric_limits<std::int64_t>::max();
  EventsRequest request;
  if (from.query("run")) request.run = query.run();
  if (const auto since = query.number("since", kMaxId)) request.since = static_cast<std::int64_t>(*since);
  request.max_events = static_cast<std::size_t>(query.number("max_events", HistoryReader::kMaxEvents, 1).value_or(100));
  return events_json(reader.events(request));
}

}  // namespace

Api::Api(const std::string& storage_path, std::function<std::shared_ptr<const HostView>()> view, std::size_t readers)
    : view_(std::move(view)) {
  if (storage_path.empty()) return;
  HistoryReaderOptions options;
  options.path = storage_path;
  readers_.emplace(options, readers);
}

std::string Api::runs() {
  const std::shared_ptr<const HostView> view = view_();
  if (!readers_) return runs_json({}, *view);
  std::vector<HistoryRun> stored;
  std::string problem;
  try {
    stored = readers_->with_reader([](HistoryReader& reader) { return reader.runs(); });
  } catch (const HistoryError& error) {
    problem = error.what();  // what goes on now is known all the same
  }
  return runs_json(stored, *view, problem);
}

HttpResponse Api::answer(const HttpRequest& request) {
  const std::string_view path = request.path();
  const Question query(request);
  try {
    if (path == "/api/v1/runs") {
      check_parameters(request, "");
      return json_response(200, runs());
    }
    using Ask = std::string (*)(HistoryReader&, const HttpRequest&, const Question&);
    struct Route {
      std::string_view path, parameters;
      Ask ask;
    };
    static constexpr Route kRoutes[] = {
        {"/api/v1/series", "run rank attempt name since until max_points ",
         [](HistoryReader& reader, const HttpRequest&, const Question& of) { return series(reader, of); }},
        {"/api/v1/series/names", "run rank attempt ",
         [](HistoryReader& reader, const HttpRequest&, const Question& of) { return series_names_json(reader.series_names(of.run())); }},
        {"/api/v1/tensors", "run rank attempt step ",
         [](HistoryReader& reader, const HttpRequest&, const Question& of) {
           return tensors_json(reader.frame(of.run(), of.number("step", Question::kAny)));
         }},
        {"/api/v1/tensors/series", "run rank attempt kind tensor statistic since until max_points ",
         [](HistoryReader& reader, const HttpRequest&, const Question& of) { return tensor_series(reader, of); }},
        {"/api/v1/distribution", "run rank attempt kind tensor step ",
         [](HistoryReader& reader, const HttpRequest&, const Question& of) {
           return distribution_json(reader.distribution(of.run(), of.kind(), of.text("tensor"), of.number("step", Question::kAny)));
         }},
        {"/api/v1/events", "run rank attempt since max_events ",
         [](HistoryReader& reader, const HttpRequest& from, const Question& of) { return events(reader, from, of); }},
    };
    for (const Route& route : kRoutes) {
      if (route.path != path) continue;
      check_parameters(request, route.parameters);
      if (!readers_) return json_response(503, error_json("No history is kept; start vigild with --storage.path."));
      return json_response(200, readers_->with_reader([&](HistoryReader& reader) { return route.ask(reader, request, query); }));
    }
    return json_response(
        404,
        error_json(
            "No such path. Try /api/v1/runs, /series, /series/names, /tensors, /tensors/series, /distribution or /events below /api/v1."));
  } catch (const HistoryError& error) {
    return json_response(status_of(error.kind()), error_json(error.what()));
  } catch (const std::invalid_argument& error) {
    return json_response(400, error_json(error.what()));
  }
}

}  // namespace vigil
