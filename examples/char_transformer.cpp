// Trains a character-level transformer (a decoder like GPT's) on a text under vigil, with a validation phase in between. Says before it
// begins how its model is built and initialised, and at its end which smaller number formats its tensors would bear.
//
//   char_transformer                        500 steps on the licence texts that Debian brings
//   char_transformer --text FILE            on a text of your own
//   char_transformer --made-text            on sentences of a small grammar, the same on every machine
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <vigil/hooks/training_monitor.h>
#include <vigil/model/initialisation_audit.h>
#include <vigil/model/summary.h>
#include <vigil/monitor/dtype.h>
#include <vigil/monitor/number_format.h>
#include <vigil/terminal/table.h>
#include <vigil/terminal/text_cells.h>

namespace {

struct Options {
  std::string text, config, optimizer = "adamw";
  double learning_rate = 0;  // 0: what suits the optimizer
  std::uint64_t steps = 500, validate_every = 100, seed = 1;
  std::int64_t batch = 16, context = 64, width = 64, heads = 4, layers = 2;
  int threads = 0, port = -1;
  bool made_text = false;
};

struct BlockImpl : torch::nn::Module {
  BlockImpl(std::int64_t width, std::int64_t heads)
      : norm1(register_module("norm1", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})))),
        query(register_module("query", torch::nn::Linear(width, width))),
        key(register_module("key", torch::nn::Linear(width, width))),
        value(register_module("value", torch::nn::Linear(width, width))),
        projection(register_module("projection", torch::nn::Linear(width, width))),
        norm2(register_module("norm2", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})))),
        expand(register_module("expand", torch::nn::Linear(width, 4 * width))),
        contract(register_module("contract", torch::nn::Linear(4 * width, width))),
        heads_(heads) {}

  torch::Tensor forward(torch::Tensor x) {
    x = x + attention(norm1(x));
    return x + contract(torch::gelu(expand(norm2(x))));
  }

  torch::nn::LayerNorm norm1;
  torch::nn::Linear query, key, value, projection;
  torch::nn::LayerNorm norm2;
  torch::nn::Linear expand, contract;

 private:
  torch::Tensor attention(const torch::Tensor& x) {
    const std::int64_t batch = x.size(0), length = x.size(1), width = x.size(2), head_width = width / heads_;
    const auto by_head = [&](const torch::Tensor& t) { return t.view({batch, length, heads_, head_width}).transpose(1, 2); };
    const auto future = torch::ones({length, length}, x.options().dtype(torch::kBool)).triu(1);
    const auto k = by_head(key(x)), q = by_head(query(x));
    const auto scores = torch::matmul(q, k.transpose(2, 3)) / std::sqrt(static_cast<double>(head_width));
    const auto weights = torch::softmax(scores.masked_fill(future, -std::numeric_limits<double>::infinity()), -1);
    const auto mixed = torch::matmul(weights, by_head(value(x)));
    return projection(mixed.transpose(1, 2).reshape({batch, length, width}));
  }

  std::int64_t heads_;
};
TORCH_MODULE(Block);

struct TransformerImpl : torch::nn::Module {
  TransformerImpl(std::int64_t vocabulary, const Options& options)
      : tokens(register_module("tokens", torch::nn::Embedding(vocabulary, options.width))),
        positions(register_module("positions", torch::nn::Embedding(options.context, options.width))) {
    for (std::int64_t i = 0; i < options.layers; ++i) {
      blocks.push_back(register_module("block" + std::to_string(i), Block(options.width, options.heads)));
    }
    norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.width})));
    head = register_module("head", torch::nn::Linear(options.width, vocabulary));
    const torch::NoGradGuard no_grad;
    tokens->weight.mul_(0.1);  // libtorch's N(0, 1) would drown what the blocks add
    positions->weight.mul_(0.1);
  }

  // Characters (batch, length) to scores of the character that follows each (batch, length, vocabulary).
  torch::Tensor forward(const torch::Tensor& characters) {
    auto x = tokens(characters);  // first, and alone: vigil counts examples by what the first layer is given
    x = x + positions(torch::arange(characters.size(1), characters.options()));
    for (auto& block : blocks) x = block(x);
    return head(norm(x));
  }

  torch::nn::Embedding tokens, positions;
  std::vector<Block> blocks;
  torch::nn::LayerNorm norm = nullptr;
  torch::nn::Linear head = nullptr;
};
TORCH_MODULE(Transformer);

