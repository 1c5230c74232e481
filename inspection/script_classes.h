// The classes of a TorchScript archive, as far as its code tells what the tensors of a module are.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "vigil/inspection/zip_archive.h"

namespace vigil {

struct ScriptClass {
  bool is_module = false;
  bool has_methods = false;
  std::set<std::string, std::less<>> parameters;
  std::set<std::string, std::less<>> buffers;
};

/// The classes in a source of `code/`, by the name in the source. Reads only what libtorch writes at the beginning of each.
std::unordered_map<std::string, ScriptClass> read_script_classes(std::string_view source);

/// "__torch__.torch.nn.modules.conv.___torch_mangle_3.Conv2d" -> "torch.nn.modules.conv.Conv2d".
std::string plain_class_name(std::string_view qualified);

/// Reads sources as they are asked for, each once.
class ScriptClasses {
 public:
  /// At most so much source is read of a file.
  static constexpr std::uint64_t kMaxSourceBytes = std::uint64_t{1} << 26;

  /// `root` is the folder in the archive, without '/'. The archive outlives this.
  ScriptClasses(const ZipArchive& archive, std::string root) : archive_(archive), root_(std::move(root)) {}

  /// Null if the archive has no such class. @throws InspectionError if its source is damaged or too long
  const ScriptClass* find(const std::string& qualified);

 private:
  const ZipArchive& archive_;
  std::string root_;
  std::uint64_t source_bytes_ = 0;
  std::unordered_map<std::string, std::unordered_map<std::string, ScriptClass>> sources_;
};

}  // namespace vigil
