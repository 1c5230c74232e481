#include "vigil/exporters/landing_page.h"

#include <string_view>

#include "vigil/exporters/html_text.h"
#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/seconds.h"

namespace vigil {
namespace {

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
  add_row(page, "started", time_html(identity.start_time_ns));
  add_row(page, "steps", std::to_string(step.step));
  if (!snapshot.has_step) return;
  add_row(page, "latest step ended", time_html(step.wall_time_ns));
  if (snapshot.loss) add_row(page, "loss", number_html(*snapshot.loss));
  if (snapshot.gradient_norm) add_row(page, "gradient norm", number_html(*snapshot.gradient_norm));
  if (step.has(StepRecord::has_parameter_norm)) add_row(page, "parameter norm", number_html(step.parameter_norm));
  for (std::size_t group = 0; group < snapshot.learning_rates.size(); ++group) {
    add_row(page, "learning rate, group " + std::to_string(group), number_html(snapshot.learning_rates[group]));
  }
  if (step.has(StepRecord::has_total_time)) {
    add_row(page, "latest step took", number_html(to_seconds(step.total_ns)) + " s");
  }
  add_row(page, "steps that were not finite", std::to_string(step.totals.nonfinite_steps));
  if (snapshot.origin) add_row(page, "where the latest came from", snapshot.origin->message.view());
  if (snapshot.mean_step_seconds > 0) {
    add_row(page, "time of a step", number_html(snapshot.mean_step_seconds) + " s");
    if (step.examples > 0)
      add_row(page, "examples per second", number_html(static_cast<double>(step.examples) / snapshot.mean_step_seconds));
  }
  add_row(page, "time spent in vigil", number_html(100 * snapshot.overhead_ratio()) + " %");
}

}  // namespace

std::string render_landing_page(const Snapshot* snapshot) {
  std::string page(kPageHead);
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