// Appends what a symbol of the grammar stands for; capitals have rules, of which any one is taken. Verbs agree with their subjects.
void append(char symbol, std::mt19937& random, std::string& text) {
  static const std::map<char, std::vector<std::string>> rules{
      {'S', {"C. ", "C. ", "C and C. ", "C while C.\n", "P said: \"C.\" ", "Q asked: \"C?\"\n"}},
      {'C', {"P Vs OW", "Q V OW", "P Vs OW", "Q V OW", "P who Vs O Vs OW", "Q who V O V OW"}},
      {'P', {"the AN", "a AN", "every AN"}},  // one
      {'Q', {"the ANs", "some ANs", "three ANs"}},
      {'O', {"P", "Q"}},
      {'A', {"", "", "quiet ", "clever ", "hungry ", "tired "}},
      {'N', {"sailor", "miller", "queen", "baker", "raven", "judge", "farmer", "king"}},
      {'V', {"see", "follow", "know", "remember", "find", "help"}},
      {'W', {"", "", " by the river", " in the market", " at night", " before the storm"}},
  };
  const auto rule = rules.find(symbol);
  if (rule == rules.end()) return text.push_back(symbol);
  // Not std::uniform_int_distribution, which each standard library does in its own way.
  for (const char next : rule->second[random() % rule->second.size()]) append(next, random, text);
}

std::string made_text(std::uint64_t seed) {
  std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
  std::string text;
  while (text.size() < 400'000) append('S', random, text);
  return text;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file) throw std::runtime_error(path.string() + " cannot be read");
  return text;
}

// About 240 kB. Names without a version are links to files of this folder, and left out.
std::string licence_texts() {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/common-licenses", error)) {
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const auto& file : files) text += read(file);
  return text;
}

std::string text_for(const Options& options) {
  if (!options.text.empty()) return read(options.text);
  std::string text = options.made_text ? std::string() : licence_texts();
  if (text.empty() && !options.made_text) std::cerr << "no licence texts in /usr/share/common-licenses: taking --made-text\n";
  return text.empty() ? made_text(options.seed) : text;
}

// A text as numbers of its characters, the last tenth of which is held out.
struct Corpus {
  explicit Corpus(const Options& options) {
    const std::string text = text_for(options);
    characters = text;
    std::sort(characters.begin(), characters.end());
    characters.erase(std::unique(characters.begin(), characters.end()), characters.end());
    std::vector<std::int64_t> numbers;
    for (const char character : text) numbers.push_back(static_cast<std::int64_t>(characters.find(character)));
    const auto total = static_cast<std::int64_t>(numbers.size()), rest = total - total / 10;
    if (total / 10 <= options.context) throw std::invalid_argument("the text is too short: it takes more than ten times --context");
    const auto all = torch::tensor(numbers, torch::kLong);
    training = all.slice(0, 0, rest);
    validation = all.slice(0, rest);
  }

  std::string characters;  // by number
  torch::Tensor training, validation;
};

// Of the text from each of `begins`: `context` characters and one more.
torch::Tensor windows(const torch::Tensor& text, const torch::Tensor& begins, std::int64_t context) {
  return text.take(begins.unsqueeze(1) + torch::arange(context + 1));
}

torch::Tensor loss_of(Transformer& model, const torch::Tensor& batch) {
  const std::int64_t context = batch.size(1) - 1;
  const auto scores = model->forward(batch.narrow(1, 0, context));
  return torch::nn::functional::cross_entropy(scores.flatten(0, 1), batch.narrow(1, 1, context).flatten());
}

// Over 8 batches spread evenly over the held-out text, the same ones each time.
double validation_loss(Transformer& model, const torch::Tensor& text, const Options& options) {
  const torch::NoGradGuard no_grad;
  model->eval();
  const auto begins = torch::linspace(0, static_cast<double>(text.size(0) - options.context - 1), 8 * options.batch, torch::kDouble);
  double sum = 0;
  for (const auto& part : begins.to(torch::kLong).chunk(8)) sum += loss_of(model, windows(text, part, options.context)).item<double>();
  model->train();
  return sum / 8;
}

