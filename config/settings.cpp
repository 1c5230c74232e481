#include "vigil/config/settings.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <deque>

#include "vigil/config/text.h"
#include "vigil/config/threshold.h"
#include "vigil/config/url.h"

namespace vigil::config_reader {
namespace {

constexpr std::int64_t kKiB = std::int64_t{1} << 10;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr std::int64_t kTiB = std::int64_t{1} << 40;

constexpr TextRule kName = {"name", 0, 128};
constexpr TextRule kPattern = {"pattern", 1, 1024};
constexpr TextRule kPath = {"path", 0, 4096};
constexpr TextRule kAddress = {"address", 1, 64, true};
constexpr std::size_t kMaxPatterns = 1000;

// Makes the accessor of one member; `member` is an expression in `config`.
#define VIGIL_MEMBER(member) \
  [](Config & config) -> auto& { return config.member; }
#define VIGIL_CHOICE(member)                                            \
  [](const Config& config) { return static_cast<int>(config.member); }, \
      [](Config& config, int value) { config.member = static_cast<decltype(config.member)>(value); }

std::string action_problem(std::string_view text) {
  if (std::find(kAlertActionNames.begin(), kAlertActionNames.end(), text) != kAlertActionNames.end()) return "";
  return "expected " + joined({kAlertActionNames.begin(), kAlertActionNames.end()}, " or ") + ", got " + quoted_text(text, '\'');
}

std::string threshold_problem(std::string_view text) { return parse_threshold(text).problem; }

std::string url_problem(std::string_view text) {
  if (is_http_url(text, " \"<>")) return "";
  return "expected a URL that begins with http:// or https://, got " + quoted_text(text, '"');
}

template <class Enum>
Choice::Name named(std::string_view name, Enum value) {
  return {name, static_cast<int>(value)};
}

std::vector<Choice::Name> kernel_names() {
  std::vector<Choice::Name> names;
  for (std::size_t i = 0; i < kKernelNames.size(); ++i) names.push_back(named(kKernelNames[i], static_cast<Kernel>(i)));
  return names;
}

std::vector<Choice::Name> severity_names() {
  std::vector<Choice::Name> names;
  for (std::size_t i = 0; i < kSeverityNames.size(); ++i) names.push_back(named(kSeverityNames[i], static_cast<Severity>(i)));
  return names;
}

constexpr TextRule kAction = {"name of an action", 1, 32, false, action_problem, "names of actions"};
constexpr TextRule kThreshold = {"rule", 1, 512, false, threshold_problem};
constexpr TextRule kUrl = {"URL", 0, 2048, false, url_problem};
constexpr std::int64_t kMaxSteps = 1'000'000'000, kMaxMilliseconds = 86'400'000;

// Of each rule of the catalogue what the table says may be set.
void add_catalogue(std::vector<Setting>& all) {
  static std::deque<std::string> keys;  // does not move what it holds
  const auto key = [](const std::string& section, std::string_view name) {
    return std::string_view(keys.emplace_back(section + std::string(name)));
  };
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    const std::string section = "rules." + std::string(kRules[i].name) + ".";
    const auto of = [i](auto member) {
      return [ i, member ](Config & config) -> auto& { return config.rules.catalogue[i].*member; };
    };
    all.push_back({key(section, "enabled"), Flag{of(&RuleConfig::enabled)}});
    all.push_back(
        {key(section, "severity"),
         Choice{[i](const Config& config) { return static_cast<int>(config.rules.catalogue[i].severity); },
                [i](Config& config, int value) { config.rules.catalogue[i].severity = static_cast<Severity>(value); }, severity_names()}});
    all.push_back({key(section, "for_steps"), Integer{of(&RuleConfig::for_steps), 0, kMaxSteps}});
    all.push_back({key(section, "for_ms"), Integer{of(&RuleConfig::for_ms), 0, kMaxMilliseconds}});
    all.push_back({key(section, "keep_firing_steps"), Integer{of(&RuleConfig::keep_firing_steps), 0, kMaxSteps}});
    all.push_back({key(section, "actions"), TextList{of(&RuleConfig::actions), kAction, kAlertActionNames.size()}});
    for (std::size_t j = 0; j < kMaxRuleParameters; ++j) {
      const RuleParameter& parameter = kRules[i].parameters[j];
      if (parameter.name.empty()) continue;
      all.push_back(
          {key(section, parameter.name),
           Number{[i, j](Config& config) -> double& { return config.rules.catalogue[i].parameters[j]; }, parameter.min, parameter.max}});
    }
  }
}

std::vector<Setting> make_settings() {
  std::vector<Setting> all = {
      {"run.name", Text{VIGIL_MEMBER(run.name), kName}},
      {"run.model", Text{VIGIL_MEMBER(run.model), kName}},
      {"work.peak_gflops", Integer{VIGIL_MEMBER(work.peak_gflops), 0, 1'000'000'000}},
      {"sampling.every_steps", Integer{VIGIL_MEMBER(sampling.every_steps), 1, 1'000'000}},
      {"sampling.parameters", Flag{VIGIL_MEMBER(sampling.parameters)}},
      {"sampling.gradients", Flag{VIGIL_MEMBER(sampling.gradients)}},
      {"sampling.buffers", Flag{VIGIL_MEMBER(sampling.buffers)}},
      {"sampling.include", TextList{VIGIL_MEMBER(sampling.include), kPattern, kMaxPatterns}},
      {"sampling.exclude", TextList{VIGIL_MEMBER(sampling.exclude), kPattern, kMaxPatterns}},
      {"sampling.histogram", TextList{VIGIL_MEMBER(sampling.histogram), kPattern, kMaxPatterns}},
      {"sampling.update_ratio", TextList{VIGIL_MEMBER(sampling.update_ratio), kPattern, kMaxPatterns}},
      {"sampling.update_ratio_bytes", Integer{VIGIL_MEMBER(sampling.update_ratio_bytes), 64 * kKiB, kTiB}},
      {"sampling.distance", TextList{VIGIL_MEMBER(sampling.distance), kPattern, kMaxPatterns}},
      {"sampling.gradient_cosine", TextList{VIGIL_MEMBER(sampling.gradient_cosine), kPattern, kMaxPatterns}},
      {"sampling.copy_bytes", Integer{VIGIL_MEMBER(sampling.copy_bytes), 64 * kKiB, kTiB}},
      {"sampling.optimizer_state", TextList{VIGIL_MEMBER(sampling.optimizer_state), kPattern, kMaxPatterns}},
      {"sampling.activations_every_steps", Integer{VIGIL_MEMBER(sampling.activations_every_steps), 0, 1'000'000}},
      {"sampling.max_activations", Integer{VIGIL_MEMBER(sampling.max_activations), 0, 65'536}},
      {"sampling.kernel", Choice{VIGIL_CHOICE(sampling.kernel), kernel_names()}},
      {"guard.every_steps", Integer{VIGIL_MEMBER(guard.every_steps), 0, 1'000'000}},
      {"guard.on_nonfinite", Choice{VIGIL_CHOICE(guard.on_nonfinite),
                                    {named("warn", OnNonfinite::warn), named("skip_step", OnNonfinite::skip_step),
                                     named("stop", OnNonfinite::stop), named("rollback", OnNonfinite::rollback)}}},
      {"guard.max_rollbacks", Integer{VIGIL_MEMBER(guard.max_rollbacks), 1, 1'000'000}},
      {"guard.stop_after_steps", Integer{VIGIL_MEMBER(guard.stop_after_steps), 0, 1'000'000}},
      {"guard.replay", Flag{VIGIL_MEMBER(guard.replay)}},
      {"guard.trace_next_steps", Integer{VIGIL_MEMBER(guard.trace_next_steps), 0, 1'000}},
      {"ring.step_records", Integer{VIGIL_MEMBER(ring.step_records), 16, 16'777'216}},
      {"ring.frame_bytes", Integer{VIGIL_MEMBER(ring.frame_bytes), 64 * kKiB, 16 * kGiB}},
      {"ring.shared", Flag{VIGIL_MEMBER(ring.shared)}},
      {"ring.directory", Text{VIGIL_MEMBER(ring.directory), kPath}},
      {"ring.crash_signals", Flag{VIGIL_MEMBER(ring.crash_signals)}},
      {"exporters.interval_ms", Integer{VIGIL_MEMBER(exporters.interval_ms), 10, 60'000}},
      {"exporters.prometheus.enabled", Flag{VIGIL_MEMBER(exporters.prometheus.enabled)}},
      {"exporters.prometheus.address", Text{VIGIL_MEMBER(exporters.prometheus.address), kAddress}},
      {"exporters.prometheus.port", Integer{VIGIL_MEMBER(exporters.prometheus.port), 0, 65535}},
      {"exporters.prometheus.threads", Integer{VIGIL_MEMBER(exporters.prometheus.threads), 1, 64}},
      {"exporters.prometheus.max_series", Integer{VIGIL_MEMBER(exporters.prometheus.max_series), 0, 10'000'000}},
      {"exporters.prometheus.per_parameter",
       Choice{VIGIL_CHOICE(exporters.prometheus.per_parameter),
              {named("rank0", PerParameter::rank0), named("all", PerParameter::all), named("none", PerParameter::none)}}},
      {"exporters.prometheus.precision", Flag{VIGIL_MEMBER(exporters.prometheus.precision)}},
      {"exporters.prometheus.linger_ms", Integer{VIGIL_MEMBER(exporters.prometheus.linger_ms), 0, 600'000}},
      {"exporters.prometheus.web_config_file", Text{VIGIL_MEMBER(exporters.prometheus.web_config_file), kPath}},
      {"exporters.prometheus.history_bytes", Integer{VIGIL_MEMBER(exporters.prometheus.history_bytes), 0, kTiB}},
      {"exporters.prometheus.assets_directory", Text{VIGIL_MEMBER(exporters.prometheus.assets_directory), kPath}},
      {"exporters.jsonl.enabled", Flag{VIGIL_MEMBER(exporters.jsonl.enabled)}},
      {"exporters.jsonl.path", Text{VIGIL_MEMBER(exporters.jsonl.path), kPath, "exporters.jsonl.enabled"}},
      {"exporters.jsonl.max_bytes", Integer{VIGIL_MEMBER(exporters.jsonl.max_bytes), 64 * kKiB, kTiB}},
      {"exporters.report.enabled", Flag{VIGIL_MEMBER(exporters.report.enabled)}},
      {"exporters.report.directory", Text{VIGIL_MEMBER(exporters.report.directory), kPath, "exporters.report.enabled"}},
      {"exporters.report.max_files", Integer{VIGIL_MEMBER(exporters.report.max_files), 1, 10'000}},
      {"exporters.webhook.url", Text{VIGIL_MEMBER(exporters.webhook.url), kUrl}},
      {"exporters.webhook.secret_file", Text{VIGIL_MEMBER(exporters.webhook.secret_file), kPath}},
      {"exporters.webhook.timeout_ms", Integer{VIGIL_MEMBER(exporters.webhook.timeout_ms), 100, 60'000}},
      {"exporters.webhook.queue_size", Integer{VIGIL_MEMBER(exporters.webhook.queue_size), 16, 100'000}},
      {"exporters.alertmanager.url", Text{VIGIL_MEMBER(exporters.alertmanager.url), kUrl}},
      {"exporters.alertmanager.timeout_ms", Integer{VIGIL_MEMBER(exporters.alertmanager.timeout_ms), 100, 60'000}},
      {"exporters.alertmanager.resend_ms", Integer{VIGIL_MEMBER(exporters.alertmanager.resend_ms), 1000, 3'600'000}},
      {"rules.enabled", Flag{VIGIL_MEMBER(rules.enabled)}},
      {"rules.actions", TextList{VIGIL_MEMBER(rules.actions), kAction, kAlertActionNames.size()}},
      {"rules.max_instances", Integer{VIGIL_MEMBER(rules.max_instances), 1, 64}},
      {"rules.validation_scalar", Text{VIGIL_MEMBER(rules.validation_scalar), {"name", 1, 96}}},
      {"rules.disk_directory", Text{VIGIL_MEMBER(rules.disk_directory), kPath}},
      {"rules.threshold", TextList{VIGIL_MEMBER(rules.threshold), kThreshold, 100}},
  };
  add_catalogue(all);
  all.push_back({"log.level", Choice{VIGIL_CHOICE(log.level),
                                     {named("debug", LogLevel::debug), named("info", LogLevel::info), named("warning", LogLevel::warning),
                                      named("error", LogLevel::error), named("off", LogLevel::off)}}});
  return all;
}

#undef VIGIL_MEMBER
#undef VIGIL_CHOICE

struct Suffix {
  std::string_view text;
  std::int64_t factor;
};

struct Unit {
  std::string_view key_end;
  std::string_view noun;
  std::string_view plain;        // what a number without suffix counts, where no suffix says the same
  std::vector<Suffix> suffixes;  // largest first; the empty one is the unit of the key's name
};

const Unit& unit_of(std::string_view key) {
  static const std::vector<Unit> units = {
      {"_bytes", "a size", "bytes", {{"TiB", kTiB}, {"GiB", kGiB}, {"MiB", kKiB * kKiB}, {"KiB", kKiB}, {"", 1}}},
      {"_ms", "a duration", "", {{"s", 1000}, {"ms", 1}, {"", 1}}},
      {"", "an integer", "", {{"", 1}}},
  };
  for (const Unit& unit : units) {
    const bool ends = key.size() >= unit.key_end.size() && key.substr(key.size() - unit.key_end.size()) == unit.key_end;
    if (ends) return unit;
  }
  return units.back();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_numeric_address(const std::string& text) {
  in6_addr address;  // holds either family
  return inet_pton(AF_INET, text.c_str(), &address) == 1 || inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

std::string text_expectation(const TextRule& rule) {
  if (rule.numeric_address) return "a numeric IPv4 or IPv6 address (host names are not resolved)";
  const std::string most = std::to_string(rule.max_bytes) + " bytes";
  const std::string length = rule.min_bytes == 0 ? "at most " + most : std::to_string(rule.min_bytes) + " to " + most;
  return "a " + std::string(rule.noun) + " of " + length;
}

std::string list_expectation(const TextList& list) {
  return "a list of at most " + std::to_string(list.max_elements) + " " +
         (list.element.plural.empty() ? std::string(list.element.noun) + "s" : std::string(list.element.plural));
}

}  // namespace

std::string path_of(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : std::string(section) + "." + std::string(name);
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> table = make_settings();
  return table;
}

const Setting* find_setting(std::string_view key) {
  for (const Setting& setting : settings()) {
    if (setting.key == key) return &setting;
  }
  return nullptr;
}

std::vector<std::string> names_in_section(std::string_view section) {
  const std::string prefix = section.empty() ? "" : std::string(section) + ".";
  std::vector<std::string> names;
  for (const Setting& setting : settings()) {
    if (setting.key.substr(0, prefix.size()) != prefix) continue;
    const std::string_view rest = setting.key.substr(prefix.size());
    const std::string_view name = rest.substr(0, rest.find('.'));
    if (names.empty() || names.back() != name) names.emplace_back(name);
  }
  return names;
}

std::string range_text(const Setting& setting, const Integer& integer) {
  return integer_text(setting, integer.min) + " to " + integer_text(setting, integer.max);
}

std::string expectation(const Setting& setting) {
  return std::visit(Overloaded{
                        [](const Flag&) -> std::string { return "true or false"; },
                        [&](const Integer& integer) {
                          const Unit& unit = unit_of(setting.key);
                          std::string text = std::string(unit.noun) + " from " + range_text(setting, integer);
                          std::vector<std::string> units;
                          for (const Suffix& suffix : unit.suffixes) {
                            const std::string_view name = suffix.text.empty() ? unit.plain : suffix.text;
                            if (!name.empty()) units.insert(units.begin(), std::string(name));
                          }
                          if (!units.empty()) text += " (in " + joined(units, " or ") + ")";
                          return text;
                        },
                        [](const Number& number) { return "a number from " + number_text(number.min) + " to " + number_text(number.max); },
                        [](const Choice& choice) {
                          std::vector<std::string> names;
                          for (const Choice::Name& name : choice.names) names.emplace_back(name.name);
                          return joined(names, " or ");
                        },
                        [](const Text& text) { return text_expectation(text.rule); },
                        [](const TextList& list) { return list_expectation(list); },
                    },
                    setting.kind);
}

std::string integer_text(const Setting& setting, std::int64_t value) {
  for (const Suffix& suffix : unit_of(setting.key).suffixes) {
    const bool exact = value % suffix.factor == 0 && (value != 0 || suffix.factor == 1);
    if (exact) return std::to_string(value / suffix.factor) + std::string(suffix.text);
  }
  return std::to_string(value);
}

std::optional<std::int64_t> parse_integer(const Setting& setting, std::string_view text) {
  std::int64_t count = 0;
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const auto digits = static_cast<std::size_t>(end - text.data());
  if (error != std::errc{} || (digits > 1 && text.front() == '0')) return std::nullopt;
  for (const Suffix& suffix : unit_of(setting.key).suffixes) {
    if (text.substr(digits) != suffix.text) continue;
    if (count > INT64_MAX / suffix.factor) return std::nullopt;
    return count * suffix.factor;
  }
  return std::nullopt;
}

std::string number_text(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

std::optional<double> parse_number(std::string_view text) {
  // from_chars also takes "inf" and "nan".
  if (text.empty() || text.find_first_not_of("+-.0123456789eE") != std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool in_range(const Number& number, double value) { return value >= number.min && value <= number.max; }

bool in_range(const Integer& integer, std::int64_t value) { return value >= integer.min && value <= integer.max; }

std::string text_problem(const TextRule& rule, std::string_view value) {
  if (const auto unprintable = first_unprintable(value, false)) {
    return "expected printable UTF-8 text, got " + unprintable->description;
  }
  const std::string expected = "expected " + text_expectation(rule) + ", got ";
  if (value.size() > rule.max_bytes) return expected + std::to_string(value.size()) + " bytes";
  if (value.size() < rule.min_bytes) return expected + quoted_text(value, '"');
  if (rule.numeric_address && !is_numeric_address(std::string(value))) return expected + quoted_text(value, '"');
  return rule.problem == nullptr || value.empty() ? "" : rule.problem(value);
}

std::string missing_text_problem(const Text& text, const Config& config) {
  if (text.required_if.empty() || text.rule.min_bytes > 0) return "";
  Config copy = config;
  const Setting* condition = find_setting(text.required_if);
  if (condition == nullptr || !std::get<Flag>(condition->kind).member(copy) || !text.member(copy).empty()) return "";
  return "expected a " + std::string(text.rule.noun) + " because " + std::string(text.required_if) + " is true, got \"\"";
}

std::string length_problem(const TextList& list, std::size_t elements) {
  if (elements <= list.max_elements) return "";
  return "expected " + list_expectation(list) + ", got " + std::to_string(elements);
}

}  // namespace vigil::config_reader
