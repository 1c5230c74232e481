// `vigil export`
#pragma once

#include <cstddef>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>

#include "vigil/monitor/snapshot.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {

/// Where `vigil export` takes a run from: the seam between what is written and where it was kept.
struct ExportSource {
  std::shared_ptr<const Schema> schema;  ///< not null
  /// Of the user's scalars; complete when the first record comes.
  std::function<const NameTable&()> scalar_names;
  /// Gives all records, in the order in which they were published (RunFollower::poll): `scalars` are Schema::learning_rates doubles, then
  /// StepRecord::user_scalars of them. Any of the callbacks may be empty.
  std::function<void(const RunFollower::OnStep&, const RunFollower::OnFrame&, const RunFollower::OnEvent&)> read;
  std::function<RunState()> state;       ///< after read()
  std::function<std::string()> problem;  ///< after read(): what could not be read, in words; empty: nothing
};

enum class ExportFormat : unsigned char { csv, json, openmetrics };

struct ExportOptions {
  RunChoice run;
  ExportFormat format = ExportFormat::csv;
  std::string output;               ///< a file, which is written as a whole or not at all; empty: `out`
  bool tensors = false;             ///< the sampled frames as well; in CSV in place of the steps
  std::optional<std::size_t> last;  ///< steps; empty: all
  bool is_terminal = false;         ///< `out` is: what it writes is made printable
  bool shows_progress = false;      ///< on `err`, which is a terminal then
};

/// The ring file that `choice` means. @throws SearchError
ExportSource ring_source(const RunChoice& choice);

/// The steps of a run to `out` or a file, errors to `err`. Returns the program's exit code: 1 when it cannot be read, as a whole, or
/// written.
int export_run(const ExportOptions& options, std::ostream& out, std::ostream& err);

/// From another source than a ring file. @throws std::runtime_error when the file cannot be written
int export_run(const ExportSource& source, const ExportOptions& options, std::ostream& out, std::ostream& err);

}  // namespace vigil::tools
