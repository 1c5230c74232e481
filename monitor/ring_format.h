// A ring file, byte by byte: the one definition of what lies where. docs/ring-format.md says it in words, golden files pin it.
// Everything is little-endian; every struct here has the same layout on every machine that vigil runs on.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "vigil/monitor/records.h"
#include "vigil/monitor/ring.h"
#include "vigil/monitor/run_state.h"
#include "vigil/monitor/schema.h"

namespace vigil {

/// What stands in which section. Numbers are never given to anything else.
enum class SectionKind : std::uint32_t {
  identity = 1,      ///< one IdentityRecord
  strings = 2,       ///< bytes that TextPlace points into
  rows = 3,          ///< RowRecord for each row of a frame
  parameters = 4,    ///< TextPlace for each watched parameter
  groups = 5,        ///< TextPlace for each named parameter group
  scalar_names = 6,  ///< NameTable of ScalarNames
  phase_names = 7,   ///< NameTable of PhaseNames
  layer_names = 8,   ///< NameTable of LayerNames
  notes = 9,         ///< NoteRecord for each hook
  steps = 10,        ///< ring of StepRecord with its scalars
  frames = 11,       ///< ring of FrameHeader with its rows, histograms and activations
  events = 12,       ///< ring of NonfiniteEvent
};
inline constexpr std::size_t kSectionCount = 12;
inline constexpr std::array<std::string_view, kSectionCount> kSectionNames{"identity", "strings",      "rows",        "parameters",
                                                                           "groups",   "scalar_names", "phase_names", "layer_names",
                                                                           "notes",    "steps",        "frames",      "events"};

/// A row of the header's table, which has one for each SectionKind, in that order.
struct Section {
  std::uint32_t kind = 0;
  std::uint32_t reserved = 0;
  std::uint64_t offset = 0;       ///< bytes from the start of the file, a multiple of 64
  std::uint64_t size = 0;         ///< bytes
  std::uint64_t record_size = 0;  ///< bytes of one record: of a ring the payload of a slot, of a table one entry
  std::uint64_t count = 0;        ///< records: of a ring its slots, of a table its capacity
};

struct RingHeader {
  static constexpr std::array<char, 8> kMagic{'v', 'i', 'g', 'i', 'l', 'r', 'n', 'g'};
  static constexpr std::uint16_t kAbiMajor = 1, kAbiMinor = 0;
  static constexpr std::uint64_t kEndianProbe = 0x0102030405060708;
  static constexpr std::size_t kBytes = 4096;  ///< live words follow at this offset, sections behind them
  /// The writer held the lock of its file when it wrote this: without the lock it is gone, whatever namespace its number is of.
  /// The RingHeaderAddition behind the header holds the fingerprint of the model.
  enum CompatibleFlag : std::uint32_t { writer_holds_lock = 1, has_model_fingerprint = 2 };

  std::array<char, 8> magic = kMagic;
  std::uint16_t abi_major = kAbiMajor;   ///< a reader refuses another one
  std::uint16_t abi_minor = kAbiMinor;   ///< of a newer one it reads what it knows
  std::uint32_t header_size = kBytes;    ///< where the live words begin
  std::uint32_t compatible_flags = 0;    ///< CompatibleFlag; unknown ones may be ignored
  std::uint32_t incompatible_flags = 0;  ///< a file with an unknown one is not to be read
  std::uint64_t endian_probe = kEndianProbe;
  std::uint64_t total_size = 0;            ///< bytes of the file
  std::array<std::uint8_t, 16> ring_id{};  ///< random: tells this file from every other
  std::array<std::uint8_t, 16> boot_id{};  ///< of the kernel: /proc/sys/kernel/random/boot_id
  std::int64_t pid = 0;                    ///< of the writer, in its own namespace
  std::uint64_t pid_namespace = 0;         ///< inode of /proc/self/ns/pid; 0: not known
  std::uint64_t process_start = 0;         ///< field 22 of /proc/self/stat: clock ticks after boot; 0: not known
  std::uint32_t uid = 0;                   ///< of the writer
  std::uint32_t section_count = kSectionCount;
  std::int64_t wall_time_ns = 0;  ///< both clocks at the same moment, when the file was made: since the epoch,
  std::int64_t monotonic_ns = 0;  ///< and CLOCK_MONOTONIC, which is what `LiveWords::heartbeat_ns` is of
  std::array<Section, kSectionCount> sections{};
  std::uint32_t reserved = 0;
  std::uint32_t crc = 0;  ///< CRC-32C of all that stands before it
};
static_assert(sizeof(Section) == 40 && sizeof(RingHeader) == 120 + kSectionCount * sizeof(Section) + 8);
static_assert(sizeof(RingHeader) <= RingHeader::kBytes && std::is_trivially_copyable_v<RingHeader>);

/// Behind the header, where its flags say so.
struct RingHeaderAddition {
  static constexpr std::size_t kOffset = sizeof(RingHeader);

