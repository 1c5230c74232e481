// Feeds a fuzz target the files of a folder, and every beginning of each, up to a bound: for compilers without libFuzzer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// libFuzzer's own, which a target's mutator may call. Nothing is mutated here.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t*, std::size_t size, std::size_t) { return size; }

int main(int count, char** arguments) {
  constexpr std::size_t kMostBeginnings = 2000;
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < count; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::size_t inputs = 0;
  for (const std::filesystem::path& file : files) {
    const std::string text = vigil::test::read_text(file);
    const std::size_t step = text.size() / kMostBeginnings + 1;
    for (std::size_t size = 0; size < text.size(); size += step, ++inputs) {
      const std::vector<std::uint8_t> beginning(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));  // of its own, so that a
      LLVMFuzzerTestOneInput(beginning.data(), beginning.size());  // sanitizer sees what is read behind it
    }
    const std::vector<std::uint8_t> whole(text.begin(), text.end());
    LLVMFuzzerTestOneInput(whole.data(), whole.size());
    ++inputs;
  }
  std::printf("%zu inputs of %zu files\n", inputs, files.size());
  return files.empty() ? 1 : 0;
}
