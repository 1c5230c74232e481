#include "vigil/config/initialisation.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "vigil/config/config_reader.h"
#include "vigil/config/fault_report.h"
#include "vigil/config/mapping_reader.h"
#include "vigil/config/settings.h"
#include "vigil/config/source_file.h"
#include "vigil/config/text.h"

namespace vigil {
namespace {

using namespace config_reader;

constexpr std::size_t kMaxInitialisationRules = 1000, kMaxPatternBytes = 1024;
// With less of a normal distribution between the bounds, the inverse of its cumulative distribution has few distinct values in float32.
constexpr double kLeastShare = 1e-4;

constexpr std::array<std::string_view, 6> kActivationNames{"linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu"};
constexpr std::array<std::string_view, 2> kFanNames{"in", "out"};

// What a scheme takes.
enum Takes : unsigned {
  kActivation = 1,
  kSlope = 2,
  kGain = 4,
  kFan = 8,
  kMean = 16,
  kStd = 32,
  kLower = 64,
  kUpper = 128,
  kValue = 256,
  kSparsity = 512,
  kForgetBias = 1024,
  kResidual = 2048,
};
constexpr unsigned kGains = kActivation | kSlope | kGain;

struct SchemeRow {
  std::string_view name;
  unsigned takes, needs;
};
// By InitialisationScheme.
constexpr std::array<SchemeRow, 15> kSchemes{{{"keep", 0, 0},
                                              {"zeros", kForgetBias, 0},
                                              {"ones", 0, 0},
                                              {"constant", kValue | kForgetBias, kValue},
                                              {"normal", kMean | kStd | kResidual, kStd},
                                              {"truncated_normal", kMean | kStd | kLower | kUpper, kStd},
                                              {"uniform", kLower | kUpper, kLower | kUpper},
                                              {"xavier_normal", kGains | kResidual, 0},
                                              {"xavier_uniform", kGains | kResidual, 0},
                                              {"kaiming_normal", kGains | kFan | kResidual, 0},
                                              {"kaiming_uniform", kGains | kFan | kResidual, 0},
                                              {"orthogonal", kGains, 0},
                                              {"identity", 0, 0},
                                              {"sparse", kSparsity | kStd, kSparsity | kStd},
                                              {"torch", 0, 0}}};

struct NumberRow {
  std::string_view key;
  unsigned bit;
  std::optional<double> InitialisationRule::*member;
  double min, max;
};
constexpr std::array<NumberRow, 9> kNumbers{{{"slope", kSlope, &InitialisationRule::slope, 0, 1},
                                             {"gain", kGain, &InitialisationRule::gain, 0, 1000},
                                             {"mean", kMean, &InitialisationRule::mean, -1e6, 1e6},
                                             {"std", kStd, &InitialisationRule::std, 0, 1e6},
                                             {"lower", kLower, &InitialisationRule::lower, -1e6, 1e6},
                                             {"upper", kUpper, &InitialisationRule::upper, -1e6, 1e6},
                                             {"value", kValue, &InitialisationRule::value, -1e6, 1e6},
                                             {"sparsity", kSparsity, &InitialisationRule::sparsity, 0, 1},
                                             {"forget_bias", kForgetBias, &InitialisationRule::forget_bias, -100, 100}}};

const SchemeRow& row_of(InitialisationScheme scheme) { return kSchemes[static_cast<std::size_t>(scheme)]; }

// The keys of `bits`, in the order that a file has them.
std::vector<std::string> keys_of(unsigned bits) {
  std::vector<std::string> keys;
  if ((bits & kActivation) != 0) keys.emplace_back("activation");
  if ((bits & kFan) != 0) keys.emplace_back("fan");
  for (const NumberRow& row : kNumbers) {
    if ((bits & row.bit) != 0) keys.emplace_back(row.key);
  }
  if ((bits & kResidual) != 0) keys.emplace_back("residual");
  return keys;
}

unsigned given_in(const InitialisationRule& rule) {
  unsigned given = 0;
  if (rule.activation) given |= kActivation;
  if (rule.fan) given |= kFan;
  if (rule.residual) given |= kResidual;
  for (const NumberRow& row : kNumbers) {
    if (rule.*row.member) given |= row.bit;
  }
  return given;
}

std::string range_of(double min, double max) { return "a number from " + number_text(min) + " to " + number_text(max); }

// Tells `report(key, text)` of what does not fit together in a rule whose values are in range; the key is empty where the rule is meant.
template <class Report>
void check_together(const InitialisationRule& rule, Activation policy_activation, Report report) {
  const SchemeRow& scheme = row_of(rule.scheme);
  const unsigned given = given_in(rule);
  const std::string of_scheme = " of the scheme " + std::string(scheme.name);
  for (const std::string& key : keys_of(given & ~scheme.takes)) {
    const std::vector<std::string> takes = keys_of(scheme.takes);
    report(key, "expected " + (takes.empty() ? "no such key" : joined(takes, " or ")) + of_scheme + ", got '" + key + "'");
  }
  for (const std::string& key : keys_of(scheme.needs & ~given)) report("", "expected " + key + of_scheme + ", got a rule without it");
  if ((given & kGain) != 0 && (given & (kActivation | kSlope)) != 0) {
    report("gain", "expected an activation or a gain, not both, got a gain beside the activation");
  } else if ((given & kSlope) != 0 && rule.activation.value_or(policy_activation) != Activation::leaky_relu) {
    report("slope", "expected no slope beside another activation than leaky_relu, got " + number_text(*rule.slope));
  }
  if ((scheme.needs & ~given) != 0 || ((scheme.takes & kLower) == 0)) return;
  const double mean = rule.mean.value_or(0), std = rule.std.value_or(0);
  const double lower = rule.lower.value_or(mean - 2 * std), upper = rule.upper.value_or(mean + 2 * std);
  const std::string bounds = number_text(lower) + " and " + number_text(upper);
  if (lower > upper || (lower == upper && rule.scheme == InitialisationScheme::truncated_normal)) {
    report("", "expected a lower below upper, got " + bounds);
  } else if (rule.scheme == InitialisationScheme::truncated_normal && !(normal_share(mean, std, lower, upper) >= kLeastShare)) {
    report("", "expected at least 0.0001 of N(" + number_text(mean) + ", " + number_text(std) +
                   "²) between lower and upper, got less between " + bounds);
  }
}

// Walks a document and fills in a policy.
class PolicyReader : public MappingReader {
 public:
  explicit PolicyReader(const Document& document) : MappingReader(document) {
    if (!document.root) {
      if (faults() == 0) fault(kNowhere, "", "expected a mapping with initialisation, got nothing");
      return;
    }
    const Node& root = *document.root;
    if (is_foreign(root, "")) return;
    bool has_section = false;
    each({root, root.offset, ""}, "a mapping with initialisation", [&](const Node& key, const Node& value, const std::string& path) {
      if (key.text != "initialisation") return unknown_key(key, path, {"initialisation"});
      has_section = true;
      read_section({value, key.offset, path});
    });
    if (!has_section && faults() == 0) fault(root.offset, "", "expected a mapping with initialisation, got one without it");
  }

