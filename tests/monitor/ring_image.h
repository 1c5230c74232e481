// Ring files as bytes in memory: made by the code that makes the real ones, for who changes some of them or compares all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "vigil/monitor/ring_file.h"
#include "vigil/monitor/ring_file_reader.h"

namespace vigil::test {

using Bytes = std::vector<std::byte>;

/// Two rows, one of them with everything that a row may have; a histogram, a parameter group, two layers with activations. Never changes.
Schema small_schema();
/// One parameter without a gradient; the least that a run can be.
Schema tiny_schema();
/// Ids, process and clocks that never change. A file has to belong to the user whom it names.
RingOrigin fixed_origin(std::uint32_t uid = geteuid());

/// The bytes of a file with this schema after `write` was at its channel.
Bytes make_image(
    const Schema& schema, ChannelBounds bounds, const RingOrigin& origin,
    const std::function<void(RunChannel&)>& write = [](RunChannel&) {});
/// Of small_schema(): three steps in two slots, a frame, an event, a scalar, a phase, a layer and a note; and every live word is set.
Bytes small_image(std::uint32_t uid = geteuid());
/// Of tiny_schema() with one step and one frame.
Bytes tiny_image(std::uint32_t uid = geteuid());

/// A step whose numbers follow from `step`.
void publish_step(RunChannel& channel, std::uint64_t step);
/// Likewise a frame with activations of the layers named so far, and an event.
void publish_frame(RunChannel& channel, std::uint64_t step);
void publish_event(RunChannel& channel, std::uint64_t step);

/// What lies in an image, and changing it.
template <class T>
T read_at(const Bytes& image, std::size_t offset) {
  T value;
  std::memcpy(static_cast<void*>(&value), image.data() + offset, sizeof value);
  return value;
}
template <class T>
void write_at(Bytes& image, std::size_t offset, const T& value) {
  std::memcpy(image.data() + offset, &value, sizeof value);
}
inline RingHeader header_of(const Bytes& image) { return read_at<RingHeader>(image, 0); }
Section section_of(const Bytes& image, SectionKind kind);
/// Makes the checksum of the header right.
void repair_crc(Bytes& image);

/// Writes a file of these bytes, in place of what is there.
void write_image(const std::string& path, const Bytes& image);
/// What the error says that opening the file, or reading all of it, ends with; empty when it can be read.
std::string problem_of(const std::string& path);
/// Opens the file and reads everything that is in it once, twice over, as vigild does; returns the records read. @throws RingFileError
std::size_t read_all(const std::string& path);

/// As `xxd -a -g1` writes it: 16 bytes a line, lines of zeros left out.
std::string to_hex_dump(const Bytes& image);
Bytes from_hex_dump(const std::string& text);

}  // namespace vigil::test
