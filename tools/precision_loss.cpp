#include "vigil/tools/precision_loss.h"

#include "vigil/monitor/number_format.h"

namespace vigil::tools {

std::vector<PrecisionLoss> precision_losses(const ModelFile& file) {
  std::vector<PrecisionLoss> losses;
  for (const NumberFormat& format : kNumberFormats) {
    PrecisionLoss total;
    total.format = format.name;
    double all = 0, overflow = 0, underflow = 0, subnormal = 0;
    bool is_counted = true;
    for (std::size_t i = 0; i < file.readings.size(); ++i) {
      const ElementType type = file.saved.tensors[i].type;
      const TensorReading& reading = file.readings[i];
      if (!reading.error.empty() || (type != ElementType::float32 && type != ElementType::float64)) continue;
      const auto count = static_cast<double>(finite_count(reading.moments) - reading.moments.zero_count);
      const FormatLoss loss = loss_in(format, reading.magnitudes, reading.moments);
      all += count;
      overflow += loss.overflow * count;
      underflow += loss.underflow.value_or(0) * count;
      subnormal += loss.subnormal.value_or(0) * count;
      is_counted = is_counted && loss.underflow.has_value();
      const double lost = loss.overflow + loss.underflow.value_or(0);
      if (lost <= total.worst) continue;
      total.worst = lost;
      total.worst_tensor = i;
    }
    if (all == 0) continue;
    total.overflow = overflow / all;
    if (is_counted) {
      total.underflow = underflow / all;
      total.subnormal = subnormal / all;
    }
    losses.push_back(total);
  }
  return losses;
}

}  // namespace vigil::tools
