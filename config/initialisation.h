// How the parameters of a model begin: rules that choose a scheme by module, name and parameter, as a program or a YAML file gives them.
// model/ applies them (model/initialisation.h); docs/models/initialisation.md has the formulas.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vigil {

enum class InitialisationScheme : std::uint8_t {
  keep,  ///< stays as it is
  zeros,
  ones,
  constant,          ///< `value`
  normal,            ///< N(`mean`, `std`²)
  truncated_normal,  ///< the same, between `lower` and `upper`
  uniform,           ///< U(`lower`, `upper`)
  xavier_normal,     ///< std = gain·√(2/(fan_in + fan_out)); Glorot & Bengio 2010
  xavier_uniform,    ///< the same std, uniform
  kaiming_normal,    ///< std = gain/√fan; He et al. 2015
  kaiming_uniform,   ///< the same std, uniform
  orthogonal,        ///< `gain` times a (semi-)orthogonal matrix; Saxe et al. 2014
  identity,          ///< the unit matrix; of convolutions the one that hands channels on (Dirac)
  sparse,            ///< N(0, `std`²), with a share `sparsity` of each column zero; Martens 2010
  torch,             ///< what libtorch's own module begins with
};

/// What follows a layer: it decides the gain.
enum class Activation : std::uint8_t {
  linear,      ///< 1
  relu,        ///< √2
  leaky_relu,  ///< √(2/(1 + slope²))
  tanh,        ///< 5/3
  sigmoid,     ///< 1
  selu,        ///< 3/4; a self-normalising network takes `linear` (Klambauer et al. 2017)
};

enum class FanMode : std::uint8_t {
  in,   ///< keeps the variance of the signal forward
  out,  ///< keeps that of the gradient backward
};

/// Which tensors, and how they begin. Patterns are shell patterns (`*`, `?`, `[…]`; see fnmatch(3)) of 1 to 1024 bytes; all three must
/// match as a whole. What a scheme has no use for must not be set.
struct InitialisationRule {
  std::string module = "*";     ///< over the type of the module that owns the parameter: `Conv*`, `Linear`
  std::string name = "*";       ///< over its full path: `encoder.0.weight`
  std::string parameter = "*";  ///< over the last part of the path: `weight`, `bias_ih_l0`
  InitialisationScheme scheme = InitialisationScheme::keep;
  std::optional<Activation> activation;  ///< xavier_*, kaiming_*, orthogonal; else the policy's
  std::optional<double> slope;           ///< of leaky_relu for negative inputs, 0 to 1; else the policy's
  std::optional<double> gain;            ///< in place of the activation's, 0 to 1000
  std::optional<FanMode> fan;            ///< kaiming_*; else `in`
  std::optional<double> mean;            ///< normal, truncated_normal, -1e6 to 1e6; else 0
  std::optional<double> std;             ///< normal, truncated_normal, sparse, 0 to 1e6
  std::optional<double> lower, upper;    ///< uniform, truncated_normal (there else mean ± 2·std), -1e6 to 1e6
  std::optional<double> value;           ///< constant, -1e6 to 1e6
  std::optional<double> sparsity;        ///< sparse, 0 to 1
  /// Of zeros and constant, for an LSTM: what `bias_ih` begins with at the forget gate, where `bias_hh` is then 0, so that this is their
  /// sum. -100 to 100; 1 keeps the memory at first (Jozefowicz et al. 2015).
  std::optional<double> forget_bias;
  /// Of normal, xavier_* and kaiming_*: std is divided by √N, with N the tensors that rules with `residual` are applied to: of a
  /// transformer of L blocks the 2·L projections that end on the residual stream (Radford et al. 2019).
  bool residual = false;
  std::string origin;  ///< as reports call it: `rules[0]`, `preset gpt2`; any printable text
};

struct InitialisationPolicy {
  Activation activation = Activation::relu;  ///< for rules that name none
  double slope = 0.01;                       ///< for rules that name none, 0 to 1
  /// Of a generator of its own: the same seed gives the same values, whatever else draws random numbers. Nothing: libtorch's default
  /// generator is drawn from. 0 to 2⁶³ - 1.
  std::optional<std::uint64_t> seed;
  /// For each tensor the first that matches decides. What none matches stays as it is. At most 1000.
  std::vector<InitialisationRule> rules;
};

std::string_view name_of(InitialisationScheme scheme) noexcept;
std::string_view name_of(Activation activation) noexcept;
std::string_view name_of(FanMode fan) noexcept;

/// calculate_gain of torch.nn.init.
double gain_of(Activation activation, double slope) noexcept;

/// A share of a normal distribution.
double normal_share(double mean, double std, double lower, double upper) noexcept;

/// Names of the presets: `default`, `kaiming_relu`, `xavier_tanh`, `gpt2`, `torch`.
const std::vector<std::string>& initialisation_presets();

/// The rules of a preset, for the policy's activation where they depend on it. `default`: weights of Linear and Conv kaiming_normal after
/// relu, leaky_relu and selu, else xavier_normal; recurrent weights xavier_uniform and orthogonal, forget gates 1; attention
/// xavier_uniform; norms 1; biases 0; embeddings as libtorch. `kaiming_relu` and `xavier_tanh` are that for one activation. `gpt2`:
/// N(0, 0.02²), c_proj, out_proj and linear2 divided by √N as residual projections. `torch`: everything as libtorch begins.
/// @throws std::invalid_argument that names the presets
InitialisationPolicy initialisation_preset(const std::string& name, Activation activation = Activation::relu, double slope = 0.01);

/// Checks a policy made by a program as a file is checked. @throws ConfigError (config_reader.h); file and line are empty
void validate(const InitialisationPolicy& policy);

/// Reads `path`, a regular file of at most 1 MiB, as examples/initialisation.yml shows: `initialisation` with `rules`, a `preset` or both;
/// the rules of the preset come last.
/// @throws ConfigError (config_reader.h) as load_config: every problem, with its place
InitialisationPolicy load_initialisation_policy(const std::filesystem::path& path);

/// The same for YAML text; `name` stands in messages for the file.
InitialisationPolicy parse_initialisation_policy(std::string_view yaml, const std::string& name = "<text>");

}  // namespace vigil
