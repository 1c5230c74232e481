// A run to keep a history of, whose every step can be made again: what was written is compared with what is made, not with what is read.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vigil/daemon/history_reader.h"
#include "vigil/daemon/history_writer.h"
#include "vigil/monitor/records.h"
#include "vigil/monitor/schema.h"
#include "vigil/monitor/snapshot.h"

namespace vigil::test {

inline constexpr std::int64_t kSecond = 1'000'000'000;
inline constexpr std::int64_t kNow = 1'700'000'000 * kSecond;

using RingId = std::array<std::uint8_t, 16>;
RingId ring_id(std::uint64_t number);

/// Two learning rates; `tensors` parameters with their gradients, the first of each with a histogram; three layers with activations.
Schema make_history_schema(const std::string& run = "mnist", std::size_t tensors = 3, std::int64_t start_time_ns = kNow);

struct MadeStep {
  StepRecord record;
  std::vector<double> scalars;  ///< learning rates, then user scalars
};

/// Step `step` of run `seed`, with three user scalars from step 10 on. Every word is drawn: doubles of all sizes, one in sixteen of them
/// NaN, infinite, -0, or subnormal. A step takes 10 ms.
MadeStep make_step(std::uint64_t seed, std::uint64_t step);
/// A step as trainings have them: a loss that falls with noise, times around 10 ms; one in `every_nonfinite` (0: none) has a NaN.
MadeStep make_plausible_step(std::uint64_t seed, std::uint64_t step, std::uint64_t every_nonfinite = 0);

/// The names of the user scalars of both.
const ScalarNames& made_scalar_names();

/// The words of two doubles or records are equal, NaN or not.
bool is_same(double a, double b);
bool is_same(const StepRecord& a, const StepRecord& b);

/// A frame of the schema above.
struct MadeFrame {
  FrameHeader header;
  std::vector<TensorRow> rows;
  std::vector<MagnitudeHistogram> histograms;
  std::vector<ActivationRow> activations;
  std::vector<LayerLabel> layers;

  Frame view() const { return {header, rows, histograms, activations, layers}; }
};
/// `is_finite` false: a gradient holds a NaN.
MadeFrame make_frame(const Schema& schema, std::uint64_t seed, std::uint64_t step, bool is_finite = true);

NonfiniteEvent make_event(std::uint64_t step);

/// Adds steps `first` to `last` of run `seed` in batches of `batch`, with the cursor of each. Fails the test when one is not stored.
void write_steps(HistoryWriter& writer, RingKey key, std::uint64_t seed, std::uint64_t first, std::uint64_t last, std::size_t batch = 100,
                 MadeStep (*make)(std::uint64_t, std::uint64_t) = make_step);

SeriesRequest series_of(const RunSelector& run, const std::vector<std::string>& names);
TensorSeriesRequest tensor_series_of(const RunSelector& run, TensorKind kind, const std::string& tensor, const std::string& statistic);

/// The number that a statement of SQL answers, over a connection of its own; -1 and a failed test when it does not.
std::int64_t count_of(const std::string& path, const std::string& sql);

}  // namespace vigil::test