// What the model writes, a character at a time, after the first of the alphabet: a line break in most texts.
std::string sample(Transformer& model, const Corpus& corpus, const Options& options, std::size_t length) {
  const torch::NoGradGuard no_grad;
  model->eval();
  auto seen = torch::zeros({1, 1}, torch::kLong);
  std::string result;
  while (result.size() < length) {
    const auto odds = torch::softmax(model->forward(seen.slice(1, -options.context)).select(1, -1), -1);
    if (!torch::isfinite(odds).all().item<bool>()) return "(none: what the model computes is not finite)";
    seen = torch::cat({seen, torch::multinomial(odds, 1)}, 1);
    const char next = corpus.characters[static_cast<std::size_t>(seen[0][-1].item<std::int64_t>())];
    const bool is_control = static_cast<unsigned char>(next) < ' ' && next != '\n' && next != '\t';
    result += is_control || next == 0x7f ? '?' : next;  // a text may hold what a terminal obeys
  }
  return result;
}

std::unique_ptr<torch::optim::Optimizer> optimizer_of(const Options& options, const std::vector<torch::Tensor>& parameters) {
  const auto rate = [&](double usual) { return options.learning_rate > 0 ? options.learning_rate : usual; };
  using namespace torch::optim;
  if (options.optimizer == "adamw") return std::make_unique<AdamW>(parameters, AdamWOptions(rate(3e-3)));
  if (options.optimizer == "adam") return std::make_unique<Adam>(parameters, AdamOptions(rate(3e-3)));
  if (options.optimizer == "momentum") return std::make_unique<SGD>(parameters, SGDOptions(rate(0.05)).momentum(0.9));
  return std::make_unique<SGD>(parameters, SGDOptions(rate(0.1)));
}

// What the model is made of, what a batch costs, and whether it begins well.
void print_beginning(Transformer& model, const torch::Tensor& batch, const vigil::OutputPlace& place) {
  const std::int64_t context = batch.size(1) - 1;
  const auto characters = batch.narrow(1, 0, context), targets = batch.narrow(1, 1, context).flatten();
  std::cout << vigil::summary_text(vigil::model_summary(model, characters), place) << "\n";
  vigil::AuditOptions audit;
  audit.loss = [&](const torch::Tensor& scores) { return torch::nn::functional::cross_entropy(scores.flatten(0, 1), targets); };
  std::cout << vigil::audit_text(vigil::audit_initialisation(model, characters, audit), place) << "\n" << std::flush;
}

