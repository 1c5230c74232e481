// What vigild answers over HTTP.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/daemon/daemon_families.h"
#include "vigil/daemon/host_view.h"
#include "vigil/exporters/api.h"
#include "vigil/exporters/http_server.h"
#include "vigil/exporters/page.h"
#include "vigil/exporters/shared_rendering.h"

namespace vigil {

struct HostEndpointOptions {
  std::string metrics_path = "/metrics";
  /// Address that /sd tells; empty: the Host header of whoever asks, which is one that reaches vigild.
  std::string external_address;
  bool has_lifecycle = false;    ///< POST and PUT of /-/reload do something
  std::string assets_directory;  ///< of the page, for those who work on it; empty: what is built in
};

/// Where the answers come from; each may be called by several threads at once.
struct HostEndpointSources {
  std::function<std::shared_ptr<const HostView>()> view;  ///< never null
  std::function<DaemonReading()> reading;
  std::function<std::string()> reload;              ///< empty text: done; else what is wrong
  decltype(ApiSources::with_history) with_history;  ///< empty: no history is kept
  std::function<bool()> is_tls;
};

/// Runs that are exposed: of one run and rank the latest; with a name only those that have it.
std::vector<ExposedRun> exposed_runs(const HostView& view, const std::optional<std::string_view>& run = {},
                                     const std::optional<int>& rank = {});

/// Answers
///   /metrics            all runs and vigild itself; with `run=` (and `rank=`) only that run's, 404 when there is none;
///                       with `collect[]=daemon` vigild itself only
///   /sd                 targets for Prometheus' http_sd
///   /api/v1/…           JSON, docs/api.md
///   /-/healthy, /-/ready  200; the latter once the directories were looked through
///   /-/reload           POST and PUT: reads the files again that the flags name
///   /                   the built-in page, and its files below /assets/
/// Any thread.
class HostEndpoint {
 public:
  /// @throws std::invalid_argument when the folder of the page is none
  HostEndpoint(HostEndpointOptions options, HostEndpointSources sources);

  HttpResponse answer(const HttpRequest& request);
  /// What may be asked of which path, for the server.
  static std::vector<HttpMethods> methods();

 private:
  ApiSources api_sources();
  HttpResponse metrics(const HttpRequest& request);
  std::vector<Family> own_families(const HostView& view) const;
  HttpResponse targets(const HttpRequest& request) const;
  HttpResponse reload() const;

  const HostEndpointOptions options_;
  const HostEndpointSources sources_;
  const Page page_;
  const Api api_;
  SharedRenderings renderings_;
};

}  // namespace vigil
