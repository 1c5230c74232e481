#include "vigil/tools/model_report_file.h"

#include <ostream>
#include <stdexcept>
#include <utility>

#include "vigil/inspection/model_report.h"
#include "vigil/terminal/output_file.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/model_text.h"

namespace vigil::tools {

ModelReport report_of_file(const ModelFile& file, unsigned threads, ProgressLine& progress) {
  ModelReport report = report_of(file.saved.tensors, reading_options(threads, progress));
  const auto slash = file.path.rfind('/');
  report.title = slash == std::string::npos ? file.path : file.path.substr(slash + 1);
  report.facts = facts_of(file);
  std::vector<ReportFinding> findings;
  for (const TensorFinding& one : file.findings) findings.push_back({one.level == FindingLevel::fault, one.tensor, one.text});
  report.findings = std::move(findings);
  return report;
}

bool write_report(const ModelReport& report, const std::string& path, std::ostream& err) {
  try {
    OutputFile file(path);
    file.stream() << report_html(report);
    file.commit();
    return true;
  } catch (const std::runtime_error& error) {
    err << "vigil: --report: " << printable(error.what()) << '\n';
    return false;
  }
}

}  // namespace vigil::tools
