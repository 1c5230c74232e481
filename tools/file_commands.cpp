#include "vigil/tools/file_commands.h"

#include <iostream>
#include <memory>

#include "vigil/monitor/dtype.h"
#include "vigil/tools/diff_models.h"
#include "vigil/tools/inspect.h"
#include "vigil/tools/verify_model.h"

namespace vigil::tools {
namespace {

constexpr const char* kWhichFiles =
    "FILE is a TorchScript module, or what torch::save or Python's torch.save wrote. Nothing in it is run, and libtorch is not needed.\n";
constexpr const char* kInspectHelp =
    "Of a run, by its ring file or its name, it shows what the latest sample tells of parameters, gradients, buffers and activations.\n"
    "Exit code: 0, 1 a tensor cannot be read, or there is none of that name, or the report cannot be written, 2 the file is no model and "
    "no run, or wrong usage.\n"
    "Example:   vigil inspect model.pt --sort size\n"
    "           vigil inspect model.pt --tensor conv1.weight\n"
    "           vigil inspect model.pt --distributions --report model.html\n"
    "           vigil inspect mnist --report run.html\n";
constexpr const char* kDiffHelp =
    "Tensors are compared by name, bit by bit.\n"
    "Exit code: 0 equal, 1 different, 2 one of them is no model or is damaged, or wrong usage.\n"
    "Example:   vigil diff before.pt after.pt\n"
    "           vigil diff model.pt converted.pt --threshold 1e-6\n";
constexpr const char* kVerifyHelp =
    "Faults: NaN, Inf, tensors that are all zero or constant where they should not be, many denormals, tensors with the values of another "
    "one, checksums that do not match. Notes: what healthy models have as well, such as a LayerNorm of ones.\n"
    "Exit code: 0 fine, 1 not, 2 the file is no model, or wrong usage.\n"
    "Example:   vigil verify model.pt && deploy model.pt\n";

void add_threads(CLI::App& command, unsigned& threads) {
  command.add_option("--threads", threads, "Tensors that are read at once; else as many as the machine runs threads")
      ->type_name("N")
      ->check(whole_number_from(1U));
}

std::string share_problem(const std::string& text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop == end && error == std::errc{} && is_finite_bits(value) && value >= 0) return "";
  return "expected a number from 0 on, got " + printable(text);
}

Command add_inspect(CLI::App& app) {
  CLI::App& command = *app.add_subcommand(
      "inspect", "Shows what is in a saved model, or in the latest sample of a run: tensors, their values, what is wrong with them");
  command.footer(std::string(kWhichFiles) + kInspectHelp);
  const auto options = std::make_shared<InspectOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  command.add_option("FILE", options->file, "Saved model, ring file, or name of a run")->required();
  command.add_option("--tensor", options->tensor, "All that is known of this one")->type_name("NAME");
  add_choice<ModelOrder>(command, "--sort", options->order,
                         {{"file", ModelOrder::file},
                          {"name", ModelOrder::name},
                          {"size", ModelOrder::size},
                          {"std", ModelOrder::std},
                          {"zeros", ModelOrder::zeros},
                          {"nonfinite", ModelOrder::nonfinite}},
                         "Order of the tensors; else as they stand in the file");
  command.add_flag("--distributions", options->distributions, "Moments, quantiles and histograms of the tensors in place of their table");
  command.add_option("--report", options->report, "Write all of it as one page of HTML as well, with pictures")->type_name("HTML");
  command.add_option("--rank", options->rank, "Rank of the run; else the lowest that there is")->check(whole_number_from(0));
  add_directories(command, options->directories);
  command.add_flag("--json", options->json, "Print one JSON object");
  add_threads(command, options->threads);
  add_color(command, *color);
  return {&command, [options, color] {
            options->place = look_at_output(STDOUT_FILENO, *color);
            options->shows_progress = is_err_terminal();
            return inspect(*options, std::cout, std::cerr);
          }};
}

Command add_diff(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("diff", "Says which tensors of two saved models differ, and by how much");
  command.footer(std::string(kWhichFiles) + kDiffHelp);
  const auto options = std::make_shared<DiffOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  command.add_option("A", options->a, "Saved model")->required();
  command.add_option("B", options->b, "Saved model")->required();
  command
      .add_option("--threshold", options->threshold,
                  "Changes of finite values up to this, in ||b - a|| / ||a|| of a tensor, count as none; else every bit counts")
      ->type_name("NUMBER")
      ->check(CLI::Validator("").operation(&share_problem));
  command.add_flag("--json", options->json, "Print one JSON object");
  add_threads(command, options->threads);
  add_color(command, *color);
  return {&command, [options, color] {
            options->place = look_at_output(STDOUT_FILENO, *color);
            options->shows_progress = is_err_terminal();
            return diff_models(*options, std::cout, std::cerr);
          }};
}

Command add_verify(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("verify", "Checks a saved model: exit code 1 names every fault");
  command.footer(std::string(kWhichFiles) + kVerifyHelp);
  const auto options = std::make_shared<VerifyOptions>();
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  command.add_option("FILE", options->file, "Saved model")->required();
  command.add_flag("--strict", options->strict, "Notes count as faults");
  command.add_flag("--json", options->json, "Print one JSON object");
  add_threads(command, options->threads);
  add_color(command, *color);
  return {&command, [options, color] {
            options->place = look_at_output(STDOUT_FILENO, *color);
            options->shows_progress = is_err_terminal();
            return verify_model(*options, std::cout, std::cerr);
          }};
}

}  // namespace

std::vector<Command> add_file_commands(CLI::App& app) { return {add_inspect(app), add_diff(app), add_verify(app)}; }

}  // namespace vigil::tools
