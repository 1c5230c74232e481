#include "vigil/monitor/schema_sections.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

namespace vigil {
namespace {

// Puts texts one behind the other. A path that was written before, as a gradient's is, is found again behind the one before it.
class TextWriter {
 public:
  explicit TextWriter(std::byte* begin) : begin_(begin) {}

  TextPlace write(std::string_view text) noexcept {
    std::memcpy(begin_ + used_, text.data(), text.size());
    const TextPlace place{static_cast<std::uint32_t>(used_), static_cast<std::uint32_t>(text.size())};
    used_ += text.size();
    return place;
  }

 private:
  std::byte* begin_;
  std::size_t used_ = 0;
};

template <class T>
void put(std::byte*& out, const T& record) noexcept {
  std::memcpy(out, &record, sizeof record);
  out += sizeof record;
}

[[noreturn]] void fail(std::string_view section, const std::string& what) {
  throw RingFileError("section " + std::string(section) + ": " + what);
}

// Many places may name the same bytes, which no writer does: who follows them would need more memory than the file has.
class TextReader {
 public:
  explicit TextReader(const std::vector<std::byte>& bytes) : bytes_(bytes), left_(bytes.size()) {}

  std::string read(TextPlace place, std::string_view section) {
    if (place.offset > bytes_.size() || place.size > bytes_.size() - place.offset) fail(section, "a text lies outside of the strings");
    if (place.size > kMaxTextBytes) fail(section, "a text is longer than " + std::to_string(kMaxTextBytes) + " bytes");
    if (place.size > left_) fail(section, "the texts are longer together than the strings");
    left_ -= place.size;
    return {reinterpret_cast<const char*>(bytes_.data()) + place.offset, place.size};
  }

