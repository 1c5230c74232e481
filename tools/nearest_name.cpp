#include "vigil/tools/nearest_name.h"

#include <algorithm>
#include <cstddef>

#include "vigil/config/suggestion.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {

std::string nearest_name(const std::vector<std::string>& names, const std::string& name) {
  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(name.size() / 3, 1) + 1;
  for (const std::string& one : names) {
    if (one.size() > 256) continue;
    const std::size_t distance = config_reader::edit_distance(name, one);
    if (distance >= least) continue;
    least = distance;
    nearest = &one;
  }
  return nearest == nullptr ? "" : " (did you mean '" + printable(*nearest) + "'?)";
}

}  // namespace vigil::tools
