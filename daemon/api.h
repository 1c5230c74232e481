// The JSON that vigild answers below /api/v1/; docs/api.md describes it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/host_view.h"
#include "vigil/exporters/http_server.h"

namespace vigil {

/// Any thread.
class Api {
 public:
  /// `storage_path` is that of the history, empty where there is none: then only the runs of the host as they are now can be asked for.
  /// `view` never answers null. At most `readers` questions are put to the history at the same time.
  Api(const std::string& storage_path, std::function<std::shared_ptr<const HostView>()> view, std::size_t readers);

  /// Errors are objects with "error", a sentence: 400 a question that makes no sense, 404 what there is not, 503 no history now, 504 an
  /// answer that would take too long.
  HttpResponse answer(const HttpRequest& request);

 private:
  std::string runs();

  const std::function<std::shared_ptr<const HostView>()> view_;
  std::optional<HistoryReaders> readers_;
};

}  // namespace vigil
