#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>

#include "vigil/exporters/alert_exporters.h"
#include "vigil/exporters/event_json.h"
#include "vigil/exporters/exporter.h"
#include "vigil/exporters/http_endpoint.h"
#include "vigil/exporters/jsonl_exporter.h"
#include "vigil/exporters/report_exporter.h"
#include "vigil/history/recent_history.h"
#include "vigil/monitor/clock.h"

namespace vigil {
namespace {

// The endpoint answers from its own threads; here its failures become the export thread's, and what its page shows is kept.
class HttpExporter final : public Exporter {
 public:
  explicit HttpExporter(const ExporterContext& context)
      : scalar_names_(context.channel.scalar_names()),
        phase_names_(context.channel.phase_names()),
        snapshot_(context.snapshot),
        history_(history_of(context)),
        http_(context.config.prometheus, context.snapshot, history_.get()),
        linger_(context.config.prometheus.linger_ms) {}

  void on_step(const StepRecord& record, const double* scalars) override {
    if (!history_) return;
    history_->add_step(record, scalars, scalar_names_);
    for (RunMark& mark : marks_of(record, phase_names_))
      history_->add_event(mark.kind, mark.step, record.wall_time_ns, std::move(mark.json));
  }
  void on_frame(const Frame& frame) override {
    if (history_) history_->add_frame(frame);
  }
  void on_event(const NonfiniteEvent& event) override {
    if (history_) history_->add_event("nonfinite", event.step, event.wall_time_ns, nonfinite_json(event));
  }
  void on_alert(const AlertMessage& message) override {
    if (history_) history_->add_event("alert", message.alert.step, message.alert.time_ns, alert_json(message));
  }
  void on_poll() override {
    if (history_) keep_state(*snapshot_());
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
  static std::unique_ptr<RecentHistory> history_of(const ExporterContext& context) {
    const std::int64_t bytes = context.config.prometheus.history_bytes;
    if (bytes == 0) return nullptr;
    return std::make_unique<RecentHistory>(std::make_shared<const Schema>(context.channel.schema()), static_cast<std::size_t>(bytes));
  }
  void keep_state(const Snapshot& snapshot) {
    if (snapshot.state == state_) return;
    state_ = snapshot.state;
    const std::string_view name = kRunStateNames[static_cast<std::size_t>(snapshot.state)];
    const std::int64_t ended_ns = is_alive(snapshot.state) ? 0 : wall_time_ns();
    history_->set_state(name, snapshot.end_reason, ended_ns, state_json(name, snapshot.end_reason));
  }

  const NameTable &scalar_names_, &phase_names_;
  const std::function<std::shared_ptr<const Snapshot>()> snapshot_;
  const std::unique_ptr<RecentHistory> history_;  // null: none is kept
  HttpEndpoint http_;
  const std::chrono::milliseconds linger_;
  std::optional<RunState> state_;
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
