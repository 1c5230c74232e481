#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "vigil/inspection/zip_directory.h"

namespace vigil {
namespace {

struct Beginning {
  std::size_t offset;
  std::string_view bytes;
  std::string_view what;
};

using namespace std::string_view_literals;

constexpr std::string_view kOld =
    "was written by torch.save before PyTorch 1.6 (or with _use_new_zipfile_serialization=False); load it in Python and save it again";
constexpr std::string_view kNoModel = "; name a file that torch::save, torch::jit::Module::save or Python's torch.save wrote";

// Longer ones before those that they begin with.
constexpr std::array kBeginnings{
    Beginning{0, "PK\x03\x04"sv, "is cut off: the end of the archive is missing; copy it again from where it came from"},
    Beginning{0, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv, kOld},
    Beginning{257, "ustar"sv, "is a tar archive; unpack it and name the file of the model"},
    Beginning{4, "PTMF"sv, "is a flatbuffer of the mobile interpreter; save the module with torch::jit::Module::save"},
    Beginning{0, "\x80"sv, "is a bare Python pickle and no archive of torch.save; load it in Python and save it with torch.save"},
    Beginning{0, "\x1f\x8b"sv, "is compressed by gzip; unpack it first"},
    Beginning{0, "\x28\xb5\x2f\xfd"sv, "is compressed by zstd; unpack it first"},
    Beginning{0,
              "\xfd"
              "7zXZ"sv,
              "is compressed by xz; unpack it first"},
    Beginning{0, "BZh"sv, "is compressed by bzip2; unpack it first"},
    Beginning{0, "7z\xbc\xaf"sv, "is a 7z archive; unpack it first"},
    Beginning{0, "\x89PNG"sv, "is a PNG picture"},
    Beginning{0, "\xff\xd8\xff"sv, "is a JPEG picture"},
    Beginning{0, "GIF8"sv, "is a GIF picture"},
    Beginning{0, "%PDF"sv, "is a PDF document"},
    Beginning{0, "\x89HDF"sv, "is an HDF5 file, as Keras writes them"},
    Beginning{0, "\x93NUMPY"sv, "is an array of NumPy"},
    Beginning{0, "GGUF"sv, "is a GGUF file of llama.cpp"},
    Beginning{4, "TFL3"sv, "is a TensorFlow Lite model"},
    Beginning{0,
              "\x7f"
              "ELF"sv,
              "is a program or a library"},
    Beginning{8, "{\""sv, "is a safetensors file"},
    Beginning{0, "version https://git-lfs"sv, "is a pointer of git-lfs to the model; fetch it with `git lfs pull`"},
    Beginning{0, "<"sv, "is a text of HTML or XML, perhaps the error page of a download"},
};

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d);
  });
}

}  // namespace

std::string describe_foreign_file(const RegularFile& file) {
  if (file.bytes() == 0) return "is empty" + std::string(kNoModel);
  std::string first(static_cast<std::size_t>(std::min<std::uint64_t>(file.bytes(), 512)), '\0');
  file.read(0, first.data(), first.size());
  for (const Beginning& each : kBeginnings) {
    if (first.size() < each.offset + each.bytes.size() || first.compare(each.offset, each.bytes.size(), each.bytes) != 0) continue;
    const bool advises = each.what.find(';') != std::string_view::npos;
    return std::string(each.what) + (advises ? "" : std::string(kNoModel));
  }
  if (is_text(first)) return "is a text" + std::string(kNoModel);
  return "is no saved model, or one whose end is damaged or missing" + std::string(kNoModel);
}

}  // namespace vigil
