#include "vigil/daemon/write_request.h"

#include <algorithm>
#include <cstring>

#include <snappy.h>

#include "vigil/history/column_codec.h"
#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

// Tags: a field's number, shifted by three, and its wire type (0: varint, 1: eight bytes, 2: bytes with a length).
constexpr char kTimeseries = 1 << 3 | 2;                             // of WriteRequest
constexpr char kLabels = 1 << 3 | 2, kSamples = 2 << 3 | 2;          // of TimeSeries
constexpr char kName = 1 << 3 | 2, kValue = 2 << 3 | 2;              // of Label
constexpr char kSampleValue = 1 << 3 | 1, kSampleTime = 2 << 3 | 0;  // of Sample

void append_text(std::string& out, char tag, std::string_view text) {
  out += tag;
  append_varint(out, text.size());
  out += text;
}

std::size_t text_size(std::string_view text) noexcept { return 1 + varint_size(text.size()) + text.size(); }

// A negative number of type int64 takes ten bytes, as that of its two's complement.
std::size_t sample_size(const WireSample& sample) noexcept {
  return 1 + sizeof sample.bits + 1 + varint_size(static_cast<std::uint64_t>(sample.timestamp_ms));
}

void append_sample(std::string& out, const WireSample& sample) {
  out += kSampleValue;
  for (int shift = 0; shift < 64; shift += 8) out += static_cast<char>(sample.bits >> shift);  // little-endian on every machine
  out += kSampleTime;
  append_varint(out, static_cast<std::uint64_t>(sample.timestamp_ms));
}

}  // namespace

std::uint64_t wire_bits(double value) noexcept {
  if (is_nan_bits(value)) return kNanBits;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

std::string encode_labels(std::string_view metric, std::vector<Label> labels) {
  labels.push_back({"__name__", std::string(metric)});
  std::sort(labels.begin(), labels.end(), [](const Label& one, const Label& other) { return one.name < other.name; });
  std::string out;
  for (const Label& label : labels) {
    if (label.value.empty()) continue;
    const std::string value = valid_utf8(label.value);
    out += kLabels;
    append_varint(out, text_size(label.name) + text_size(value));
    append_text(out, kName, label.name);
    append_text(out, kValue, value);
  }
  return out;
}

void append_series(std::string& request, std::string_view labels, const WireSample* samples, std::size_t count) {
  std::size_t size = labels.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t bytes = sample_size(samples[i]);
    size += 1 + varint_size(bytes) + bytes;
  }
  request += kTimeseries;
  append_varint(request, size);
  request += labels;
  for (std::size_t i = 0; i < count; ++i) {
    request += kSamples;
    append_varint(request, sample_size(samples[i]));
    append_sample(request, samples[i]);
  }
}

std::string compress_request(const std::string& request) {
  std::string compressed;
  snappy::Compress(request.data(), request.size(), &compressed);
  return compressed;
}

const std::vector<std::string>& write_headers() {
  static const auto& headers = *new std::vector<std::string>{"Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 0.1.0"};
  return headers;
}

}  // namespace vigil
