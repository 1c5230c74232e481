// A ring file of any bytes through the reader that vigild and the command line use. The input is the file; where its header asks for more
// bytes, up to a bound, zeros follow it, so that an input needs to hold only what is not zero.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fuzz/require.h"
#include "vigil/monitor/ring_file_reader.h"

// libFuzzer's; not there where the corpus alone is replayed.
extern "C" __attribute__((weak)) std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace vigil {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 18;
// Stands for whoever runs this, to whom the file has to belong.
constexpr std::uint32_t kUser = 1000;

// One file on a tmpfs for all inputs, mapped for writing.
class InputFile {
 public:
  InputFile() : path_("/dev/shm/vigil-fuzz-" + std::to_string(getpid()) + ".ring") {
    file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    void* const data = mmap(nullptr, kMaxBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (file_ < 0 || data == MAP_FAILED) {
      std::perror(path_.c_str());
      std::abort();
    }
    data_ = static_cast<std::uint8_t*>(data);
  }
  ~InputFile() { unlink(path_.c_str()); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& write(const std::uint8_t* data, std::size_t size) {
    std::size_t bytes = size;
    RingHeader header;
    const bool has_header = size >= sizeof header;
    if (has_header) std::memcpy(static_cast<void*>(&header), data, sizeof header);
    if (has_header && header.total_size > size && header.total_size <= kMaxBytes) bytes = static_cast<std::size_t>(header.total_size);
    if (ftruncate(file_, static_cast<off_t>(bytes)) != 0) std::abort();
    if (size > 0) std::memcpy(data_, data, size);
    if (bytes > size && used_ > size) std::memset(data_ + size, 0, std::min(bytes, used_) - size);
    used_ = bytes;
    if (has_header && header.uid == kUser && header.crc == crc32c(&header, offsetof(RingHeader, crc))) {
      header.uid = geteuid();
      header.crc = crc32c(&header, offsetof(RingHeader, crc));
      std::memcpy(data_, &header, sizeof header);
    }
    return path_;
  }

 private:
  std::string path_;
  int file_ = -1;
  std::uint8_t* data_ = nullptr;
  std::size_t used_ = 0;
};

using fuzz::require;

bool is_plausible(std::int64_t time_ns) { return time_ns >= -kMaxTimeNs && time_ns <= kMaxTimeNs; }

// What readers of a RingFileReader rely on.
void check_schema(const Schema& schema) {
  require(schema.histograms <= schema.rows.size() && schema.identity.rank >= 0 && schema.identity.world_size >= 1);
  require(schema.groups.empty() || schema.groups.size() == schema.learning_rates);
  for (const RowSchema& row : schema.rows) {
    require(static_cast<std::size_t>(row.kind) < kTensorKindNames.size() && static_cast<std::size_t>(row.dtype) < kDTypeNames.size());
    require(row.histogram >= -1 && row.histogram < static_cast<std::int64_t>(schema.histograms));
    require(row.learning_rate >= -1 && row.learning_rate < static_cast<std::int64_t>(schema.learning_rates));
    require(row.part >= 0 && row.optimizer_state.size() <= RowSchema::kStateNorms);
  }
}

void read_everything(const std::string& path) {
  const auto file = std::make_shared<const RingFile>(path);
  const Schema& schema = file->schema();
  check_schema(schema);
  for (std::size_t hook = 0; hook < kHookNames.size(); ++hook)
    require(file->read_note(static_cast<Hook>(hook)).size() <= NoteRecord::kMaxBytes);
  const LiveReading live = file->read_live();
  require(live.state <= RunState::failed && live.phase < PhaseNames::kCapacity && is_plausible(live.heartbeat_ns));

  RingCursors from{};  // sometimes not from the beginning
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = file->header().ring_id[i] % 4;
  RunFollower follower(std::make_unique<RingFileReader>(file, from));
  for (int turn = 0; turn < 2; ++turn) {
    follower.poll(
        [&](const StepRecord& record, const double*) {
          require(is_plausible(record.wall_time_ns) && record.user_scalars <= ScalarNames::kCapacity);
          require(record.origin >= -1 && record.origin < static_cast<std::int64_t>(schema.parameters.size()));
        },
        [&](const Frame& frame) {
          require(is_plausible(frame.header.wall_time_ns) && frame.activations.size() <= frame.layers.size());
          for (const TensorRow& row : frame.rows) require(row.state <= TensorRow::frozen);
        },
        [&](const NonfiniteEvent& event) {
          require(is_plausible(event.wall_time_ns) && event.operand_count <= event.operands.size());
          require(static_cast<std::size_t>(event.found_by) < kFoundByNames.size() && event.message.view().size() <= 768);
        });
  }
  const auto snapshot = follower.snapshot();
  require(snapshot->user_scalars.size() <= ScalarNames::kCapacity);
}

// --- mutation ----------------------------------------------------------------------------------------------------------------

RingHeader header_in(const std::uint8_t* data) {
  RingHeader header;
  std::memcpy(static_cast<void*>(&header), data, sizeof header);
  return header;
}

// Makes of the beginning of the bytes a header that is not refused for its first words.
void repair_header(std::uint8_t* data) {
  const RingHeader good;
  RingHeader header = header_in(data);
  header.magic = good.magic;
  header.abi_major = good.abi_major;
  header.incompatible_flags = 0;
  header.endian_probe = good.endian_probe;
  header.header_size = good.header_size;
  header.section_count = good.section_count;
  header.uid = kUser;
  header.crc = crc32c(&header, offsetof(RingHeader, crc));
  std::memcpy(data, &header, sizeof header);
}

// Gives the header the sections that follow from the schema that the bytes hold, as far as there is one.
void repair_layout(std::uint8_t* data, std::size_t size) {
  RingHeader header = header_in(data);
  SchemaSections sections;
  const std::array<std::vector<std::byte>*, 5> all{&sections.identity, &sections.strings, &sections.rows, &sections.parameters,
                                                   &sections.groups};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Section& section = header.sections[i];
    if (section.offset > size || section.size > size - section.offset) return;
    const auto* const begin = reinterpret_cast<const std::byte*>(data) + section.offset;
    all[i]->assign(begin, begin + section.size);
  }
  try {
    const RingLayout layout = layout_of(read_schema(sections), 2, 2);
    if (layout.total_bytes > kMaxBytes) return;
    header.sections = layout.sections;
    header.total_size = layout.total_bytes;
    std::memcpy(data, &header, sizeof header);
  } catch (const RingFileError&) {
    // It is refused for that.
  }
}

constexpr std::array<std::uint64_t, 14> kInteresting{0,
                                                     1,
                                                     2,
                                                     3,
                                                     4,
                                                     6,
                                                     64,
                                                     4096,
                                                     0x7FFFFFFF,
                                                     0xFFFFFFFF,
                                                     std::uint64_t{1} << 62,
                                                     std::uint64_t{1} << 63,
                                                     ~std::uint64_t{0},
                                                     ~std::uint64_t{0} >> 1};

// A place in the file and its size: header, live words, a section, or all of it.
std::pair<std::size_t, std::size_t> any_part(const std::uint8_t* data, std::size_t size, std::minstd_rand& random) {
  const std::size_t which = random() % (kSectionCount + 3);
  if (which == 0) return {0, sizeof(RingHeader)};
  if (which == 1 && size > RingHeader::kBytes) return {RingHeader::kBytes, std::min(size - RingHeader::kBytes, sizeof(LiveWords))};
  if (which == 2) return {0, size};
  const Section section = header_in(data).sections[which % kSectionCount];
  if (section.offset >= size || section.size == 0) return {0, size};
  const auto offset = static_cast<std::size_t>(section.offset);
  return {offset, static_cast<std::size_t>(std::min<std::uint64_t>(section.size, size - offset))};
}

}  // namespace
}  // namespace vigil

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  using namespace vigil;
  std::minstd_rand random(seed);
  if (size < sizeof(RingHeader) || random() % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::size_t changes = 1 + random() % 4;
  for (std::size_t i = 0; i < changes; ++i) {
    const auto [offset, bytes] = any_part(data, size, random);
    if (bytes < 8 || random() % 3 == 0) {
      static_cast<void>(LLVMFuzzerMutate(data + offset, bytes, bytes));  // in place: what follows stays where it is
    } else {
      const std::size_t width = random() % 2 == 0 ? 8 : 4;
      const std::uint64_t value = kInteresting[random() % kInteresting.size()];
      std::memcpy(data + offset + random() % (bytes / width) * width, &value, width);
    }
  }
  if (random() % 32 == 0) size = sizeof(RingHeader) + random() % (size - sizeof(RingHeader) + 1);  // what is cut off is zeros
  if (random() % 4 != 0) repair_layout(data, size);
  if (random() % 16 != 0) repair_header(data);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static vigil::InputFile file;
  if (size > vigil::kMaxBytes) return 0;
  try {
    vigil::read_everything(file.write(data, size));
  } catch (const vigil::RingFileError& error) {
    vigil::fuzz::require(error.what()[0] != '\0');
  }
  return 0;
}
