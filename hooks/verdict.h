// What the guard answers: whether to step, and where non-finite values came in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vigil {

/// What the loop should do with the gradients it has just computed.
enum class Verdict : std::uint8_t {
  proceed,  ///< run the optimizer
  skip,     ///< gradients or loss are not finite and the policy is skip_step: do not run it
  stop,     ///< they are not finite and the policy is stop: do not run it, and end the loop
};

/// Where non-finite values came in. Describes the first step of the latest streak of non-finite steps: in the later ones the
/// NaN has usually spread to every parameter.
struct NonfiniteOrigin {
  std::uint64_t step = 0;
  std::string layer;      ///< module of the parameter nearest to the loss whose gradient was not finite; empty when only the loss was
  std::string parameter;  ///< full path of that parameter
  std::vector<std::string> parameters;  ///< every parameter whose gradient was not finite, in the order of the model
  bool loss_nonfinite = false;          ///< the loss itself was NaN or infinite
  std::string message;                  ///< the same in one sentence
};

}  // namespace vigil
