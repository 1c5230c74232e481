#include "vigil/inspection/script_classes.h"

#include <algorithm>

namespace vigil {
namespace {

constexpr std::string_view kScriptPrefix = "__torch__.";
constexpr std::string_view kMangle = "___torch_mangle_";

bool has_prefix(std::string_view text, std::string_view beginning) { return text.substr(0, beginning.size()) == beginning; }

// The texts in quotes of `__parameters__ = ["weight", "bias", ]`.
void read_quoted(std::string_view line, std::set<std::string, std::less<>>& names) {
  for (std::size_t begin = line.find('"'); begin != std::string_view::npos; begin = line.find('"', begin)) {
    const std::size_t end = line.find('"', begin + 1);
    if (end == std::string_view::npos) return;
    names.emplace(line.substr(begin + 1, end - begin - 1));
    begin = end + 1;
  }
}

}  // namespace

std::unordered_map<std::string, ScriptClass> read_script_classes(std::string_view source) {
  std::unordered_map<std::string, ScriptClass> classes;
  ScriptClass* current = nullptr;
  while (!source.empty()) {
    const std::size_t end = std::min(source.find('\n'), source.size());
    const std::string_view line = source.substr(0, end);
    source.remove_prefix(std::min(end + 1, source.size()));
    if (has_prefix(line, "class ")) {
      const std::size_t name_end = std::min(line.find_first_of("(:", 6), line.size());
      current = &classes[std::string(line.substr(6, name_end - 6))];
      current->is_module = has_prefix(line.substr(name_end), "(Module)");
    } else if (current != nullptr && has_prefix(line, "  __parameters__ = ")) {
      read_quoted(line, current->parameters);
    } else if (current != nullptr && has_prefix(line, "  __buffers__ = ")) {
      read_quoted(line, current->buffers);
    } else if (current != nullptr && has_prefix(line, "  def ")) {
      current->has_methods = true;
    }
  }
  return classes;
}

std::string plain_class_name(std::string_view qualified) {
  if (has_prefix(qualified, kScriptPrefix)) qualified.remove_prefix(kScriptPrefix.size());
  std::string plain;
  while (!qualified.empty()) {
    const std::size_t end = std::min(qualified.find('.'), qualified.size());
    const std::string_view word = qualified.substr(0, end);
    qualified.remove_prefix(std::min(end + 1, qualified.size()));
    if (has_prefix(word, kMangle)) continue;
    if (!plain.empty()) plain += '.';
    plain += word;
  }
  return plain;
}

const ScriptClass* ScriptClasses::find(const std::string& qualified) {
  const std::size_t dot = qualified.rfind('.');
  if (dot == std::string::npos) return nullptr;
  std::string source_name = root_ + "/code/" + qualified.substr(0, dot) + ".py";
  std::replace(source_name.begin() + static_cast<std::ptrdiff_t>(root_.size()), source_name.end() - 3, '.', '/');
  const auto [source, is_new] = sources_.try_emplace(source_name);
  if (is_new) {
    const ZipEntry* const entry = archive_.find(source_name);
    if (entry != nullptr) {
      if (entry->bytes > kMaxSourceBytes - source_bytes_) archive_.fail(*entry, "makes the code longer than is read");
      source_bytes_ += entry->bytes;
      source->second = read_script_classes(archive_.read(*entry, kMaxSourceBytes));
    }
  }
  const auto found = source->second.find(qualified.substr(dot + 1));
  return found == source->second.end() ? nullptr : &found->second;
}

}  // namespace vigil
