#include "trials/healthy_trials.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "trials/watched_run.h"
#include "vigil/config/config_reader.h"

namespace vigil {
namespace {

HealthyResult result_of(std::uint64_t steps, const std::vector<AlertNotice>& alerts) {
  HealthyResult result;
  result.steps = steps;
  for (const AlertNotice& alert : alerts)
    (alert.severity == "info" ? result.infos : result.alerts).push_back(alert.alert + ": " + alert.sentence);
  return result;
}

// What is off by default because it costs memory is on, so that its rules look too.
Config config_of(const HealthyTrial& trial) {
  Config config = trial_config();
  config.sampling.every_steps = trial.every_steps;
  config.sampling.update_ratio = {"*"};
  config.rules.disk_directory = ".";
  return config;
}

Training training_of(const HealthyTrial& trial) {
  const OptimizerKind optimizer{trial.optimizer};
  if (trial.example == "minimal") return minimal(optimizer);
  if (trial.example == "CNN, frozen layers") return frozen_layers(optimizer);
  if (trial.example == "low-rank branches") return low_rank(optimizer);
  if (trial.example == "transformer, warm-up and decay") return warm_up_and_decay(optimizer, trial.steps);
  if (trial.example == "CNN, batches of one") return batch_of_one(optimizer);
  return recurrent(optimizer);
}

HealthyResult run_here(const HealthyTrial& trial) {
  torch::manual_seed(trial.seed);
  Training training = training_of(trial);
  return result_of(trial.steps, watch_run(training, config_of(trial), trial.steps));
}

}  // namespace

std::vector<HealthyTrial> healthy_trials(std::uint64_t seeds) {
  std::vector<HealthyTrial> trials;
  for (const auto& [example, steps] : {std::pair("minimal", 2000),
                                       {"mnist", 600},
                                       {"char_transformer", 500},
                                       {"CNN, frozen layers", 800},
                                       {"low-rank branches", 1000},
                                       {"transformer, warm-up and decay", 800},
                                       {"CNN, batches of one", 1500},
                                       {"LSTM", 600}}) {
    for (const char* optimizer : {"sgd", "momentum", "adam", "adamw"}) {
      for (const int every_steps : {1, 10}) {
        for (std::uint64_t seed = 1; seed <= seeds; ++seed)
          trials.push_back({example, optimizer, every_steps, seed, static_cast<std::uint64_t>(steps)});
      }
    }
  }
  return trials;
}

HealthyResult run_healthy(const HealthyTrial& trial, const std::string& examples, const std::string& mnist,
                          const test::TemporaryFolder& folder) {
  if (trial.example != "mnist" && trial.example != "char_transformer") return run_here(trial);
  Config config = config_of(trial);
  config.exporters.jsonl.enabled = true;
  config.exporters.jsonl.path = folder.file("healthy.jsonl");
  std::filesystem::remove(config.exporters.jsonl.path);
  const std::string yaml = folder.write("healthy.yml", to_yaml(config)).string(), log = folder.file("healthy.log");
  const std::string steps = std::to_string(trial.steps);
  const std::string command =
      "'" + examples + "/" + trial.example + "' --config '" + yaml + "' --optimizer " + trial.optimizer + " --seed " +
      std::to_string(trial.seed) +
      (trial.example == "mnist" ? " --data '" + mnist + "' --max-steps " + steps : " --made-text --steps " + steps) + " >'" + log +
      "' 2>&1";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("this failed: " + command + "\n" + test::read_text(log));
  const RecordedRun run = read_jsonl(config.exporters.jsonl.path);
  return result_of(run.steps, run.alerts);
}

}  // namespace vigil
