#include "vigil/monitor/ring_format.h"

#include <algorithm>

namespace vigil {
namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() noexcept {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);  // the polynomial, reflected
    table[byte] = value;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kCrcTable = make_crc_table();

constexpr std::uint64_t kEventSlots = 16;  // events are rare and large: as few as outlast a slow reader

std::uint64_t text_bytes(const Schema& schema) {
  const RunIdentity& identity = schema.identity;
  std::uint64_t bytes = identity.run.size() + identity.model.size() + identity.libtorch.size() + identity.host.size();
  for (const RowSchema& row : schema.rows) {
    bytes += row.name.size() + row.layer.size() + row.shape.size();
    for (const std::string& state : row.optimizer_state) bytes += state.size();
  }
  for (const std::string& parameter : schema.parameters) bytes += parameter.size();
  for (const std::string& group : schema.groups) bytes += group.size();
  return bytes;
}

RingGeometry step_geometry(const Schema& schema, std::uint64_t slots) noexcept {
  return {sizeof(StepRecord) / 8 + scalar_capacity(schema), static_cast<std::size_t>(slots)};
}

RingGeometry frame_geometry(const Schema& schema, std::uint64_t slots) noexcept {
  return {(sizeof(FrameHeader) + schema.rows.size() * sizeof(TensorRow) + schema.histograms * sizeof(MagnitudeHistogram) +
           schema.activations * sizeof(ActivationRow)) /
              8,
          static_cast<std::size_t>(slots)};
}

// Puts the sections one behind the other.
class Layouter {
 public:
  void table(SectionKind kind, std::uint64_t record_size, std::uint64_t count) { add(kind, record_size * count, record_size, count); }
  void names(SectionKind kind, std::size_t capacity, std::size_t max_bytes) {
    add(kind, NameTable::bytes_of(capacity, max_bytes), NameTable::entry_bytes(max_bytes), capacity);
  }
  void ring(SectionKind kind, RingGeometry geometry) {
    add(kind, 8 * geometry.total_words(), 8 * geometry.payload_words, geometry.slot_count);
  }
  RingLayout layout;

 private:
  void add(SectionKind kind, std::uint64_t size, std::uint64_t record_size, std::uint64_t count) {
    Section& section = layout.sections[static_cast<std::size_t>(kind) - 1];
    section = {static_cast<std::uint32_t>(kind), 0, layout.total_bytes, size, record_size, count};
    layout.total_bytes = (layout.total_bytes + size + 63) / 64 * 64;
  }
};

}  // namespace

std::uint32_t crc32c(const void* data, std::size_t size) noexcept {
  const auto* bytes = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~std::uint32_t{0};
  for (std::size_t i = 0; i < size; ++i) crc = (crc >> 8) ^ kCrcTable[(crc ^ bytes[i]) & 0xFF];
  return ~crc;
}

std::optional<std::array<std::uint8_t, 16>> fingerprint_bytes(std::string_view text) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  if (text.size() != 2 * bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char digit = text[i];
    const bool is_decimal = digit >= '0' && digit <= '9';
    if (!is_decimal && (digit < 'a' || digit > 'f')) return std::nullopt;
    bytes[i / 2] = static_cast<std::uint8_t>(16 * bytes[i / 2] + (is_decimal ? digit - '0' : digit - 'a' + 10));
  }
  return bytes;
}

std::string fingerprint_text(const std::array<std::uint8_t, 16>& bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

RingGeometry RingLayout::geometry(RingKind ring) const noexcept {
  const Section& of = section(section_of(ring));
  return {static_cast<std::size_t>(of.record_size / 8), static_cast<std::size_t>(of.count)};
}

RingLayout layout_of(const Schema& schema, std::uint64_t step_slots, std::uint64_t frame_slots) {
  Layouter made;
  made.layout.total_bytes = RingHeader::kBytes + 4096;  // live words have a page of their own
  made.table(SectionKind::identity, sizeof(IdentityRecord), 1);
  made.table(SectionKind::strings, 1, text_bytes(schema));
  made.table(SectionKind::rows, sizeof(RowRecord), schema.rows.size());
  made.table(SectionKind::parameters, sizeof(TextPlace), schema.parameters.size());
  made.table(SectionKind::groups, sizeof(TextPlace), schema.groups.size());
  made.names(SectionKind::scalar_names, ScalarNames::kCapacity, ScalarNames::kMaxBytes);
  made.names(SectionKind::phase_names, PhaseNames::kCapacity, PhaseNames::kMaxBytes);
  made.names(SectionKind::layer_names, schema.activations, LayerNames::kMaxBytes);
  made.table(SectionKind::notes, sizeof(NoteRecord), kHookNames.size());
  made.ring(SectionKind::steps, step_geometry(schema, step_slots));
  made.ring(SectionKind::frames, frame_geometry(schema, frame_slots));
  made.ring(SectionKind::events, {sizeof(NonfiniteEvent) / 8, kEventSlots});
  return made.layout;
}

RingLayout layout_of(const Schema& schema, ChannelBounds bounds) {
  const std::uint64_t step_slots = std::clamp<std::uint64_t>(bounds.step_records, kLeastSlots, kMaxSlots);
  // A frame whose step is gone tells little: of a small model fewer are kept than there is room for.
  const std::uint64_t frame_slots = bounds.frame_bytes / (8 * frame_geometry(schema, 1).slot_words());
  return layout_of(schema, step_slots, std::clamp(frame_slots, kLeastSlots, step_slots));
}

}  // namespace vigil
