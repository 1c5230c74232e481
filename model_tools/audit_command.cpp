#include "vigil/model_tools/audit_command.h"

#include <unistd.h>

#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "vigil/model/initialisation_audit.h"
#include "vigil/model_tools/example_input.h"
#include "vigil/model_tools/saved_module.h"
#include "vigil/tools/model_program.h"

namespace vigil::model_tools {
namespace {

constexpr int kFound = 1, kNotAudited = 2;
constexpr const char* kAuditHelp =
    "With --input-size the model runs once, forward and backward, on made-up data: its code, too, so give it no file that you do not "
    "trust.\n"
    "Without, and of what torch::save wrote, which has no code, the weights alone are looked at. FILE is not written.\n"
    "Exit code: 0 nothing found, 1 something found, 2 the file cannot be read or run, or wrong usage.\n"
    "Example:   vigil audit model.pt --input-size 32,3,224,224\n"
    "           vigil audit text.pt --input-size 32,128:int64:50257\n";

struct AuditCommandOptions {
  std::string file;
  std::vector<std::string> input_sizes;
  bool no_backward = false;
  ColorMode color = ColorMode::automatic;
};

int run_audit(const AuditCommandOptions& options) {
  try {
    const std::vector<c10::IValue> inputs = example_inputs(options.input_sizes);
    torch::jit::Module module = load_saved_module(options.file);
    const std::vector<LayerParameter> parameters = layer_parameters(module);
    if (parameters.empty()) throw std::runtime_error("'" + options.file + "' has no parameters");
    std::vector<std::pair<std::string, at::Tensor>> buffers;
    for (const auto& buffer : module.named_buffers()) buffers.emplace_back(buffer.name, buffer.value);
    std::function<at::Tensor()> forward;
    if (!inputs.empty() && has_forward(module)) forward = [&] { return first_output(module, inputs); };
    AuditOptions audit_options;
    audit_options.backward = !options.no_backward;
    const InitialisationAudit audit = audit_initialisation(parameters, buffers, forward, audit_options);
    std::cout << audit_text(audit, look_at_output(STDOUT_FILENO, options.color));
    if (!inputs.empty() && !forward) tell_unused_inputs("--input-size was");
    return audit.is_good() ? 0 : kFound;
  } catch (const std::exception&) {
    tell_failure("the model cannot be run: ");
  }
  return kNotAudited;
}

}  // namespace

tools::Command add_audit(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("audit", std::string(tools::description_of("audit")));
  command.footer(kAuditHelp);
  const auto options = std::make_shared<AuditCommandOptions>();
  command.add_option("FILE", options->file, "TorchScript file, or a module that torch::save has written")->required();
  command
      .add_option("--input-size", options->input_sizes,
                  "Sizes of an input, once for each: 32,3,224,224, or 32,128:int64:1000 for whole numbers below 1000")
      ->type_name("SIZES")
      ->take_all();
  command.add_flag("--no-backward", options->no_backward, "Look at no gradients");
  tools::add_color(command, options->color);
  return {&command, [options] { return run_audit(*options); }};
}

}  // namespace vigil::model_tools
