// What is advised of number formats for the tensors of a run: how many there are of each verdict.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vigil/monitor/number_format.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// How many tensors of one kind have one verdict for one format.
struct AdviceCount {
  std::string_view tensor;  ///< of kTensorKindNames, or "activation"
  std::string_view format, verdict;
  std::uint64_t tensors = 0;
};

/// Of the tensors with magnitudes and a finite element in the latest frame, by kind, kNumberFormats and kFormatVerdictNames; a kind without
/// one has no counts. Verdicts that a format never has are left out: bfloat16 and int8 are not helped by scaling. Of activations, whose
/// magnitudes are not counted, those that were measured: `unsafe` where the largest overflows, else `out_of_sight`, and nothing of int8.
/// About 0.4 us a tensor. `snapshot.schema` is not null.
std::vector<AdviceCount> count_precision_advice(const Snapshot& snapshot);

}  // namespace vigil
