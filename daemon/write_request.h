// Prometheus remote write 1.0 (https://prometheus.io/docs/specs/prw/remote_write_spec/): the message prometheus.WriteRequest as protobuf
// writes it, by hand, and snappy's block format around it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/exporters/labels.h"

namespace vigil {

/// A sample on its way. The value travels as its bits, since the pattern of a NaN has a meaning there.
struct WireSample {
  std::int64_t timestamp_ms = 0;  ///< since the epoch
  std::uint64_t bits = 0;         ///< of an IEEE 754 double
};

/// The NaN that says: this series ends here. To Prometheus it is then absent at once, not five minutes later.
inline constexpr std::uint64_t kStaleBits = 0x7ff0000000000002;
/// The NaN of all that are not that one.
inline constexpr std::uint64_t kNanBits = 0x7ff8000000000001;

/// The bits of a value as it is sent: every NaN is the same one, or one that a tensor held by chance might end a series.
std::uint64_t wire_bits(double value) noexcept;

/// The labels of a series, with `metric` as `__name__`, as they stand in a message: in the order of their names, without those that have no
/// value, and with U+FFFD for bytes that are not UTF-8. No two labels have the same name.
std::string encode_labels(std::string_view metric, std::vector<Label> labels);

/// Appends a series to `request`: labels from encode_labels, then its samples, of which a receiver wants the times to rise.
void append_series(std::string& request, std::string_view labels, const WireSample* samples, std::size_t count);

/// `request` as it is posted: in snappy's block format.
std::string compress_request(const std::string& request);

/// What the headers say of such a body, beside Content-Type.
inline constexpr std::string_view kWriteContentType = "application/x-protobuf";
const std::vector<std::string>& write_headers();

}  // namespace vigil
