#include "vigil/exporters/precision_advice.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"

namespace vigil {
namespace {

// Of the tensors of one kind.
struct Verdicts {
  std::uint64_t all = 0;
  std::array<std::array<std::uint64_t, kFormatVerdictNames.size()>, kNumberFormats.size()> of{};

  void add(std::size_t format, FormatVerdict verdict) noexcept { ++of[format][static_cast<std::size_t>(verdict)]; }
};

void append(std::vector<AdviceCount>& counts, std::string_view tensor, const Verdicts& verdicts, bool is_activation) {
  if (verdicts.all == 0) return;
  for (std::size_t format = 0; format < kNumberFormats.size(); ++format) {
    const bool is_scaled = !kNumberFormats[format].is_uniform && !kNumberFormats[format].is_below_counted;
    if (is_activation && kNumberFormats[format].is_uniform) continue;
    for (std::size_t verdict = 0; verdict < kFormatVerdictNames.size(); ++verdict) {
      if (is_activation && verdict < static_cast<std::size_t>(FormatVerdict::unsafe)) continue;
      if (!is_scaled && verdict == static_cast<std::size_t>(FormatVerdict::safe_scaled)) continue;
      counts.push_back({tensor, kNumberFormats[format].name, kFormatVerdictNames[verdict], verdicts.of[format][verdict]});
    }
  }
}

}  // namespace

std::vector<AdviceCount> count_precision_advice(const Snapshot& snapshot) {
  std::vector<AdviceCount> counts;
  if (!snapshot.has_frame) return counts;
  std::array<Verdicts, kTensorKindNames.size()> kinds;
  const std::vector<RowSchema>& schema = snapshot.schema->rows;
  const std::size_t rows = snapshot.histograms.empty() ? 0 : std::min(schema.size(), snapshot.rows.size());
  for (std::size_t i = 0; i < rows; ++i) {
    const TensorRow& row = snapshot.rows[i];
    const auto histogram = static_cast<std::size_t>(schema[i].histogram);  // kNone is beyond every list
    if (row.state != TensorRow::present || histogram >= snapshot.histograms.size() || finite_count(row.moments) == 0) continue;
    const PrecisionAdvice advice =
        advise(snapshot.histograms[histogram], row.moments, kDTypeNames[static_cast<std::size_t>(schema[i].dtype)]);
    Verdicts& verdicts = kinds[static_cast<std::size_t>(schema[i].kind)];
    ++verdicts.all;
    for (std::size_t format = 0; format < advice.size(); ++format) verdicts.add(format, advice[format].verdict);
  }
  Verdicts activations;
  for (const ActivationRow& row : snapshot.activations) {
    if (row.step == 0 || finite_count(row.moments) == 0) continue;
    ++activations.all;
    for (std::size_t format = 0; format < kNumberFormats.size(); ++format) {
      const bool overflows = overflow_bound(kNumberFormats[format], row.moments) > 0;
      activations.add(format, overflows ? FormatVerdict::unsafe : FormatVerdict::out_of_sight);
    }
  }
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) append(counts, kTensorKindNames[kind], kinds[kind], false);
  append(counts, "activation", activations, true);
  return counts;
}

}  // namespace vigil
