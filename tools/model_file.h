// A file of a saved model, read and judged.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vigil/inspection/model_totals.h"
#include "vigil/inspection/saved_model.h"
#include "vigil/inspection/tensor_checks.h"
#include "vigil/inspection/tensor_reading.h"
#include "vigil/terminal/progress_line.h"
#include "vigil/terminal/text_style.h"

namespace vigil::tools {

struct ModelFile {
  std::string path;
  SavedModel saved;
  std::vector<TensorReading> readings;  ///< of its tensors, in their order
  ModelTotals totals;
  std::vector<TensorFinding> findings;
  std::string architecture, values;  ///< fingerprints; that of the values is empty when a tensor cannot be read
};

/// @throws InspectionError for what is no model, std::bad_alloc
ModelFile read_model_file(const std::string& path, unsigned threads, ProgressLine& progress);

/// Tells of the bytes that are read.
ReadingOptions reading_options(unsigned threads, ProgressLine& progress);

/// A tensor's role in a word: "parameter", "frozen", "buffer", "-".
std::string role_text(const ModelTensor& tensor);
/// "25,557,032 in 97.5 MiB".
std::string total_text(const TotalOfTensors& total);

/// All faults, then some of the notes, a line each: "fault  conv1.weight  3 of 9,408 elements are NaN, …"; printable but for colours.
std::string findings_text(const std::vector<TensorFinding>& findings, const OutputPlace& place);
/// As a list of JSON objects, the faults first: `"key":[…]`.
void append_findings(std::string& out, const std::vector<TensorFinding>& findings);

}  // namespace vigil::tools
