// The HTTP endpoint of a run: /metrics for Prometheus, the built-in page with its API, and health checks.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "vigil/config/config.h"
#include "vigil/exporters/api.h"
#include "vigil/exporters/http_server.h"
#include "vigil/exporters/page.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/exporters/shared_rendering.h"
#include "vigil/history/run_history.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// Answers GET and HEAD of
///   /metrics    the latest snapshot, as 0.0.4 or OpenMetrics text by Accept, gzip'd by Accept-Encoding; one rendering for all who ask
///               for the same while it is made or sent
///   /-/healthy  200 as long as the process lives
///   /-/ready    200 once there is a snapshot, 503 before
///   /           the built-in page, and its files below /assets/
///   /api/v1/…   what it is drawn from: docs/api.md
/// 404 for other paths, 405 for other methods. Serves no files but those of the page. Bounds on clients are those of HttpServer, users and
/// TLS those of `config.web_config_file`; `config.threads` requests are rendered at the same time.
class HttpEndpoint {
 public:
  /// Called by every request, from several threads at once; may answer null before there is something to show.
  using SnapshotSource = std::function<std::shared_ptr<const Snapshot>()>;

  /// `history` outlives the endpoint; null: nothing is kept, and the page shows the present only.
  /// @throws std::runtime_error that names address, port and setting when it cannot listen there, std::invalid_argument when the folder of
  ///         the page is none, ConfigError for the web config file
  HttpEndpoint(const PrometheusConfig& config, SnapshotSource source, RunHistory* history = nullptr);

  /// "127.0.0.1:9464", "[::1]:9464": the address and the port really bound, also after stop().
  const std::string& endpoint() const noexcept { return server_.endpoint(); }

  /// Requests that failed for a reason of ours (out of memory), since the start. Any thread.
  std::uint64_t failures() const noexcept { return server_.failures(); }

  /// Any thread.
  HttpCounters counters() const { return server_.counters(); }

  /// How often a snapshot was rendered since the start: fewer than scrapes, where these came at the same time. Any thread.
  std::uint64_t renderings() const noexcept { return renderings_.renderings(); }

  /// Returns when a scrape has taken the figures of the ended run, or after `limit`. Any thread.
  void wait_for_last_scrape(std::chrono::milliseconds limit) const noexcept;

  /// Cuts off requests in flight, closes the port and joins the threads. Idempotent; one thread at a time.
  void stop() noexcept { server_.stop(); }

  /// For the child of a fork, see HttpServer::abandon().
  void abandon() noexcept { server_.abandon(); }

 private:
  HttpResponse answer(const HttpRequest& request);
  HttpResponse metrics(const HttpRequest& request);
  ApiSources api_sources(RunHistory* history);

  const SnapshotSource source_;
  SeriesPlanCache plans_;
  const Page page_;
  const Api api_;
  SharedRenderings renderings_;
  std::atomic<bool> last_scraped_{false};
  HttpServer server_;  // last: its threads use the others
};

}  // namespace vigil
