// The tensors and modules that the pickles of an archive tell of.
#pragma once

#include <string>
#include <vector>

#include "vigil/inspection/saved_model.h"
#include "vigil/inspection/stored_tensor.h"
#include "vigil/inspection/zip_archive.h"

namespace vigil {

/// A saved model whose tensors have no elements and no `memory` yet, and a view for each.
struct PickledModel {
  SavedModel model;
  std::vector<StoredView> views;
};

/// Reads `data.pkl`, `constants.pkl` and the code of the folder `root` of an archive, without '/'. Every value in them may be a lie: what
/// cannot be is an InspectionError, and what is unknown is walked through for the tensors in it.
PickledModel read_pickled_model(const ZipArchive& archive, const std::string& root);

}  // namespace vigil
