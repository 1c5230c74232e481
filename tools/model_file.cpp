#include "vigil/tools/model_file.h"

#include <algorithm>

#include "vigil/exporters/json_text.h"
#include "vigil/inspection/fingerprint.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil::tools {
namespace {

constexpr std::size_t kShownNotes = 10;

std::vector<TensorFinding> faults_first(std::vector<TensorFinding> findings) {
  std::stable_sort(findings.begin(), findings.end(), [](const auto& a, const auto& b) { return a.level > b.level; });
  return findings;
}

}  // namespace

ReadingOptions reading_options(unsigned threads, ProgressLine& progress) {
  ReadingOptions options;
  options.threads = threads;
  options.progress = [&progress](std::uint64_t done, std::uint64_t all) {
    progress.show([&] { return "reading: " + bytes_text(done) + " of " + bytes_text(all); });
  };
  return options;
}

ModelFile read_model_file(const std::string& path, unsigned threads, ProgressLine& progress) {
  ModelFile file;
  file.path = path;
  file.saved = open_saved_model(path);
  file.readings = read_tensors(file.saved.tensors, reading_options(threads, progress));
  progress.clear();
  file.totals = totals_of(file.saved.tensors);
  file.findings = check_tensors(file.saved.tensors, file.readings);
  file.architecture = architecture_fingerprint(file.saved.tensors);
  file.values = value_fingerprint(file.saved.tensors, file.readings);
  return file;
}

std::string role_text(const ModelTensor& tensor) {
  switch (tensor.role) {
    case ModelTensor::Role::parameter: return tensor.requires_grad ? "parameter" : "frozen";
    case ModelTensor::Role::buffer: return "buffer";
    case ModelTensor::Role::other: break;
  }
  return "-";
}

std::string total_text(const TotalOfTensors& total) { return grouped(total.elements) + " in " + bytes_text(total.bytes); }

std::string findings_text(const std::vector<TensorFinding>& findings, const OutputPlace& place) {
  std::vector<TableRow> rows;
  std::size_t notes = 0;
  for (const TensorFinding& one : faults_first(findings)) {
    const bool is_fault = one.level == FindingLevel::fault;
    if (!is_fault && ++notes > kShownNotes) continue;
    rows.push_back({{is_fault ? "fault" : "note", std::string(kTensorCheckNames[static_cast<std::size_t>(one.check)]),
                     printable(one.tensor), printable(one.text)},
                    is_fault ? Style::red : Style::dim});
  }
  if (rows.empty()) return "";
  std::string text = table_text({{"FINDING"}, {"CHECK", false, 1}, {"TENSOR", false, 0, 12}, {"WHAT", false, 0, 20}}, rows, place);
  if (notes > kShownNotes) text += "… and " + counted(notes - kShownNotes, "note") + " more; --json has all\n";
  return text;
}

void append_findings(std::string& out, const std::vector<TensorFinding>& findings) {
  append_list(out, "findings", faults_first(findings), [](std::string& to, const TensorFinding& one) {
    to += '{';
    append_member(to, "level", kFindingLevelNames[static_cast<std::size_t>(one.level)]);
    append_member(to, "check", kTensorCheckNames[static_cast<std::size_t>(one.check)]);
    append_member(to, "tensor", one.tensor);
    if (!one.other.empty()) append_member(to, "other", one.other);
    if (one.check != TensorCheck::unreadable) append_member(to, "elements", one.count);
    if (one.first) append_member(to, "first", *one.first);
    append_member(to, "text", one.text);
    to += '}';
  });
}

}  // namespace vigil::tools
