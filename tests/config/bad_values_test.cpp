// Values of the wrong type, out of range, left out or unprintable.
#include <vector>

#include "config/bad_input.h"

namespace vigil {
namespace {

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::vector<BadInput> rows() {
  return {
      {"IntegerTooSmall", "sampling:\n  every_steps: 0\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '0'"},
      {"IntegerTooLarge", "exporters:\n  prometheus:\n    port: 65536\n",
       "v.yml:3:11: exporters.prometheus.port: expected an integer from 0 to 65535, got '65536'"},
      {"IntegerBeyond64Bits", "sampling:\n  every_steps: 99999999999999999999\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '99999999999999999999'"},
      {"NegativeInteger", "exporters:\n  prometheus:\n    port: -1\n",
       "v.yml:3:11: exporters.prometheus.port: expected an integer from 0 to 65535, got '-1'"},
      {"HexadecimalInteger", "sampling:\n  every_steps: 0x10\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '0x10'"},
      {"LeadingZero", "sampling:\n  every_steps: 010\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '010'"},
      {"Fraction", "sampling:\n  every_steps: 1.5\n", "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '1.5'"},
      {"Exponent", "sampling:\n  every_steps: 1e3\n", "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '1e3'"},
      {"DigitSeparator", "sampling:\n  every_steps: 1_000\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got '1_000'"},
      {"QuotedInteger", "sampling:\n  every_steps: \"10\"\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got the text \"10\""},
      {"SuffixOnACount", "ring:\n  step_records: 4KiB\n",
       "v.yml:2:17: ring.step_records: expected an integer from 16 to 16777216, got '4KiB'"},
      {"TextForAnInteger", "sampling:\n  every_steps: often\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got 'often'"},
      {"ListForAnInteger", "sampling:\n  every_steps:\n    - 5\n",
       "v.yml:3:5: sampling.every_steps: expected an integer from 1 to 1000000, got a list"},
      {"MappingForAnInteger", "sampling:\n  every_steps: {value: 5}\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got a mapping"},
      {"SizeTooSmall", "ring:\n  frame_bytes: 63KiB\n",
       "v.yml:2:16: ring.frame_bytes: expected a size from 64KiB to 16GiB (in bytes, KiB, MiB, GiB or TiB), got '63KiB'"},
      {"SizeTooLarge", "ring:\n  frame_bytes: 17179869185\n",
       "v.yml:2:16: ring.frame_bytes: expected a size from 64KiB to 16GiB (in bytes, KiB, MiB, GiB or TiB), got '17179869185'"},
      // 2^54 + 1024 KiB: 1 MiB after 64 bits overflow.
      {"SizeOverflows", "exporters:\n  jsonl:\n    max_bytes: 18014398509483008KiB\n",
       "v.yml:3:16: exporters.jsonl.max_bytes: expected a size from 64KiB to 1TiB (in bytes, KiB, MiB, GiB or TiB), got "
       "'18014398509483008KiB'"},
      {"SizeWithADecimalSuffix", "ring:\n  frame_bytes: 64KB\n",
       "v.yml:2:16: ring.frame_bytes: expected a size from 64KiB to 16GiB (in bytes, KiB, MiB, GiB or TiB), got '64KB'"},
      {"SizeWithASpace", "ring:\n  frame_bytes: 64 KiB\n",
       "v.yml:2:16: ring.frame_bytes: expected a size from 64KiB to 16GiB (in bytes, KiB, MiB, GiB or TiB), got '64 KiB'"},
      {"SizeWithASuffixInSmallLetters", "ring:\n  frame_bytes: 64kib\n",
       "v.yml:2:16: ring.frame_bytes: expected a size from 64KiB to 16GiB (in bytes, KiB, MiB, GiB or TiB), got '64kib'"},
      {"DurationTooShort", "exporters:\n  interval_ms: 9\n",
       "v.yml:2:16: exporters.interval_ms: expected a duration from 10ms to 60s (in ms or s), got '9'"},
      {"DurationTooLong", "exporters:\n  interval_ms: 61s\n",
       "v.yml:2:16: exporters.interval_ms: expected a duration from 10ms to 60s (in ms or s), got '61s'"},
      {"DurationInUnknownUnits", "exporters:\n  interval_ms: 1min\n",
       "v.yml:2:16: exporters.interval_ms: expected a duration from 10ms to 60s (in ms or s), got '1min'"},
      {"YesForABoolean", "exporters:\n  prometheus:\n    enabled: yes\n",
       "v.yml:3:14: exporters.prometheus.enabled: expected true or false, got 'yes'"},
      {"CapitalBoolean", "exporters:\n  prometheus:\n    enabled: True\n",
       "v.yml:3:14: exporters.prometheus.enabled: expected true or false, got 'True'"},
      {"QuotedBoolean", "exporters:\n  prometheus:\n    enabled: 'true'\n",
       "v.yml:3:14: exporters.prometheus.enabled: expected true or false, got the text \"true\""},
      {"NumberForABoolean", "exporters:\n  jsonl:\n    enabled: 1\n",
       "v.yml:3:14: exporters.jsonl.enabled: expected true or false, got '1'"},
      {"UnknownChoice", "guard:\n  on_nonfinite: ignore\n",
       "v.yml:2:17: guard.on_nonfinite: expected warn, skip_step, stop or rollback, got 'ignore'"},
      {"CapitalChoice", "log:\n  level: INFO\n", "v.yml:2:10: log.level: expected debug, info, warning, error or off, got 'INFO'"},
      {"ListForAChoice", "log:\n  level: [info]\n", "v.yml:2:10: log.level: expected debug, info, warning, error or off, got a list"},
      {"MissingValue", "sampling:\n  every_steps:\n  buffers: true\n",
       "v.yml:2:3: sampling.every_steps: expected an integer from 1 to 1000000, got nothing (leave the key out to keep its default)"},
      {"MissingValueAtTheEndOfTheFile", "sampling:\n  every_steps:",
       "v.yml:2:3: sampling.every_steps: expected an integer from 1 to 1000000, got nothing (leave the key out to keep its default)"},
      {"WrittenNull", "sampling:\n  every_steps: null\n",
       "v.yml:2:16: sampling.every_steps: expected an integer from 1 to 1000000, got nothing (leave the key out to keep its default)"},
      {"TildeForAText", "run:\n  name: ~\n",
       "v.yml:2:9: run.name: expected a name of at most 128 bytes, got nothing (leave the key out to keep its default)"},
      {"MissingSection", "ring:\nlog:\n  level: info\n",
       "v.yml:1:1: ring: expected a mapping of settings, got nothing (leave the key out to keep its default)"},
      {"ScalarForASection", "ring: large\n", "v.yml:1:7: ring: expected a mapping of settings, got 'large'"},
      {"ListForASection", "ring:\n  - step_records\n", "v.yml:2:3: ring: expected a mapping of settings, got a list"},
      {"ListForTheDocument", "- ring\n", "v.yml:1:1: expected a mapping of settings, got a list"},
      {"ScalarForTheDocument", "ring\n", "v.yml:1:1: expected a mapping of settings, got 'ring'"},
      {"NullForTheDocument", "null\n", "v.yml:1:1: expected a mapping of settings, got nothing"},
      {"TooLongName", "run:\n  name: " + std::string(129, 'n') + "\n",
       "v.yml:2:9: run.name: expected a name of at most 128 bytes, got 129 bytes"},
      {"ControlCharacterInAName", "run:\n  name: \"a\\tb\"\n",
       "v.yml:2:9: run.name: expected printable UTF-8 text, got the control character U+0009"},
      {"NulEscapeInAName", "run:\n  name: \"a\\0b\"\n",
       "v.yml:2:9: run.name: expected printable UTF-8 text, got the control character U+0000"},
      {"LineBreakInAName", "run:\n  name: |\n    two\n    lines\n",
       "v.yml:2:9: run.name: expected printable UTF-8 text, got the control character U+000A"},
      {"LineSeparatorInAModel", "run:\n  model: \"a\\u2028b\"\n",
       "v.yml:2:10: run.model: expected printable UTF-8 text, got the control character U+2028"},
      {"ListForAText", "run:\n  name: [a, b]\n", "v.yml:2:9: run.name: expected a name of at most 128 bytes, got a list"},
      {"HostName", "exporters:\n  prometheus:\n    address: localhost\n",
       "v.yml:3:14: exporters.prometheus.address: expected a numeric IPv4 or IPv6 address (host names are not resolved), got "
       "\"localhost\""},
      {"AddressWithAPort", "exporters:\n  prometheus:\n    address: 127.0.0.1:9464\n",
       "v.yml:3:14: exporters.prometheus.address: expected a numeric IPv4 or IPv6 address (host names are not resolved), got "
       "\"127.0.0.1:9464\""},
      {"ShortAddress", "exporters:\n  prometheus:\n    address: 127.1\n",
       "v.yml:3:14: exporters.prometheus.address: expected a numeric IPv4 or IPv6 address (host names are not resolved), got \"127.1\""},
      {"AddressInBrackets", "exporters:\n  prometheus:\n    address: '[::1]'\n",
       "v.yml:3:14: exporters.prometheus.address: expected a numeric IPv4 or IPv6 address (host names are not resolved), got \"[::1]\""},
      {"EmptyAddress", "exporters:\n  prometheus:\n    address: ''\n",
       "v.yml:3:14: exporters.prometheus.address: expected a numeric IPv4 or IPv6 address (host names are not resolved), got \"\""},
      {"EmptyPathWhileEnabled", "exporters:\n  jsonl:\n    path: ''\n    enabled: true\n",
       "v.yml:3:11: exporters.jsonl.path: expected a path because exporters.jsonl.enabled is true, got \"\""},
      {"TooLongPath", "exporters:\n  jsonl:\n    path: " + std::string(4097, 'p') + "\n",
       "v.yml:3:11: exporters.jsonl.path: expected a path of at most 4096 bytes, got 4097 bytes"},
      {"TextForAList", "sampling:\n  include: \"*\"\n",
       "v.yml:2:12: sampling.include: expected a list of at most 1000 patterns, got the text \"*\""},
      {"EmptyPattern", "sampling:\n  include: [\"*\", \"\"]\n",
       "v.yml:2:18: sampling.include[1]: expected a pattern of 1 to 1024 bytes, got \"\""},
      {"MissingPattern", "sampling:\n  include:\n    - a\n    -\n    - b\n",
       "v.yml:3:5: sampling.include[1]: expected a pattern, got nothing"},
      {"WrongPatterns", "sampling:\n  exclude: [a, [b], {c: d}, null, \"e\\rf\"]\n",
       "v.yml:2:16: sampling.exclude[1]: expected a pattern, got a list\n"
       "v.yml:2:21: sampling.exclude[2]: expected a pattern, got a mapping\n"
       "v.yml:2:29: sampling.exclude[3]: expected a pattern, got nothing\n"
       "v.yml:2:35: sampling.exclude[4]: expected printable UTF-8 text, got the control character U+000D"},
      {"TooManyPatterns", "sampling:\n  include: [" + repeated("a, ", 1001) + "]\n",
       "v.yml:2:12: sampling.include: expected a list of at most 1000 patterns, got 1001"},
      {"NumberTooSmall", "rules:\n  dead_units: {share: -0.5}\n",
       "v.yml:2:23: rules.dead_units.share: expected a number from 0 to 1, got '-0.5'"},
      {"NumberThatIsNone", "rules:\n  dead_units: {share: .nan}\n",
       "v.yml:2:23: rules.dead_units.share: expected a number from 0 to 1, got '.nan'"},
      {"TextForANumber", "rules:\n  dead_units: {share: half}\n",
       "v.yml:2:23: rules.dead_units.share: expected a number from 0 to 1, got 'half'"},
      {"UnknownSeverity", "rules:\n  dead_units: {severity: high}\n",
       "v.yml:2:26: rules.dead_units.severity: expected info, warning or critical, got 'high'"},
      {"UnknownAction", "rules:\n  actions: [log, mail]\n",
       "v.yml:2:18: rules.actions[1]: expected log, webhook, alertmanager, dump, checkpoint, stop, callback or metric, got 'mail'"},
      {"ThresholdThatIsNone", "rules:\n  threshold:\n    - vigil_loss is 3\n",
       "v.yml:3:7: rules.threshold[0]: expected one of > >= < <= == !=, got 'is 3'"},
      {"UrlWithoutAScheme", "exporters:\n  webhook: {url: example.org}\n",
       "v.yml:2:18: exporters.webhook.url: expected a URL that begins with http:// or https://, got \"example.org\""},
  };
}

class BadValues : public testing::TestWithParam<BadInput> {};

TEST_P(BadValues, AreRefusedWithTheWholeMessage) { expect_refused(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Row, BadValues, testing::ValuesIn(rows()), name_of_row);

}  // namespace
}  // namespace vigil
