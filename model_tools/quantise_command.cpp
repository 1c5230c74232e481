#include "vigil/model_tools/quantise_command.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <torch/serialize/input-archive.h>
#include <nlohmann/json.hpp>

#include "vigil/config/printable.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/model/quantisation.h"
#include "vigil/model/quantisation_sensitivity.h"
#include "vigil/model_tools/example_input.h"
#include "vigil/model_tools/saved_module.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/model_program.h"

namespace vigil::model_tools {
namespace {

constexpr int kCannotQuantise = 2;
constexpr const char* kQuantiseHelp =
    "Quantised are parameters of floating point with two dimensions or more, to integers between their extremes; per channel by their\n"
    "first dimension, of transposed convolutions by the second, whose channels of several groups share a scale. SQNR is the signal to\n"
    "quantisation noise ratio, 10 log10(sum of squares / sum of squared errors).\n"
    "With --input-size or --inputs the model runs with its weights, with each of them rounded alone (top-1: how often the same class is\n"
    "first), and with all rounded. That is the file's code, so give it no file that you do not trust. --inputs takes a file of\n"
    "torch::save with a tensor, or a vector of tensors in the order of forward().\n"
    "OUT has the format of FILE. TorchScript has code that computes with floats, and libtorch's C++ cannot exchange it for integer code:\n"
    "its weights are rounded, so it runs as before, is as large as before, and gives what int8 weights give. What torch::save wrote gets\n"
    "integers with their scales: vigil::load_quantised reads it into the module, `vigil inspect` shows it; torch::load does not, unless\n"
    "--rounded writes rounded floats there, too.\n"
    "Exit code: 0, 2 a file cannot be read, run or written, there is nothing to quantise, weights are NaN or Inf, or wrong usage.\n"
    "Example:   vigil quantise model.pt --per-channel --input-size 32,3,224,224\n"
    "           vigil quantise model.pt --exclude 'head.*' -o int8.pt\n";

struct QuantiseOptions {
  std::string file, out, inputs;
  std::vector<std::string> input_sizes;
  ModelQuantisation how;
  bool affine = false, rounded = false, force = false, json = false, quiet = false;
  ColorMode color = ColorMode::automatic;
};

// A tensor, or a vector of them, as torch::save() writes it.
std::vector<c10::IValue> saved_inputs(const std::string& file) {
  open_saved_model(file);  // libtorch's reader trusts what it reads
  torch::serialize::InputArchive archive;
  try {
    archive.load_from(file);
  } catch (const c10::Error& error) {
    throw std::runtime_error("libtorch cannot load '" + file + "': " + first_line(error.what_without_backtrace()));
  }
  std::vector<c10::IValue> inputs;
  for (;;) {
    at::Tensor tensor;
    if (!archive.try_read(std::to_string(inputs.size()), tensor)) break;
    inputs.emplace_back(tensor);
  }
  if (inputs.empty()) throw std::runtime_error("'" + file + "' holds no tensor that torch::save has written");
  return inputs;
}

// Of a copy of the inputs, which a model may write into.
at::Tensor output_of(torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  std::vector<c10::IValue> copies;
  for (const c10::IValue& input : inputs) copies.emplace_back(input.toTensor().clone());
  return first_output(module, copies).detach().clone();
}

struct ComparedOutputs {
  Agreement of_all;  // with all weights rounded
  std::vector<std::optional<Agreement>> of_each;
};

// Of copies, as they are evaluated, so that neither rounding nor eval() gets into what is written, nor what one run keeps into the next.
ComparedOutputs compared_outputs(const torch::jit::Module& module, const QuantiseOptions& options, const std::vector<c10::IValue>& inputs) {
  torch::jit::Module in_float = module.deepcopy();
  in_float.eval();
  torch::jit::Module rounded = in_float.deepcopy();
  ProgressLine progress(std::cerr, !options.quiet && isatty(STDERR_FILENO) == 1);
  const auto show = [&](std::size_t done, std::size_t all) {
    progress.show([&] { return "Rounding one weight at a time: " + grouped(done) + " of " + grouped(all); });
  };
  const auto run = [&](torch::jit::Module& copy) { return output_of(copy, inputs); };
  ComparedOutputs outputs;
  for (const QuantisedWeight& weight : quantisation_sensitivity(in_float, run, options.how, show).weights) {
    outputs.of_each.push_back(weight.outputs);
  }
  quantise_weights(rounded, options.how);
  outputs.of_all = agreement(output_of(in_float, inputs), output_of(rounded, inputs));
  if (outputs.of_all.examples == 0) throw std::invalid_argument("the inputs hold no example, so there are no outputs to compare");
  return outputs;
}

QuantisationReport write_quantised(const QuantiseOptions& options, torch::jit::Module& module, const torch::jit::ExtraFilesMap& extra) {
  if (!options.force) require_other_file(options.file, options.out);
  const bool as_floats = options.rounded || has_forward(module);
  const QuantisationReport report = as_floats ? quantise_weights(module, options.how) : store_integers(module, options.how);
  write_saved_module(module, extra, options.out);
  return report;
}

nlohmann::ordered_json finite_or_word(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

nlohmann::ordered_json json_of(const Agreement& outputs) {
  return {{"examples", outputs.examples},
          {"top1_agreement", outputs.top1()},
          {"nonfinite", outputs.nonfinite},
          {"sqnr_db", finite_or_word(outputs.sqnr_db())},
          {"max_difference", outputs.largest_difference}};
}

nlohmann::ordered_json json_of(const QuantisationReport& report, const std::optional<ComparedOutputs>& outputs,
                               const QuantiseOptions& options) {
  nlohmann::ordered_json weights = nlohmann::ordered_json::array();
  for (const QuantisedWeight& weight : report.weights) {
    nlohmann::ordered_json one{{"name", weight.name},
                               {"type", weight.kind},
                               {"shape", weight.sizes},
                               {"quantised", !weight.is_kept},
                               {"bytes_before", weight.bytes_before},
                               {"bytes_after", weight.bytes_after}};
    if (!weight.is_kept) {
      one["scheme"] = weight.scheme;
      one["sqnr_db"] = finite_or_word(weight.error.sqnr_db());
      one["max_error"] = weight.error.largest_error;
      one["became_zero"] = weight.error.zeroed;
      one["clipped"] = weight.error.clipped;
      if (!weight.execution.empty()) one["how"] = weight.execution;
      if (weight.outputs) one["outputs"] = json_of(*weight.outputs);
    }
    weights.push_back(std::move(one));
  }
  nlohmann::ordered_json all{{"file", options.file},
                             {"bytes_before", report.model_bytes_before},
                             {"bytes_after", report.model_bytes_after},
                             {"weights", std::move(weights)}};
  if (outputs) all["outputs"] = json_of(outputs->of_all);
  if (!options.out.empty()) all["written"] = options.out;
  return all;
}

std::string outputs_text(const Agreement& outputs) {
  char figures[160];
  std::snprintf(figures, sizeof figures, " (%.2f %%); SQNR %.1f dB, largest difference %.3g", 100 * outputs.top1(), outputs.sqnr_db(),
                outputs.largest_difference);
  std::string text = "Outputs: the same class is first in " + grouped(outputs.agreeing) + " of " + grouped(outputs.examples) + figures;
  if (outputs.nonfinite == outputs.examples) return "Outputs: NaN or Inf in all " + grouped(outputs.examples) + '\n';
  if (outputs.noise == 0 && outputs.nonfinite == 0) text = "Outputs: the same in all " + grouped(outputs.examples);
  if (outputs.nonfinite > 0) text += "; NaN or Inf in " + grouped(outputs.nonfinite);
  return text + '\n';
}

int run_quantise(const QuantiseOptions& options) {
  try {
    std::vector<c10::IValue> inputs = options.inputs.empty() ? example_inputs(options.input_sizes) : saved_inputs(options.inputs);
    torch::jit::ExtraFilesMap extra;
    torch::jit::Module module = load_saved_module(options.file, extra);
    QuantisationReport report = quantisation_report(module, options.how);
    bool is_any_quantised = false;
    for (const QuantisedWeight& weight : report.weights) is_any_quantised |= !weight.is_kept;
    if (!is_any_quantised) throw std::invalid_argument("'" + options.file + "' has no weights to quantise");
    std::optional<ComparedOutputs> outputs;
    if (!inputs.empty() && has_forward(module)) outputs = compared_outputs(module, options, inputs);
    if (!options.out.empty()) report = write_quantised(options, module, extra);
    for (std::size_t i = 0; outputs && i < report.weights.size(); ++i) report.weights[i].outputs = outputs->of_each.at(i);
    if (options.json) {
      std::cout << json_of(report, outputs, options).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << '\n';
    } else if (!options.quiet) {
      std::cout << quantisation_table(report, look_at_output(STDOUT_FILENO, options.color));
      if (outputs) std::cout << outputs_text(outputs->of_all);
      if (!options.out.empty()) std::cout << "Written to " << printable(options.out) << '\n';
    }
    if (!inputs.empty() && !outputs) tell_unused_inputs("the inputs were");
    return 0;
  } catch (const std::exception&) {
    tell_failure();
  }
  return kCannotQuantise;
}

}  // namespace

tools::Command add_quantise(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("quantise", std::string(tools::description_of("quantise")));
  command.footer(kQuantiseHelp);
  const auto options = std::make_shared<QuantiseOptions>();
  command.add_option("FILE", options->file, "TorchScript file, or a module that torch::save has written")->required();
  command.add_flag("--per-channel", options->how.layer.grid.per_channel, "A scale for each output, else one for the tensor");
  command.add_flag("--affine", options->affine, "With a zero point, else symmetric");
  command.add_option("--bits", options->how.layer.grid.bits, "2 to 8; else 8. Fewer are kept in 8, too")
      ->type_name("N")
      ->check(CLI::Range(2, 8));
  command.add_option("--include", options->how.include, "Names to quantise, else all; may be repeated")
      ->type_name("PATTERN")
      ->expected(1)
      ->take_all();
  command.add_option("--exclude", options->how.exclude, "Names to leave as they are; may be repeated")
      ->type_name("PATTERN")
      ->expected(1)
      ->take_all();
  CLI::Option* const sizes = command
                                 .add_option("--input-size", options->input_sizes,
                                             "Sizes of an input of made-up data, once for each: 32,3,224,224, or 32,128:int64:1000")
                                 ->type_name("SIZES")
                                 ->take_all();
  command.add_option("--inputs", options->inputs, "File with inputs, in the place of made-up ones")->type_name("FILE")->excludes(sizes);
  CLI::Option* const out = command.add_option("-o,--out", options->out, "File to write; there as a whole or not at all")->type_name("OUT");
  command.add_flag("--rounded", options->rounded, "OUT holds rounded floats, whatever FILE is")->needs(out);
  command.add_flag("--force", options->force, "OUT may be FILE")->needs(out);
  command.add_flag("--json", options->json, "JSON");
  command.add_flag("--quiet", options->quiet, "Print errors only");
  tools::add_color(command, options->color);
  return {&command, [options] {
            options->how.layer.grid.is_symmetric = !options->affine;
            return run_quantise(*options);
          }};
}

}  // namespace vigil::model_tools
