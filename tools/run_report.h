// The report of a run: what its latest sample tells of every watched tensor.
#pragma once

#include "vigil/inspection/report_html.h"
#include "vigil/tools/followed_run.h"

namespace vigil::tools {

/// Of the latest frame of a run that was polled: parameters, each before its gradient, buffers, activations. A sample has no elements, so
/// there are counts, moments up to the second and, of tensors that sampling.histogram matches, magnitudes by powers of two; what is missing
/// is told in the notes. Figures of a damaged file that cannot be are left out.
ModelReport report_of_run(const FollowedRun& run);

}  // namespace vigil::tools
