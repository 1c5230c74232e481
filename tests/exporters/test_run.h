// A small run to export, with everything in it that an exporter may meet.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "vigil/exporters/metric_families.h"
#include "vigil/exporters/series_plan.h"
#include "vigil/monitor/run_channel.h"
#include "vigil/monitor/snapshot.h"

namespace vigil::test {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr std::int64_t kStartNs = 1'700'000'000'250'000'000;

/// Two layers and a root parameter; names with every character that a format escapes. One parameter group.
Schema make_schema();

/// A schema with `layers` layers of two parameters ("weight" and "bias") and their gradients, sizes falling with the layer.
Schema make_large_schema(std::size_t layers);

/// Moments that differ for each row, with a NaN among the elements in every third. Written down, not computed: the last digit of a sum is
/// the compiler's, and golden files are the same for all of them.
Moments make_moments(std::size_t row);

/// A histogram that agrees with make_moments(row), for rows with at least four finite elements that are not zero.
MagnitudeHistogram make_histogram(std::size_t row);

/// Publishes step `step` of a run, and a frame for it if `sampled`.
class TestRun {
 public:
  explicit TestRun(Schema schema = make_schema(), ChannelBounds bounds = {64, 0});

  void publish_step(std::uint64_t step, double loss = 0.5);
  /// With the event that a bracket makes of it.
  void publish_nonfinite_step(std::uint64_t step, std::int64_t origin);
  /// What a replay finds of it.
  void publish_replay(std::uint64_t step);
  /// Two layers of the phase "train", one of "validation" that was not measured yet.
  void publish_frame(std::uint64_t step);

  /// Of everything published so far.
  std::shared_ptr<const Snapshot> snapshot();

  const std::shared_ptr<RunChannel>& channel() const { return channel_; }
  std::vector<double>& scalars() { return scalars_; }
  StepRecord& record() { return record_; }  ///< what the next step is made from

 private:
  std::shared_ptr<RunChannel> channel_;
  RunFollower follower_{*channel_};
  std::vector<double> scalars_;
  StepRecord record_;
};

/// The run of the golden files: three steps, one of them not finite, two frames, a user scalar; never changes.
std::shared_ptr<const Snapshot> make_running_snapshot();
/// The same run before its first step.
std::shared_ptr<const Snapshot> make_first_snapshot();

/// Errors of an exporter so far; one that there is not fails the test.
std::uint64_t errors_of(const Snapshot& snapshot, const std::string& exporter);

/// The family `name`, or null.
const Family* find_family(const std::vector<Family>& families, std::string_view name);
/// Families under the default configuration.
std::vector<Family> families_of(const Snapshot& snapshot, const PrometheusConfig& config = {});
/// The value of the series `name{labels}`, where `labels` is what stands between the braces; NaN when there is none, with a test
/// failure.
double value_of(const std::vector<Family>& families, std::string_view name, const std::string& labels);

}  // namespace vigil::test
