// A report of tensors whose elements are there: of a saved model, or of a module in memory.
#pragma once

#include <vector>

#include "vigil/inspection/report_html.h"
#include "vigil/inspection/tensor_reading.h"

namespace vigil {

/// With the distribution of each tensor and, in ModelReport::whole, of all parameters (all floating-point tensors, where none is said to be
/// one); `title`, `facts`, `notes` and `findings` are left to the caller. Tensors that cannot be read say so in their row; `whole` leaves
/// them out. Gradients are tensors of their own: give them a group (`report_tensors`). Reads each tensor up to twice for itself and twice
/// for the whole (distribution_of), several at once. @throws std::bad_alloc
ModelReport report_of(const std::vector<ModelTensor>& tensors, const ReadingOptions& options = {});

/// The rows alone; `group` stands in place of that of their role unless it is empty. With the gradients of a module in kGradientGroup
/// behind a report's own rows, each stands beside its parameter.
std::vector<ReportTensor> report_tensors(const std::vector<ModelTensor>& tensors, const std::string& group,
                                         const ReadingOptions& options = {});

}  // namespace vigil
