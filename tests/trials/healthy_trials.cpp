#include "trials/healthy_trials.h"

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "trials/watched_run.h"

namespace vigil {
namespace {

void note(HealthyResult& result, const std::string& severity, const std::string& line) {
  (severity == "info" ? result.infos : result.alerts).push_back(line);
}

// The settings of both kinds of runs: what is off by default because it costs memory is on, so that its rules look too.
std::string settings(const HealthyTrial& trial, const std::string& jsonl) {
  return "run: {name: healthy}\nsampling: {every_steps: " + std::to_string(trial.every_steps) +
         ", update_ratio: [\"*\"]}\n"
         "exporters:\n  interval_ms: 50\n  prometheus: {enabled: false}\n  report: {enabled: false}\n  jsonl: {enabled: true, path: \"" +
         jsonl + "\"}\nrules: {disk_directory: \".\", actions: [log]}\n";
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
  Config config = trial_config();
  config.sampling.every_steps = trial.every_steps;
  config.sampling.update_ratio = {"*"};
  config.rules.disk_directory = ".";
  HealthyResult result;
  for (const AlertNotice& alert : watch_run(training, config, trial.steps))
    note(result, alert.severity, alert.alert + ": " + alert.sentence);
  result.steps = trial.steps;
  return result;
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

HealthyResult run_healthy(const HealthyTrial& trial, const std::string& examples, const std::string& mnist, const std::string& folder) {
  if (trial.example != "mnist" && trial.example != "char_transformer") return run_here(trial);
  const std::string jsonl = folder + "/healthy.jsonl", yaml = folder + "/healthy.yml", log = folder + "/healthy.log";
  static_cast<void>(std::remove(jsonl.c_str()));
  std::ofstream(yaml) << settings(trial, jsonl);
  const std::string steps = std::to_string(trial.steps);
  const std::string command = "'" + examples + "/" + trial.example + "' --config '" + yaml + "' --optimizer " + trial.optimizer +
                              " --seed " + std::to_string(trial.seed) +
                              (trial.example == "mnist" ? " --data '" + mnist + "' --max-steps " + steps : " --steps " + steps) + " >'" +
                              log + "' 2>&1";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("this failed, and says why in " + log + ": " + command);
  HealthyResult result;
  std::ifstream lines(jsonl);
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json entry = nlohmann::json::parse(line);
    if (entry.at("type") == "step") ++result.steps;
    if (entry.at("type") == "alert" && entry.at("state") == "firing")
      note(result, entry.at("severity"), entry.at("alert").get<std::string>() + ": " + entry.at("sentence").get<std::string>());
  }
  return result;
}

}  // namespace vigil
