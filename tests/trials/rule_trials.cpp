// Runs trainings with a known fault, and trainings without one, under the rules of vigil, and prints what the rules said of them as the
// two tables of docs/alerts.md. Exits with 1 when a rule missed its fault or a healthy run was not silent.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "files.h"
#include "trials/fault_trials.h"
#include "trials/healthy_trials.h"
#include "trials/watched_run.h"

namespace vigil {
namespace {

struct Options {
  std::string mnist = VIGIL_SOURCE_DIR "/build/deps/mnist", examples = VIGIL_EXAMPLES_DIR, only;
  std::uint64_t seeds = 5;
  int threads = 1;
  bool no_faults = false, no_healthy = false, is_short = false;
};

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

struct FaultResult {
  std::string steps = "-", named = "-", verdict;
  bool is_right = false;
};

std::vector<AlertNotice> alerts_of(const FaultTrial& trial) {
  torch::manual_seed(1);
  Training training = trial.make();
  Config config = trial_config();
  if (trial.configure) trial.configure(config);
  return watch_run(training, config, trial.at + trial.within + 30, trial.rule);
}

// One rank after the other, on the same batches as their seed is the same.
std::vector<AlertNotice> alerts_of_ranks(const FaultTrial& trial, const test::TemporaryFolder& folder) {
  std::vector<std::string> files;
  for (const int rank : {0, 1}) {
    setenv("RANK", std::to_string(rank).c_str(), 1);
    setenv("WORLD_SIZE", "2", 1);
    torch::manual_seed(1);
    Training training = trial.make_rank(rank);
    Config config = trial_config();
    config.exporters.jsonl.enabled = true;
    config.exporters.jsonl.path = folder.file("ranks.jsonl");
    watch_run(training, config, trial.at + trial.within);
    files.push_back(config.exporters.jsonl.path + ".rank" + std::to_string(rank));
  }
  unsetenv("RANK");
  unsetenv("WORLD_SIZE");
  const std::string said = folder.file("replayed.jsonl");
  if (std::system(("'" VIGIL_COMMAND "' replay --json '" + files[0] + "' '" + files[1] + "' >'" + said + "'").c_str()) != 0)
    throw std::runtime_error("vigil replay failed");
  const std::vector<AlertNotice> alerts = read_jsonl(said).alerts;
  for (const std::string& file : files) std::filesystem::remove(file);
  return alerts;
}

FaultResult try_fault(const FaultTrial& trial, const test::TemporaryFolder& folder) {
  const std::vector<AlertNotice> alerts = trial.make_rank ? alerts_of_ranks(trial, folder) : alerts_of(trial);
  FaultResult result;
  std::set<std::string> unrelated;
  for (const AlertNotice& alert : alerts) {
    if (alert.severity == "critical" && alert.alert != trial.rule && !contains(trial.also, alert.alert)) unrelated.insert(alert.alert);
  }
  const auto first = std::find_if(alerts.begin(), alerts.end(), [&](const AlertNotice& alert) { return alert.alert == trial.rule; });
  if (first == alerts.end()) {
    result.verdict = "missed";
    for (const AlertNotice& alert : alerts)
      result.verdict += "; " + alert.alert + " at " + std::to_string(alert.step) + " " + alert.sentence;
    return result;
  }
  result.steps = std::to_string(static_cast<std::int64_t>(first->step) - static_cast<std::int64_t>(trial.at));
  result.named = !first->parameter.empty() ? first->parameter : first->layer;
  if (result.named.empty()) result.named = "(the run)";
  if (first->step < trial.at) {
    result.verdict = "fired before the fault: " + first->sentence;
  } else if (first->step > trial.at + trial.within) {
    result.verdict = "late";
  } else if (!trial.names.empty() && trial.names != first->layer && trial.names != first->parameter) {
    result.verdict = "names another than " + trial.names;
  } else if (!unrelated.empty()) {
    result.verdict = "unrelated and critical: " + *unrelated.begin();
  } else {
    result.is_right = true;
    result.verdict = first->sentence;
  }
  return result;
}

bool print_faults(const Options& options) {
  std::printf("| rule | model | fault | fired after steps (at most) | names | what it said |\n|---|---|---|---|---|---|\n");
  const test::TemporaryFolder folder;
  bool is_right = true;
  for (const FaultTrial& trial : fault_trials()) {
    if (!options.only.empty() && options.only != trial.rule) continue;
    const FaultResult result = try_fault(trial, folder);
    is_right &= result.is_right;
    const std::string settings = trial.settings.empty() ? "" : " (`" + trial.settings + "`)";
    std::printf("| %s`%s` | %s | %s%s | %s (%llu) | %s | %s |\n", result.is_right ? "" : "**wrong** ", trial.rule.c_str(),
                trial.model.c_str(), trial.fault.c_str(), settings.c_str(), result.steps.c_str(),
                static_cast<unsigned long long>(trial.within), result.named.c_str(), result.verdict.c_str());
    std::fflush(stdout);
  }
  return is_right;
}

bool print_healthy(const Options& options) {
  const test::TemporaryFolder folder;
  std::printf("| training | optimizer | sampled | seeds | steps each | warning or critical | info |\n|---|---|---|---|---|---|---|\n");
  bool is_silent = true;
  std::uint64_t runs = 0;
  std::vector<std::string> said;
  const auto trials = healthy_trials(options.seeds);
  for (std::size_t begin = 0; begin < trials.size(); begin += options.seeds) {
    const HealthyTrial& trial = trials[begin];
    if (options.is_short && (trial.every_steps != 1 || (trial.optimizer != "adam" && trial.optimizer != "sgd"))) continue;
    if (!options.only.empty() && options.only != trial.example) continue;
    std::uint64_t alerts = 0, infos = 0, steps = ~std::uint64_t{0};
    for (std::size_t i = begin; i < begin + options.seeds; ++i) {
      const HealthyResult result = run_healthy(trials[i], options.examples, options.mnist, folder);
      alerts += result.alerts.size();
      infos += result.infos.size();
      steps = std::min(steps, result.steps);
      ++runs;
      for (const std::string& alert : result.alerts)
        said.push_back(trial.example + ", " + trial.optimizer + ", seed " + std::to_string(trials[i].seed) + ": " + alert);
      for (const std::string& info : result.infos)
        std::fprintf(stderr, "info: %s, %s, seed %llu: %s\n", trial.example.c_str(), trial.optimizer.c_str(),
                     static_cast<unsigned long long>(trials[i].seed), info.c_str());
    }
    is_silent &= alerts == 0 && steps >= trial.steps;
    std::printf("| %s | %s | %s | %llu | %llu | %llu | %llu |\n", trial.example.c_str(), trial.optimizer.c_str(),
                trial.every_steps == 1 ? "every step" : "every 10th", static_cast<unsigned long long>(options.seeds),
                static_cast<unsigned long long>(steps), static_cast<unsigned long long>(alerts), static_cast<unsigned long long>(infos));
    std::fflush(stdout);
  }
  std::printf("\n%llu healthy runs; alerts of severity warning or critical: %zu\n", static_cast<unsigned long long>(runs), said.size());
  for (const std::string& line : said) std::printf("%s\n", line.c_str());
  return is_silent;
}

// The program's exit code.
int run_trials(const Options& options, bool (*print)(const Options&)) {
  try {
    torch::set_num_threads(options.threads);
    const std::string source = VIGIL_SOURCE_DIR;
    read_data(options.mnist, {source + "/README.md", source + "/docs/semantics.md", source + "/docs/performance.md"});
    return print(options) ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "rule_trials: " << error.what() << "\n";
    return 2;
  }
}

// Both, each in a process of its own with a core of its own; what the second one prints comes after the first. Before libtorch has threads.
int run_both(const Options& options) {
  std::FILE* const later = std::tmpfile();
  const pid_t child = later == nullptr ? -1 : fork();
  if (child < 0) {
    std::perror("rule_trials: no process with a temporary file");
    return 2;
  }
  if (child == 0) {
    dup2(fileno(later), STDOUT_FILENO);
    std::exit(run_trials(options, &print_healthy));
  }
  const int code = run_trials(options, &print_faults);
  int status = 0;
  waitpid(child, &status, 0);
  std::rewind(later);
  std::printf("\n");
  for (int c = std::fgetc(later); c != EOF; c = std::fgetc(later)) std::putchar(c);
  std::fclose(later);
  return code != 0 ? code : WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

}  // namespace
}  // namespace vigil

int main(int argc, char** argv) {
  vigil::Options options;
  CLI::App app("Tries the rules on trainings with a known fault and on healthy ones; prints two tables.");
  app.add_option("--mnist", options.mnist, "folder with the four IDX files of MNIST")->capture_default_str();
  app.add_option("--examples", options.examples, "folder with the built examples")->capture_default_str();
  app.add_option("--only", options.only, "a rule, or an example");
  app.add_option("--seeds", options.seeds, "of each healthy run")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option("--threads", options.threads, "of libtorch")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_flag("--no-faults", options.no_faults, "only the healthy runs");
  app.add_flag("--no-healthy", options.no_healthy, "only the faults");
  app.add_flag("--short", options.is_short, "healthy runs of SGD and Adam only, sampled every step");
  CLI11_PARSE(app, argc, argv);
  if (options.no_faults && options.no_healthy) return 0;
  if (options.no_faults) return vigil::run_trials(options, &vigil::print_healthy);
  if (options.no_healthy) return vigil::run_trials(options, &vigil::print_faults);
  return vigil::run_both(options);
}
