// A run's schema as the sections of a segment, and back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "vigil/monitor/ring_format.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// What is wrong with a ring file, in words.
struct RingFileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Likewise, but the cause is around the file and may pass: no permission, too many open files, a disk that fails.
struct RingFileUnavailable : RingFileError {
  using RingFileError::RingFileError;
};

/// Writes identity, strings, rows, parameters and groups into a segment that was made for `layout`, the layout of `schema`.
void write_schema(std::byte* segment, const RingLayout& layout, const Schema& schema);

/// Contents of the same sections, as read from somewhere that is not to be trusted.
struct SchemaSections {
  std::vector<std::byte> identity, strings, rows, parameters, groups;
};

/// Bounds on what a file may claim, and so on what a writer puts there. They are what keeps a reader's memory bounded: RingFile,
/// RingFileReader, RunFollower and two of its snapshots take at most 512 MiB of one file together.
inline constexpr std::uint64_t kMaxRows = 131072;        ///< of a frame
inline constexpr std::uint64_t kMaxParameters = 131072;  ///< watched, sampled or not
inline constexpr std::uint64_t kMaxParameterGroups = 65536;
inline constexpr std::uint64_t kMaxLayers = 65536;  ///< with activations
inline constexpr std::uint64_t kMaxParts = 4096;    ///< models that are trained together
inline constexpr std::uint64_t kMaxStringBytes = std::uint64_t{32} << 20;
inline constexpr std::uint64_t kMaxTextBytes = 1024;  ///< of one text: a name may become a label of each of a tensor's series
/// Times of a file lie this far from the epoch at most, so that the difference of any two of them is a number of 64 bits too.
inline constexpr std::int64_t kMaxTimeNs = 4'600'000'000'000'000'000;
constexpr bool is_time(std::int64_t ns) noexcept { return ns >= -kMaxTimeNs && ns <= kMaxTimeNs; }

/// Whether these are the sections of a file of `total_bytes`: kinds, places, and sizes within the bounds. What lies where in detail follows
/// from the schema (layout_of). @throws RingFileError that names the section and what is wrong with it
void check_sections(const std::array<Section, kSectionCount>& sections, std::uint64_t total_bytes);

/// The schema that the sections hold. Numbers that stand for something are in range, texts are what they are; together they are as long as
/// the section of the strings at most. @throws RingFileError likewise
Schema read_schema(const SchemaSections& sections);

}  // namespace vigil