  InitialisationPolicy policy;

 private:
  void read_section(const Place& place) {
    std::optional<std::size_t> preset;
    bool has_preset = false, has_slope = false, has_rules = false;
    // Rules after all else, as what they may hold depends on it.
    std::vector<std::pair<const Node*, std::size_t>> rule_lists;
    std::size_t slope_offset = 0;
    const std::size_t faults_before = faults();
    each(place, "a mapping of activation, slope, seed, preset and rules", [&](const Node& key, const Node& value, const std::string& path) {
      const Place at{value, key.offset, path};
      if (key.text == "activation") {
        if (const auto activation = activation_of(at)) policy.activation = *activation;
      } else if (key.text == "slope") {
        has_slope = true;
        slope_offset = value.offset;
        if (const auto slope = number_of(at, 0, 1)) policy.slope = *slope;
      } else if (key.text == "seed") {
        read_seed(at);
      } else if (key.text == "preset") {
        has_preset = true;
        preset = choice_of(at, initialisation_presets());
      } else if (key.text == "rules") {
        has_rules = true;
        rule_lists.emplace_back(&value, key.offset);
      } else {
        unknown_key(key, path, {"activation", "slope", "seed", "preset", "rules"});
      }
    });
    if (has_slope && policy.activation != Activation::leaky_relu && faults() == faults_before) {
      fault(slope_offset, place.key + ".slope",
            "expected no slope beside another activation than leaky_relu, got " + number_text(policy.slope));
    }
    for (const auto& [list, key_offset] : rule_lists) read_rules({*list, key_offset, place.key + ".rules"});
    if (!has_rules && !has_preset && faults() == faults_before) {
      fault(place.key_offset, place.key, "expected rules or a preset, got a section without them");
    }
    if (!preset) return;
    for (InitialisationRule& rule : initialisation_preset(initialisation_presets()[*preset], policy.activation, policy.slope).rules) {
      policy.rules.push_back(std::move(rule));
    }
  }

