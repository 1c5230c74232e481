// How a pickle describes a tensor: as the call of a function that would make it again.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vigil/inspection/pickle_reader.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/inspection/stored_tensor.h"
#include "vigil/inspection/zip_archive.h"

namespace vigil {

struct RebuiltTensor {
  std::optional<StoredView> view;  ///< none: it is given by `parts`, or not at all for `reason`
  bool is_parameter = false;       ///< the file says that it is
  bool requires_grad = false;
  std::optional<Quantisation> quantisation;                ///< without a name
  std::vector<std::pair<std::string, PickleIndex>> parts;  ///< tensors that belong to it: ".scales", ".indices"
  std::string reason;                                      ///< why it is passed over: "its element type is uint16"
};

/// Where the storages of a pickle are.
struct StoragePlace {
  const ZipArchive& archive;
  std::string folder;  ///< "model/data/"
};

/// None if the value is none of a tensor that libtorch or Python's torch.save describe. A view's range lies in its entry.
/// @throws InspectionError whose message is the end of a sentence about the tensor: "is larger than its storage"
std::optional<RebuiltTensor> rebuilt_tensor(const PickledValues& values, const PickledValue& object, const StoragePlace& place);

}  // namespace vigil
