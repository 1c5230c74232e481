// `vigil dump`
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "vigil/terminal/text_style.h"

namespace vigil::tools {

enum class DumpFormat : unsigned char { text, json, csv };
enum class DumpPart : unsigned char { all, summary, steps, tensors, events, schema };
enum class TensorOrder : unsigned char { model, name, norm, update_ratio, nonfinite };

struct DumpOptions {
  std::vector<std::string> files;
  DumpFormat format = DumpFormat::text;
  DumpPart part = DumpPart::all;
  std::optional<std::size_t> last;  ///< steps; empty: kDumpedSteps as text, else all
  TensorOrder order = TensorOrder::model;
  std::string rules;            ///< a configuration file; empty: the defaults
  bool shows_progress = false;  ///< on `err`, which is a terminal then
  OutputPlace place;
};

inline constexpr std::size_t kDumpedSteps = 10;

/// What is in ring files to `out`, errors to `err`. Returns the program's exit code: 1 when a file could not be read as a whole.
int dump(const DumpOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
