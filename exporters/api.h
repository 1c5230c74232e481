// The JSON that vigild and a trainer's own endpoint answer below /api/v1/; docs/api.md describes it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "vigil/exporters/exposition.h"
#include "vigil/exporters/http_server.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/history/run_history.h"

namespace vigil {

/// Where the answers come from. Each function may be called by several threads at once.
struct ApiSources {
  std::string program;                                ///< "vigild" or "trainer"
  std::string metrics_path = "/metrics";              ///< where Prometheus asks
  std::function<std::vector<ExposedRun>()> runs;      ///< those that are there now
  std::function<std::vector<Family>()> own_families;  ///< of the program itself
  /// Calls its argument with what was kept of runs and returns what that returns; what it throws passes through. Empty where nothing is
  /// kept.
  std::function<std::string(const std::function<std::string(RunHistory&)>&)> with_history;
  std::string no_history;  ///< then: a sentence that says what to do
};

/// Any thread.
class Api {
 public:
  explicit Api(ApiSources sources) : sources_(std::move(sources)) {}

  /// Errors are objects with "error", a sentence: 400 a question that makes no sense, 404 what there is not, 503 no history now, 504 an
  /// answer that would take too long.
  HttpResponse answer(const HttpRequest& request) const;

 private:
  std::string info() const;
  std::string runs() const;
  std::string metrics(const HttpRequest& request) const;

  const ApiSources sources_;
};

}  // namespace vigil
