// The tables of a report, a row or two for each tensor.
#pragma once

#include <string>
#include <vector>

#include "vigil/inspection/report_html.h"

namespace vigil {

/// Tensors of one table.
struct ReportGroup {
  std::string title, id;
  std::vector<const ReportTensor*> tensors;
  bool has_pairs = false;  ///< parameters with their gradients
};

/// Parameters first, then gradients, other groups in the order of their first tensor, buffers and activations at the end. Parameters and
/// gradients are one group where there are both, each parameter before its gradient.
std::vector<ReportGroup> groups_of(const std::vector<const ReportTensor*>& tensors);

/// `pictured` are sorted by address.
std::string group_html(const ReportGroup& group, const std::vector<const ReportTensor*>& pictured);

/// How many tensors, elements, bytes, zeros and what is not finite each group has.
std::string overview_html(const std::vector<ReportTensor>& tensors);

/// What each number format would lose: verdicts on all tensors, rows of those in `groups`; empty where none of these has_precision().
std::string precision_html(const std::vector<ReportTensor>& all, const std::vector<ReportGroup>& groups);

}  // namespace vigil
