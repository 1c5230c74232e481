#include "vigil/daemon/service.h"

#include <sys/stat.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "vigil/config/config_reader.h"
#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_thread.h"
#include "vigil/daemon/host.h"
#include "vigil/daemon/host_endpoint.h"
#include "vigil/daemon/pushing.h"
#include "vigil/exporters/http_server.h"
#include "vigil/exporters/logging.h"

namespace vigil {
namespace {

// The folder of the default path is made; one that the user named has to be there but for its last part.
void make_folder(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    throw std::runtime_error("--storage.path: cannot make " + folder.string() + " (" + error.message() +
                             "); choose another path, or --storage.disabled");
}

// Null when nothing is pushed.
std::unique_ptr<Pushing> pushing_of(const DaemonOptions& options) {
  PushingOptions made;
  if (!options.remote_write_url.empty()) {
    RemoteWriteOptions& write = made.remote_write.emplace();
    write.url = options.remote_write_url;
    write.files = options.remote_write_files;
    write.tensors = options.remote_write_tensors;
    write.series = options.host.series;
  }
  if (!options.pushgateway_url.empty()) {
    PushgatewayOptions& gateway = made.pushgateway.emplace();
    gateway.url = options.pushgateway_url;
    gateway.files = options.pushgateway_files;
  }
  if (!made.remote_write && !made.pushgateway) return nullptr;
  return std::make_unique<Pushing>(std::move(made));
}

HostOptions with_pushing(HostOptions options, Pushing* pushing) {
  options.pushing = pushing;
  return options;
}

DaemonOptions with_rules(DaemonOptions options) {
  if (!options.rules_file.empty()) options.host.rules = load_config(options.rules_file).rules;
  return options;
}

void tell_places(const DaemonOptions& options) {
  std::string directories;
  for (const std::string& directory : options.host.ring_directories) directories += (directories.empty() ? "" : ", ") + directory;
  log(LogLevel::info, "looking for ring files in " + directories +
                          (options.storage_path.empty() ? "" : "; the history is kept in " + options.storage_path));
  if (!options.storage_path.empty()) return;
  if (options.is_storage_disabled)
    log(LogLevel::info, "no history is kept (--storage.disabled)");
  else
    log(LogLevel::warning, "no history is kept: neither --storage.path nor $HOME says where; set one of them, or --storage.disabled");
}

}  // namespace

struct Service::Parts {
  explicit Parts(DaemonOptions daemon_options)
      : options(with_rules(std::move(daemon_options))), pushing(pushing_of(options)), host(with_pushing(options.host, pushing.get())) {}

  DaemonReading reading() const;

  const DaemonOptions options;
  std::atomic<std::uint64_t> reload_failures{0};  // relaxed: a lone counter
  std::mutex reload_mutex;                        // one at a time
  const std::unique_ptr<Pushing> pushing;         // null: nothing is pushed
  Host host;
  std::optional<HistoryThread> history;
  std::optional<HistoryReaders> readers;
  std::optional<HostEndpoint> endpoint;
  std::optional<HttpServer> server;  // last: its threads use the others
};

DaemonReading Service::Parts::reading() const {
  DaemonReading reading;
  if (server) {
    reading.http = server->counters();
    reading.reload_failures = reading.http.reload_failures;
  }
  reading.reload_failures += reload_failures.load(std::memory_order_relaxed);
  if (history) reading.history = history->counters();
  if (pushing != nullptr) reading.push = pushing->counters();
  return reading;
}

Service::Service(DaemonOptions options) : parts_(std::make_unique<Parts>(std::move(options))) {
  Parts& parts = *parts_;
  const DaemonOptions& given = parts.options;
  HttpServerSettings settings = settings_for_listen_addresses(given.listen_addresses);  // what is wrong with them is told first
  tell_places(given);
  parts.host.turn([](const RingFile&) { return false; });
  if (!given.storage_path.empty()) {
    make_folder(given.storage_path);
    HistoryOptions history;
    history.path = given.storage_path;
    history.retention_ms = given.retention_ms;
    history.retention_bytes = given.retention_bytes;
    history.frame_interval_ms = given.frame_interval_ms;
    parts.history.emplace(
        std::move(history), [&parts] { return parts.host.files(); }, [&parts] { return parts.host.view(); });
    HistoryReaderOptions reading;
    reading.path = given.storage_path;
    parts.readers.emplace(reading, static_cast<std::size_t>(given.web_threads));
  }
  HostEndpointOptions endpoint;
  endpoint.metrics_path = given.metrics_path;
  endpoint.external_address = given.external_address;
  endpoint.has_lifecycle = given.has_lifecycle;
  endpoint.assets_directory = given.assets_directory;
  HostEndpointSources sources;
  sources.view = [&parts] { return parts.host.view(); };
  sources.reading = [&parts] { return parts.reading(); };
  sources.reload = [this] { return reload(); };
  if (parts.readers) sources.with_history = [&parts](const auto& ask) { return parts.readers->with_reader(ask); };
  sources.is_tls = [&parts] { return parts.server && parts.server->is_tls(); };
  parts.endpoint.emplace(std::move(endpoint), std::move(sources));

  settings.threads = given.web_threads;
  settings.web_config_file = given.web_config_file;
  settings.methods = HostEndpoint::methods();
  parts.server.emplace(std::move(settings), [&parts](const HttpRequest& request) { return parts.endpoint->answer(request); });
  for (const std::string& address : parts.server->endpoints())
    log(LogLevel::info, std::string("serving ") + (parts.server->is_tls() ? "https://" : "http://") + address + given.metrics_path);
}

Service::~Service() {
  if (parts_->server) parts_->server->stop();
  turn();  // what was published until now
  if (parts_->history) parts_->history->stop();
  if (parts_->pushing != nullptr) parts_->pushing->stop();
}

int Service::descriptor() const noexcept { return parts_->host.descriptor(); }

void Service::turn() noexcept {
  Parts& parts = *parts_;
  try {
    parts.host.turn([&parts](const RingFile& file) { return !parts.history || parts.history->has_all_of(file.header().ring_id); });
    for (auto& [ring, message] : parts.host.take_alerts()) {
      if (parts.history) parts.history->add({ring, std::move(message)});
    }
  } catch (const std::exception& error) {
    log(LogLevel::error, std::string("looking at the ring files failed: ") + error.what());
  }
}

std::string Service::reload() noexcept {
  Parts& parts = *parts_;
  try {
    const std::lock_guard<std::mutex> lock(parts.reload_mutex);
    std::string problem;
    if (!parts.options.rules_file.empty()) {
      try {
        parts.host.set_rules(load_config(parts.options.rules_file).rules);
      } catch (const std::exception& error) {
        problem = std::string("--rules.file: the rules that held before stay: ") + error.what();
        parts.reload_failures.fetch_add(1, std::memory_order_relaxed);
        log(LogLevel::error, problem);
      }
    }
    if (parts.server) {
      const std::string of_web = parts.server->reload();  // logs and counts by itself
      if (!of_web.empty()) problem += (problem.empty() ? "" : "\n") + of_web;
    }
    if (problem.empty()) log(LogLevel::info, "reloaded");
    return problem;
  } catch (...) {
    return "out of memory";
  }
}

}  // namespace vigil
