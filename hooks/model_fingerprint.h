// What ties a run to the files of its model.
#pragma once

#include <string>
#include <vector>

#include "vigil/hooks/watched_model.h"

namespace vigil {

/// architecture_fingerprint() of all parameters and buffers: that of a file which torch::save wrote of the module. Of several parts the
/// names begin with theirs; of a single one they don't. Empty where a tensor has a type that is not inspected. @throws std::bad_alloc
std::string model_fingerprint(const std::vector<PartTensors>& parts);

}  // namespace vigil
