#include "vigil/daemon/host_endpoint.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "vigil/config/prefix.h"
#include "vigil/daemon/service_discovery.h"
#include "vigil/exporters/content_negotiation.h"
#include "vigil/exporters/exposition.h"
#include "vigil/exporters/process_metrics.h"

namespace vigil {
namespace {

std::string render(const std::vector<ExposedRun>& runs, TextFormat format, bool is_gzip, const std::vector<Family>& more) {
  return is_gzip ? render_joint_gzip_exposition(runs, format, more) : render_joint_exposition(runs, format, more);
}

}  // namespace

std::vector<ExposedRun> exposed_runs(const HostView& view, const std::optional<std::string_view>& run, const std::optional<int>& rank) {
  std::vector<ExposedRun> runs;
  for (const RunView& one : view.runs) {
    const RunIdentity& who = one.identity();
    if (one.is_superseded || (run && who.run != *run) || (rank && who.rank != *rank)) continue;
    runs.push_back({one.snapshot, one.plan, one.has_ended()});
  }
  return runs;
}

HostEndpoint::HostEndpoint(HostEndpointOptions options, HostEndpointSources sources)
    : options_(std::move(options)),
      sources_(std::move(sources)),
      page_(options_.assets_directory, "--web.assets-dir"),
      api_(api_sources()) {}

ApiSources HostEndpoint::api_sources() {
  ApiSources api;
  api.program = "vigild";
  api.metrics_path = options_.metrics_path;
  api.runs = [this] { return exposed_runs(*sources_.view()); };
  api.own_families = [this] { return own_families(*sources_.view()); };
  api.with_history = sources_.with_history;
  api.no_history = "No history is kept; start vigild with --storage.path.";
  return api;
}

std::vector<HttpMethods> HostEndpoint::methods() { return {{"/-/reload", {"POST", "PUT"}}}; }

HttpResponse HostEndpoint::answer(const HttpRequest& request) {
  const std::string_view path = request.path();
  if (path == options_.metrics_path) return metrics(request);
  if (path == "/sd") return targets(request);
  if (path == "/-/healthy") return text_response(200, "vigild is healthy.\n");
  if (path == "/-/ready")
    return sources_.view()->turns > 0 ? text_response(200, "vigild is ready.\n")
                                      : text_response(503, "vigild has not looked through its directories yet.\n");
  if (path == "/-/reload") return reload();
  if (starts_with(path, "/api/")) return api_.answer(request);
  if (auto file = page_.answer(request)) return *std::move(file);
  return text_response(404, "Not found. Try /, " + options_.metrics_path + ", /sd, /api/v1/runs, /-/healthy or /-/ready.\n");
}

std::vector<Family> HostEndpoint::own_families(const HostView& view) const {
  std::vector<Family> own = make_daemon_families(view, sources_.reading());
  for (Family& family : make_process_families()) own.push_back(std::move(family));
  return own;
}

HttpResponse HostEndpoint::metrics(const HttpRequest& request) {
  const TextFormat format = choose_text_format(request.header("Accept"));
  const bool is_gzip = prefers_gzip(request.header("Accept-Encoding"));
  const std::shared_ptr<const HostView> view = sources_.view();
  HttpResponse response;
  response.type = content_type(format);
  response.headers = {{"Vary", "Accept, Accept-Encoding"}};
  if (is_gzip) response.headers.emplace_back("Content-Encoding", "gzip");

  for (const std::string_view part : request.queries("collect[]")) {
    if (part != "daemon") return text_response(400, "collect[]: expected daemon, for vigild's own metrics without those of runs\n");
    response.body = std::make_shared<const std::string>(render({}, format, is_gzip, own_families(*view)));
    return response;
  }
  const std::optional<std::string_view> run = request.query("run"), rank_text = request.query("rank");
  if (!run && !rank_text) {
    response.body =
        renderings_.get(view, format, is_gzip, [&] { return render(exposed_runs(*view), format, is_gzip, own_families(*view)); });
    return response;
  }
  std::optional<int> rank;
  if (rank_text) {
    int number = 0;
    const char* const end = rank_text->data() + rank_text->size();
    const auto [stop, error] = std::from_chars(rank_text->data(), end, number);
    if (error != std::errc{} || stop != end || number < 0) return text_response(400, "rank: expected a whole number from 0 on\n");
    rank = number;
  }
  const std::vector<ExposedRun> runs = exposed_runs(*view, run, rank);
  if (runs.empty()) return text_response(404, "No such run here; /api/v1/runs lists them.\n");
  response.body = std::make_shared<const std::string>(render(runs, format, is_gzip, {}));
  return response;
}

HttpResponse HostEndpoint::targets(const HttpRequest& request) const {
  std::string address = options_.external_address;
  if (address.empty()) {
    const std::string_view host = request.header("Host");
    if (!is_host_and_port(host))
      return text_response(400, "The Host header has no name that Prometheus could use; set --web.external-address.\n");
    address = host;
  }
  return text_response(200, render_targets(*sources_.view(), address, options_.metrics_path, sources_.is_tls()), "application/json");
}

HttpResponse HostEndpoint::reload() const {
  if (!options_.has_lifecycle)
    return text_response(403, "Reloading over HTTP is off; start vigild with --web.enable-lifecycle, or send it SIGHUP.\n");
  const std::string problem = sources_.reload();
  return problem.empty() ? text_response(200, "Reloaded.\n") : text_response(500, problem + "\nWhat held before stays.\n");
}

}  // namespace vigil