 private:
  const std::vector<std::byte>& bytes_;
  std::size_t left_;
};

// Records of a section at most, and bytes of each.
struct SectionBound {
  std::uint64_t records, record_bytes;
};
constexpr std::array<SectionBound, kSectionCount> kSectionBounds{{
    {1, sizeof(IdentityRecord)},
    {kMaxStringBytes, 1},
    {kMaxRows, sizeof(RowRecord)},
    {kMaxParameters, sizeof(TextPlace)},
    {kMaxParameterGroups, sizeof(TextPlace)},
    {ScalarNames::kCapacity, NameTable::entry_bytes(ScalarNames::kMaxBytes)},
    {PhaseNames::kCapacity, NameTable::entry_bytes(PhaseNames::kMaxBytes)},
    {kMaxLayers, NameTable::entry_bytes(LayerNames::kMaxBytes)},
    {kHookNames.size(), sizeof(NoteRecord)},
    {kMaxSlots, sizeof(StepRecord) + 8 * (kMaxParameterGroups + ScalarNames::kCapacity)},
    {kMaxSlots, sizeof(FrameHeader) + kMaxRows*(sizeof(TensorRow) + sizeof(MagnitudeHistogram)) + kMaxLayers * sizeof(ActivationRow)},
    {kMaxSlots, sizeof(NonfiniteEvent)},
}};

bool is_ring(SectionKind kind) noexcept { return kind >= SectionKind::steps; }

// By the names of libtorch's optimizers: they become keys and labels.
bool is_plain_name(std::string_view name) noexcept {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

template <class T>
T record_at(const std::vector<std::byte>& bytes, std::size_t index) noexcept {
  T record;
  std::memcpy(static_cast<void*>(&record), bytes.data() + index * sizeof record, sizeof record);
  return record;
}

RowSchema read_row(const RowRecord& record, TextReader& texts, const IdentityRecord& run) {
  constexpr std::string_view kSection = "rows";
  if (record.kind >= kTensorKindNames.size()) fail(kSection, "no kind of tensor has the number " + std::to_string(record.kind));
  if (record.dtype >= kDTypeNames.size()) fail(kSection, "no element type has the number " + std::to_string(record.dtype));
  if (record.state_count > RowSchema::kStateNorms) fail(kSection, "a row has too many norms of the optimizer's state");
  const auto is_one_of = [](std::int32_t index, std::uint64_t count) { return index >= 0 && static_cast<std::uint64_t>(index) < count; };
  if (record.histogram != RowSchema::kNone && !is_one_of(record.histogram, run.histograms))
    fail(kSection, "a row's histogram is none of the frame's");
  if (record.learning_rate != RowSchema::kNone && !is_one_of(record.learning_rate, run.learning_rates))
    fail(kSection, "a row's learning rate is none of the run's");
  if (!is_one_of(record.part, kMaxParts))
    fail(kSection, "a row is of a part beyond the " + std::to_string(kMaxParts) + " that there may be");
  RowSchema row;
  row.kind = static_cast<TensorKind>(record.kind);
  row.dtype = static_cast<DType>(record.dtype);
  row.name = texts.read(record.name, kSection);
  row.layer = texts.read(record.layer, kSection);
  row.shape = texts.read(record.shape, kSection);
  row.element_count = record.element_count;
  row.histogram = record.histogram;
  row.part = record.part;
  row.learning_rate = record.learning_rate;
  row.has_update = (record.flags & RowRecord::has_update) != 0;
  row.has_distance = (record.flags & RowRecord::has_distance) != 0;
  row.has_cosine = (record.flags & RowRecord::has_cosine) != 0;
  row.infinite = record.infinite;
  for (std::uint32_t i = 0; i < record.state_count; ++i) {
    row.optimizer_state.push_back(texts.read(record.optimizer_state[i], kSection));
    if (!is_plain_name(row.optimizer_state.back())) fail(kSection, "what the optimizer keeps has a name that is none");
  }
  return row;
}

}  // namespace

void write_schema(std::byte* segment, const RingLayout& layout, const Schema& schema) {
  const auto begin_of = [&](SectionKind kind) { return segment + layout.section(kind).offset; };
  TextWriter texts(begin_of(SectionKind::strings));
  const RunIdentity& who = schema.identity;
  IdentityRecord identity;
  identity.run = texts.write(who.run);
  identity.model = texts.write(who.model);
  identity.libtorch = texts.write(who.libtorch);
  identity.host = texts.write(who.host);
  identity.rank = who.rank;
  identity.world_size = who.world_size;
  identity.attempt = who.attempt;
  identity.pid = who.pid;
  identity.start_time_ns = who.start_time_ns;
  identity.is_continued = schema.is_continued ? 1 : 0;
  identity.histograms = schema.histograms;
  identity.learning_rates = schema.learning_rates;
  identity.activations = schema.activations;
  identity.layers = schema.layers;
  identity.peak_flops = schema.peak_flops;
  identity.sizes = {schema.trainable.elements, schema.trainable.bytes,  schema.frozen.elements,
                    schema.frozen.bytes,       schema.buffers.elements, schema.buffers.bytes};
  std::byte* out = begin_of(SectionKind::identity);
  put(out, identity);

  out = begin_of(SectionKind::rows);
  for (const RowSchema& row : schema.rows) {
    RowRecord record;
    record.kind = static_cast<std::uint32_t>(row.kind);
    record.dtype = static_cast<std::uint32_t>(row.dtype);
    record.name = texts.write(row.name);
    record.layer = texts.write(row.layer);
    record.shape = texts.write(row.shape);
    record.element_count = row.element_count;
    record.histogram = row.histogram;
    record.part = row.part;
    record.learning_rate = row.learning_rate;
    record.flags = (row.has_update ? RowRecord::has_update : 0U) | (row.has_distance ? RowRecord::has_distance : 0U) |
                   (row.has_cosine ? RowRecord::has_cosine : 0U);
    record.infinite = row.infinite;
    for (const std::string& state : row.optimizer_state) record.optimizer_state[record.state_count++] = texts.write(state);
    put(out, record);
  }
  out = begin_of(SectionKind::parameters);
  for (const std::string& parameter : schema.parameters) put(out, texts.write(parameter));
  out = begin_of(SectionKind::groups);
  for (const std::string& group : schema.groups) put(out, texts.write(group));
}

void check_sections(const std::array<Section, kSectionCount>& sections, std::uint64_t total_bytes) {
  for (std::size_t i = 0; i < kSectionCount; ++i) {
    const Section& section = sections[i];
    const SectionBound& bound = kSectionBounds[i];
    const std::string_view name = kSectionNames[i];
    if (section.kind != i + 1) fail(name, "it is not where it should be");
    if (section.offset % 64 != 0 || section.offset < RingHeader::kBytes || section.offset > total_bytes ||
        section.size > total_bytes - section.offset)
      fail(name, "it lies outside of the file");
    if (section.count > bound.records)
      fail(name, std::to_string(section.count) + " records; there may be " + std::to_string(bound.records));
    if (section.record_size > bound.record_bytes)
      fail(name, "a record of " + std::to_string(section.record_size) + " bytes; it may have " + std::to_string(bound.record_bytes));
    if (is_ring(static_cast<SectionKind>(section.kind)) && section.count < kLeastSlots)
      fail(name, "fewer than " + std::to_string(kLeastSlots) + " slots");
    if (static_cast<SectionKind>(section.kind) < SectionKind::scalar_names && section.size != section.count * section.record_size)
      fail(name, "its size is not that of its records");
  }
  const auto slots = [&sections](SectionKind kind) { return sections[static_cast<std::size_t>(kind) - 1].count; };
  if (slots(SectionKind::frames) > slots(SectionKind::steps)) fail("frames", "it has more slots than the ring of steps");
}

Schema read_schema(const SchemaSections& sections) {
  constexpr std::string_view kSection = "identity";
  if (sections.identity.size() != sizeof(IdentityRecord)) fail(kSection, "it has another size than one record");
  const auto identity = record_at<IdentityRecord>(sections.identity, 0);
  TextReader texts(sections.strings);
  if (identity.rank < 0 || identity.rank > std::numeric_limits<int>::max() || identity.world_size < 1 ||
      identity.world_size > std::numeric_limits<int>::max())
    fail(kSection, "rank or world size is out of range");
  if (!is_time(identity.start_time_ns)) fail(kSection, "the time of its start is out of range");
  if (identity.activations > kMaxLayers) fail(kSection, "more than " + std::to_string(kMaxLayers) + " layers with activations");
  if (identity.learning_rates > kMaxParameterGroups) fail(kSection, "more than " + std::to_string(kMaxParameterGroups) + " learning rates");
  const std::size_t rows = sections.rows.size() / sizeof(RowRecord);
  if (rows > kMaxRows) fail("rows", "more than " + std::to_string(kMaxRows));
  if (identity.histograms > rows) fail(kSection, "more histograms than rows");
  const std::size_t groups = sections.groups.size() / sizeof(TextPlace);
  if (groups != 0 && groups != identity.learning_rates) fail("groups", "it names another number of learning rates than there are");

  Schema schema;
  schema.identity = {texts.read(identity.run, kSection),
                     static_cast<int>(identity.rank),
                     static_cast<int>(identity.world_size),
                     texts.read(identity.model, kSection),
                     texts.read(identity.libtorch, kSection),
                     texts.read(identity.host, kSection),
                     identity.pid,
                     identity.attempt,
                     identity.start_time_ns};
  schema.is_continued = identity.is_continued != 0;
  schema.histograms = static_cast<std::size_t>(identity.histograms);
  schema.learning_rates = static_cast<std::size_t>(identity.learning_rates);
  schema.activations = static_cast<std::size_t>(identity.activations);
  schema.layers = identity.layers;
  schema.peak_flops = identity.peak_flops;
  schema.trainable = {identity.sizes[0], identity.sizes[1]};
  schema.frozen = {identity.sizes[2], identity.sizes[3]};
  schema.buffers = {identity.sizes[4], identity.sizes[5]};
  schema.rows.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) schema.rows.push_back(read_row(record_at<RowRecord>(sections.rows, i), texts, identity));
  for (std::size_t i = 0; i < sections.parameters.size() / sizeof(TextPlace); ++i)
    schema.parameters.push_back(texts.read(record_at<TextPlace>(sections.parameters, i), "parameters"));
  for (std::size_t i = 0; i < groups; ++i) schema.groups.push_back(texts.read(record_at<TextPlace>(sections.groups, i), "groups"));
  return schema;
}

}  // namespace vigil
