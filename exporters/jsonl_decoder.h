// One line of a run's JSONL file after the other, as the records that it was written from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil {

/// What a line holds.
enum class JsonlItem : std::uint8_t {
  run,        ///< another run begins
  continued,  ///< the same one goes on, in another file
  step,       ///< record() and scalars(); also of what was logged after the last step, with StepRecord::again
  frame,
  event,
  alert,  ///< what the run's own rules have told
  lost,   ///< lines are missing: lost_lines()
  other,  ///< a line that a later vigil has, and this one passes over
};

inline constexpr const char* kNoJsonLine = "expected one JSON object a line, got something else, or a part of one";

/// The line is no JSON at all: it was cut off, or is not of this format.
struct JsonlSyntaxError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// The event in a line of JSON, or in the history of vigild: `append_event`. The time is that of a double.
/// @throws std::invalid_argument that says what was expected, nlohmann::json::parse_error
NonfiniteEvent read_event(std::string_view json);

/// Takes the lines of one run after the other, in the order in which JsonlExporter wrote them. What the lines do not say stays at its
/// default: histograms, moments of an optimizer, phases other than those of activations. One thread.
class JsonlDecoder {
 public:
  /// @throws JsonlSyntaxError, or std::invalid_argument that says what was expected. The state is then of no use until the next "run" line.
  JsonlItem decode(std::string_view line);

  // Valid until the next decode(), schema() as long as somebody holds it.
  std::shared_ptr<const Schema> schema() const { return schema_; }  ///< null before the first run
  const StepRecord& record() const noexcept { return record_; }
  const double* scalars() const noexcept { return scalars_.data(); }  ///< learning rates, then user scalars, as in the ring
  const NameTable& scalar_names() const noexcept { return *scalar_names_; }
  Frame frame() const noexcept { return {header_, rows_, histograms_, activations_, layers_}; }
  const NonfiniteEvent& event() const noexcept { return event_; }
  std::uint64_t lost_lines() const noexcept { return lost_lines_; }

 private:
  JsonlItem decode_run(const nlohmann::json& line);
  void decode_step(const nlohmann::json& line);
  void decode_totals(const nlohmann::json& line);
  void decode_scalars(const nlohmann::json& line);
  void decode_frame(const nlohmann::json& line);
  void decode_tensor(const nlohmann::json& item, std::size_t index);
  void decode_activation(const nlohmann::json& item);

  std::shared_ptr<const Schema> schema_;
  std::unique_ptr<ScalarNames> scalar_names_;
  StepRecord record_;
  std::vector<double> scalars_;
  FrameHeader header_;
  std::vector<TensorRow> rows_;
  std::vector<MagnitudeHistogram> histograms_;  // none
  std::vector<ActivationRow> activations_;
  std::vector<LayerLabel> layers_;                                         // theirs
  std::map<std::pair<std::string, std::string>, std::size_t> layer_rows_;  // by layer and phase
  NonfiniteEvent event_;
  std::uint64_t lost_lines_ = 0;
};

}  // namespace vigil
