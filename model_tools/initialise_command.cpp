#include "vigil/model_tools/initialise_command.h"

#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "vigil/config/initialisation.h"
#include "vigil/config/printable.h"
#include "vigil/model/initialisation.h"
#include "vigil/model_tools/saved_module.h"
#include "vigil/tools/model_program.h"

namespace vigil::model_tools {
namespace {

constexpr int kCannot = 2;
constexpr const char* kInitialiseHelp =
    "What no rule matches is copied as it is. OUT has the format of FILE: TorchScript keeps its code, and what torch::save wrote loads by\n"
    "torch::load into the same module. The modules' types are those of TorchScript; torch::save writes none, and they are guessed from\n"
    "names and sizes.\n"
    "Exit code: 0, 2 a file cannot be read or written, the policy is wrong or cannot be applied, or wrong usage.\n"
    "Example:   vigil initialise model.pt --preset kaiming_relu --seed 1 -o fresh.pt\n"
    "           vigil initialise model.pt --policy initialisation.yml -o fresh.pt\n";

struct InitialiseOptions {
  std::string file, out, policy, preset;
  std::optional<Activation> activation;
  std::optional<std::int64_t> seed;
  bool force = false, quiet = false;
  ColorMode color = ColorMode::automatic;
};

InitialisationPolicy policy_of(const InitialiseOptions& options) {
  InitialisationPolicy policy = options.policy.empty()
                                    ? initialisation_preset(options.preset, options.activation.value_or(Activation::relu))
                                    : load_initialisation_policy(options.policy);
  if (options.seed) policy.seed = static_cast<std::uint64_t>(*options.seed);
  if (!policy.seed) policy.seed = 0;  // the same file twice is the same model twice
  return policy;
}

int run_initialise(const InitialiseOptions& options) {
  try {
    const InitialisationPolicy policy = policy_of(options);
    if (!options.force) require_other_file(options.file, options.out);
    torch::jit::ExtraFilesMap extra;
    const torch::jit::Module module = load_saved_module(options.file, extra);
    const InitialisationReport report = initialise(layer_parameters(module), policy);
    if (report.tensors.empty()) throw std::runtime_error("'" + options.file + "' has no parameters");
    write_saved_module(module, extra, options.out);
    if (!options.quiet) {
      std::cout << initialisation_text(report, look_at_output(STDOUT_FILENO, options.color)) << "\nSeed " << *policy.seed << ", written to "
                << printable(options.out) << '\n';
    }
    return 0;
  } catch (const c10::Error& error) {
    std::cerr << "vigil: " << first_line(error.what_without_backtrace()) << '\n';
  } catch (const std::exception& error) {
    // Several lines, each a problem of the policy.
    std::string text = error.what(), line;
    for (std::size_t from = 0; from <= text.size();) {
      const std::size_t end = std::min(text.find('\n', from), text.size());
      std::cerr << "vigil: " << printable(text.substr(from, end - from)) << '\n';
      from = end + 1;
    }
  }
  return kCannot;
}

}  // namespace

tools::Command add_initialise(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("initialise", std::string(tools::description_of("initialise")));
  command.footer(kInitialiseHelp);
  const auto options = std::make_shared<InitialiseOptions>();
  command.add_option("FILE", options->file, "TorchScript file, or a module that torch::save has written")->required();
  CLI::Option* const policy =
      command.add_option("--policy", options->policy, "YAML with the rules; examples/initialisation.yml shows all")->type_name("FILE");
  tools::Choices<std::string> presets;
  for (const std::string& name : initialisation_presets()) presets.emplace_back(name, name);
  tools::add_choice<std::string>(command, "--preset", options->preset, presets, "Rules that come with vigil");
  command.get_option("--preset")->excludes(policy);
  tools::Choices<std::optional<Activation>> activations;
  for (const Activation one :
       {Activation::linear, Activation::relu, Activation::leaky_relu, Activation::tanh, Activation::sigmoid, Activation::selu}) {
    activations.emplace_back(std::string(name_of(one)), one);
  }
  tools::add_choice<std::optional<Activation>>(command, "--activation", options->activation, activations,
                                               "For the preset default; else relu");
  command.get_option("--activation")->excludes(policy);
  command
      .add_option_function<std::int64_t>(
          "--seed", [options](std::int64_t seed) { options->seed = seed; }, "In place of the policy's; 0 where neither says")
      ->type_name("N")
      ->check(tools::whole_number_from<std::int64_t>(0));
  command.add_option("-o,--out", options->out, "File to write; there as a whole or not at all")->required()->type_name("OUT");
  command.add_flag("--force", options->force, "OUT may be FILE");
  command.add_flag("--quiet", options->quiet, "Print errors only");
  tools::add_color(command, options->color);
  return {&command, [options] {
            if (options->policy.empty() && options->preset.empty()) {
              std::cerr << "vigil: --policy or --preset says how to initialise; give one\nRun with --help for more information.\n";
              return kCannot;
            }
            if (options->activation && options->preset != "default") {
              std::cerr << "vigil: --activation is for --preset default\n";
              return kCannot;
            }
            return run_initialise(*options);
          }};
}

}  // namespace vigil::model_tools