  std::array<std::uint8_t, 16> model_fingerprint{};
  std::uint32_t reserved = 0;
  std::uint32_t crc = 0;  ///< CRC-32C of all that stands before it in this record
};
static_assert(sizeof(RingHeaderAddition) == 24 && RingHeaderAddition::kOffset + sizeof(RingHeaderAddition) <= RingHeader::kBytes);

/// RunIdentity::model_fingerprint as bytes; none unless it has 32 hexadecimal digits, the letters small.
std::optional<std::array<std::uint8_t, 16>> fingerprint_bytes(std::string_view text) noexcept;
/// And back.
std::string fingerprint_text(const std::array<std::uint8_t, 16>& bytes);

/// A text of the section `strings`.
struct TextPlace {
  std::uint32_t offset = 0, size = 0;
};

/// Schema and RunIdentity, but for their lists.
struct IdentityRecord {
  TextPlace run, model, libtorch, host;
  std::int64_t rank = 0, world_size = 1, attempt = 0, pid = 0, start_time_ns = 0;
  std::uint64_t is_continued = 0;
  std::uint64_t histograms = 0, learning_rates = 0, activations = 0, layers = 0;
  double peak_flops = 0;
  std::array<std::uint64_t, 6> sizes{};  ///< elements and bytes: trainable, frozen, buffers
};
static_assert(sizeof(IdentityRecord) == 168);

/// RowSchema.
struct RowRecord {
  enum Flag : std::uint32_t { has_update = 1, has_distance = 2, has_cosine = 4 };
  std::uint32_t kind = 0, dtype = 0;  ///< TensorKind, DType
  TextPlace name, layer, shape;
  std::uint64_t element_count = 0;
  std::int32_t histogram = RowSchema::kNone, part = 0, learning_rate = RowSchema::kNone;
  std::uint32_t flags = 0;
  std::uint64_t infinite = 0;
  std::uint32_t state_count = 0, reserved = 0;
  std::array<TextPlace, RowSchema::kStateNorms> optimizer_state{};
};
static_assert(sizeof(RowRecord) == 96);

/// What changes outside the rings, behind the header; each on a cache line of its own. Lone words: nothing is published with them.
struct LiveWords {
  template <class T>
  struct alignas(64) Word : std::atomic<T> {
    using std::atomic<T>::atomic;
    using std::atomic<T>::operator=;
  };
  Word<std::int64_t> heartbeat_ns{0};        ///< CLOCK_MONOTONIC when the training thread was last in vigil
  Word<std::uint64_t> last_step{0};          ///< of the newest step record
  Word<RunState> state{RunState::starting};  ///< one of the first four
  Word<std::uint64_t> phase{0};              ///< of PhaseNames, that runs now
  Word<std::uint64_t> commits{0};            ///< records published so far, in all rings
  Word<std::uint64_t> losses{0};             ///< names that there was no room for: of scalars, phases, layers
  Word<std::uint64_t> end_signal{0};         ///< number of the fatal signal that the process was seen to get; 0: none
  Word<std::uint64_t> end_exit{0};           ///< 1: the process called exit() before the run had ended
};
static_assert(sizeof(LiveWords) == 512);

/// HookNote, as it lies in a segment.
struct NoteRecord {
  static constexpr std::size_t kMaxBytes = 320;
  std::atomic<std::uint64_t> ready{0};  ///< 1: text and size are whole
  std::atomic<std::uint64_t> gave_up{0};
  std::uint64_t size = 0;
  std::array<char, kMaxBytes> text{};
};
static_assert(sizeof(NoteRecord) == 344);

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "segments are shared between processes");
// The records themselves are part of the format.
static_assert(sizeof(RunTotals) == 240 && sizeof(StepRecord) == 416 && sizeof(TensorRow) == 152 && sizeof(ActivationRow) == 112);
static_assert(sizeof(MagnitudeHistogram) == 272 && sizeof(FrameHeader) == 24 && sizeof(NonfiniteEvent) == 2432);

/// CRC-32C (Castagnoli) of `size` bytes.
std::uint32_t crc32c(const void* data, std::size_t size) noexcept;

/// Slots of a ring, in a file.
inline constexpr std::uint64_t kLeastSlots = 2, kMaxSlots = std::uint64_t{1} << 24;

/// Bounds of a channel's memory.
struct ChannelBounds {
  std::size_t step_records = 4096;
  /// At least kLeastSlots frames are kept all the same, and at most as many as step records.
  std::size_t frame_bytes = std::size_t{16} << 20;
};

/// Rings of a channel.
enum class RingKind : std::uint8_t { steps, frames, events };

/// The section that holds a ring's slots.
constexpr SectionKind section_of(RingKind ring) noexcept {
  constexpr std::array<SectionKind, 3> kSections{SectionKind::steps, SectionKind::frames, SectionKind::events};
  return kSections[static_cast<std::size_t>(ring)];
}

/// Doubles that follow a step record in its slot.
inline std::size_t scalar_capacity(const Schema& schema) noexcept { return schema.learning_rates + ScalarNames::kCapacity; }

/// Where everything lies in the segment of a run with this schema. The same schema and the same slots give the same layout, which is how a
/// reader checks a file's.
struct RingLayout {
  std::array<Section, kSectionCount> sections{};
  std::size_t total_bytes = 0;

  const Section& section(SectionKind kind) const noexcept { return sections[static_cast<std::size_t>(kind) - 1]; }
  RingGeometry geometry(RingKind ring) const noexcept;
};
RingLayout layout_of(const Schema& schema, ChannelBounds bounds);
/// Likewise for rings of so many slots.
RingLayout layout_of(const Schema& schema, std::uint64_t step_slots, std::uint64_t frame_slots);

}  // namespace vigil
