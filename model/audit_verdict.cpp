#include "vigil/model/audit_verdict.h"

#include <array>
#include <cmath>
#include <limits>

#include "vigil/model/audit_weights.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

std::string percent_of(std::uint64_t part, std::uint64_t whole) {
  return short_number(std::round(1000.0 * static_cast<double>(part) / static_cast<double>(whole)) / 10) + " %";
}

void find_in(LayerAudit& layer, AuditFinding finding, std::string advice) {
  layer.findings.push_back(finding);
  layer.advice.push_back(std::move(advice));
}

std::string instead(const LayerAudit& layer, const WeightAudit& weight) {
  const double std = standard_deviation(weight.moments);
  if (layer.kind == LayerKind::embedding) return "use normal with std 0.02 to 1, " + short_number(std) + " measured";
  std::string activation = layer.signal ? layer.signal->activation : "";
  // Without a forward pass nothing is known of what follows.
  if (!layer.signal && (layer.kind == LayerKind::linear || layer.kind == LayerKind::convolution)) activation = "relu";
  const AdvisedScheme scheme = advised_scheme(*weight.fans, activation);
  return "use " + scheme.text + ": std " + short_number(scheme.std) + " expected, " + short_number(std) + " measured";
}

// A sample of n values has a std within 4/sqrt(2n) of its distribution's, as good as always.
double noise_of(const Moments& moments) { return 4 / std::sqrt(2.0 * static_cast<double>(moments.count)); }

void judge_weight(LayerAudit& layer, const WeightAudit& weight, const AuditOptions& options) {
  const Moments& moments = weight.moments;
  if (moments.count == 0 || !weight.fans) return;
  if (finite_count(moments) < moments.count) {
    find_in(layer, AuditFinding::nonfinite_weights,
            weight.path + " has " + std::to_string(moments.nan_count) + " NaN and " + std::to_string(moments.inf_count) +
                " Inf: initialise it anew");
    return;
  }
  if (moments.zero_count == moments.count) {
    find_in(layer, AuditFinding::all_zero,
            weight.path +
                " is all zero, which is right only for the last layer of a residual branch or of the model: " + instead(layer, weight));
    return;
  }
  if (moments.min == moments.max && moments.count > 1) {
    find_in(
        layer, AuditFinding::constant,
        weight.path + " is " + short_number(moments.min) + " everywhere, so all units of the layer stay equal: " + instead(layer, weight));
    return;
  }
  if (weight.equal_rows > 0) {
    find_in(layer, AuditFinding::symmetric,
            weight.path + " has " + std::to_string(weight.equal_rows) + " of " + std::to_string(weight.rows) +
                " rows that another one equals, and these units stay equal: draw every row anew, " + instead(layer, weight));
  }
  if (weight.ratio * (1 + noise_of(moments)) < options.smallest_ratio) {
    find_in(layer, AuditFinding::too_small,
            weight.path + " is too small (" + short_number(weight.ratio) + " of the nearest scheme, " + weight.nearest_scheme +
                "): " + instead(layer, weight));
  } else if (weight.ratio * (1 - noise_of(moments)) > options.largest_ratio) {
    find_in(layer, AuditFinding::too_large,
            weight.path + " is too large (" + short_number(weight.ratio) + " times the nearest scheme, " + weight.nearest_scheme +
                "): " + instead(layer, weight));
  }
  if (weight.gradient && weight.gradient->count > 0 && weight.gradient->zero_count == weight.gradient->count) {
    find_in(layer, AuditFinding::no_gradient,
            weight.path + " gets a gradient of 0 everywhere and will not learn: look at the layers behind it (dead, saturated, all zero)");
  }
}

