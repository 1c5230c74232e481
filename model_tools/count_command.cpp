#include "vigil/model_tools/count_command.h"

#include <unistd.h>

#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "vigil/model/parameter_count.h"
#include "vigil/model_tools/saved_module.h"
#include "vigil/tools/model_program.h"

namespace vigil::model_tools {
namespace {

constexpr int kNoModel = 2;
constexpr const char* kCountHelp =
    "A row for each module, with those below it; what shares memory counts once.\n"
    "Exit code: 0, 2 the file is no model that libtorch can load, or wrong usage.\n"
    "Example:   vigil count model.pt --depth 2\n";

int count(const std::string& file, int depth, const OutputPlace& place) {
  try {
    std::cout << parameter_count_text(count_parameters(load_saved_module(file)), depth, place);
    return 0;
  } catch (const std::exception&) {
    tell_failure();
  }
  return kNoModel;
}

}  // namespace

tools::Command add_count(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("count", std::string(tools::description_of("count")));
  command.footer(kCountHelp);
  const auto file = std::make_shared<std::string>();
  const auto depth = std::make_shared<int>(100);
  const auto color = std::make_shared<ColorMode>(ColorMode::automatic);
  command.add_option("FILE", *file, "TorchScript file, or a module that torch::save has written")->required();
  command.add_option("--depth", *depth, "Levels of modules that are shown; else all")->type_name("N")->check(tools::whole_number_from(0));
  tools::add_color(command, *color);
  return {&command, [file, depth, color] { return count(*file, *depth, look_at_output(STDOUT_FILENO, *color)); }};
}

}  // namespace vigil::model_tools
