// What the numbers of a run's rows stand for, as the history keeps it: a Schema as two texts of JSON. The tensors are one of them, since
// attempts, ranks and runs of one model share it.
#pragma once

#include <string>
#include <string_view>

#include "vigil/monitor/schema.h"

namespace vigil {

/// `{"parameters":[…],"tensors":[{"kind":"gradient","name":"conv1.weight",…}]}`. Bytes of a name that are not UTF-8 become U+FFFD.
std::string tensors_json(const Schema& schema);
/// All of the schema that is neither there nor in its identity.
std::string setup_json(const Schema& schema);

/// The schema of the two, without its identity. @throws DamagedData
Schema read_setup(std::string_view tensors, std::string_view setup);

}  // namespace vigil
