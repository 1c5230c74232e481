#include "vigil/hooks/origin_event.h"

#include <algorithm>
#include <string>

namespace vigil {

NonfiniteEvent bracket_event(std::uint64_t step, std::int64_t wall_time_ns, const std::vector<SeenGradient>& gradients, bool loss_nonfinite,
                             std::uint64_t micro_batch) noexcept {
  NonfiniteEvent event;
  event.step = step;
  event.wall_time_ns = wall_time_ns;
  event.loss_nonfinite = loss_nonfinite;
  const auto is_nonfinite = [](const SeenGradient& gradient) { return gradient.is_nonfinite; };
  event.nonfinite_parameters = static_cast<std::uint64_t>(std::count_if(gradients.begin(), gradients.end(), is_nonfinite));
  auto& message = event.message;
  message.append("step ");
  message.append(step);
  message.append(": ");
  if (loss_nonfinite) {
    message.append("the loss ");
    if (micro_batch > 0) {
      message.append("of micro-batch ");
      message.append(micro_batch);
      message.append(" ");
    }
    message.append("is not finite");
  }
  // Backward goes against the model's order: the last one is the nearest to the loss.
  const auto nearest = std::find_if(gradients.rbegin(), gradients.rend(), is_nonfinite);
  if (nearest == gradients.rend()) return event;
  event.parameter.assign(nearest->name);
  const auto dot = nearest->name.rfind('.');
  event.layer.assign(dot == std::string_view::npos ? std::string_view() : nearest->name.substr(0, dot));
  message.append(loss_nonfinite ? ", and the gradients of " : "the gradients of ");
  message.append(event.nonfinite_parameters);
  message.append(" of ");
  message.append(gradients.size());
  message.append(" parameters are not finite; nearest to the loss: ");
  message.append(nearest->name);
  const auto finite = std::find_if(nearest.base(), gradients.end(), [](const SeenGradient& gradient) { return gradient.exists; });
  if (finite == gradients.end()) return event;
  event.nearest_finite.assign(finite->name);
  message.append("; the next towards it, ");
  message.append(finite->name);
  message.append(", is finite: the fault lies between these two");
  return event;
}

NonfiniteEvent explained_event(const NonfiniteEvent& by_bracket, const Explanation& result, FoundBy found_by) {
  NonfiniteEvent event = by_bracket;
  event.found_by = found_by;
  const std::string step = "step " + std::to_string(event.step) + ": ";
  if (result.was_finite) {
    event.message.assign(step +
                         "the same batch gave finite values when it was run again: the fault is not in the numbers (a device or memory "
                         "error, a race, or a step that does not repeat itself)");
    return event;
  }
  if (!result.provenance) {
    event.message.assign(step + "the values are not finite when the batch is run again, but no operation was seen that made them so" +
                         (result.is_complete ? "" : ": the step has more operations than are kept"));
    return event;
  }
  const Provenance& found = *result.provenance;
  event.backward = found.backward;
  event.layer.assign(found.layer);
  event.operation.assign(found.operation);
  event.forward_operation.assign(found.forward_operation);
  if (!found.tensor.empty()) event.parameter.assign(found.tensor);
  event.operand_count = std::min(found.operands.size(), event.operands.size());
  for (std::size_t i = 0; i < event.operand_count; ++i) {
    event.operands[i].description.assign(describe(found.operands[i]));
    event.operands[i].moments = found.operands[i].moments;
  }
  event.message.assign(step + found.message);
  return event;
}

}  // namespace vigil
