// Records of which every word follows from their number, so that a mix of two cannot pass for one.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "vigil/monitor/ring_file_reader.h"
#include "vigil/monitor/run_channel.h"

namespace vigil::test {

inline std::uint64_t mixed(std::uint64_t number, std::uint64_t place) {
  std::uint64_t word = (number + 1) * 0x9E3779B97F4A7C15 + place * 0xBF58476D1CE4E5B9;
  word ^= word >> 29;
  return word * 0x94D049BB133111EB;
}

/// Fills and checks the records of a schema.
class CheckedRecords {
 public:
  explicit CheckedRecords(const Schema& schema)
      : rows_(schema.rows.size()),
        histograms_(schema.histograms),
        activations_(schema.activations),
        scalars_(scalar_capacity(schema)),
        row_records_(rows_),
        histogram_records_(histograms_),
        activation_records_(activations_),
        scalar_values_(scalars_) {}

  void publish_step(RunChannel& channel, std::uint64_t step) {
    fill(step);
    channel.publish(step_, scalar_values_.data());
  }
  /// With a row of activations for each layer that has a name.
  void publish_frame(RunChannel& channel, std::uint64_t step) {
    fill(step);
    frame_.activations = channel.layer_names().size();
    channel.publish(frame_, row_records_.data(), histogram_records_.data(), activation_records_.data());
  }
  void publish_event(RunChannel& channel, std::uint64_t step) {
    fill(step);
    channel.publish(event_);
  }

  /// Whether what a reader has read of a ring is whole.
  bool is_whole(RingKind ring, const std::uint64_t* words) {
    fill(words[0]);
    const auto is_same = [&words](const void* data, std::size_t bytes) {
      const bool same = std::memcmp(words, data, bytes) == 0;
      words += bytes / 8;
      return same;
    };
    if (ring == RingKind::steps) return is_same(&step_, sizeof step_) && is_same(scalar_values_.data(), 8 * scalars_);
    if (ring == RingKind::events) return is_same(&event_, sizeof event_);
    frame_.activations = words[2];
    return frame_.activations <= activations_ && is_same(&frame_, sizeof frame_) &&
           is_same(row_records_.data(), rows_ * sizeof(TensorRow)) &&
           is_same(histogram_records_.data(), histograms_ * sizeof(MagnitudeHistogram)) &&
           is_same(activation_records_.data(), static_cast<std::size_t>(frame_.activations) * sizeof(ActivationRow));
  }

 private:
  template <class T>
  static void fill_words(T& record, std::uint64_t number, std::uint64_t place) {
    for (std::size_t i = 0; i < sizeof record / 8; ++i) {
      const std::uint64_t word = mixed(number, place + i);
      std::memcpy(reinterpret_cast<char*>(&record) + 8 * i, &word, 8);
    }
  }
  // What a reader would put into range is in range.
  void fill(std::uint64_t number) {
    fill_words(step_, number, 0);
    step_.step = step_.origin_step = number;
    step_.wall_time_ns = static_cast<std::int64_t>(number);
    step_.origin = -1;
    step_.user_scalars = number % (ScalarNames::kCapacity + 1);
    for (std::size_t i = 0; i < scalars_; ++i) fill_words(scalar_values_[i], number, 1000 + i);
    frame_.step = number;
    frame_.wall_time_ns = static_cast<std::int64_t>(number);
    for (std::size_t i = 0; i < rows_; ++i) {
      fill_words(row_records_[i], number, 2000 + 100 * i);
      row_records_[i].state = number % 4;
      row_records_[i].moments.scale_exponent = static_cast<std::int64_t>(number % 100);
    }
    for (std::size_t i = 0; i < histograms_; ++i) fill_words(histogram_records_[i], number, 1'000'000 + 100 * i);
    for (std::size_t i = 0; i < activations_; ++i) {
      fill_words(activation_records_[i], number, 2'000'000 + 100 * i);
      activation_records_[i].moments.scale_exponent = 1;
    }
    fill_words(event_, number, 3'000'000);
    event_.step = number;
    event_.wall_time_ns = static_cast<std::int64_t>(number);
    event_.found_by = static_cast<FoundBy>(number % 3);
    event_.operand_count = number % 7;
    for (OperandSeen& operand : event_.operands) operand.moments.scale_exponent = 2;
  }

  std::size_t rows_, histograms_, activations_, scalars_;
  StepRecord step_;
  FrameHeader frame_;
  NonfiniteEvent event_;
  std::vector<TensorRow> row_records_;
  std::vector<MagnitudeHistogram> histogram_records_;
  std::vector<ActivationRow> activation_records_;
  std::vector<double> scalar_values_;
};

}  // namespace vigil::test
