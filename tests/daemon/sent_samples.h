// What a run's samples are, collected by series.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "daemon/decoded_request.h"
#include "vigil/daemon/sample_queue.h"
#include "vigil/exporters/metric_families.h"

namespace vigil::test {

inline std::uint64_t bits_of(double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

using SentSamples = std::map<std::string, std::vector<std::pair<std::int64_t, std::uint64_t>>>;  ///< by DecodedSeries::key()

inline void collect(SentSamples& sent, const SampleBlock& block) {
  for (const SampleBlock::Value& value : block.values) {
    std::string request;
    const WireSample sample{block.timestamp_ms, value.bits};
    append_series(request, *value.labels, &sample, 1);
    const DecodedSeries series = decode_message(request).at(0);
    sent[series.key()].push_back(series.samples.at(0));
  }
}

/// The series of `families` as Prometheus has them, of histograms only sum and count. Keys as above, values as they are sent.
std::map<std::string, std::uint64_t> wire_values(const std::vector<Family>& families);

/// Where two of them differ, a line for each series; empty when they are equal.
template <class Value>
std::string difference(const std::map<std::string, Value>& got, const std::map<std::string, Value>& expected) {
  std::string lines;
  for (const auto& [series, value] : got) {
    const auto found = expected.find(series);
    if (found == expected.end()) lines += "not expected: " + series + "\n";
    if (found != expected.end() && found->second != value) lines += "another value: " + series + "\n";
  }
  for (const auto& [series, value] : expected) {
    if (got.count(series) == 0) lines += "missing: " + series + "\n";
  }
  return lines;
}

}  // namespace vigil::test