// How many of the parameters and gradients, as last sampled, each smaller format would hold.
void print_precision(const vigil::Snapshot& snapshot, const vigil::OutputPlace& place) {
  struct Count {
    std::size_t safe = 0, scaled = 0, unsafe = 0, unknown = 0;
    std::optional<double> worst;
    std::string worst_name = "-";
    std::size_t all() const { return safe + scaled + unsafe + unknown; }
  };
  for (const auto kind : {vigil::TensorKind::parameter, vigil::TensorKind::gradient}) {
    std::array<Count, vigil::kNumberFormats.size()> counts;
    for (std::size_t i = 0; i < snapshot.rows.size(); ++i) {
      const auto& row = snapshot.schema->rows[i];
      if (row.kind != kind || snapshot.rows[i].state != vigil::TensorRow::present || row.histogram == vigil::RowSchema::kNone ||
          vigil::finite_count(snapshot.rows[i].moments) == 0)
        continue;
      const auto& histogram = snapshot.histograms[static_cast<std::size_t>(row.histogram)];
      const vigil::PrecisionAdvice advice =
          vigil::advise(histogram, snapshot.rows[i].moments, vigil::kDTypeNames[static_cast<std::size_t>(row.dtype)]);
      for (std::size_t f = 0; f < counts.size(); ++f) {
        Count& count = counts[f];
        switch (advice[f].verdict) {
          case vigil::FormatVerdict::safe: ++count.safe; break;
          case vigil::FormatVerdict::safe_scaled: ++count.scaled; break;
          case vigil::FormatVerdict::unsafe: ++count.unsafe; break;
          case vigil::FormatVerdict::out_of_sight: ++count.unknown; break;
        }
        const vigil::FormatLoss& loss = advice[f].loss;
        const double lost = loss.overflow + loss.underflow.value_or(0);
        const bool is_known = loss.underflow.has_value() || loss.overflow > 0 || advice[f].verdict == vigil::FormatVerdict::safe;
        if (!is_known || (count.worst && lost <= *count.worst)) continue;
        count.worst = lost;
        count.worst_name = lost > 0 ? row.name : "-";
      }
    }
    if (counts[0].all() == 0) continue;
    std::vector<vigil::TableRow> lines;
    for (std::size_t f = 0; f < counts.size(); ++f) {
      const Count& count = counts[f];
      const std::string worst = count.worst ? vigil::percent_text(*count.worst) : "-";
      lines.push_back({{std::string(vigil::kNumberFormats[f].name), std::to_string(count.safe), std::to_string(count.scaled),
                        std::to_string(count.unsafe), std::to_string(count.unknown), worst, count.worst_name},
                       vigil::Style::plain});
    }
    std::printf("\n%s, by format: how many would lose (next to) nothing\n%s",
                kind == vigil::TensorKind::parameter ? "parameters" : "gradients",
                vigil::table_text({{"format"},
                                   {"safe", true},
                                   {"when scaled", true},
                                   {"unsafe", true},
                                   {"out of sight", true, 1},
                                   {"most lost", true},
                                   {"of", false, 1, 12}},
                                  lines, place, 2)
                    .c_str());
  }
}

volatile std::sig_atomic_t stop_requested = 0;

// Step, loss, speed and time to go: rewritten in place on a terminal, a line every few seconds elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::uint64_t total) : total_(total), terminal_(isatty(STDERR_FILENO) != 0) {}

  void show(std::uint64_t step, double loss) {
    const auto now = Clock::now();
    if (step < total_ && now - shown_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(5))) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double speed = static_cast<double>(step) / seconds;
    std::fprintf(stderr, "%sstep %llu/%llu  loss %.4f  %.1f steps/s  ETA %.0f s%s", terminal_ ? "\r\033[K" : "",
                 static_cast<unsigned long long>(step), static_cast<unsigned long long>(total_), loss, speed,
                 static_cast<double>(total_ - step) / speed, terminal_ && step < total_ ? "" : "\n");
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::uint64_t total_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now(), shown_{};
};

