// A saved model of any bytes, through all that reads one: its description, all its elements, its checksums. The checksums are set right
// before, as no mutation would get past them otherwise, except where the last byte of the input is odd.
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "fuzz/require.h"
#include "vigil/inspection/saved_model.h"

namespace vigil {
namespace {

using fuzz::require;

constexpr std::size_t kMaxModelBytes = std::size_t{1} << 17;
// What a thousand deflated bytes may become is not waited for.
constexpr std::uint64_t kMaxElements = std::uint64_t{1} << 22;

std::uint64_t number_at(const std::string& file, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{static_cast<unsigned char>(file[at + i])} << (8 * i);
  return value;
}

void put(std::string& file, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) file[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
}

// Gives every stored entry that the directory names the checksum of its contents, in the directory, its own header and behind it.
void repair_checksums(std::string& file) {
  for (std::size_t at = file.find("PK\x01\x02"); at != std::string::npos && file.size() - at >= 46; at = file.find("PK\x01\x02", at + 1)) {
    const std::uint64_t header = number_at(file, at + 42, 4);
    const std::uint64_t bytes = number_at(file, at + 20, 4);
    if (number_at(file, at + 10, 2) != 0 || header > file.size() || file.size() - header < 30) continue;
    const std::uint64_t data = header + 30 + number_at(file, header + 26, 2) + number_at(file, header + 28, 2);
    if (data > file.size() || bytes > file.size() - data) continue;
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(file.data()) + data, bytes);
    put(file, at + 16, crc, 4);
    const bool follows = (number_at(file, at + 8, 2) & 8) != 0;
    if (!follows) put(file, header + 14, crc, 4);
    if (follows && file.size() - data - bytes >= 8) put(file, data + bytes + 4, crc, 4);
  }
}

class ModelFile {
 public:
  ModelFile() : path_("/dev/shm/vigil-fuzz-" + std::to_string(getpid()) + ".pt") {
    file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file_ < 0) {
      std::perror(path_.c_str());
      std::abort();
    }
  }
  ~ModelFile() { unlink(path_.c_str()); }
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;

  const std::string& write(const std::string& bytes) {
    require(pwrite(file_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    require(ftruncate(file_, static_cast<off_t>(bytes.size())) == 0);
    return path_;
  }

 private:
  std::string path_;
  int file_ = -1;
};

// What readers of a SavedModel rely on.
void check_model(const SavedModel& model) {
  std::uint64_t all = 0;
  for (const ModelTensor& tensor : model.tensors) {
    require(tensor.elements != nullptr && element_size(tensor.type) > 0);
    const std::uint64_t count = element_count(tensor);
    all += count;
    if (all > kMaxElements) return;
    std::uint64_t read = 0;
    unsigned sum = 0;
    try {
      tensor.elements->for_each_piece([&](const void* data, std::size_t elements) {
        require(elements > 0 && reinterpret_cast<std::uintptr_t>(data) % element_size(tensor.type) == 0);
        read += elements;
        for (std::size_t i = 0; i < elements * element_size(tensor.type); ++i) sum += static_cast<const unsigned char*>(data)[i];
      });
      require(read == count && sum != 1U << 31);
    } catch (const InspectionError& error) {
      require(error.what()[0] != '\0');
    }
  }
}

}  // namespace
}  // namespace vigil

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static vigil::ModelFile file;
  if (size > vigil::kMaxModelBytes) return 0;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[size - 1] % 2 == 0) vigil::repair_checksums(bytes);
  const std::string& path = file.write(bytes);
  try {
    vigil::check_model(vigil::open_saved_model(path));
  } catch (const vigil::InspectionError& error) {
    vigil::fuzz::require(error.what()[0] != '\0');
  }
  try {
    for (const vigil::DamagedEntry& entry : vigil::check_integrity(path)) vigil::fuzz::require(!entry.what.empty());
  } catch (const vigil::InspectionError& error) {
    vigil::fuzz::require(error.what()[0] != '\0');
  }
  return 0;
}