void judge_signal(LayerAudit& layer, const AuditOptions& options) {
  const SignalAudit& signal = *layer.signal;
  const Moments& output = signal.output;
  if (output.count > finite_count(output)) {
    find_in(layer, AuditFinding::nonfinite_output,
            "its output has " + std::to_string(output.nan_count) + " NaN and " + std::to_string(output.inf_count) +
                " Inf: look at the first layer of this list that has such");
  } else if (output.count > 1 && output.min == output.max) {
    find_in(layer, AuditFinding::constant_output,
            "its output is " + short_number(output.min) +
                " everywhere: nothing of the input comes through; look at its weights, and at the layers "
                "before it");
  }
  const bool is_starved = signal.input_std == 0;  // what it does with nothing is no fault of its own
  if (!is_starved && signal.units > 0 && static_cast<double>(signal.dead_units) > options.dead_share * static_cast<double>(signal.units)) {
    std::string advice = std::to_string(signal.dead_units) + " of " + std::to_string(signal.units) + " units (" +
                         percent_of(signal.dead_units, signal.units) + ") are 0 for the whole batch behind relu, and have no gradient: ";
    const bool by_bias = layer.bias_mean < -standard_deviation(output);
    advice += by_bias ? "its bias is " + short_number(layer.bias_mean) + " on average, set it to zeros"
                      : "use zeros for the bias and kaiming_normal (fan in, relu) for the weight, and look at the mean of its input";
    find_in(layer, AuditFinding::dead, std::move(advice));
  }
  if (signal.values > 0 && static_cast<double>(signal.saturated_values) > options.saturated_share * static_cast<double>(signal.values)) {
    find_in(layer, AuditFinding::saturated,
            percent_of(signal.saturated_values, signal.values) + " of the inputs of " + signal.activation +
                " lie where its derivative is below 1 % of its largest (std " + short_number(standard_deviation(output)) + ", mean " +
                short_number(output.mean) + "): use xavier_normal (" + signal.activation + ") for the weight, zeros for the bias");
  }
}

std::string trend_words(const DepthTrend& trend) {
  return "a factor of " + short_number(trend.factor) + " a layer, " + short_number(trend.total) + " over " + std::to_string(trend.layers) +
         " layers";
}

void judge_depth(InitialisationAudit& audit, const AuditOptions& options) {
  constexpr const char* kRemedy = "kaiming_normal (fan in) behind relu and xavier_normal behind tanh keep it as it is";
  if (audit.signal.layers > 0 && audit.signal.total < 1 / options.depth_ratio) {
    audit.advice.push_back("the signal vanishes with depth (" + trend_words(audit.signal) + "): " + kRemedy);
  } else if (audit.signal.layers > 0 && audit.signal.total > options.depth_ratio) {
    audit.advice.push_back("the signal explodes with depth (" + trend_words(audit.signal) + "): " + kRemedy);
  }
  if (audit.gradient.layers > 0 && audit.gradient.total < 1 / options.depth_ratio) {
    audit.advice.push_back("the gradient vanishes on its way back (" + trend_words(audit.gradient) +
                           "): the first layers learn slowest; larger weights, normalisation or residual connections help");
  } else if (audit.gradient.layers > 0 && audit.gradient.total > options.depth_ratio) {
    audit.advice.push_back("the gradient explodes on its way back (" + trend_words(audit.gradient) +
                           "): smaller weights, normalisation or a clipped gradient norm help");
  }
  if (audit.variance_ratio > options.variance_ratio) {
    audit.notes.push_back("the variances of the weights differ by a factor of " + short_number(audit.variance_ratio) + ", of " +
                          short_number(audit.scaled_variance_ratio) +
                          " with the layers' sizes taken out (variance times fan in); the former alone is no fault");
  }
}

constexpr std::array<std::string_view, 11> kFindingNames{"NaN or Inf", "all zero",  "constant",       "symmetric",
                                                         "too small",  "too large", "NaN or Inf out", "constant output",
                                                         "dead",       "saturated", "no gradient"};

std::string std_cell(const std::optional<Moments>& moments) {
  return moments && moments->count > 0 ? short_number(standard_deviation(*moments)) : "";
}

}  // namespace

std::string_view name_of(AuditFinding finding) noexcept { return kFindingNames[static_cast<std::size_t>(finding)]; }

