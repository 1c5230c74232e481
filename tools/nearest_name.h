// What a user who wrote the name of no tensor probably meant.
#pragma once

#include <string>
#include <vector>

namespace vigil::tools {

/// " (did you mean 'conv1.weight'?)"; empty when nothing comes near. Printable.
std::string nearest_name(const std::vector<std::string>& names, const std::string& name);

}  // namespace vigil::tools
