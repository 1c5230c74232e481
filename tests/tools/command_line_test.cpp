// What the program says of itself, and what it says to a wrong call.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tools/command.h"

namespace vigil {
namespace {

using namespace test;

TEST(CommandLine, SaysItsVersion) {
  const CommandResult result = run_vigil({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "vigil " VIGIL_VERSION "\n");
}

TEST(CommandLine, HelpNamesEverySubcommandAndShowsAnExample) {
  const CommandResult result = run_vigil({"--help"});
  EXPECT_EQ(result.code, 0);
  for (const char* word : {"ps", "top", "tail", "dump", "export", "check-config", "replay", "Example:   vigil "})
    EXPECT_NE(result.out.find(word), std::string::npos) << word;
  for (const std::string subcommand : {"ps", "top", "tail", "dump", "export", "check-config", "replay"}) {
    const CommandResult help = run_vigil({subcommand, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("Example:   vigil " + subcommand), std::string::npos) << help.out;
    EXPECT_NE(help.out.find("Exit code: 0"), std::string::npos) << help.out;
  }
}

TEST(CommandLine, AWrongCallIsExitCode2AndSaysWhatIsWrong) {
  struct Call {
    std::vector<std::string> arguments;
    const char* says;
  };
  for (const Call& call : {Call{{}, "A subcommand is required"},
                           Call{{"repaly", "x"}, "(did you mean 'replay'?)"},
                           Call{{"check-config"}, "FILE is required"},
                           Call{{"replay"}, "FILE is required"},
                           Call{{"replay", "x", "--fail-on", "sometimes"}, "warning"},
                           Call{{"tpo"}, "(did you mean 'top'?)"},
                           Call{{"dump"}, "FILE is required"},
                           Call{{"export"}, "RUN is required"},
                           Call{{"dump", "x", "--format", "xml"}, "--format: expected text|json|csv, got 'xml'"},
                           Call{{"top", "--color", "blue"}, "--color: expected auto|always|never, got 'blue'"},
                           Call{{"tail", "--last", "-1"}, "--last: expected a whole number from 0 on, got -1\n"},
                           Call{{"dump", "x", "--last", "1.5"}, "--last: expected a whole number from 0 on, got 1.5\n"},
                           Call{{"export", "x", "--last", "many"}, "--last: expected a whole number from 0 on, got many\n"},
                           Call{{"tail", "--every", "0"}, "--every: expected a whole number from 1 on, got 0\n"},
                           Call{{"top", "--rank", "-1"}, "--rank: expected a whole number from 0 on, got -1\n"},
                           Call{{"top", "--rank", "3000000000"}, "--rank: expected a whole number from 0 on, got 3000000000\n"},
                           Call{{"top", "--interval", "0"}, "--interval: expected seconds from 0.1 to 60, got 0\n"},
                           Call{{"replay", "--jsn", "x"}, "--jsn"},
                           Call{{"check-config", "a", "b"}, "b"},
                           Call{{"ps", "--ring.directory=", "--json"}, "--ring.directory: expected a value, got an empty text"},
                           Call{{"ps", "--ring.directory", ""}, "--ring.directory: expected a value, got an empty text"},
                           Call{{"export", "x", "--output=", "--format", "json"}, "--output: expected a value, got an empty text"},
                           Call{{"export", "x", "-o", ""}, "-o: expected a value, got an empty text"},
                           Call{{"replay", "x", "--rules", "--json"}, "--rules: expected a value, got '--json'"}}) {
    const CommandResult result = run_vigil(call.arguments);
    EXPECT_EQ(result.code, 2) << call.says;
    EXPECT_NE(result.err.find(call.says), std::string::npos) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST(CommandLine, SuggestsOnlyWhatComesNear) {
  for (const std::string word : {"foo", "abcd", "check", "x"}) {
    EXPECT_EQ(run_vigil({word}).err.find("did you mean"), std::string::npos) << word;
  }
}

}  // namespace
}  // namespace vigil