bool InitialisationAudit::is_good() const {
  for (const LayerAudit& layer : layers) {
    if (!layer.findings.empty()) return false;
  }
  return advice.empty();
}

void judge(InitialisationAudit& audit, const AuditOptions& options) {
  for (LayerAudit& layer : audit.layers) {
    if (layer.kind != LayerKind::normalisation) {
      for (const WeightAudit& weight : layer.weights) judge_weight(layer, weight, options);
    }
    if (layer.signal) judge_signal(layer, options);
    if (audit.has_forward && !layer.signal && !layer.weights.empty()) {
      audit.notes.push_back(layer.path + " was not reached by the forward pass, or under another name");
    }
  }
  judge_depth(audit, options);
}

std::string audit_text(const InitialisationAudit& audit, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const LayerAudit& layer : audit.layers) {
    std::string verdict;
    for (const AuditFinding finding : layer.findings) {
      const std::string name(name_of(finding));
      if (verdict.find(name) == std::string::npos) verdict += (verdict.empty() ? "" : ", ") + name;
    }
    const WeightAudit* weight = layer.weights.empty() || layer.kind == LayerKind::normalisation ? nullptr : &layer.weights.front();
    if (weight == nullptr && !layer.signal) continue;
    std::string dead;
    if (layer.signal && layer.signal->units > 0) dead = percent_of(layer.signal->dead_units, layer.signal->units);
    if (layer.signal && layer.signal->values > 0) dead = percent_of(layer.signal->saturated_values, layer.signal->values);
    rows.push_back(
        {{printable(layer.path), printable(layer.type), weight != nullptr ? short_number(standard_deviation(weight->moments)) : "",
          weight != nullptr && weight->nearest_std > 0 ? short_number(weight->nearest_std) : "",
          weight != nullptr ? weight->nearest_scheme : "", layer.signal ? short_number(layer.signal->output.mean) : "",
          layer.signal ? short_number(standard_deviation(layer.signal->output)) : "", layer.signal ? layer.signal->activation : "", dead,
          layer.signal ? std_cell(layer.signal->gradient) : "", verdict.empty() ? "good" : verdict},
         verdict.empty() ? Style::plain : Style::yellow});
  }
  std::string text = table_text({{"layer", false, 0, 10},
                                 {"type", false, 4, 0},
                                 {"weight std", true, 0, 0},
                                 {"nearest", true, 1, 0},
                                 {"scheme", false, 3, 0},
                                 {"out mean", true, 2, 0},
                                 {"out std", true, 0, 0},
                                 {"then", false, 1, 0},
                                 {"dead/sat.", true, 2, 0},
                                 {"grad std", true, 1, 0},
                                 {"verdict", false, 0, 0}},
                                rows, place);
  if (audit.signal.layers > 0) text += "\nSignal:   " + trend_words(audit.signal) + "\n";
  if (audit.gradient.layers > 0) text += "Gradient: " + trend_words(audit.gradient) + "\n";
  if (!audit.has_forward) text += "\nThe weights alone: no forward pass was run.\n";
  if (!audit.backward_problem.empty()) text += "No backward pass: " + printable(audit.backward_problem) + "\n";
  const std::size_t columns = place.columns > 24 ? place.columns - 2 : 0;
  const auto item = [&](const std::string& head, const std::string& advice) {
    const std::string line = head.empty() ? advice : head + ": " + advice;
    if (columns == 0) {
      text += "  " + printable(line) + "\n";
      return;
    }
    for (const std::string& part : wrapped(printable(line), columns)) text += "  " + part + "\n";
  };
  text += audit.is_good() ? "\nVerdict: good.\n" : "\nVerdict: to do.\n";
  for (const std::string& advice : audit.advice) item("", advice);
  for (const LayerAudit& layer : audit.layers) {
    for (const std::string& advice : layer.advice) item(layer.path, advice);
  }
  for (const std::string& note : audit.notes) item("Note", note);
  return text;
}

}  // namespace vigil