int train(const Options& options) {
  if (options.width % options.heads != 0) throw std::invalid_argument("--width must be a multiple of --heads");
  torch::manual_seed(options.seed);
  if (options.threads > 0) torch::set_num_threads(options.threads);

  const Corpus corpus(options);
  Transformer model(static_cast<std::int64_t>(corpus.characters.size()), options);
  const auto optimizer = optimizer_of(options, model->parameters());
  const vigil::OutputPlace place = vigil::look_at_output(STDOUT_FILENO, vigil::ColorMode::automatic);
  const auto first = torch::linspace(0, static_cast<double>(corpus.training.size(0) - options.context - 1), options.batch, torch::kDouble);
  print_beginning(model, windows(corpus.training, first.to(torch::kLong), options.context), place);

  vigil::Config config = options.config.empty() ? vigil::load_config_from_environment() : vigil::load_config(options.config);
  if (options.port >= 0) config.exporters.prometheus.port = options.port;
  if (config.sampling.histogram.empty()) config.sampling.histogram = {"*"};  // of magnitudes: what the precision advice is made from
  vigil::TrainingMonitor monitor(config);
  monitor.watch(*model, *optimizer);
  const std::string at = monitor.endpoint();
  if (!at.empty()) std::cout << "look at http://" << at << "/ and http://" << at << "/metrics while it trains\n" << std::flush;

  ProgressLine progress(options.steps);
  double first_loss = 0, last_loss = 0, held_out_loss = 0, seconds = 0;
  std::uint64_t step = 0;
  for (bool stopped = false; !stopped;) {
    const auto begin = std::chrono::steady_clock::now();
    const auto begins = torch::randint(corpus.training.size(0) - options.context, {options.batch}, torch::kLong);
    const auto batch = windows(corpus.training, begins, options.context);
    // zero_grad, this, backward, the guard, the optimizer; and once more under observation where a step is not finite.
    const auto [verdict, loss] = monitor.train_step(*optimizer, [&] { return loss_of(model, batch); });
    last_loss = loss.item<double>();
    if (++step == 1) first_loss = last_loss;
    progress.show(step, last_loss);
    stopped = verdict == vigil::Verdict::stop || step >= options.steps || stop_requested != 0;
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (step % options.validate_every == 0 || stopped) {
      monitor.phase("validation");
      held_out_loss = validation_loss(model, corpus.validation, options);
      monitor.log("loss", held_out_loss);  // shown as validation/loss
      monitor.phase("train");
    }
  }
  const auto snapshot = monitor.snapshot();
  monitor.finish();

  std::printf("\n%llu steps in %.1f s without validation (%.1f steps/s)\n", static_cast<unsigned long long>(step), seconds,
              static_cast<double>(step) / seconds);
  std::printf("training loss %.4f at the first step, %.4f at the last; validation loss %.4f\n", first_loss, last_loss, held_out_loss);
  if (snapshot != nullptr) {  // null when VIGIL_DISABLE is set
    const auto& totals = snapshot->step.totals;
    std::printf("vigil's own overhead %.2f %% of the training thread's time (%llu samples)\n", 100 * snapshot->overhead_ratio(),
                static_cast<unsigned long long>(totals.samples));
    const auto origin = monitor.nonfinite_origin();
    if (origin)
      std::printf("non-finite steps: %llu; %s\n", static_cast<unsigned long long>(totals.nonfinite_steps), origin->message.c_str());
    print_precision(*snapshot, place);
  }
  std::printf("\nas the model writes:\n%s\n", sample(model, corpus, options, 200).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains a character-level transformer under vigil.");
  const auto add = [&](const char* name, auto& value, const char* text) {
    return app.add_option(name, value, text)->capture_default_str();
  };
  const CLI::Range size(1, 1 << 20);
  auto* text = app.add_option("--text", options.text, "file to learn from; default: /usr/share/common-licenses");
  text->check(CLI::ExistingFile);
  app.add_flag("--made-text", options.made_text, "learn from sentences of a small grammar, made from the seed")->excludes(text);
  app.add_option("--config", options.config, "vigil's settings (YAML); default: the file that $VIGIL_CONFIG names");
  app.add_option("--port", options.port, "port of the metrics endpoint; 0: any free; default: as configured")->check(CLI::Range(0, 65535));
  add("--steps", options.steps, "batches to train on")->check(CLI::PositiveNumber);
  add("--batch", options.batch, "texts per step")->check(size);
  add("--context", options.context, "characters per text")->check(size);
  add("--width", options.width, "of the embedding; a multiple of --heads")->check(size);
  add("--heads", options.heads, "of the attention")->check(size);
  add("--layers", options.layers, "blocks of attention and MLP")->check(size);
  add("--optimizer", options.optimizer, "momentum: SGD with 0.9")->check(CLI::IsMember({"adamw", "adam", "sgd", "momentum"}));
  app.add_option("--lr", options.learning_rate, "learning rate; default: 0.003, sgd 0.1, momentum 0.05")->check(CLI::PositiveNumber);
  add("--validate-every", options.validate_every, "steps between validations")->check(CLI::PositiveNumber);
  add("--threads", options.threads, "threads of libtorch; 0: its default")->check(CLI::Range(0, 1024));
  add("--seed", options.seed, "seed of weights, batches and the made text");
  CLI11_PARSE(app, argc, argv);

  // The first signal ends the loop after its step, with a summary; the second one kills.
  struct sigaction action {};
  action.sa_handler = [](int) { stop_requested = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  try {
    return train(options);
  } catch (const c10::Error& error) {
    std::cerr << "char_transformer: " << error.what_without_backtrace() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "char_transformer: " << error.what() << "\n";
  }
  return 1;
}
