#include "vigil/tools/verify_model.h"

#include <algorithm>
#include <ostream>

#include "vigil/exporters/json_text.h"
#include "vigil/inspection/inspection_error.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/model_file.h"

namespace vigil::tools {
namespace {

// What check_tensors has not told already of a tensor that cannot be read.
void add_damage(const std::vector<DamagedEntry>& damaged, std::vector<TensorFinding>& findings) {
  for (const DamagedEntry& entry : damaged) {
    const bool is_told = !entry.tensor.empty() && std::any_of(findings.begin(), findings.end(), [&](const TensorFinding& one) {
      return one.check == TensorCheck::unreadable && one.tensor == entry.tensor;
    });
    if (is_told) continue;
    TensorFinding finding;
    finding.check = TensorCheck::unreadable;
    finding.tensor = entry.tensor;
    finding.text = (entry.entry.empty() ? "" : entry.entry + ": ") + entry.what;
    findings.push_back(finding);
  }
}

}  // namespace

int verify_model(const VerifyOptions& options, std::ostream& out, std::ostream& err) {
  ModelFile file;
  try {
    ProgressLine progress(err, options.shows_progress);
    file = read_model_file(options.file, options.threads, progress);
    progress.show([] { return std::string("comparing checksums"); });
    add_damage(check_integrity(options.file), file.findings);
  } catch (const InspectionError& error) {
    err << "vigil: " << printable(error.what()) << '\n';
    return 2;
  }
  const auto all = static_cast<std::ptrdiff_t>(file.findings.size());
  const auto faults =
      std::count_if(file.findings.begin(), file.findings.end(), [](const TensorFinding& one) { return one.level == FindingLevel::fault; });
  const bool is_fine = options.strict ? all == 0 : faults == 0;
  if (options.json) {
    std::string text = "{";
    append_member(text, "file", options.file);
    append_member(text, "fine", is_fine);
    append_member(text, "tensors", file.saved.tensors.size());
    append_member(text, "faults", faults);
    append_member(text, "notes", all - faults);
    append_member(text, "architecture_fingerprint", file.architecture);
    if (!file.values.empty()) append_member(text, "value_fingerprint", file.values);
    append_findings(text, file.findings);
    out << printable_json(text + '}') << '\n';
  } else {
    out << findings_text(file.findings, options.place) << printable(options.file) << ": "
        << styled(is_fine ? "fine" : "not fine", is_fine ? Style::green : Style::red, options.place.colored) << ": "
        << counted(faults, "fault") << " and " << counted(all - faults, "note") << " in " << counted(file.saved.tensors.size(), "tensor")
        << '\n';
  }
  return is_fine ? 0 : 1;
}

}  // namespace vigil::tools
