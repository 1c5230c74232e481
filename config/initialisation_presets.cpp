#include <stdexcept>
#include <utility>

#include "vigil/config/initialisation.h"
#include "vigil/config/text.h"

namespace vigil {
namespace {

using Scheme = InitialisationScheme;

InitialisationRule preset_rule(std::string module, std::string parameter, Scheme scheme) {
  InitialisationRule rule;
  rule.module = std::move(module);
  rule.parameter = std::move(parameter);
  rule.scheme = scheme;
  return rule;
}

InitialisationRule gained_rule(std::string module, std::string parameter, Scheme scheme, double gain) {
  InitialisationRule rule = preset_rule(std::move(module), std::move(parameter), scheme);
  rule.gain = gain;
  return rule;
}

InitialisationRule normal_rule(std::string module, std::string name, bool residual) {
  InitialisationRule rule = preset_rule(std::move(module), "*weight", Scheme::normal);
  rule.name = std::move(name);
  rule.std = 0.02;
  rule.residual = residual;
  return rule;
}

void add_norms(std::vector<InitialisationRule>& rules) {
  rules.push_back(preset_rule("*Norm*", "weight", Scheme::ones));
  rules.push_back(preset_rule("*Norm*", "bias", Scheme::zeros));
}

void add_default(std::vector<InitialisationRule>& rules, Activation activation, double slope) {
  for (const char* recurrent : {"LSTM*", "GRU*", "RNN*"}) {
    rules.push_back(gained_rule(recurrent, "weight_hh*", Scheme::orthogonal, 1));
    rules.push_back(gained_rule(recurrent, "weight_*", Scheme::xavier_uniform, 1));
    rules.push_back(preset_rule(recurrent, "bias*", Scheme::zeros));
    if (std::string(recurrent) == "LSTM*") rules.back().forget_bias = 1;
  }
  rules.push_back(gained_rule("MultiheadAttention", "*weight", Scheme::xavier_uniform, 1));
  rules.push_back(preset_rule("MultiheadAttention", "in_proj_bias", Scheme::zeros));
  rules.push_back(gained_rule("Linear", "weight", Scheme::xavier_uniform, 1));
  rules.back().name = "*out_proj.weight";
  rules.push_back(gained_rule("NonDynamicallyQuantizableLinear", "weight", Scheme::xavier_uniform, 1));
  add_norms(rules);
  rules.push_back(preset_rule("Embedding*", "weight", Scheme::torch));
  rules.push_back(preset_rule("Bilinear", "*", Scheme::torch));
  const bool is_rectified = activation == Activation::relu || activation == Activation::leaky_relu;
  const bool is_selu = activation == Activation::selu;
  for (const char* layer : {"Linear", "Conv*"}) {
    InitialisationRule rule = preset_rule(layer, "weight", is_rectified || is_selu ? Scheme::kaiming_normal : Scheme::xavier_normal);
    if (is_selu) {
      rule.gain = 1;
    } else {
      rule.activation = activation;
      if (activation == Activation::leaky_relu) rule.slope = slope;
    }
    rules.push_back(std::move(rule));
  }
  for (const char* layer : {"Linear", "NonDynamicallyQuantizableLinear", "Conv*"}) {
    rules.push_back(preset_rule(layer, "bias", Scheme::zeros));
  }
}

void add_gpt2(std::vector<InitialisationRule>& rules) {
  for (const char* projection : {"*c_proj.weight", "*out_proj.weight", "*linear2.weight"}) {
    rules.push_back(normal_rule("*", projection, true));
  }
  add_norms(rules);
  for (const char* layer : {"Linear", "Conv*", "Embedding*", "MultiheadAttention", "NonDynamicallyQuantizableLinear"}) {
    rules.push_back(normal_rule(layer, "*", false));
  }
  for (const char* layer : {"Linear", "Conv*", "MultiheadAttention", "NonDynamicallyQuantizableLinear"}) {
    rules.push_back(preset_rule(layer, "*bias", Scheme::zeros));
  }
}

}  // namespace

const std::vector<std::string>& initialisation_presets() {
  static const std::vector<std::string> names{"default", "kaiming_relu", "xavier_tanh", "gpt2", "torch"};
  return names;
}

InitialisationPolicy initialisation_preset(const std::string& name, Activation activation, double slope) {
  InitialisationPolicy policy;
  if (name == "kaiming_relu") activation = Activation::relu;
  if (name == "xavier_tanh") activation = Activation::tanh;
  policy.activation = activation;
  policy.slope = slope;
  if (name == "default" || name == "kaiming_relu" || name == "xavier_tanh") {
    add_default(policy.rules, activation, slope);
  } else if (name == "gpt2") {
    add_gpt2(policy.rules);
  } else if (name == "torch") {
    policy.rules.push_back(preset_rule("*", "*", Scheme::torch));
  } else {
    throw std::invalid_argument("expected the preset " + config_reader::joined(initialisation_presets(), " or ") + ", got " +
                                config_reader::quoted_text(name, '\''));
  }
  for (InitialisationRule& rule : policy.rules) rule.origin = "preset " + name;
  return policy;
}

}  // namespace vigil
