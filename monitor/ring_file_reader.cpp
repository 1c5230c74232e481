#include "vigil/monitor/ring_file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <string_view>
#include <system_error>
#include <utility>

namespace vigil {
namespace {

// At 10⁹ records a second a century; twice the number of a record is a sequence word.
constexpr std::uint64_t kMaxCommitted = std::uint64_t{1} << 62;
// Records that may turn out to be gone in one turn. A writer that is so much faster is lapped at the next turn.
constexpr std::size_t kMaxTornInTurn = 1024;

std::string system_text(int error) { return std::generic_category().message(error); }

void check_kind(mode_t mode) {
  if (S_ISREG(mode)) return;
  throw RingFileError(S_ISLNK(mode)    ? "it is a symbolic link"
                      : S_ISDIR(mode)  ? "it is a directory"
                      : S_ISFIFO(mode) ? "it is a pipe"
                      : S_ISSOCK(mode) ? "it is a socket"
                                       : "it is a device");
}

int open_file(const std::string& path) {
  struct stat status {};
  // Before it is opened: that alone makes some devices do something.
  if (lstat(path.c_str(), &status) == 0) check_kind(status.st_mode);
  const int file = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (file < 0) throw RingFileUnavailable("it cannot be opened: " + system_text(errno));
  return file;
}

struct stat check_file(int file) {
  struct stat status {};
  if (fstat(file, &status) != 0) throw RingFileUnavailable("it cannot be looked at: " + system_text(errno));
  check_kind(status.st_mode);  // again: another file may have the name by now
  if (static_cast<std::uint64_t>(status.st_size) < RingHeader::kBytes)
    throw RingFileError("it is shorter than a header: " + std::to_string(status.st_size) + " bytes");
  return status;
}

void check_header(const RingHeader& header, const struct stat& status) {
  const auto fail = [](const std::string& what) { throw RingFileError(what); };
  if (header.magic != RingHeader::kMagic) fail("it does not begin like a ring file");
  if (header.endian_probe != RingHeader::kEndianProbe) fail("it was written by a machine with another order of bytes");
  if (header.abi_major != RingHeader::kAbiMajor)
    fail("its format is version " + std::to_string(header.abi_major) + "; this program reads version " +
         std::to_string(RingHeader::kAbiMajor));
  if (header.incompatible_flags != 0)
    fail("it has features that this program does not know (" + std::to_string(header.incompatible_flags) + ")");
  if (header.crc != crc32c(&header, offsetof(RingHeader, crc))) fail("the checksum of its header is wrong");
  if (header.header_size != RingHeader::kBytes || header.section_count != kSectionCount) fail("its header has another size");
  if (header.total_size != static_cast<std::uint64_t>(status.st_size))
    fail("it is " + std::to_string(status.st_size) + " bytes long instead of " + std::to_string(header.total_size));
  if (header.uid != status.st_uid)
    fail("it belongs to user " + std::to_string(status.st_uid) + ", and says that user " + std::to_string(header.uid) + " wrote it");
  if (!is_time(header.wall_time_ns) || !is_time(header.monotonic_ns)) fail("the times of its header are out of range");
  check_sections(header.sections, header.total_size);
}

// Equal but for what a newer minor version may have put there.
bool is_same(const Section& left, const Section& right) noexcept {
  return left.kind == right.kind && left.offset == right.offset && left.size == right.size && left.record_size == right.record_size &&
         left.count == right.count;
}

template <class T>
void clamp_enum(T& value, std::size_t count, T instead) noexcept {
  if (static_cast<std::uint64_t>(value) >= count) value = instead;
}

void clamp_time(std::int64_t& ns) noexcept { ns = std::clamp(ns, -kMaxTimeNs, kMaxTimeNs); }

// Steps go to where numbers have a sign: databases, JSON.
void clamp_step(std::uint64_t& step) noexcept { step = std::min<std::uint64_t>(step, std::numeric_limits<std::int64_t>::max()); }

void make_harmless(Moments& moments) noexcept {
  constexpr std::int64_t kLimit = 2 * std::numeric_limits<double>::max_exponent;  // beyond what any double's could be
  moments.scale_exponent = std::clamp(moments.scale_exponent, -kLimit, kLimit);
}

// Has `repair` a look at the record of type T that lies in the words.
template <class T, class Repair>
void repair_at(std::uint64_t* words, Repair repair) noexcept {
  T record;
  std::memcpy(static_cast<void*>(&record), words, sizeof record);
  repair(record);
  std::memcpy(words, &record, sizeof record);
}

void make_harmless_frame(std::uint64_t* words, const Schema& schema, std::size_t layers) noexcept {
  repair_at<FrameHeader>(words, [layers](FrameHeader& header) {
    clamp_step(header.step);
    clamp_time(header.wall_time_ns);
    header.activations = std::min<std::uint64_t>(header.activations, layers);
  });
  words += sizeof(FrameHeader) / 8;
  for (std::size_t i = 0; i < schema.rows.size(); ++i, words += sizeof(TensorRow) / 8) {
    repair_at<TensorRow>(words, [](TensorRow& row) {
      make_harmless(row.moments);
      if (row.state > TensorRow::frozen) row.state = TensorRow::unreadable;
    });
  }
  words += schema.histograms * sizeof(MagnitudeHistogram) / 8;
  for (std::size_t i = 0; i < layers; ++i, words += sizeof(ActivationRow) / 8)
    repair_at<ActivationRow>(words, [](ActivationRow& row) { make_harmless(row.moments); });
}

// What a record says is shown, counted with and looked up by; the words of a file may say anything. `layers` have names.
void make_harmless(std::uint64_t* words, RingKind ring, const Schema& schema, std::size_t layers) noexcept {
  switch (ring) {
    case RingKind::steps:
      return repair_at<StepRecord>(words, [&schema](StepRecord& record) {
        clamp_step(record.step);
        clamp_step(record.origin_step);
        clamp_time(record.wall_time_ns);
        record.user_scalars = std::min<std::uint64_t>(record.user_scalars, ScalarNames::kCapacity);
        if (record.origin < -1 || record.origin >= static_cast<std::int64_t>(schema.parameters.size())) record.origin = -1;
      });
    case RingKind::frames: return make_harmless_frame(words, schema, layers);
    case RingKind::events:
      return repair_at<NonfiniteEvent>(words, [](NonfiniteEvent& event) {
        clamp_step(event.step);
        clamp_time(event.wall_time_ns);
        clamp_enum(event.found_by, kFoundByNames.size(), FoundBy::bracket);
        event.operand_count = std::min<std::uint64_t>(event.operand_count, event.operands.size());
        for (OperandSeen& operand : event.operands) make_harmless(operand.moments);
      });
  }
}

// Tells a name of a table from the others. Two that differ may have one: then the later one gets another name.
std::uint64_t key_of(SectionKind kind, std::uint32_t tag, std::string_view name) noexcept {
  constexpr std::uint64_t kPrime = 0x100000001B3;
  return (std::hash<std::string_view>{}(name)*kPrime + tag) * kPrime + static_cast<std::uint64_t>(kind);
}

}  // namespace

RingFile::RingFile(const std::string& path) : path_(path), file_(open_file(path)) {
  try {
    const struct stat status = check_file(file_);
    device_ = status.st_dev;
    inode_ = status.st_ino;
    read(&header_, sizeof header_, 0);
    check_header(header_, status);
    SchemaSections sections;
    const auto read_section = [&](SectionKind kind, std::vector<std::byte>& out) {
      const Section& section = header_.sections[static_cast<std::size_t>(kind) - 1];
      out.resize(static_cast<std::size_t>(section.size));
      if (!out.empty()) read(out.data(), out.size(), section.offset);
    };
    read_section(SectionKind::identity, sections.identity);
    read_section(SectionKind::strings, sections.strings);
    read_section(SectionKind::rows, sections.rows);
    read_section(SectionKind::parameters, sections.parameters);
    read_section(SectionKind::groups, sections.groups);
    Schema schema = read_schema(sections);
    if ((header_.compatible_flags & RingHeader::has_model_fingerprint) != 0) {
      RingHeaderAddition addition;
      read(&addition, sizeof addition, RingHeaderAddition::kOffset);
      // Damaged, it is as if there were none: all else of the file is good without it.
      if (addition.crc == crc32c(&addition, offsetof(RingHeaderAddition, crc)))
        schema.identity.model_fingerprint = fingerprint_text(addition.model_fingerprint);
    }
    schema_ = std::make_shared<const Schema>(std::move(schema));
    layout_ = layout_of(*schema_, header_.sections[static_cast<std::size_t>(SectionKind::steps) - 1].count,
                        header_.sections[static_cast<std::size_t>(SectionKind::frames) - 1].count);
    for (std::size_t i = 0; i < kSectionCount; ++i) {
      if (!is_same(layout_.sections[i], header_.sections[i]))
        throw RingFileError("section " + std::string(kSectionNames[i]) + " does not fit what the file says of its run");
    }
  } catch (...) {
    close(file_);
    throw;
  }
}

RingFile::~RingFile() { close(file_); }

void RingFile::read(void* out, std::size_t bytes, std::uint64_t offset) const {
  auto* to = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = pread(file_, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw RingFileUnavailable("it cannot be read: " + system_text(errno));
    if (got == 0) throw RingFileError("it has become shorter");
    to += got;
    bytes -= static_cast<std::size_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
}

LiveReading RingFile::read_live() const {
  std::array<std::uint64_t, sizeof(LiveWords) / 8> words;
  read(words.data(), sizeof words, RingHeader::kBytes);
  const auto word = [&](std::size_t offset) { return words[offset / 8]; };
  LiveReading live;
  live.heartbeat_ns = static_cast<std::int64_t>(word(offsetof(LiveWords, heartbeat_ns)));
  clamp_time(live.heartbeat_ns);
  live.last_step = word(offsetof(LiveWords, last_step));
  clamp_step(live.last_step);
  live.state = static_cast<RunState>(word(offsetof(LiveWords, state)));
  clamp_enum(live.state, static_cast<std::size_t>(RunState::failed) + 1, RunState::failed);
  live.phase = std::min<std::uint64_t>(word(offsetof(LiveWords, phase)), PhaseNames::kCapacity - 1);
  live.commits = word(offsetof(LiveWords, commits));
  live.losses = word(offsetof(LiveWords, losses));
  live.end_signal = static_cast<int>(word(offsetof(LiveWords, end_signal)) & 127);
  live.end_exit = word(offsetof(LiveWords, end_exit)) != 0;
  return live;
}

std::string RingFile::read_note(Hook hook) const {
  std::array<char, sizeof(NoteRecord)> bytes;
  read(bytes.data(), bytes.size(), layout_.section(SectionKind::notes).offset + static_cast<std::size_t>(hook) * sizeof(NoteRecord));
  std::uint64_t ready, size;
  std::memcpy(&ready, bytes.data() + offsetof(NoteRecord, ready), sizeof ready);
  std::memcpy(&size, bytes.data() + offsetof(NoteRecord, size), sizeof size);
  if (ready == 0) return {};
  return {bytes.data() + offsetof(NoteRecord, text), static_cast<std::size_t>(std::min<std::uint64_t>(size, NoteRecord::kMaxBytes))};
}

bool RingFile::is_locked() const noexcept { return is_write_locked(file_); }

WriterState RingFile::writer(const ProcessIdentity& self) const {
  if (is_locked()) return WriterState::alive;
  if (header_.boot_id != self.boot_id) return WriterState::gone;
  // Nobody here can be asked about its process. The lock that it had has ended with it, unless the program itself has opened and closed its
  // ring file, which vigil does not.
  if (header_.pid_namespace == 0 || header_.pid_namespace != self.pid_namespace || header_.process_start == 0)
    return (header_.compatible_flags & RingHeader::writer_holds_lock) != 0 ? WriterState::gone : WriterState::unknown;
  // The lock is given up when the process closes the file a second time; it lives all the same.
  const ProcessSeen seen = look_at_process(header_.pid);
  if (!seen.is_known) return WriterState::unknown;
  return seen.is_there && seen.start == header_.process_start ? WriterState::alive : WriterState::gone;
}

RingFileReader::RingFileReader(std::shared_ptr<const RingFile> file, RingCursors from)
    : file_(std::move(file)), layer_names_(file_->schema().activations) {
  for (std::size_t i = 0; i < rings_.size(); ++i) rings_[i].cursor = from[i];
}

std::uint64_t RingFileReader::ring_offset(RingKind ring) const noexcept { return file_->layout().section(section_of(ring)).offset; }

std::uint64_t RingFileReader::read_word(std::uint64_t offset) const {
  std::uint64_t word;
  file_->read(&word, sizeof word, offset);
  // What is read after this word is not older than it: pairs with the writer's release stores.
  std::atomic_thread_fence(std::memory_order_acquire);
  return word;
}

// The kernel copies an aligned word at once, though nobody promises it. A count that grows shows a mix of two of its values by a leap.
std::uint64_t RingFileReader::read_count(std::uint64_t offset) const {
  constexpr std::uint64_t kNoLeap = std::uint64_t{1} << 20;
  constexpr int kTries = 4;
  std::uint64_t count = read_word(offset);
  for (int i = 0; i < kTries; ++i) {
    const std::uint64_t again = read_word(offset);
    if (again - count < kNoLeap) return count;
    count = again;
  }
  return count;
}

void RingFileReader::read_names(NameTable& names, SectionKind kind, std::uint64_t tags) {
  const std::uint64_t offset = file_->layout().section(kind).offset;
  const std::uint64_t count = std::min<std::uint64_t>(read_word(offset), names.capacity());
  const std::size_t known = names.size();
  if (count <= known) return;
  const std::size_t entry_bytes = NameTable::entry_bytes(names.max_bytes());
  names_.resize((static_cast<std::size_t>(count) - known) * entry_bytes);
  file_->read(names_.data(), names_.size(), offset + NameTable::kEntriesOffset + known * entry_bytes);
  for (std::size_t i = 0; i < count - known; ++i) {
    const std::byte* const entry = names_.data() + i * entry_bytes;
    std::uint32_t length, tag;
    std::memcpy(&length, entry, sizeof length);
    std::memcpy(&tag, entry + NameTable::kTagOffset, sizeof tag);
    const std::string_view name(reinterpret_cast<const char*>(entry + NameTable::kNameOffset),
                                std::min<std::size_t>(length, names.max_bytes()));
    if (tag >= tags) tag = 0;
    // An index belongs to each name, so there is one for what cannot be a name, and for one that is there already.
    std::string made(name);
    for (bool is_first = true; made.empty() || !known_names_.insert(key_of(kind, tag, made)).second; is_first = false)
      made = is_first ? "?" + std::to_string(names.size()) : made + '?';
    if (made.size() > names.max_bytes()) made.resize(names.max_bytes());
    static_cast<void>(names.append(made, tag));
  }
}

void RingFileReader::refresh() {
  torn_in_turn_ = 0;
  live_ = file_->read_live();
  // In this order: where a frame is seen, so are the records of the steps before it.
  for (const RingKind ring : {RingKind::frames, RingKind::events, RingKind::steps}) {
    at(ring).committed = read_count(ring_offset(ring));
    if (at(ring).committed > kMaxCommitted) throw RingFileError("it claims more records than anybody could have written");
    // A cursor beyond what there is was kept from another file, or this one was rewritten.
    if (at(ring).cursor > at(ring).committed) throw RingFileError("it has fewer records than it had");
  }
  // Behind the records: every name that a record uses is there.
  read_names(phase_names_, SectionKind::phase_names, 1);
  read_names(scalar_names_, SectionKind::scalar_names, 1);
  read_names(layer_names_, SectionKind::layer_names, std::max<std::size_t>(phase_names_.size(), 1));
  if (phase_names_.size() == 0) phase_names_.append(PhaseNames::kTrain, 0);
}

bool RingFileReader::try_read(RingKind kind, std::uint64_t* words) {
  Ring& ring = at(kind);
  const RingGeometry geometry = this->geometry(kind);
  const std::uint64_t begin = ring_offset(kind);
  for (;;) {
    if (ring.cursor >= ring.committed || torn_in_turn_ >= kMaxTornInTurn) return false;
    if (ring.committed - ring.cursor > geometry.slot_count) {
      const std::uint64_t gone = ring.committed - ring.cursor - geometry.slot_count;
      ring.losses.overwritten += gone;
      ring.cursor += gone;
    }
    const std::uint64_t slot = begin + 8 * (RingGeometry::kLineWords + (ring.cursor % geometry.slot_count) * geometry.slot_words());
    const std::uint64_t whole = 2 * ring.cursor + 2;
    const std::uint64_t before = read_word(slot);
    if (before == whole) {
      file_->read(words, 8 * geometry.payload_words, slot + 8);
      std::atomic_thread_fence(std::memory_order_acquire);  // the word below is not older than those above
      if (read_word(slot) == whole) {
        ++ring.cursor;
        ++ring.losses.read;
        make_harmless(words, kind, schema(), layer_names_.size());
        return true;
      }
      ++ring.losses.torn;
    } else if (before < whole && read_word(slot) < whole) {
      // Slots below the count have been whole.
      throw RingFileError("a record that was published is not there");
    }
    ++torn_in_turn_;
    ++ring.losses.overwritten;
    ++ring.cursor;
  }
}

}  // namespace vigil
