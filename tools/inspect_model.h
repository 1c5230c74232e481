// `vigil inspect`
#pragma once

#include <iosfwd>
#include <string>

#include "vigil/terminal/text_style.h"

namespace vigil::tools {

enum class ModelOrder : unsigned char { file, name, size, std, zeros, nonfinite };

struct InspectOptions {
  std::string file;
  std::string tensor;  ///< name of one that is shown in detail; empty: all in a table
  ModelOrder order = ModelOrder::file;
  bool json = false;
  unsigned threads = 0;         ///< 0: as many as the machine runs at once
  bool shows_progress = false;  ///< on `err`, which is a terminal then
  OutputPlace place;
};

/// What is in a saved model to `out`, errors to `err`. Returns the program's exit code: 0; 1 a tensor cannot be read, or there is none of
/// that name; 2 the file is no model.
int inspect_model(const InspectOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
