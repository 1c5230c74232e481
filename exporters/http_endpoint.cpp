#include "vigil/exporters/http_endpoint.h"

#include <poll.h>

#include <utility>

#include "vigil/config/prefix.h"
#include "vigil/exporters/content_negotiation.h"
#include "vigil/exporters/exposition.h"
#include "vigil/exporters/process_metrics.h"
#include "vigil/exporters/text_format.h"

namespace vigil {
namespace {

HttpServerSettings settings_of(const PrometheusConfig& config) {
  HttpServerSettings settings;
  settings.address = config.address;
  settings.port = config.port;
  settings.threads = config.threads;
  settings.address_setting = "exporters.prometheus.address";
  settings.port_setting = "exporters.prometheus.port";
  settings.web_config_file = config.web_config_file;
  return settings;
}

}  // namespace

HttpEndpoint::HttpEndpoint(const PrometheusConfig& config, SnapshotSource source, RunHistory* history)
    : source_(std::move(source)),
      plans_(config),
      page_(config.assets_directory, "exporters.prometheus.assets_directory"),
      api_(api_sources(history)),
      server_(settings_of(config), [this](const HttpRequest& request) { return answer(request); }) {}

HttpResponse HttpEndpoint::answer(const HttpRequest& request) {
  if (request.path() == "/metrics") return metrics(request);
  if (request.path() == "/-/healthy") return text_response(200, "vigil is healthy.\n");
  if (request.path() == "/-/ready") {
    return source_() != nullptr ? text_response(200, "vigil is ready.\n") : text_response(503, "vigil has nothing to show yet.\n");
  }
  if (starts_with(request.path(), "/api/")) return api_.answer(request);
  if (auto file = page_.answer(request)) return *std::move(file);
  return text_response(404, "Not found. Try /, /metrics, /api/v1/runs, /-/healthy or /-/ready.\n");
}

ApiSources HttpEndpoint::api_sources(RunHistory* history) {
  ApiSources api;
  api.program = "trainer";
  api.runs = [this] {
    const std::shared_ptr<const Snapshot> snapshot = source_();
    std::vector<ExposedRun> runs;
    if (snapshot) runs.push_back({snapshot, plans_.plan_for(snapshot->schema), false});
    return runs;
  };
  api.own_families = [] {
    std::vector<Family> families = make_process_families();
    families.push_back(make_build_info());
    return families;
  };
  if (history != nullptr) api.with_history = [history](const auto& ask) { return ask(*history); };
  api.no_history = "This trainer keeps nothing of its past: exporters.prometheus.history_bytes is 0.";
  return api;
}

void HttpEndpoint::wait_for_last_scrape(std::chrono::milliseconds limit) const noexcept {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  // Until the answer is on its way as a whole. Asked in turns: it happens once a run, at its end.
  // acquire: pairs with the release in metrics(); that request is counted as in flight until it is answered.
  const auto scraped = [this] { return last_scraped_.load(std::memory_order_acquire) && server_.requests_in_flight() == 0; };
  while (std::chrono::steady_clock::now() < deadline && !scraped()) poll(nullptr, 0, 10);
}

HttpResponse HttpEndpoint::metrics(const HttpRequest& request) {
  const std::shared_ptr<const Snapshot> snapshot = source_();
  if (!snapshot) return text_response(503, "vigil has nothing to show yet.\n");
  const TextFormat format = choose_text_format(request.header("Accept"));
  const bool is_gzip = prefers_gzip(request.header("Accept-Encoding"));
  HttpResponse response;
  response.type = content_type(format);
  response.headers = {{"Vary", "Accept, Accept-Encoding"}};
  if (is_gzip) response.headers.emplace_back("Content-Encoding", "gzip");
  response.body = renderings_.get(snapshot, format, is_gzip, [&] {
    const auto render = is_gzip ? render_gzip_exposition : render_exposition;
    return render(*snapshot, *plans_.plan_for(snapshot->schema), format, make_process_families());
  });
  // release: pairs with wait_for_last_scrape.
  if (!is_alive(snapshot->state)) last_scraped_.store(true, std::memory_order_release);
  return response;
}

}  // namespace vigil
