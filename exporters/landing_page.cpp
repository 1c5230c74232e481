#include "vigil/exporters/landing_page.h"

#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string_view>

#include "vigil/exporters/labels.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/seconds.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : valid_utf8(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string to_text(double value) {
  if (is_nan_bits(value)) return "NaN";
  if (!is_finite_bits(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string to_time(std::int64_t nanoseconds) {
  const std::time_t seconds = static_cast<std::time_t>(nanoseconds / 1000000000);
  std::tm utc{};
  char text[40] = "";
  if (gmtime_r(&seconds, &utc) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

void add_row(std::string& page, std::string_view name, std::string_view value) {
  page += "<tr><th scope=\"row\">" + escape_html(name) + "</th><td>" + escape_html(value) + "</td></tr>\n";
}

void add_figures(std::string& page, const Snapshot& snapshot) {
  const RunIdentity& identity = snapshot.schema->identity;
  const StepRecord& step = snapshot.step;
  add_row(page, "run", identity.run);
  add_row(page, "rank", std::to_string(identity.rank) + " of " + std::to_string(identity.world_size));
  add_row(page, "model", identity.model);
  add_row(page, "state", kRunStateNames[static_cast<std::size_t>(snapshot.state)]);
  add_row(page, "started", to_time(identity.start_time_ns));
  add_row(page, "steps", std::to_string(step.step));
  if (!snapshot.has_step) return;
  add_row(page, "latest step ended", to_time(step.wall_time_ns));
  if (snapshot.loss) add_row(page, "loss", to_text(*snapshot.loss));
  if (snapshot.gradient_norm) add_row(page, "gradient norm", to_text(*snapshot.gradient_norm));
  if (step.has(StepRecord::has_parameter_norm)) add_row(page, "parameter norm", to_text(step.parameter_norm));
  for (std::size_t group = 0; group < snapshot.learning_rates.size(); ++group) {
    add_row(page, "learning rate, group " + std::to_string(group), to_text(snapshot.learning_rates[group]));
  }
  if (step.has(StepRecord::has_total_time)) {
    add_row(page, "latest step took", to_text(to_seconds(step.total_ns)) + " s");
  }
  add_row(page, "steps that were not finite", std::to_string(step.totals.nonfinite_steps));
  if (snapshot.origin) add_row(page, "where the latest came from", snapshot.origin->message.view());
  if (snapshot.mean_step_seconds > 0) {
    add_row(page, "time of a step", to_text(snapshot.mean_step_seconds) + " s");
    if (step.examples > 0) add_row(page, "examples per second", to_text(static_cast<double>(step.examples) / snapshot.mean_step_seconds));
  }
  add_row(page, "time spent in vigil", to_text(100 * snapshot.overhead_ratio()) + " %");
}

constexpr std::string_view kHead =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>vigil</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }\n"
    "table { border-collapse: collapse }\n"
    "th, td { text-align: left; padding: .15rem 1rem .15rem 0; font-weight: normal; overflow-wrap: anywhere }\n"
    "td { font-variant-numeric: tabular-nums }\n"
    "</style>\n"
    "</head>\n"
    "<body>\n";

}  // namespace

std::string render_landing_page(const Snapshot* snapshot) {
  std::string page(kHead);
  page += "<h1>vigil " + escape_html(vigil_version()) + "</h1>\n";
  page += "<p>Watches a libtorch training run from the inside.</p>\n";
  if (snapshot != nullptr) {
    page += "<table>\n";
    add_figures(page, *snapshot);
    page += "</table>\n";
  } else {
    page += "<p>No run yet.</p>\n";
  }
  page +=
      "<ul>\n"
      "<li><a href=\"metrics\">metrics</a> for Prometheus</li>\n"
      "<li><a href=\"-/healthy\">healthy</a>: this process answers</li>\n"
      "<li><a href=\"-/ready\">ready</a>: there is something to scrape</li>\n"
      "</ul>\n"
      "</body>\n"
      "</html>\n";
  return page;
}

}  // namespace vigil
