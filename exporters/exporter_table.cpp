#include <chrono>
#include <cstdint>
#include <stdexcept>

#include "vigil/exporters/alert_exporters.h"
#include "vigil/exporters/exporter.h"
#include "vigil/exporters/http_endpoint.h"
#include "vigil/exporters/jsonl_exporter.h"
#include "vigil/exporters/report_exporter.h"

namespace vigil {
namespace {

// The endpoint answers from its own threads; here its failures become the export thread's.
class HttpExporter final : public Exporter {
 public:
  explicit HttpExporter(const ExporterContext& context)
      : http_(context.config.prometheus, context.snapshot), linger_(context.config.prometheus.linger_ms) {}

  void on_poll() override {
    const std::uint64_t failures = http_.failures();
    if (failures == told_) return;
    const std::uint64_t fresh = failures - told_;
    told_ = failures;
    throw std::runtime_error(std::to_string(fresh) + " requests could not be answered (out of memory?)");
  }
  std::string endpoint() const override { return http_.endpoint(); }
  void stop() noexcept override {
    http_.wait_for_last_scrape(linger_);
    http_.stop();
  }
  void abandon() noexcept override { http_.abandon(); }

 private:
  HttpEndpoint http_;
  const std::chrono::milliseconds linger_;
  std::uint64_t told_ = 0;
};

std::unique_ptr<Exporter> make_http(const ExporterContext& context) {
  if (!context.config.prometheus.enabled) return nullptr;
  return std::make_unique<HttpExporter>(context);
}

std::unique_ptr<Exporter> make_jsonl(const ExporterContext& context) {
  if (!context.config.jsonl.enabled) return nullptr;
  return std::make_unique<JsonlExporter>(context.config.jsonl, context.channel);
}

std::unique_ptr<Exporter> make_report(const ExporterContext& context) {
  if (!context.config.report.enabled) return nullptr;
  return std::make_unique<ReportExporter>(context.config.report, context.channel);
}

bool has(const ExporterContext& context, AlertAction action) { return (context.actions >> static_cast<unsigned>(action) & 1) != 0; }

std::unique_ptr<Exporter> make_webhook(const ExporterContext& context) {
  if (!has(context, AlertAction::webhook)) return nullptr;
  return std::make_unique<WebhookExporter>(context.config.webhook, context.channel.schema().identity);
}

std::unique_ptr<Exporter> make_alertmanager(const ExporterContext& context) {
  if (!has(context, AlertAction::alertmanager)) return nullptr;
  return std::make_unique<AlertmanagerExporter>(context.config.alertmanager, context.channel.schema().identity);
}

std::unique_ptr<Exporter> make_callback(const ExporterContext& context) {
  if (!has(context, AlertAction::callback)) return nullptr;
  return std::make_unique<CallbackExporter>(context.callback);
}

}  // namespace

const std::vector<ExporterRow>& exporter_table() {
  static const std::vector<ExporterRow> table{
      {"prometheus", make_http},           {"jsonl", make_jsonl},      {"report", make_report}, {"webhook", make_webhook},
      {"alertmanager", make_alertmanager}, {"callback", make_callback}};
  return table;
}

}  // namespace vigil
