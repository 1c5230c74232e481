// What a checkpoint says of itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/model/checkpoint_files.h"

namespace vigil {

struct CheckpointManifest {
  static constexpr std::string_view kName = "manifest.json";
  static constexpr std::string_view kModel = "model.pt", kOptimizer = "optimizer.pt", kGenerator = "generator.bin";
  static constexpr std::size_t kMostBytes = std::size_t{64} << 20;

  std::uint64_t sequence = 0;  ///< of the checkpoints of a directory, in the order in which they were written
  std::uint64_t step = 0;
  std::string run, commit, configuration, libtorch;
  /// Of the model, as `vigil inspect` shows them (inspection/fingerprint.h); empty in manifests that are older than they are.
  std::string architecture_fingerprint, value_fingerprint;
  double wall_time = 0;  ///< seconds since the epoch
  std::optional<double> metric;
  std::vector<double> learning_rates;  ///< by parameter group: libtorch 1.13's optimizers save them and do not load them
  std::map<std::string, double> statistics;
  std::map<std::string, double> parameter_norms;  ///< Euclidean, by full path
  std::map<std::string, FileDigest> files;        ///< by name: kModel, kOptimizer and kGenerator, no others
};

/// Numbers that are not finite are the strings "NaN", "Infinity", "-Infinity". @throws std::bad_alloc
std::string to_json(const CheckpointManifest& manifest);
/// @throws std::runtime_error that says what is wrong with the text
CheckpointManifest parse_manifest(const std::string& text);

}  // namespace vigil