  void read_seed(const Place& place) {
    std::int64_t seed = 0;
    const std::string& text = place.value.text;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
    const bool is_whole = place.value.kind == Node::Kind::plain && error == std::errc{} && end == text.data() + text.size();
    if (!is_whole || seed < 0) return unexpected(place, "an integer from 0 to " + std::to_string(INT64_MAX));
    policy.seed = static_cast<std::uint64_t>(seed);
  }

  void read_rules(const Place& place) {
    list_of(place, "rules", kMaxInitialisationRules, [&](const Place& element) { read_rule(element); });
  }

  void read_rule(const Place& place) {
    InitialisationRule rule;
    rule.origin = place.key.substr(place.key.find('.') + 1);
    std::map<std::string, std::size_t> offsets;
    bool has_scheme = false;
    const std::size_t faults_before = faults();
    each(place, "a mapping of a rule", [&](const Node& key, const Node& value, const std::string& path) {
      const Place at{value, key.offset, path};
      offsets.emplace(key.text, key.offset);
      if (key.text == "module") {
        read_pattern(at, rule.module);
      } else if (key.text == "name") {
        read_pattern(at, rule.name);
      } else if (key.text == "parameter") {
        read_pattern(at, rule.parameter);
      } else if (key.text == "scheme") {
        has_scheme = true;
        std::vector<std::string> names;
        for (const SchemeRow& row : kSchemes) names.emplace_back(row.name);
        if (const auto index = choice_of(at, names)) rule.scheme = static_cast<InitialisationScheme>(*index);
      } else if (key.text == "activation") {
        rule.activation = activation_of(at);
      } else if (key.text == "fan") {
        if (const auto index = choice_of(at, {"in", "out"})) rule.fan = static_cast<FanMode>(*index);
      } else if (key.text == "residual") {
        rule.residual = flag_of(at).value_or(false);
      } else {
        read_number(key, at, rule);
      }
    });
    if (faults() != faults_before) return;  // what is missing may be misspelt
    if (!has_scheme) return fault(place.value.offset, place.key, "expected a scheme, got a rule without it");
    check_together(rule, policy.activation, [&](const std::string& key, std::string text) {
      const auto at = offsets.find(key);
      fault(at == offsets.end() ? place.value.offset : at->second, key.empty() ? place.key : place.key + "." + key, std::move(text));
    });
    policy.rules.push_back(std::move(rule));
  }

  void read_number(const Node& key, const Place& at, InitialisationRule& rule) {
    const auto row = std::find_if(kNumbers.begin(), kNumbers.end(), [&](const NumberRow& number) { return number.key == key.text; });
    if (row != kNumbers.end()) {
      rule.*row->member = number_of(at, row->min, row->max);
      return;
    }
    std::vector<std::string> known{"module", "name", "parameter", "scheme"};
    for (std::string& name : keys_of(~0U)) known.push_back(std::move(name));
    unknown_key(key, at.key, known);
  }

  void read_pattern(const Place& place, std::string& pattern) {
    if (auto text = text_of(place, "pattern", kMaxPatternBytes, place.value)) pattern = std::move(*text);
  }

  std::optional<Activation> activation_of(const Place& place) {
    const auto index = choice_of(place, {kActivationNames.begin(), kActivationNames.end()});
    return index ? std::optional(static_cast<Activation>(*index)) : std::nullopt;
  }

