#include "vigil/model_tools/prune_command.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "vigil/config/printable.h"
#include "vigil/model/pruning.h"
#include "vigil/model/pruning_report.h"
#include "vigil/model_tools/saved_module.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/model_program.h"

namespace vigil::model_tools {
namespace {

constexpr int kCannotPrune = 2;
constexpr const char* kPruneHelp =
    "OUT has the format of FILE: TorchScript keeps its code, and what torch::save wrote loads by torch::load into the same module.\n"
    "By default the weights of layers are pruned: parameters of at least two dimensions with \"weight\" in the last part of their name.\n"
    "Those of embeddings and norms are not, but torch::save does not write which they are: --exclude them there.\n"
    "Patterns are a shell's, of whole names: 'encoder.*', '*.fc?.weight'.\n"
    "Methods:   l1               the weights of the smallest magnitude\n"
    "           random           any weights\n"
    "           ln               the channels (slices along --dim) of the smallest norm, in each layer\n"
    "           random-channels  any channels, in each layer\n"
    "Exit code: 0, 2 a file cannot be read or written, there is nothing to prune, weights are NaN or Inf, or wrong usage.\n"
    "Example:   vigil prune model.pt --amount 0.8 -o pruned.pt\n"
    "           vigil prune model.pt --amount 0.25 --method ln --dim 0 --include 'conv*.weight' -o pruned.pt\n";

struct PruneOptions {
  std::string file, out, norm;
  double amount = -1;
  std::int64_t count = -1;
  PruningMethod method;
  std::optional<PruningMethod::Scope> scope;
  std::optional<std::int64_t> dim;
  std::optional<std::uint64_t> seed;
  PruningTargets targets;
  bool force = false, quiet = false;
  ColorMode color = ColorMode::automatic;
};

double norm_from(const std::string& text) {
  if (text == "inf") return std::numeric_limits<double>::infinity();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  const bool is_number = !text.empty() && *end == '\0' && text.find_first_not_of("0123456789.") == std::string::npos;
  if (!is_number || value <= 0) throw std::invalid_argument("--norm: expected 1, 2, inf or another number above 0, got '" + text + "'");
  return value;
}

PruningMethod method_of(const PruneOptions& options) {
  PruningMethod method = options.method;
  const bool by_norm = method.kind == PruningMethod::Kind::ln_channels;
  const bool at_random = method.kind == PruningMethod::Kind::random || method.kind == PruningMethod::Kind::random_channels;
  if (options.dim && !method.takes_channels()) throw std::invalid_argument("--dim is for --method ln and random-channels");
  if (!options.norm.empty() && !by_norm) throw std::invalid_argument("--norm is for --method ln");
  if (options.seed && !at_random) throw std::invalid_argument("--seed is for --method random and random-channels");
  if (method.takes_channels() && options.scope == PruningMethod::Scope::global) {
    throw std::invalid_argument("--scope global is for --method l1 and random: channels are pruned in each layer");
  }
  if (options.scope) method.scope = *options.scope;
  if (options.dim) method.dim = *options.dim;
  if (options.seed) method.seed = *options.seed;
  if (!options.norm.empty()) method.norm = norm_from(options.norm);
  return method;
}

std::string summary_of(const PruningMasks& masks, const PruningMethod& method, std::uint64_t bytes, const std::string& out) {
  char share[32];
  std::snprintf(share, sizeof share, "%.2f %%", 100 * masks.sparsity());
  const char* how = method.kind == PruningMethod::Kind::l1            ? "the smallest by magnitude"
                    : method.kind == PruningMethod::Kind::ln_channels ? "by the norms of their channels"
                                                                      : "at random";
  const bool is_global = !method.takes_channels() && method.scope == PruningMethod::Scope::global;
  return "\nPruned " + grouped(masks.pruned_count()) + " of " + grouped(masks.element_count()) + " weights (" + share + "), " + how +
         (is_global ? " of all layers together" : " in each layer") + "; at best " + grouped(bytes) +
         " bytes without the zeros. Written to " + printable(out) + '\n';
}

int run_prune(const PruneOptions& options) {
  try {
    const PruningMethod method = method_of(options);
    if (!options.force) require_other_file(options.file, options.out);
    torch::jit::ExtraFilesMap extra;
    torch::jit::Module module = load_saved_module(options.file, extra);
    std::vector<PrunableParameter> all = parameters_with_types(module);
    PruningMasks masks(chosen_parameters(all, options.targets));
    for (const auto& buffer : module.named_buffers()) all.push_back({buffer.name, buffer.value});
    const PruningReport before = pruning_report(all, masks.parameters());
    masks.prune(options.count >= 0 ? PruningAmount::count(options.count) : PruningAmount::share(options.amount), method);
    const PruningReport after = pruning_report(all, masks.parameters());
    write_saved_module(module, extra, options.out);
    if (!options.quiet) {
      std::uint64_t bytes = after.others.bytes.dense;
      for (const PrunedTensor& tensor : after.tensors) bytes += tensor.bytes.smallest();
      std::cout << pruning_text(before, after, look_at_output(STDOUT_FILENO, options.color))
                << summary_of(masks, method, bytes, options.out);
    }
    return 0;
  } catch (const std::exception&) {
    tell_failure();
  }
  return kCannotPrune;
}

std::string share_problem(const std::string& text) {
  double share = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, share);
  if (stop == end && error == std::errc{} && share >= 0 && share <= 1) return "";
  return "expected a share from 0 to 1, got " + printable(text);
}

void add_method_options(CLI::App& command, PruneOptions& options) {
  using Kind = PruningMethod::Kind;
  using Scope = PruningMethod::Scope;
  tools::add_choice<Kind>(
      command, "--method", options.method.kind,
      {{"l1", Kind::l1}, {"random", Kind::random}, {"ln", Kind::ln_channels}, {"random-channels", Kind::random_channels}},
      "What goes first; else l1");
  tools::add_choice<std::optional<Scope>>(command, "--scope", options.scope, {{"global", Scope::global}, {"layer", Scope::layer}},
                                          "The amount is of all layers together, or of each; else global, of channels layer");
  command
      .add_option_function<std::int64_t>(
          "--dim", [&options](std::int64_t dim) { options.dim = dim; }, "Dimension of the channels: 0 outputs (else), 1 inputs")
      ->type_name("N");
  command.add_option("--norm", options.norm, "Of the channels: 1, 2 (else), inf")->type_name("P");
  command
      .add_option_function<std::uint64_t>(
          "--seed", [&options](std::uint64_t seed) { options.seed = seed; }, "Of the random methods; else 0")
      ->type_name("N")
      ->check(tools::whole_number_from<std::uint64_t>(0));
}

}  // namespace

