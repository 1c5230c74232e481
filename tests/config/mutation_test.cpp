// Whatever a file holds, reading it ends in a valid Config or in a ConfigError.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "effort.h"
#include "vigil/config/config_reader.h"

namespace vigil {
namespace {

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::string mutated(std::string text) {
    for (std::size_t edits = 1 + below(4); edits > 0; --edits) edit(text);
    return text;
  }

  std::string noise() {
    std::string text(below(80), ' ');
    for (char& c : text) c = below(2) == 0 ? kMarks[below(sizeof kMarks - 1)] : static_cast<char>(below(256));
    return text;
  }

 private:
  static constexpr char kMarks[] = "\n\n  ::--[]{}\"'#,&*!|>%@`?~\\<\t\r01a";

  std::size_t below(std::size_t bound) { return random_() % bound; }

  void edit(std::string& text) {
    const std::size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0: text.insert(at, 1, kMarks[below(sizeof kMarks - 1)]); break;
      case 1: text.erase(at, 1 + below(20)); break;
      case 2: text.insert(at, text.substr(below(text.size() + 1), below(60))); break;
      case 3:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      default: text.insert(at, 1 + below(6), ' ');
    }
  }

  std::mt19937 random_;
};

// Answers whether the text was accepted.
bool is_read_or_refused(const std::string& text) {
  try {
    const Config config = parse_config(text);
    EXPECT_NO_THROW(validate(config)) << text;
    EXPECT_EQ(to_yaml(parse_config(to_yaml(config))), to_yaml(config)) << text;
    return true;
  } catch (const ConfigError& error) {
    EXPECT_FALSE(error.problems().empty()) << text;
    for (const ConfigProblem& problem : error.problems()) {
      EXPECT_EQ(problem.message().find('\n'), std::string::npos) << text;
      EXPECT_EQ(problem.text.rfind("expected ", 0), 0u) << problem.text;
      EXPECT_NE(problem.text.find(", got "), std::string::npos) << problem.text;
    }
  }
  return false;
}

TEST(Mutations, OfTheDefaultFileAreReadOrRefused) {
  std::ifstream file(VIGIL_DEFAULT_YML, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  ASSERT_FALSE(text.empty());
  Mutator mutator(1);
  int accepted = 0;
  for (int i = 0; i < test::rounds(3000); ++i) accepted += is_read_or_refused(mutator.mutated(text));
  EXPECT_GT(accepted, test::rounds(100));  // the mutations are small enough to reach past the syntax
  EXPECT_LT(accepted, test::rounds(2900));
}

TEST(Mutations, OfAShortFileAreReadOrRefused) {
  const std::string text = "run: {name: \"a\", model: b}\nsampling:\n  include:\n    - '*.w'\nexporters:\n  jsonl:\n    max_bytes: 1GiB\n";
  Mutator mutator(2);
  int accepted = 0;
  for (int i = 0; i < test::rounds(10000); ++i) accepted += is_read_or_refused(mutator.mutated(text));
  EXPECT_GT(accepted, test::rounds(200));
  EXPECT_LT(accepted, test::rounds(9500));
}

TEST(Mutations, RandomBytesAreReadOrRefused) {
  Mutator mutator(3);
  for (int i = 0; i < test::rounds(10000); ++i) is_read_or_refused(mutator.noise());
}

}  // namespace
}  // namespace vigil