  std::optional<double> number_of(const Place& place, double min, double max) {
    const auto number = place.value.kind == Node::Kind::plain ? parse_number(place.value.text) : std::nullopt;
    if (number && *number >= min && *number <= max) return number;
    unexpected(place, range_of(min, max));
    return std::nullopt;
  }
};

}  // namespace

std::string_view name_of(InitialisationScheme scheme) noexcept { return row_of(scheme).name; }
std::string_view name_of(Activation activation) noexcept { return kActivationNames[static_cast<std::size_t>(activation)]; }
std::string_view name_of(FanMode fan) noexcept { return kFanNames[static_cast<std::size_t>(fan)]; }

double gain_of(Activation activation, double slope) noexcept {
  switch (activation) {
    case Activation::relu: return std::sqrt(2.0);
    case Activation::leaky_relu: return std::sqrt(2.0 / (1 + std::pow(slope, 2)));
    case Activation::tanh: return 5.0 / 3.0;
    case Activation::selu: return 3.0 / 4.0;
    case Activation::linear:
    case Activation::sigmoid: break;
  }
  return 1;
}

double normal_share(double mean, double std, double lower, double upper) noexcept {
  const double a = (lower - mean) / std / std::sqrt(2.0), b = (upper - mean) / std / std::sqrt(2.0);
  // In one tail the difference of two numbers close to 1 would lose all digits.
  return a > 0 ? (std::erfc(a) - std::erfc(b)) / 2 : (std::erfc(-b) - std::erfc(-a)) / 2;
}

void validate(const InitialisationPolicy& policy) {
  std::vector<Fault> faults;
  if (!(policy.slope >= 0 && policy.slope <= 1)) {
    faults.push_back({kNowhere, "slope", "expected " + range_of(0, 1) + ", got " + number_text(policy.slope)});
  }
  if (policy.seed && *policy.seed > static_cast<std::uint64_t>(INT64_MAX)) {
    faults.push_back(
        {kNowhere, "seed", "expected an integer from 0 to " + std::to_string(INT64_MAX) + ", got " + std::to_string(*policy.seed)});
  }
  if (policy.rules.size() > kMaxInitialisationRules) {
    faults.push_back(
        {kNowhere, "rules",
         "expected a list of at most " + std::to_string(kMaxInitialisationRules) + " rules, got " + std::to_string(policy.rules.size())});
  }
  for (std::size_t i = 0; i < policy.rules.size() && faults.size() <= kMaxFaults; ++i) {
    const InitialisationRule& rule = policy.rules[i];
    const std::string path = "rules[" + std::to_string(i) + "]";
    const std::size_t faults_before = faults.size();
    for (const auto& [key, pattern] :
         {std::pair("module", &rule.module), std::pair("name", &rule.name), std::pair("parameter", &rule.parameter)}) {
      if (!pattern->empty() && pattern->size() <= kMaxPatternBytes) continue;
      faults.push_back(
          {kNowhere, path + "." + key,
           "expected a pattern of 1 to " + std::to_string(kMaxPatternBytes) + " bytes, got " + std::to_string(pattern->size()) + " bytes"});
    }
    for (const NumberRow& row : kNumbers) {
      const std::optional<double>& number = rule.*row.member;
      if (!number || (*number >= row.min && *number <= row.max)) continue;
      faults.push_back(
          {kNowhere, path + "." + std::string(row.key), "expected " + range_of(row.min, row.max) + ", got " + number_text(*number)});
    }
    if (faults.size() != faults_before) continue;
    check_together(rule, policy.activation, [&](const std::string& key, std::string text) {
      faults.push_back({kNowhere, key.empty() ? path : path + "." + key, std::move(text)});
    });
  }
  if (!faults.empty()) throw_faults(std::move(faults), "", "");
}

InitialisationPolicy parse_initialisation_policy(std::string_view yaml, const std::string& name) {
  const Document document = parse_document(yaml);
  PolicyReader reader(document);
  std::vector<Fault> faults = reader.take_faults();
  if (!faults.empty()) throw_faults(std::move(faults), document.source, name);
  return std::move(reader.policy);
}

InitialisationPolicy load_initialisation_policy(const std::filesystem::path& path) {
  const SourceFile file = read_source_file(path, kMaxSourceBytes + 1);  // one more: the parser says when it is too much
  if (!file.problem.empty()) throw ConfigError({{path.string(), 0, 0, "", file.problem}});
  return parse_initialisation_policy(file.text, path.string());
}

}  // namespace vigil
