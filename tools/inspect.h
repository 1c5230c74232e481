// `vigil inspect`
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"

namespace vigil::tools {

enum class ModelOrder : unsigned char { file, name, size, std, zeros, nonfinite };

struct InspectOptions {
  std::string file;    ///< a saved model, a ring file, or the name of a run
  std::string tensor;  ///< name of one that is shown in detail; empty: all in a table
  ModelOrder order = ModelOrder::file;
  bool json = false;
  bool distributions = false;            ///< in place of the table of tensors, those of each; of a run in any case
  std::optional<std::string> report;     ///< a file to write as a page of HTML, beside
  std::optional<int> rank;               ///< of a run
  std::vector<std::string> directories;  ///< where ring files lie; empty: the usual ones
  unsigned threads = 0;                  ///< 0: as many as the machine runs at once
  bool shows_progress = false;           ///< on `err`, which is a terminal then
  OutputPlace place;
};

/// What is in a saved model, or what the latest sample of a run tells, to `out`, errors to `err`. Returns the program's exit code: 0; 1 a
/// tensor cannot be read, or there is none of that name, or the report cannot be written; 2 the file is no model and no run, or the options
/// do not go together.
int inspect(const InspectOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
