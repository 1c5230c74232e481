#include "vigil/model_tools/summary_command.h"

#include <unistd.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "vigil/model/summary.h"
#include "vigil/model_tools/example_input.h"
#include "vigil/model_tools/saved_module.h"
#include "vigil/tools/model_program.h"

namespace vigil::model_tools {
namespace {

constexpr int kNoSummary = 2;
constexpr const char* kSummaryHelp =
    "With --input-size the model runs once on made-up data, in evaluation mode: its code, too, so give it no file that you do not trust.\n"
    "Without, and of what torch::save wrote, which has no code, the table has parameters only.\n"
    "MACs are multiply-accumulates (two FLOPs each) of matrix products, convolutions, recurrent layers and attention. Activations are the\n"
    "outputs of modules that have parameters; the pass is estimated as twice as much, for the gradients.\n"
    "Exit code: 0, 2 the file cannot be read or run, or wrong usage.\n"
    "Example:   vigil summary model.pt --input-size 1x3x224x224 --depth 2\n"
    "           vigil summary text.pt --input-size 1x128:int64:50257 --json\n";

struct SummaryCommandOptions {
  std::string file;
  std::vector<std::string> input_sizes;
  SummaryTextOptions text;
  bool json = false;
  ColorMode color = ColorMode::automatic;
};

ModelSummary summary_of_file(const SummaryCommandOptions& options) {
  const std::vector<c10::IValue> inputs = example_inputs(options.input_sizes);
  torch::jit::Module module = load_saved_module(options.file);
  if (inputs.empty()) {
    if (has_forward(module))
      std::cerr << "vigil: sizes and MACs need a forward pass: give --input-size, such as 1x3x224x224, for each input\n";
    return model_summary(module);
  }
  if (has_forward(module)) {
    ModelSummary summary;
    run_code([&] { summary = model_summary(module, inputs); });
    return summary;
  }
  tell_unused_inputs("--input-size was");
  return model_summary(module);
}

int run_summary(const SummaryCommandOptions& options) {
  try {
    const ModelSummary summary = summary_of_file(options);
    std::cout << (options.json ? summary_json(summary) + '\n'
                               : summary_text(summary, look_at_output(STDOUT_FILENO, options.color), options.text));
    return 0;
  } catch (const std::exception&) {
    tell_failure();
  }
  return kNoSummary;
}

}  // namespace

tools::Command add_summary(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("summary", std::string(tools::description_of("summary")));
  command.footer(kSummaryHelp);
  const auto options = std::make_shared<SummaryCommandOptions>();
  command.add_option("FILE", options->file, "TorchScript file, or a module that torch::save has written")->required();
  command
      .add_option("--input-size", options->input_sizes,
                  "Sizes of an input, once for each: 1x3x224x224, or 1x128:int64:1000 for whole numbers below 1000")
      ->type_name("SIZES")
      ->take_all();
  command.add_option("--depth", options->text.depth, "Levels of modules that are shown; else all")
      ->type_name("N")
      ->check(tools::whole_number_from(0));
  command.add_flag("--json", options->json, "An object with all modules, in place of the table");
  tools::add_color(command, options->color);
  return {&command, [options] { return run_summary(*options); }};
}

}  // namespace vigil::model_tools
