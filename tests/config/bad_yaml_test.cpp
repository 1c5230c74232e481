// What is not one plain YAML mapping: syntax, anchors, tags, documents, encoding, bounds.
#include <vector>

#include "config/bad_input.h"

namespace vigil {
namespace {

std::vector<BadInput> rows() {
  return {
      {"UnquotedPattern", "sampling:\n  include: [*.weight]\n",
       "v.yml:2:13: sampling.include[0]: expected a value, got the alias '*.weight' (a text that begins with * needs quotes)"},
      {"UnquotedStar", "sampling:\n  include:\n    - a\n    - *\n",
       "v.yml:4:7: sampling.include[1]: expected a value, got the alias '*' (a text that begins with * needs quotes)"},
      {"Anchor", "sampling:\n  every_steps: &n 5\n",
       "v.yml:2:16: sampling.every_steps: expected a value without anchors, aliases and tags, got the anchor '&n'"},
      {"AnchorAndAlias", "sampling:\n  every_steps: &n 5\nguard:\n  every_steps: *n\n",
       "v.yml:2:16: sampling.every_steps: expected a value without anchors, aliases and tags, got the anchor '&n'\n"
       "v.yml:4:16: guard.every_steps: expected a value without anchors, aliases and tags, got the alias '*n'"},
      {"AnchorOnAKey", "sampling:\n  &k every_steps: 5\n",
       "v.yml:2:3: sampling: expected a value without anchors, aliases and tags, got the anchor '&k'"},
      {"AliasAsKey", "log: {level: &l info}\nring: {*l : 1}\n",
       "v.yml:1:14: log.level: expected a value without anchors, aliases and tags, got the anchor '&l'\n"
       "v.yml:2:8: ring: expected a value without anchors, aliases and tags, got the alias '*l'"},
      {"AliasBomb", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nrun: {name: *c}\n",
       "v.yml:1:1: a: expected run, work, sampling, guard, ring, exporters, rules or log, got 'a'\n"
       "v.yml:2:1: b: expected run, work, sampling, guard, ring, exporters, rules or log, got 'b'\n"
       "v.yml:3:1: c: expected run, work, sampling, guard, ring, exporters, rules or log, got 'c'\n"
       "v.yml:4:13: run.name: expected a value without anchors, aliases and tags, got the alias '*c'"},
      {"Tag", "sampling:\n  every_steps: !!int 5\n",
       "v.yml:2:16: sampling.every_steps: expected a value without anchors, aliases and tags, got the tag '!!int'"},
      {"LocalTag", "sampling:\n  include: !patterns [a]\n",
       "v.yml:2:12: sampling.include: expected a value without anchors, aliases and tags, got the tag '!patterns'"},
      {"LoneTagMark", "run:\n  name: ! a\n", "v.yml:2:9: run.name: expected a value without anchors, aliases and tags, got the tag '!'"},
      {"TagOnAnEmptyDocument", "!x\n", "v.yml:1:1: expected a mapping of settings, got nothing"},
      {"Directive", "%YAML 1.2\n---\nlog: {level: info}\n", "v.yml:1:1: expected settings, got the directive '%YAML 1.2'"},
      {"DirectiveAtTheEnd", "log: {level: info}\n%ring: 1\n", "v.yml:2:1: expected settings, got the directive '%ring: 1'"},
      {"SecondDocument", "log: {level: loud}\n---\nring: {step_records: 64}\n",
       "v.yml:1:14: log.level: expected debug, info, warning, error or off, got 'loud'\n"
       "v.yml:2:1: expected one document, got a second one"},
      {"SecondDocumentWithoutAMark", "log: {level: info}\n...\nring: {step_records: 64}\n",
       "v.yml:3:1: expected one document, got a second one"},
      {"EmptySecondDocument", "log: {level: info}\n---\n", "v.yml:2:1: expected one document, got a second one"},
      {"UnclosedList", "sampling:\n  include: [a, b\n", "v.yml:3:1: expected YAML, got an error: end of sequence flow not found"},
      {"UnclosedQuote", "run:\n  name: \"abc\n",
       "v.yml:2:9: run.name: expected a text that ends on its line, got more than one line (is the closing quote missing?)"},
      {"UnknownEscape", "run:\n  name: \"a\\qb\"\n", "v.yml:2:13: expected YAML, got an error: unknown escape character: q"},
      {"StrayBracket", "log: {level: info}}\n", "v.yml:1:19: expected YAML, got an error: illegal flow end"},
      {"ColonInAValue", "run:\n  name: a: b\n", "v.yml:2:10: expected YAML, got an error: illegal map value"},
      {"TabIndentation", "log:\n\tlevel: info\n",
       "v.yml:2:7: expected YAML, got an error: illegal map value (YAML is indented with spaces, not tabs)"},
      {"ReservedCharacter", "run:\n  name: @home\n", "v.yml:2:9: expected YAML, got an error: unknown token"},
      {"TextAfterAQuote", "run:\n  name: \"a\" b\n", "v.yml:2:13: expected YAML, got an error: end of map not found"},
      {"NulByte",
       std::string("log:\n  level: in\0"
                   "fo\n",
                   20),
       "v.yml:2:12: expected printable UTF-8 text, got the control character U+0000"},
      {"EndOfTransmission", "log:\n  level: info\n\x04\nring: 1\n",
       "v.yml:3:1: expected printable UTF-8 text, got the control character U+0004"},
      {"NotUtf8", "run:\n  name: caf\xe9\n", "v.yml:2:12: expected printable UTF-8 text, got the byte 0xE9, which is not UTF-8"},
      {"Surrogate", "# \xed\xa0\x80\n", "v.yml:1:3: expected printable UTF-8 text, got the byte 0xED, which is not UTF-8"},
      {"Overlong", "# \xc0\xaf\n", "v.yml:1:3: expected printable UTF-8 text, got the byte 0xC0, which is not UTF-8"},
      {"WindowsLineEnds", "log:\r\n  level: info\r\n  colour: 1\r\n", "v.yml:3:3: log.colour: expected level, got 'colour'"},
      {"ByteOrderMark",
       "\xef\xbb\xbf"
       "colour: 1\n",
       "v.yml:1:1: colour: expected run, work, sampling, guard, ring, exporters, rules or log, got 'colour'"},
      {"ColumnsAreBytes", "run: {name: \"\xc3\xa9\", colour: 1}\n", "v.yml:1:19: run.colour: expected name or model, got 'colour'"},
      {"QuoteThatSwallowsTheNextSetting", "run:\n  name: \"abc\n  model: \"\n",
       "v.yml:2:9: run.name: expected a text that ends on its line, got more than one line (is the closing quote missing?)"},
      {"SingleQuoteThatIsNotClosed", "run:\n  name: 'it''s\nlog: {level: info}\n",
       "v.yml:2:9: run.name: expected a text that ends on its line, got more than one line (is the closing quote missing?)"},
      {"UnclosedQuoteAtTheEndOfTheFile", "run:\n  name: \"abc", "v.yml:2:13: expected YAML, got an error: illegal EOF in scalar"},
      {"LineIndentedTooFar", "sampling:\n  include:\n    - a\n     - b\n",
       "v.yml:3:7: sampling.include[0]: expected a text that ends on its line, got more than one line (is the next line indented too "
       "far?)"},
      {"MissingSpaceAfterTheColon", "run:\n  name: a\n  model:b\n",
       "v.yml:3:3: run.model:b: expected name or model, got 'model:b' (did you mean 'model'?)"},
      {"FoldedQuotedText", "run: {name: \"a\\\n  b\"}\n",
       "v.yml:1:13: run.name: expected a text that ends on its line, got more than one line (is the closing quote missing?)"},
      {"DeepNesting", "log: [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n", "v.yml:1:21: expected at most 16 levels, got more"},
  };
}

class BadYaml : public testing::TestWithParam<BadInput> {};

TEST_P(BadYaml, IsRefusedWithTheWholeMessage) { expect_refused(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Row, BadYaml, testing::ValuesIn(rows()), name_of_row);

}  // namespace
}  // namespace vigil
