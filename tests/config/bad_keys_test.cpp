// Keys that are unknown, misplaced, written twice or no text.
#include <vector>

#include "config/bad_input.h"

namespace vigil {
namespace {

std::vector<BadInput> rows() {
  return {
      {"MisspelledKey", "sampling:\n  every_step: 5\n",
       "v.yml:2:3: sampling.every_step: expected every_steps, parameters, gradients, buffers, include, exclude, histogram, update_ratio, "
       "update_ratio_bytes, distance, gradient_cosine, copy_bytes, optimizer_state, activations_every_steps, max_activations "
       "or kernel, got 'every_step' (did "
       "you mean 'every_steps'?)"},
      {"SwappedLetters", "gaurd:\n  every_steps: 5\n",
       "v.yml:1:1: gaurd: expected run, work, sampling, guard, ring, exporters, rules or log, got 'gaurd' (did you mean 'guard'?)"},
      {"CapitalsAndDashes", "sampling:\n  Every-Steps: 5\n",
       "v.yml:2:3: sampling.Every-Steps: expected every_steps, parameters, gradients, buffers, include, exclude, histogram, update_ratio, "
       "update_ratio_bytes, distance, gradient_cosine, copy_bytes, optimizer_state, activations_every_steps, max_activations "
       "or kernel, got 'Every-Steps' (did "
       "you mean 'every_steps'?)"},
      {"KeyWithoutItsUnit", "exporters:\n  interval: 100\n",
       "v.yml:2:3: exporters.interval: expected interval_ms, prometheus, jsonl, report, webhook or alertmanager, got 'interval' (did you "
       "mean 'interval_ms'?)"},
      {"KeyOfADeeperLevel", "exporters:\n  port: 9000\n",
       "v.yml:2:3: exporters.port: expected interval_ms, prometheus, jsonl, report, webhook or alertmanager, got 'port' (did you mean "
       "'exporters.prometheus.port'?)"},
      {"KeyOfAnotherSection", "ring:\n  level: info\n",
       "v.yml:2:3: ring.level: expected step_records, frame_bytes, shared, directory or crash_signals, got 'level' (did you mean "
       "'log.level'?)"},
      {"KeyOfTwoOtherSections", "ring:\n  every_steps: 5\n",
       "v.yml:2:3: ring.every_steps: expected step_records, frame_bytes, shared, directory or crash_signals, got 'every_steps' (did you "
       "mean 'sampling.every_steps' or "
       "'guard.every_steps'?)"},
      {"SectionOfADeeperLevel", "prometheus:\n  port: 9000\n",
       "v.yml:1:1: prometheus: expected run, work, sampling, guard, ring, exporters, rules or log, got 'prometheus' (did you mean "
       "'exporters.prometheus'?)"},
      {"DottedKey", "exporters.prometheus.port: 9000\n",
       "v.yml:1:1: exporters.prometheus.port: expected run, work, sampling, guard, ring, exporters, rules or log, got "
       "'exporters.prometheus.port' "
       "(dots "
       "are not read: write 'port' under 'exporters.prometheus')"},
      {"DottedKeyInASection", "exporters:\n  prometheus.port: 9000\n",
       "v.yml:2:3: exporters.prometheus.port: expected interval_ms, prometheus, jsonl, report, webhook or alertmanager, got "
       "'prometheus.port' (dots are not read: "
       "write "
       "'port' under 'exporters.prometheus')"},
      {"KeyUnlikeAnyOther", "log:\n  colour: true\n", "v.yml:2:3: log.colour: expected level, got 'colour'"},
      {"EmptyKey", "log:\n  \"\": 1\n", "v.yml:2:3: log.: expected level, got ''"},
      {"EmptyKeyAtTheTop", "\"\": {log: {level: info}}\n",
       "v.yml:1:1: expected run, work, sampling, guard, ring, exporters, rules or log, got ''"},
      {"KeyWithControlCharacters", "log:\n  \"a\\nb\\0\": 1\n", "v.yml:2:3: log.a\\x0Ab\\x00: expected level, got 'a\\x0Ab\\x00'"},
      {"NumberAsKey", "1: x\n", "v.yml:1:1: 1: expected run, work, sampling, guard, ring, exporters, rules or log, got '1'"},
      {"NullAsKey", "sampling:\n  null: 1\n", "v.yml:2:3: sampling: expected a key, got nothing"},
      {"MappingAsKey", "sampling:\n  ? {a: 1}\n  : 1\n", "v.yml:2:5: sampling: expected a key, got a mapping"},
      {"ListAsKey", "sampling:\n  ? [a]\n  : 1\n", "v.yml:2:5: sampling: expected a key, got a list"},
      {"MergeKey", "sampling:\n  <<: {every_steps: 5}\n",
       "v.yml:2:3: sampling.<<: expected every_steps, parameters, gradients, buffers, include, exclude, histogram, update_ratio, "
       "update_ratio_bytes, distance, gradient_cosine, copy_bytes, optimizer_state, activations_every_steps, max_activations "
       "or kernel, got '<<' (merge keys are not "
       "read)"},
      {"DuplicateSetting", "sampling:\n  every_steps: 5\n  buffers: true\n  every_steps: 6\n",
       "v.yml:4:3: sampling.every_steps: expected each key once, got it again (first on line 2)"},
      {"DuplicateSection", "log:\n  level: info\nring:\n  step_records: 64\nlog:\n  level: debug\n",
       "v.yml:5:1: log: expected each key once, got it again (first on line 1)"},
      {"DuplicateDeepInFlowStyle", "exporters: {prometheus: {port: 1, port: 1}}\n",
       "v.yml:1:35: exporters.prometheus.port: expected each key once, got it again (first on line 1)"},
      {"DuplicateOfAQuotedKey", "log: {level: info, \"level\": info}\n",
       "v.yml:1:20: log.level: expected each key once, got it again (first on line 1)"},
      {"SameKeyThreeTimes", "sampling:\n  buffers: true\n  buffers: true\n  buffers: maybe\n",
       "v.yml:3:3: sampling.buffers: expected each key once, got it again (first on line 2)\n"
       "v.yml:4:3: sampling.buffers: expected each key once, got it again (first on line 2)\n"
       "v.yml:4:12: sampling.buffers: expected true or false, got 'maybe'"},
  };
}

class BadKeys : public testing::TestWithParam<BadInput> {};

TEST_P(BadKeys, AreRefusedWithTheWholeMessage) { expect_refused(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Row, BadKeys, testing::ValuesIn(rows()), name_of_row);

}  // namespace
}  // namespace vigil
