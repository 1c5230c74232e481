// vigil: the command line.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "vigil/config/flag_values.h"
#include "vigil/config/suggestion.h"
#include "vigil/tools/check_config.h"
#include "vigil/tools/file_commands.h"
#include "vigil/tools/model_program.h"
#include "vigil/tools/replay.h"
#include "vigil/tools/run_commands.h"
#include "vigil/tools/tail.h"

namespace {

constexpr int kUsage = 2;

constexpr const char* kCheckConfigExample =
    "Exit code: 0 the file is valid, 1 it is not, 2 wrong usage.\n"
    "Example:   vigil check-config vigil.yml\n";
constexpr const char* kReplayExample =
    "A file that was rotated comes before its newer one: give both. Files of several ranks are replayed in step, with the rules over "
    "ranks.\n"
    "Exit code: 0, 1 a file cannot be read or a rule of --fail-on fired, 2 wrong usage.\n"
    "Example:   vigil replay run.jsonl.1 run.jsonl --rules vigil.yml --fail-on critical\n";

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) { return app.get_subcommands(std::function<bool(const CLI::App*)>()); }

bool is_of_model_program(const std::string& name) {
  const auto& table = vigil::tools::kModelSubcommands;
  return std::any_of(table.begin(), table.end(), [&](const auto& one) { return one.name == name; });
}

bool is_subcommand(const CLI::App& app, const std::string& name) {
  const auto known = subcommands_of(app);
  return std::any_of(known.begin(), known.end(), [&](const CLI::App* one) { return one->get_name() == name; });
}

int unknown_subcommand(const CLI::App& app, const std::string& name) {
  std::cerr << "vigil: no subcommand is called '" << name << "'";
  std::string nearest;
  std::size_t least = std::clamp<std::size_t>(name.size() / 3, 1, 3) + 1;  // as many errors are another word
  for (const CLI::App* known : subcommands_of(app)) {
    const std::size_t distance = vigil::config_reader::edit_distance(name, known->get_name());
    if (distance >= least) continue;
    least = distance;
    nearest = known->get_name();
  }
  if (!nearest.empty()) std::cerr << " (did you mean '" << nearest << "'?)";
  std::cerr << "\nRun with --help for more information.\n";
  return kUsage;
}

// A host may have more ring files than a shell lets a program open.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run(int argc, char** argv) {
  CLI::App app{"Looks at the configuration and the runs of vigil, and at saved models.", "vigil"};
  app.footer(
      "Exit code: 0, 1 what was asked for failed, 2 wrong usage.\nExample:   vigil ps\n           vigil check-config vigil.yml && vigil "
      "replay "
      "run.jsonl\n");
  app.set_version_flag("--version", std::string("vigil ") + VIGIL_VERSION);
  app.require_subcommand(1);

  std::vector<vigil::tools::Command> commands = vigil::tools::add_run_commands(app);
  for (vigil::tools::Command& command : vigil::tools::add_file_commands(app)) commands.push_back(std::move(command));

  vigil::tools::CheckConfigOptions check;
  CLI::App& check_config = *app.add_subcommand("check-config", "Checks a configuration file and says what its rules are");
  check_config.footer(kCheckConfigExample);
  check_config.add_option("FILE", check.file, "YAML file, as VIGIL_CONFIG names it")->required();
  check_config.add_flag("--quiet", check.quiet, "Print errors only");
  check_config.add_flag("--json", check.json, "Print one JSON object");

  vigil::tools::ReplayOptions replay;
  std::string fail_on;
  CLI::App& replay_runs = *app.add_subcommand("replay", "Runs the rules over JSONL files of runs, without training");
  replay_runs.footer(kReplayExample);
  replay_runs.add_option("FILE", replay.files, "JSONL files that exporters.jsonl has written")->required();
  replay_runs.add_option("--rules", replay.rules, "Configuration file with the rules; else the defaults")->type_name("FILE");
  replay_runs.add_flag("--json", replay.json, "Print one JSON object a line: alerts, then a summary");
  replay_runs.add_option("--fail-on", fail_on, "Exit with 1 when a rule of this severity, or a higher one, fired")
      ->check(CLI::IsMember({"warning", "critical"}));

  for (const auto& [name, description] : vigil::tools::kModelSubcommands) app.add_subcommand(std::string(name), std::string(description));
  if (argc > 1 && is_of_model_program(argv[1])) return vigil::tools::become_model_program(argv);

  // CLI11 would only say that a subcommand is missing.
  if (argc > 1 && argv[1][0] != '-' && !is_subcommand(app, argv[1])) return unknown_subcommand(app, argv[1]);
  try {
    if (argc > 1 && is_subcommand(app, argv[1])) {
      if (const auto fault = vigil::find_app_flag_fault(argc, argv, *app.get_subcommand(argv[1])))
        throw CLI::ValidationError(fault->flag, fault->text);
    }
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  for (const vigil::tools::Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  if (check_config.parsed()) return vigil::tools::check_config(check, std::cout, std::cerr);
  if (!fail_on.empty()) replay.fail_on = fail_on == "critical" ? vigil::Severity::critical : vigil::Severity::warning;
  replay.shows_progress = isatty(STDERR_FILENO) == 1;
  return vigil::tools::replay(replay, std::cout, std::cerr);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::ios::sync_with_stdio(false);
    raise_file_limit();
    const int code = run(argc, argv);
    if (code == vigil::tools::kReaderGone) return 0;
    std::cout.flush();
    if (!std::cout) {
      std::cerr << "vigil: the output cannot be written\n";
      return 1;
    }
    return code;
  } catch (const std::exception& error) {
    std::cerr << "vigil: " << error.what() << '\n';
    return 1;
  }
}
