// The report of a saved model as a file.
#pragma once

#include <iosfwd>
#include <string>

#include "vigil/inspection/report_html.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/tools/model_file.h"

namespace vigil::tools {

/// Reads the elements of the model again, for their distributions. @throws std::bad_alloc
ModelReport report_of_file(const ModelFile& file, unsigned threads, ProgressLine& progress);

/// As a whole or not at all. False, and why to `err`, when it cannot be written.
bool write_report(const ModelReport& report, const std::string& path, std::ostream& err);

}  // namespace vigil::tools
