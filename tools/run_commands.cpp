#include "vigil/tools/run_commands.h"

#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "vigil/config/printable.h"
#include "vigil/tools/command_options.h"
#include "vigil/tools/dump.h"
#include "vigil/tools/export.h"
#ifdef VIGIL_HAS_HISTORY
#include "vigil/tools/history_source.h"
#endif
#include "vigil/tools/ps.h"
#include "vigil/tools/tail.h"
#include "vigil/tools/top.h"

namespace vigil::tools {
namespace {

constexpr const char* kWhichRun =
    "RUN is the name of a run, of which the attempt that lives is taken, else the latest; or the path of a ring file.\n";

constexpr const char* kPsHelp =
    "A line for each ring file. ALERTS: what the rules make of it now; NaN: something was not finite. On a terminal that is too narrow, "
    "columns are left out.\n"
    "Exit code: 0, 1 a directory or the rules cannot be read, 2 wrong usage.\n"
    "Example:   vigil ps\n";
constexpr const char* kDumpHelp =
    "Exit code: 0, 1 a file cannot be read, or not as a whole, 2 wrong usage.\n"
    "Example:   vigil dump /run/vigil/rings/mnist.0.4711.8253.ring\n"
    "           vigil dump --what steps --format csv FILE > steps.csv\n";
constexpr const char* kTailHelp =
    "Exit code: 0 the run finished, or nobody reads any more; 1 it failed, crashed or cannot be read; 2 wrong usage.\n"
    "Example:   vigil tail mnist\n";
constexpr const char* kTopHelp =
    "Keys: g u p x n sort by gradient norm, update ratio, parameter norm, non-finite values, name; s the next of these; arrows, PgUp, "
    "PgDn, "
    "Home and End scroll; r choose a run; space hold; q quit.\n"
    "Exit code: 0, 1 there is no such run, 2 wrong usage, or no terminal.\n"
    "Example:   vigil top mnist\n";
constexpr const char* kExportHelp =
    "Exit code: 0, 1 the run cannot be read, or not as a whole, or the file not written, 2 wrong usage.\n"
    "Example:   vigil export mnist --format openmetrics -o mnist.om && promtool tsdb create-blocks-from openmetrics mnist.om data\n";

std::string interval_problem(const std::string& text) {
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, seconds);
  if (stop == end && error == std::errc{} && seconds >= 0.1 && seconds <= 60) return "";
  return "expected seconds from 0.1 to 60, got " + printable(text);
}

void add_rules(CLI::App& command, std::string& rules) {
  command.add_option("--rules", rules, "Configuration file with the rules; else the defaults")->type_name("FILE");
}

void add_run(CLI::App& command, RunChoice& run, bool is_required) {
  CLI::Option* const name = command.add_option("RUN", run.word, "Name of a run, or path of a ring file");
  if (is_required) name->required();
  command.add_option("--rank", run.rank, "Rank of the run; else the lowest that there is")->check(whole_number_from(0));
  add_directories(command, run.directories);
}

Command add_ps(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("ps", "Lists the runs of this host");
  command.footer(kPsHelp);
  const auto options = std::make_shared<PsOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  add_directories(command, options->directories);
  add_rules(command, options->rules);
  command.add_flag("--json", options->json, "Print one JSON object a line");
  add_color(command, *color);
  return {&command, [options, color] {
            options->place = look_at_output(STDOUT_FILENO, *color);
            options->shows_progress = is_err_terminal();
            return ps(*options, std::cout, std::cerr);
          }};
}

Command add_dump(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("dump", "Prints what is in a ring file, also of a trainer that is gone");
  command.footer(kDumpHelp);
  const auto options = std::make_shared<DumpOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  command.add_option("FILE", options->files, "Ring files")->required();
  add_choice<DumpFormat>(command, "--format", options->format,
                         {{"text", DumpFormat::text}, {"json", DumpFormat::json}, {"csv", DumpFormat::csv}},
                         "Text; an object a line for each file; or one table of one file");
  add_choice<DumpPart>(command, "--what", options->part,
                       {{"all", DumpPart::all},
                        {"summary", DumpPart::summary},
                        {"steps", DumpPart::steps},
                        {"tensors", DumpPart::tensors},
                        {"events", DumpPart::events},
                        {"schema", DumpPart::schema}},
                       "One part; else all but the schema, in CSV the steps");
  command.add_option("--last", options->last, "Steps that are shown; else 10 as text, and all as JSON and CSV")
      ->type_name("N")
      ->check(whole_number_from(std::size_t{0}));
  add_choice<TensorOrder>(command, "--sort", options->order,
                          {{"model", TensorOrder::model},
                           {"name", TensorOrder::name},
                           {"norm", TensorOrder::norm},
                           {"update_ratio", TensorOrder::update_ratio},
                           {"nonfinite", TensorOrder::nonfinite}},
                          "Order of the tensors; else as they stand in the model");
  add_rules(command, options->rules);
  add_color(command, *color);
  return {
      &command, [options, color] {
        options->place = look_at_output(STDOUT_FILENO, *color);
        options->shows_progress = is_err_terminal();
        if (options->format == DumpFormat::csv && (options->files.size() > 1 || options->part == DumpPart::summary)) {
          std::cerr << "vigil: --format csv: expected one file and --what steps, tensors, events or schema; use --format json for more\n";
          return 2;
        }
        return dump(*options, std::cout, std::cerr);
      }};
}

Command add_tail(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("tail", "Follows the steps of a run as they come");
  command.footer(std::string(kWhichRun) + kTailHelp);
  const auto options = std::make_shared<TailOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  add_run(command, options->run, false);
  command.add_flag("--json", options->json, "Print one JSON object a line: run, step, nonfinite, end");
  command.add_flag("--follow", options->follow,
                   "Wait for the run where there is none yet, and go on with its later attempts until one finishes");
  command.add_option("--last", options->last, "Steps that are there already and shown first; 10")
      ->type_name("N")
      ->check(whole_number_from(std::size_t{0}));
  command.add_option("--every", options->every, "Show every Nth step, and those that are not finite")
      ->type_name("N")
      ->check(whole_number_from(std::uint64_t{1}));
  add_color(command, *color);
  return {&command, [options, color] {
            options->place = look_at_output(STDOUT_FILENO, *color);
            return tail(*options, std::cout, std::cerr);
          }};
}

Command add_top(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("top", "Shows a run live in the terminal");
  command.footer(std::string(kWhichRun) + kTopHelp);
  const auto options = std::make_shared<TopOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  const auto seconds = std::make_shared<double>(1);
  add_run(command, options->run, false);
  command.add_flag("--once", options->once, "Print one picture as text; COLUMNS and LINES say how large, where there is no terminal");
  command.add_option("--interval", *seconds, "Seconds between pictures, 0.1 to 60; 1")
      ->type_name("SECONDS")
      ->check(CLI::Validator("").operation(&interval_problem));
  add_rules(command, options->rules);
  add_color(command, *color);
  return {&command, [options, color, seconds] {
            options->place = look_at_output(STDOUT_FILENO, *color);
            options->interval_ms = static_cast<std::int64_t>(*seconds * 1000);
            return top(*options, std::cout, std::cerr);
          }};
}

#ifdef VIGIL_HAS_HISTORY
int export_history(const ExportOptions& options, const std::string& path) {
  try {
    if (options.run.word.empty()) throw std::runtime_error("--storage.path needs the name of a run");
    return export_run(history_source(path, options.run.word, options.run.rank.value_or(0)), options, std::cout, std::cerr);
  } catch (const std::runtime_error& error) {
    std::cerr << "vigil: " << error.what() << '\n';
  }
  return 1;
}
#endif

Command add_export(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("export", "Writes the steps of a run as CSV, JSON or OpenMetrics with timestamps");
  command.footer(std::string(kWhichRun) + kExportHelp);
  const auto options = std::make_shared<ExportOptions>();
  add_run(command, options->run, true);
  add_choice<ExportFormat>(command, "--format", options->format,
                           {{"csv", ExportFormat::csv}, {"json", ExportFormat::json}, {"openmetrics", ExportFormat::openmetrics}},
                           "Else CSV");
  command.add_option("-o,--output", options->output, "File to write, as a whole or not at all; else, or with -, stdout")->type_name("FILE");
  CLI::Option& tensors =
      *command.add_flag("--tensors", options->tensors, "The tensors of sampled steps as well; in CSV in place of the steps");
  command.add_option("--last", options->last, "Steps that are written; else all that are kept")
      ->type_name("N")
      ->check(whole_number_from(std::size_t{0}));
  const auto storage = std::make_shared<std::string>();
#ifdef VIGIL_HAS_HISTORY
  command
      .add_option("--storage.path", *storage, "Database of vigild: the steps of the run's newest attempt out of it, not out of a ring file")
      ->type_name("FILE")
      ->excludes(&tensors);
#else
  static_cast<void>(tensors);
#endif
  return {&command, [options, storage] {
            if (options->output == "-") options->output.clear();
            options->is_terminal = isatty(STDOUT_FILENO) == 1;
            // Not into what is shown on the same terminal.
            options->shows_progress = is_err_terminal() && (!options->is_terminal || !options->output.empty());
#ifdef VIGIL_HAS_HISTORY
            if (!storage->empty()) return export_history(*options, *storage);
#endif
            return export_run(*options, std::cout, std::cerr);
          }};
}

}  // namespace

std::vector<Command> add_run_commands(CLI::App& app) { return {add_ps(app), add_top(app), add_tail(app), add_dump(app), add_export(app)}; }

}  // namespace vigil::tools
