#include "vigil/model/initialisation.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <utility>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include "vigil/config/name_pattern.h"
#include "vigil/model/initialisation_draw.h"
#include "vigil/monitor/dtype.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

using Scheme = InitialisationScheme;

std::string why_kept(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided) return "it is not dense";
  switch (tensor.scalar_type()) {
    case at::kHalf:
    case at::kBFloat16:
    case at::kFloat:
    case at::kDouble: return "";
    default: return std::string("its type is ") + c10::toString(tensor.scalar_type());
  }
}

const InitialisationRule* rule_for(const LayerParameter& parameter, const InitialisationPolicy& policy) {
  for (const InitialisationRule& rule : policy.rules) {
    if (matches_pattern(rule.module, parameter.type) && matches_pattern(rule.name, parameter.path) &&
        matches_pattern(rule.parameter, parameter.parameter)) {
      return &rule;
    }
  }
  return nullptr;
}

std::string called(const InitialisationRule& rule, const InitialisationPolicy& policy) {
  return rule.origin.empty() ? "rules[" + std::to_string(&rule - policy.rules.data()) + "]" : rule.origin;
}

bool is_of_preset(const InitialisationRule& rule) { return rule.origin.compare(0, 7, "preset ") == 0; }

std::string number_cell(double value) { return is_nan_bits(value) ? "" : short_number(value); }

}  // namespace

InitialisationReport initialise(torch::nn::Module& module, const InitialisationPolicy& policy, std::optional<at::Generator> generator) {
  return initialise(layer_parameters(module), policy, std::move(generator));
}

InitialisationReport initialise(const std::vector<LayerParameter>& parameters, const InitialisationPolicy& policy,
                                std::optional<at::Generator> generator) {
  validate(policy);
  if (generator && generator->device().type() != at::kCPU) {
    throw std::invalid_argument("initialise: values are drawn on the CPU; give it a generator of the CPU, or a seed");
  }
  InitialisationReport report;
  std::vector<const InitialisationRule*> rules;
  std::set<const InitialisationRule*> used;
  for (const LayerParameter& parameter : parameters) {
    const InitialisationRule* rule = rule_for(parameter, policy);
    rules.push_back(rule);
    if (rule != nullptr) used.insert(rule);
    if (rule != nullptr && rule->residual) ++report.residual_tensors;
  }
  const double residual_scale = report.residual_tensors > 0 ? 1 / std::sqrt(static_cast<double>(report.residual_tensors)) : 1;

  std::vector<InitialisationDraw> draws;
  std::string problems;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const LayerParameter& parameter = parameters[i];
    InitialisedTensor done;
    done.path = parameter.path;
    done.type = parameter.type;
    done.sizes = parameter.tensor.sizes().vec();
    done.other_paths = parameter.other_paths;
    done.mean = done.std = std::nan("");
    InitialisationDraw draw;
    if (rules[i] == nullptr) {
      report.unmatched.push_back(parameter.path);
    } else {
      done.rule = called(*rules[i], policy);
      done.kept_because = why_kept(parameter.tensor);
      std::string problem;
      if (done.kept_because.empty()) draw = plan_draw(parameter, *rules[i], policy, residual_scale, problem);
      if (!problem.empty()) problems += "\n  " + parameter.path + " (" + done.rule + "): " + problem;
      if (draw.scheme == Scheme::keep && rules[i]->scheme == Scheme::torch && done.kept_because.empty()) {
        done.kept_because = "libtorch has no default for it";
      }
    }
    if (draw.scheme != Scheme::keep) {
      done.scheme = rules[i]->scheme;
      done.fans = draw.fans;
      done.blocks = draw.takes_whole ? 1 : draw.blocks;
      done.gain = draw.gain;
      done.mean = draw.mean;
      done.std = draw.std;
    }
    draws.push_back(draw);
    report.tensors.push_back(std::move(done));
  }
  if (!problems.empty()) throw std::invalid_argument("the policy cannot be applied, and nothing was changed:" + problems);
  for (const InitialisationRule& rule : policy.rules) {
    if (used.count(&rule) == 0 && !is_of_preset(rule)) report.unused_rules.push_back(called(rule, policy));
  }

  const at::Generator source = generator     ? *generator
                               : policy.seed ? at::make_generator<at::CPUGeneratorImpl>(*policy.seed)
                                             : at::detail::getDefaultCPUGenerator();
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (draws[i].scheme == Scheme::keep) continue;
    at::Tensor tensor = parameters[i].tensor;
    tensor.copy_(drawn_values(parameters[i], draws[i], source));
  }
  return report;
}

std::string initialisation_text(const InitialisationReport& report, const OutputPlace& place) {
  std::vector<TableRow> rows;
  for (const InitialisedTensor& tensor : report.tensors) {
    std::string sizes;
    for (const std::int64_t size : tensor.sizes) sizes += (sizes.empty() ? "" : "x") + std::to_string(size);
    std::string fans;
    if (tensor.fans) fans = std::to_string(tensor.fans->in) + ", " + std::to_string(tensor.fans->out);
    if (tensor.fans && tensor.blocks > 1) fans += " (x" + std::to_string(tensor.blocks) + ")";
    const bool is_kept = tensor.scheme == Scheme::keep;
    std::string rule = tensor.rule.empty() ? "none" : tensor.rule;
    if (!tensor.kept_because.empty()) rule += ": " + tensor.kept_because;
    for (const std::string& other : tensor.other_paths) rule += ", also " + other;
    rows.push_back({{printable(tensor.path), printable(tensor.type), sizes, std::string(name_of(tensor.scheme)), fans,
                     tensor.gain ? short_number(*tensor.gain) : "", is_kept ? "" : number_cell(tensor.std), printable(rule)},
                    is_kept ? Style::dim : Style::plain});
  }
  std::string text = table_text({{"parameter", false, 0, 12},
                                 {"module", false, 3, 0},
                                 {"sizes", true, 2, 0},
                                 {"scheme", false, 0, 0},
                                 {"fan in, out", true, 4, 0},
                                 {"gain", true, 5, 0},
                                 {"std", true, 0, 0},
                                 {"rule", false, 1, 8}},
                                rows, place);
  const auto list = [&](const std::string& head, const std::vector<std::string>& names) {
    if (names.empty()) return;
    text += "\n" + head + "\n";
    for (const std::string& name : names) text += "  " + printable(name) + "\n";
  };
  list("No rule matches these; they stayed as they were:", report.unmatched);
  list("These rules decided nothing (do their patterns match a module, or does an earlier rule take all?):", report.unused_rules);
  return text;
}

}  // namespace vigil