tools::Command add_prune(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("prune", std::string(tools::description_of("prune")));
  command.footer(kPruneHelp);
  const auto options = std::make_shared<PruneOptions>();
  command.add_option("FILE", options->file, "TorchScript file, or a module that torch::save has written")->required();
  CLI::Option* const amount = command.add_option("--amount", options->amount, "Share to prune")
                                  ->type_name("0..1")
                                  ->check(CLI::Validator("").operation([](std::string& text) { return share_problem(text); }));
  command.add_option("--count", options->count, "Number to prune, in place of the share")
      ->type_name("N")
      ->check(tools::whole_number_from<std::int64_t>(0))
      ->excludes(amount);
  add_method_options(command, *options);
  command.add_option("--include", options->targets.include, "Names to prune, whatever they are; may be repeated")
      ->type_name("PATTERN")
      ->expected(1)
      ->take_all();
  command.add_option("--exclude", options->targets.exclude, "Names to leave as they are; may be repeated")
      ->type_name("PATTERN")
      ->expected(1)
      ->take_all();
  command.add_option("-o,--out", options->out, "File to write; there as a whole or not at all")->required()->type_name("OUT");
  command.add_flag("--force", options->force, "OUT may be FILE");
  command.add_flag("--quiet", options->quiet, "Print errors only");
  tools::add_color(command, options->color);
  return {&command, [options] {
            if (options->amount < 0 && options->count < 0) {
              std::cerr << "vigil: --amount or --count says how much to prune; give one\nRun with --help for more information.\n";
              return kCannotPrune;
            }
            return run_prune(*options);
          }};
}

}  // namespace vigil::model_tools
