#include "vigil/daemon/options.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>

#include <CLI/CLI.hpp>

#include "vigil/config/config_reader.h"
#include "vigil/config/flag_values.h"
#include "vigil/config/prefix.h"
#include "vigil/config/printable.h"
#include "vigil/config/url.h"
#include "vigil/daemon/remote_write.h"
#include "vigil/exporters/page.h"
#include "vigil/exporters/pushgateway.h"
#include "vigil/monitor/ring_file.h"

namespace vigil {
namespace {

constexpr const char* kFooter =
    "Times take ms, s, m, h or d; sizes B, KiB, MiB, GiB or TiB.\n"
    "Signals: SIGTERM and SIGINT end it, SIGHUP reads the files again that the flags name.\n"
    "Exit code: 0 it was told to end, 1 it failed, 2 wrong usage or a file that the flags name is wrong.\n"
    "Example: vigild --ring.directory=/run/vigil/rings --storage.path=/var/lib/vigil/history.db\n";

const std::map<std::string, std::int64_t> kTimes{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
const std::map<std::string, std::int64_t> kSizes{{"B", 1},
                                                 {"KiB", std::int64_t{1} << 10},
                                                 {"MiB", std::int64_t{1} << 20},
                                                 {"GiB", std::int64_t{1} << 30},
                                                 {"TiB", std::int64_t{1} << 40}};

CLI::Validator time_value() {
  return CLI::AsNumberWithUnit(
      kTimes, static_cast<CLI::AsNumberWithUnit::Options>(CLI::AsNumberWithUnit::CASE_SENSITIVE | CLI::AsNumberWithUnit::UNIT_REQUIRED),
      "TIME");
}
CLI::Validator size_value() {
  return CLI::AsNumberWithUnit(
      kSizes, static_cast<CLI::AsNumberWithUnit::Options>(CLI::AsNumberWithUnit::CASE_SENSITIVE | CLI::AsNumberWithUnit::UNIT_REQUIRED),
      "SIZE");
}

constexpr std::int64_t kLongestMs = std::int64_t{3650} * 86'400'000;

void check_time(const char* flag, std::int64_t value_ms) {
  if (value_ms < 0 || value_ms > kLongestMs) throw CLI::ValidationError(flag, "expected 0s to 3650d");
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

void expect(bool is_right, const char* flag, const std::string& what, const std::string& got) {
  if (!is_right) throw CLI::ValidationError(flag, "expected " + what + ", got '" + printable(got) + "'");
}

// What would otherwise be found wrong by whoever scrapes.
void check_web(const DaemonOptions& options) {
  const std::string& path = options.metrics_path;
  const auto is_plain = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("/-._~", c) != nullptr; };
  expect(starts_with(path, "/") && std::all_of(path.begin(), path.end(), is_plain), "--web.telemetry-path",
         "a path of letters, digits and -._~ that begins with a slash", path);
  expect(!Page::has(path) && path != "/sd" && path != "/api" && !starts_with(path, "/api/") && !starts_with(path, "/-/"),
         "--web.telemetry-path", "a path that vigild does not need itself, which are /, /sd and all under /api/, /assets/ and /-/", path);
  expect(options.external_address.empty() || is_host_with_port(options.external_address), "--web.external-address",
         "HOST:PORT, such as trainer-1.example.org:9465 or [2001:db8::1]:9465", options.external_address);
}

void check_receivers(const DaemonOptions& options) {
  const std::string &write = options.remote_write_url, &gateway = options.pushgateway_url;
  const std::string url = "a URL of http:// or https:// with a host, such as ";
  expect(write.empty() || RemoteWrite::is_url(write), "--remote-write.url", url + "http://127.0.0.1:9090/api/v1/write", write);
  expect(gateway.empty() || Pushgateway::is_url(gateway), "--pushgateway.url", url + "http://127.0.0.1:9091", gateway);
  const std::string path = gateway.substr(0, gateway.find_last_not_of('/') + 1);
  constexpr std::string_view kAdded = "/metrics";
  expect(path.size() < kAdded.size() || path.compare(path.size() - kAdded.size(), kAdded.size(), kAdded) != 0, "--pushgateway.url",
         "the gateway's address without /metrics, which is added", gateway);
}

}  // namespace

std::string default_storage_path() {
  // systemd gives a list where a unit has several.
  if (const std::string state = environment("STATE_DIRECTORY"); !state.empty()) return state.substr(0, state.find(':')) + "/history.db";
  if (const std::string state = environment("XDG_STATE_HOME"); !state.empty()) return state + "/vigil/history.db";
  if (const std::string home = environment("HOME"); !home.empty()) return home + "/.local/state/vigil/history.db";
  return {};
}

std::optional<DaemonOptions> parse_options(int argc, const char* const* argv, std::ostream& out, std::ostream& err, int& code) {
  DaemonOptions options;
  options.storage_path = default_storage_path();
  std::string hung_after_text = "60s";
  std::int64_t hung_after_ms = 60'000;
  std::vector<std::string> directories;

  CLI::App app{"Watches the libtorch training runs of a host: serves their metrics, also of those that crashed, and keeps their history.",
               "vigild"};
  app.footer(kFooter);
  app.set_version_flag("--version", "vigild " VIGIL_VERSION);
  app.add_option("--ring.directory", directories, "Where trainers with ring.shared put their files; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("DIR")
      ->default_str("/run/vigil/rings, $XDG_RUNTIME_DIR/vigil, /dev/shm/vigil-<uid>");
  app.add_option("--ring.interval", options.interval_ms, "How often files are looked at")->transform(time_value())->default_str("500ms");
  app.add_option("--ring.keep-ended", options.host.keep_ended_ms,
                 "How long ended runs are told of; then their files are removed. 0s: once stored")
      ->transform(time_value())
      ->default_str("1h");
  app.add_option("--ring.hung-after", hung_after_ms,
                 "Silence after which a run is hung; 10 times that before its first step and in evaluation")
      ->transform(time_value())
      ->default_str(hung_after_text);
  app.add_option("--web.listen-address", options.listen_addresses, "Address and port to listen on; may be given several times")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  app.add_option("--web.config.file", options.web_config_file, "TLS, users and headers, in the form of Prometheus' exporters")
      ->type_name("FILE");
  app.add_option("--web.telemetry-path", options.metrics_path, "Path of the metrics")->type_name("PATH")->capture_default_str();
  app.add_option("--web.external-address", options.external_address, "Address that /sd tells Prometheus, else that of its own request")
      ->type_name("HOST:PORT");
  app.add_flag("--web.enable-lifecycle", options.has_lifecycle, "Let POST /-/reload do what SIGHUP does");
  app.add_option("--web.assets-dir", options.assets_directory,
                 "Folder with the files of the page, for those who work on it; else those built in")
      ->type_name("DIR");
  app.add_option("--web.threads", options.web_threads, "Requests that are answered at the same time")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--metrics.max-series", options.host.series.max_series, "Per-tensor series of a run; over it small tensors are folded")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{10'000'000}))
      ->capture_default_str();
  app.add_flag("--metrics.precision", options.host.series.precision,
               "Series of what smaller number formats would lose of each tensor with magnitudes and each layer's activations");
  app.add_option("--storage.path", options.storage_path, "Database of the history")->type_name("FILE")->capture_default_str();
  app.add_flag("--storage.disabled", options.is_storage_disabled, "Keep no history");
  app.add_option("--storage.retention.time", options.retention_ms, "How long the history goes back; 0s: as long as there is room")
      ->transform(time_value())
      ->default_str("15d");
  app.add_option("--storage.retention.size", options.retention_bytes, "Size of the database above which the oldest goes")
      ->transform(size_value())
      ->default_str("8GiB");
  app.add_option("--storage.frame-interval", options.frame_interval_ms,
                 "Least time between stored tensor frames of a run; 0s: all are. Those of non-finite steps are always")
      ->transform(time_value())
      ->default_str("10s");
  app.add_option("--rules.file", options.rules_file, "Configuration of a trainer, whose `rules` are evaluated here; else the defaults")
      ->type_name("FILE");
  CLI::Option* const receiver =
      app.add_option("--remote-write.url", options.remote_write_url, "Where each step is sent, with its own time")->type_name("URL");
  app.add_option("--remote-write.headers-file", options.remote_write_files.headers, "Lines \"Name: value\" for it, such as a bearer token")
      ->type_name("FILE")
      ->needs(receiver);
  app.add_option("--remote-write.basic-auth-file", options.remote_write_files.basic_auth, "First line user:password for it")
      ->type_name("FILE")
      ->needs(receiver);
  app.add_flag("--remote-write.tensors", options.remote_write_tensors, "Send statistics of tensors as well")->needs(receiver);
  CLI::Option* const gateway =
      app.add_option("--pushgateway.url", options.pushgateway_url, "Pushgateway that gets the result of each run that ends")
          ->type_name("URL");
  app.add_option("--pushgateway.headers-file", options.pushgateway_files.headers, "Headers for it, likewise")
      ->type_name("FILE")
      ->needs(gateway);
  app.add_option("--pushgateway.basic-auth-file", options.pushgateway_files.basic_auth, "User and password for it, likewise")
      ->type_name("FILE")
      ->needs(gateway);
  std::string level = "info";
  app.add_option("--log.level", level, "Least level that is logged")
      ->check(CLI::IsMember({"debug", "info", "warning", "warn", "error"}))
      ->capture_default_str();
  try {
    if (const auto fault = find_app_flag_fault(argc, argv, app)) throw CLI::ValidationError(fault->flag, fault->text);
    app.parse(argc, argv);
    if (options.interval_ms < 10 || options.interval_ms > 60'000) throw CLI::ValidationError("--ring.interval", "expected 10ms to 60s");
    check_web(options);
    check_receivers(options);
    check_time("--ring.keep-ended", options.host.keep_ended_ms);
    if (hung_after_ms < 1000 || hung_after_ms > kLongestMs) throw CLI::ValidationError("--ring.hung-after", "expected 1s to 3650d");
    check_time("--storage.retention.time", options.retention_ms);
    check_time("--storage.frame-interval", options.frame_interval_ms);
    if (options.retention_bytes < (std::int64_t{1} << 20)) throw CLI::ValidationError("--storage.retention.size", "expected 1MiB or more");
  } catch (const CLI::ParseError& error) {
    constexpr int kUsage = 2;
    code = app.exit(error, out, err) == 0 ? 0 : kUsage;
    return std::nullopt;
  }
  options.host.hung_after.seconds = static_cast<double>(hung_after_ms) / 1000;
  options.host.are_directories_usual = directories.empty();
  options.host.ring_directories = directories.empty() ? usual_ring_directories() : directories;
  options.host.series.per_parameter = PerParameter::rank0;
  if (options.is_storage_disabled) options.storage_path.clear();
  options.log_level = level == "debug"   ? LogLevel::debug
                      : level == "info"  ? LogLevel::info
                      : level == "error" ? LogLevel::error
                                         : LogLevel::warning;
  code = 0;
  return options;
}

}  // namespace vigil
