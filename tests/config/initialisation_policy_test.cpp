// The YAML of initialisation policies: what it may hold, and all that is said about what it may not.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "files.h"
#include "vigil/config/config_reader.h"
#include "vigil/config/initialisation.h"

namespace vigil {
namespace {

using Scheme = InitialisationScheme;

TEST(InitialisationPolicyFile, OfTheExamplesIsRead) {
  const InitialisationPolicy policy = load_initialisation_policy(VIGIL_INITIALISATION_YML);
  EXPECT_EQ(policy.activation, Activation::relu);
  EXPECT_EQ(policy.seed, 1u);
  const std::size_t of_preset = initialisation_preset("default").rules.size();
  ASSERT_EQ(policy.rules.size(), 9u + of_preset);
  EXPECT_EQ(policy.rules[0].module, "Conv*");
  EXPECT_EQ(policy.rules[0].parameter, "weight");
  EXPECT_EQ(policy.rules[0].name, "*");
  EXPECT_EQ(policy.rules[0].scheme, Scheme::kaiming_normal);
  EXPECT_EQ(policy.rules[0].fan, FanMode::out);
  EXPECT_EQ(policy.rules[1].gain, 1);
  EXPECT_EQ(policy.rules[2].value, -2);
  EXPECT_EQ(policy.rules[3].lower, -0.04);
  EXPECT_EQ(policy.rules[3].upper, 0.04);
  EXPECT_EQ(policy.rules[4].std, 0.02);
  EXPECT_EQ(policy.rules[6].forget_bias, 1);
  EXPECT_TRUE(policy.rules[7].residual);
  EXPECT_EQ(policy.rules[8].origin, "rules[8]");
  EXPECT_EQ(policy.rules[9].origin, "preset default");
}

TEST(InitialisationPolicyFile, TakesTheActivationForThePreset) {
  const InitialisationPolicy policy = parse_initialisation_policy("initialisation: {preset: default, activation: tanh}");
  bool found = false;
  for (const InitialisationRule& rule : policy.rules) {
    if (rule.module != "Conv*" || rule.parameter != "weight") continue;
    found = true;
    EXPECT_EQ(rule.scheme, Scheme::xavier_normal);
    EXPECT_EQ(rule.activation, Activation::tanh);
  }
  EXPECT_TRUE(found);
  EXPECT_FALSE(policy.seed);
}

TEST(InitialisationPolicyFile, ThatIsMissingSaysSo) {
  try {
    load_initialisation_policy("/nonexistent/i.yml");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "/nonexistent/i.yml: expected a readable file, got the error: No such file or directory");
  }
}

std::string policy_problem(const std::string& yaml) {
  try {
    parse_initialisation_policy(yaml, "i.yml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

struct BadPolicy {
  std::string yaml, message;
};

TEST(InitialisationPolicyFile, SaysWhatIsWrongWhereAndWhatToDo) {
  const std::vector<BadPolicy> rows{
      {"", "i.yml: expected a mapping with initialisation, got nothing"},
      {"[]", "i.yml:1:1: expected a mapping with initialisation, got a list"},
      {"{}", "i.yml:1:1: expected a mapping with initialisation, got one without it"},
      {"initialization: {}", "i.yml:1:1: initialization: expected initialisation, got 'initialization' (did you mean 'initialisation'?)"},
      {"initialisation:\n", "i.yml:1:1: initialisation: expected a mapping of activation, slope, seed, preset and rules, got nothing"},
      {"initialisation: {seed: 1}", "i.yml:1:1: initialisation: expected rules or a preset, got a section without them"},
      {"initialisation: {rule: []}",
       "i.yml:1:18: initialisation.rule: expected activation, slope, seed, preset or rules, got 'rule' (did you mean 'rules'?)"},
      {"initialisation: {preset: he}",
       "i.yml:1:26: initialisation.preset: expected default, kaiming_relu, xavier_tanh, gpt2 or torch, got 'he'"},
      {"initialisation: {preset: torch, seed: -1}",
       "i.yml:1:39: initialisation.seed: expected an integer from 0 to 9223372036854775807, got '-1'"},
      {"initialisation: {preset: torch, activation: gelu}",
       "i.yml:1:45: initialisation.activation: expected linear, relu, leaky_relu, tanh, sigmoid or selu, got 'gelu'"},
      {"initialisation: {preset: torch, slope: 0.1}",
       "i.yml:1:40: initialisation.slope: expected no slope beside another activation than leaky_relu, got 0.1"},
      {"initialisation: {rules: {}}", "i.yml:1:25: initialisation.rules: expected a list of at most 1000 rules, got a mapping"},
      {"initialisation:\n  rules:\n    - {module: Linear}", "i.yml:3:7: initialisation.rules[0]: expected a scheme, got a rule without it"},
      {"initialisation:\n  rules:\n    - {scheme: he_normal}",
       "i.yml:3:16: initialisation.rules[0].scheme: expected keep, zeros, ones, constant, normal, truncated_normal, uniform, "
       "xavier_normal, xavier_uniform, kaiming_normal, kaiming_uniform, orthogonal, identity, sparse or torch, got 'he_normal'"},
      {"initialisation:\n  rules:\n    - {scheme: zeros, modul: Linear}",
       "i.yml:3:23: initialisation.rules[0].modul: expected module, name, parameter, scheme, activation, fan, slope, gain, mean, std, "
       "lower, upper, value, sparsity, forget_bias or residual, got 'modul' (did you mean 'module'?)"},
      {"initialisation:\n  rules:\n    - {scheme: zeros, std: 1}",
       "i.yml:3:23: initialisation.rules[0].std: expected forget_bias of the scheme zeros, got 'std'"},
      {"initialisation:\n  rules:\n    - {scheme: ones, std: 1}",
       "i.yml:3:22: initialisation.rules[0].std: expected no such key of the scheme ones, got 'std'"},
      {"initialisation:\n  rules:\n    - {scheme: normal}",
       "i.yml:3:7: initialisation.rules[0]: expected std of the scheme normal, got a rule without it"},
      {"initialisation:\n  rules:\n    - {scheme: normal, std: -1}",
       "i.yml:3:29: initialisation.rules[0].std: expected a number from 0 to 1e+06, got '-1'"},
      {"initialisation:\n  rules:\n    - {scheme: normal, std: .inf}",
       "i.yml:3:29: initialisation.rules[0].std: expected a number from 0 to 1e+06, got '.inf'"},
      {"initialisation:\n  rules:\n    - {scheme: uniform, lower: 1, upper: -1}",
       "i.yml:3:7: initialisation.rules[0]: expected a lower below upper, got 1 and -1"},
      {"initialisation:\n  rules:\n    - {scheme: truncated_normal, std: 0.02, lower: 1, upper: 2}",
       "i.yml:3:7: initialisation.rules[0]: expected at least 0.0001 of N(0, 0.02²) between lower and upper, got less between 1 and 2"},
      {"initialisation:\n  rules:\n    - {scheme: kaiming_normal, gain: 2, activation: relu}",
       "i.yml:3:32: initialisation.rules[0].gain: expected an activation or a gain, not both, got a gain beside the activation"},
      {"initialisation:\n  rules:\n    - {scheme: kaiming_normal, fan: avg}",
       "i.yml:3:37: initialisation.rules[0].fan: expected in or out, got 'avg'"},
      {"initialisation:\n  rules:\n    - {scheme: normal, std: 1, residual: yes}",
       "i.yml:3:42: initialisation.rules[0].residual: expected true or false, got 'yes'"},
      {"initialisation:\n  rules:\n    - {scheme: zeros, name: ''}",
       "i.yml:3:29: initialisation.rules[0].name: expected a pattern of 1 to 1024 bytes, got 0 bytes"},
      {"initialisation:\n  rules:\n    - {scheme: zeros, name: *x}",
       "i.yml:3:29: initialisation.rules[0].name: expected a value, got the alias '*x' (a text that begins with * needs quotes)"},
      {"initialisation:\n  rules:\n    - {scheme: zeros, scheme: ones}",
       "i.yml:3:23: initialisation.rules[0].scheme: expected each key once, got it again (first on line 3)"},
  };
  for (const BadPolicy& row : rows) EXPECT_EQ(policy_problem(row.yaml), row.message) << row.yaml;
}

TEST(InitialisationPolicyFile, TellsEveryProblemAtOnce) {
  EXPECT_EQ(
      policy_problem("initialisation:\n  activation: mish\n  rules:\n    - {scheme: constant}\n    - {parametr: bias, scheme: zeros}\n"),
      "i.yml:2:15: initialisation.activation: expected linear, relu, leaky_relu, tanh, sigmoid or selu, got 'mish'\n"
      "i.yml:4:7: initialisation.rules[0]: expected value of the scheme constant, got a rule without it\n"
      "i.yml:5:8: initialisation.rules[1].parametr: expected module, name, parameter, scheme, activation, fan, slope, gain, mean, "
      "std, lower, upper, value, sparsity, forget_bias or residual, got 'parametr' (did you mean 'parameter'?)");
}

TEST(InitialisationPolicyOfAProgram, IsCheckedAsAFileIs) {
  InitialisationPolicy policy;
  policy.slope = std::numeric_limits<double>::quiet_NaN();
  policy.rules.resize(2);
  policy.rules[0].scheme = Scheme::normal;
  policy.rules[0].std = -1;
  policy.rules[1].scheme = Scheme::constant;
  policy.rules[1].module = "";
  try {
    validate(policy);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "slope: expected a number from 0 to 1, got nan\nrules[0].std: expected a number from 0 to 1e+06, got -1\n"
                 "rules[1].module: expected a pattern of 1 to 1024 bytes, got 0 bytes");
  }
  for (const std::string& preset : initialisation_presets()) {
    for (int activation = 0; activation < 6; ++activation) {
      EXPECT_NO_THROW(validate(initialisation_preset(preset, static_cast<Activation>(activation)))) << preset;
    }
  }
  EXPECT_THROW(initialisation_preset("he"), std::invalid_argument);
}

TEST(InitialisationGains, AreThoseOfTheirSources) {
  EXPECT_DOUBLE_EQ(gain_of(Activation::relu, 0), std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(gain_of(Activation::leaky_relu, 1), 1);  // a line
  EXPECT_DOUBLE_EQ(gain_of(Activation::tanh, 0), 5.0 / 3);
  EXPECT_NEAR(normal_share(0, 1, -1.959963984540054, 1.959963984540054), 0.95, 1e-12);  // the quantile of 97.5 %
  EXPECT_NEAR(normal_share(0, 1, 5, 6) / 2.85665032e-7, 1, 1e-6);                       // Q(5) - Q(6) of Abramowitz & Stegun, 26.2
}

}  // namespace
}  // namespace vigil
