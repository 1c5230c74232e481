#include "vigil/inspection/pickled_model.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "vigil/inspection/pickle_reader.h"
#include "vigil/inspection/rebuilt_tensor.h"
#include "vigil/inspection/script_classes.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

using Kind = PickledValue::Kind;
using Role = ModelTensor::Role;

constexpr std::uint64_t kMaxPickleBytes = std::uint64_t{1} << 26;
constexpr std::size_t kMaxDepth = 200;
constexpr std::size_t kMaxVisits = std::size_t{1} << 22;
constexpr std::size_t kMaxPathBytes = 4096;
// What the names and types that are found take together.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 28;
constexpr std::size_t kMaxTensors = std::size_t{1} << 19;

bool starts_with(std::string_view text, std::string_view beginning) { return text.substr(0, beginning.size()) == beginning; }

// What a walk through one file has found so far, and its bounds.
struct Findings {
  PickledModel found;
  std::size_t visits = 0;
  std::size_t text_bytes = 0;
};

class Walk {
 public:
  Walk(const PickledValues& values, StoragePlace place, ScriptClasses& classes, Findings& findings)
      : values_(values), place_(std::move(place)), classes_(classes), findings_(findings), active_(values.values.size(), false) {}

  // Of a value that belongs to no module.
  void walk_root(std::string path) {
    path_ = std::move(path);
    const PickledValue& root = values_.top();
    model().format = SavedModel::Format::python;
    if (root.kind == Kind::object && starts_with(callable_of(root), "__torch__.")) {
      model().format = SavedModel::Format::torchscript;
      walk_script_instance(callable_of(root), root, true);
      if (!says_classes_) model().format = SavedModel::Format::archive;
      if (says_classes_) model().root_type = plain_class_name(callable_of(root));
      if (!says_classes_) forget_types();
      return;
    }
    is_root_ = true;
    walk(values_.root, Role::other);
  }
  void walk_constants() {
    const PickledValue& root = values_.top();
    for (std::size_t i = 0; i < root.items.size(); ++i) walk_at("CONSTANTS.c" + std::to_string(i), root.items[i], Role::other);
  }

 private:
  SavedModel& model() { return findings_.found.model; }
  const std::string& callable_of(const PickledValue& object) const { return values_[object.callable].text; }

  [[noreturn]] void fail(const std::string& what) const { place_.archive.file().fail("its " + where() + ' ' + what); }
  std::string where() const { return path_.empty() ? "value" : "value " + path_; }
  void note_text(std::size_t bytes) {
    findings_.text_bytes += bytes;
    if (findings_.text_bytes > kMaxTextBytes)
      fail("comes after names of more than " + bytes_text(kMaxTextBytes) + "; the file is made to deceive");
  }
  void pass_over(std::string reason) {
    note_text(path_.size() + reason.size());
    model().passed_over.push_back({path_, std::move(reason)});
  }

  // --- places ---

  // Of a file without classes there is nothing to say but "Module".
  void forget_types() {
    for (SavedModule& module : model().modules) module.type.clear();
  }

  void walk_at(std::string_view key, PickleIndex index, Role role) {
    const Kind kind = values_[index].kind;
    // Most of what a file holds are numbers and texts.
    if (kind <= Kind::bytes || kind == Kind::global) return;
    const std::size_t length = path_.size();
    if (length + key.size() + 1 > kMaxPathBytes) fail("has a longer path than " + bytes_text(kMaxPathBytes));
    if (!path_.empty() && !key.empty()) path_ += '.';
    path_ += key;
    walk(index, role);
    path_.resize(length);
  }

  std::string key_text(PickleIndex index, std::size_t position) const {
    const PickledValue& key = values_[index];
    if (key.kind == Kind::text || key.kind == Kind::bytes) return key.text;
    if (key.kind == Kind::integer) return std::to_string(key.integer);
    return '#' + std::to_string(position);
  }

  // The value of a key; null if there is none.
  const PickledValue* item(const PickledValue& pairs, std::string_view key) const {
    for (std::size_t i = 0; i + 1 < pairs.items.size(); i += 2) {
      const PickledValue& name = values_[pairs.items[i]];
      if (name.kind == Kind::text && name.text == key) return &values_[pairs.items[i + 1]];
    }
    return nullptr;
  }

  // --- values ---

  void walk(PickleIndex index, Role role) {
    // What refers to itself, as a module to its parent, has been named by then.
    if (active_[index]) return;
    if (++findings_.visits > kMaxVisits) fail("is more than the " + grouped(kMaxVisits) + "th; the file is made to deceive");
    if (++depth_ > kMaxDepth) fail("is nested deeper than " + std::to_string(kMaxDepth));
    active_[index] = true;
    const PickledValue& value = values_[index];
    const bool is_root = std::exchange(is_root_, false);
    switch (value.kind) {
      case Kind::tuple:
      case Kind::list:
      case Kind::set: walk_items(value.items, role); break;
      case Kind::dict: walk_pairs(value.items, role); break;
      case Kind::object: walk_object(index, role, is_root); break;
      case Kind::persistent: pass_over("it is a storage without a tensor"); break;
      default: break;
    }
    active_[index] = false;
    --depth_;
  }

  void walk_items(const std::vector<PickleIndex>& items, Role role) {
    for (std::size_t i = 0; i < items.size(); ++i) walk_at(std::to_string(i), items[i], role);
  }

  void walk_pairs(const std::vector<PickleIndex>& items, Role role) {
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) walk_at(key_text(items[i], i / 2), items[i + 1], role);
  }

  void walk_object(PickleIndex index, Role role, bool is_root) {
    const PickledValue& object = values_[index];
    const std::string& callable = callable_of(object);
    if (walk_tensor(index, role)) return;
    if (starts_with(callable, "__torch__.")) return walk_script_instance(callable, object, false);
    if (walk_python_module(callable, object, is_root)) return;
    // (value, "Dict[str, Tensor]") and the like.
    const PickledValue& arguments = values_[object.arguments];
    if (starts_with(callable, "torch.jit._pickle.") && !arguments.items.empty()) return walk_at("", arguments.items[0], role);
    if (callable == "collections.OrderedDict") {
      walk_pair_list(arguments, role);
    } else if (arguments.items.size() == 1) {
      walk_at("", arguments.items[0], role);
    } else {
      walk_at("", object.arguments, role);
    }
    if (object.has_pairs) {
      walk_pairs(object.items, role);
    } else {
      walk_items(object.items, role);
    }
    if (object.state == kNoValue) return;
    if (callable == "collections.OrderedDict") {
      note_metadata_modules(values_[object.state]);
    } else {
      walk_at("", object.state, role);
    }
  }

  // OrderedDict([[key, value], …]), as protocol 2 of Python 2 has it.
  void walk_pair_list(const PickledValue& arguments, Role role) {
    if (arguments.items.empty()) return;
    const PickledValue& list = values_[arguments.items[0]];
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      const PickledValue& pair = values_[list.items[i]];
      if (pair.items.size() == 2) walk_at(key_text(pair.items[0], i), pair.items[1], role);
    }
  }

  // The attribute `_metadata` of a state dict: the path of every module, with a version.
  void note_metadata_modules(const PickledValue& state) {
    const PickledValue* const metadata = item(state, "_metadata");
    if (metadata == nullptr || !metadata->has_pairs) return;
    const std::size_t length = path_.size();
    for (std::size_t i = 0; i + 1 < metadata->items.size(); i += 2) {
      const std::string& module = values_[metadata->items[i]].text;
      if (module.empty() || module.size() > kMaxPathBytes) continue;
      if (!path_.empty()) path_ += '.';
      path_ += module;
      add_module("");
      path_.resize(length);
    }
  }

  // --- tensors ---

  // False: it is none.
  bool walk_tensor(PickleIndex index, Role role) {
    std::optional<RebuiltTensor> tensor;
    try {
      tensor = rebuilt_tensor(values_, values_[index], place_);
    } catch (const InspectionError& error) {
      place_.archive.file().fail("its tensor " + path_ + ' ' + error.what() + "; the file is damaged or made to deceive");
    }
    if (!tensor) return false;
    // Attributes of Python modules name parameters once more, as those of an LSTM do.
    if (!seen_tensors_.insert(index).second && skips_seen_) return true;
    if (!tensor->reason.empty()) {
      pass_over(std::move(tensor->reason));
      return true;
    }
    if (tensor->quantisation) {
      note_text(path_.size());
      tensor->quantisation->name = path_;
      model().quantised.push_back(std::move(*tensor->quantisation));
    }
    if (tensor->view) add(std::move(*tensor->view), tensor->is_parameter ? Role::parameter : role, tensor->requires_grad);
    for (const auto& [suffix, part] : tensor->parts) {
      path_ += suffix;
      walk(part, Role::other);
      path_.resize(path_.size() - suffix.size());
    }
    return true;
  }

  void add(StoredView view, Role role, bool requires_grad) {
    if (model().tensors.size() >= kMaxTensors) fail("is more than the " + grouped(kMaxTensors) + "th tensor");
    note_text(path_.size());
    ModelTensor tensor;
    tensor.name = path_;
    tensor.role = role;
    tensor.requires_grad = requires_grad;
    tensor.type = view.type;
    tensor.sizes = view.sizes;
    model().tensors.push_back(std::move(tensor));
    findings_.found.views.push_back(std::move(view));
  }

  // --- modules ---

  void add_module(std::string type) {
    note_text(path_.size() + type.size());
    model().modules.push_back({path_, std::move(type)});
  }

  // An instance of a class of TorchScript: a module, or an object that one has.
  void walk_script_instance(const std::string& type, const PickledValue& object, bool is_root) {
    const ScriptClass* const known = classes_.find(type);
    const bool is_module = known != nullptr && known->is_module;
    const std::string plain = plain_class_name(type);
    if ((known != nullptr && known->has_methods) || (is_module && plain != "Module")) says_classes_ = true;
    if (is_module && !is_root) add_module(plain);
    if (object.state == kNoValue) return;
    const PickledValue& state = values_[object.state];
    if (state.kind != Kind::dict) return walk_at("", object.state, Role::other);
    for (std::size_t i = 0; i + 1 < state.items.size(); i += 2) {
      const std::string name = key_text(state.items[i], i / 2);
      Role role = Role::other;
      if (is_module && known->parameters.count(name) > 0) role = Role::parameter;
      if (is_module && known->buffers.count(name) > 0) role = Role::buffer;
      walk_at(name, state.items[i + 1], role);
    }
  }

  // An instance of a class of Python with what torch.nn.Module has; false: it is none.
  bool walk_python_module(const std::string& type, const PickledValue& object, bool is_root) {
    if (object.state == kNoValue || values_[object.state].kind != Kind::dict) return false;
    const PickledValue& state = values_[object.state];
    const PickledValue* const parameters = item(state, "_parameters");
    const PickledValue* const buffers = item(state, "_buffers");
    const PickledValue* const modules = item(state, "_modules");
    if (parameters == nullptr || buffers == nullptr || modules == nullptr) return false;
    if (is_root) {
      model().root_type = type;
    } else {
      add_module(type);
    }
    walk_pairs(parameters->items, Role::parameter);
    walk_pairs(buffers->items, Role::buffer);
    walk_pairs(modules->items, Role::other);
    const bool outer = std::exchange(skips_seen_, true);
    for (std::size_t i = 0; i + 1 < state.items.size(); i += 2) {
      const PickledValue* const value = &values_[state.items[i + 1]];
      if (value != parameters && value != buffers && value != modules)
        walk_at(key_text(state.items[i], i / 2), state.items[i + 1], Role::other);
    }
    skips_seen_ = outer;
    return true;
  }

  const PickledValues& values_;
  const StoragePlace place_;
  ScriptClasses& classes_;
  Findings& findings_;
  std::string path_;
  std::size_t depth_ = 0;
  std::vector<bool> active_;
  std::unordered_set<PickleIndex> seen_tensors_;
  bool is_root_ = false;
  bool skips_seen_ = false;
  bool says_classes_ = false;
};

PickledValues pickle_in(const ZipArchive& archive, const ZipEntry& entry) {
  const std::string bytes = archive.read(entry, kMaxPickleBytes);
  try {
    return read_pickle(bytes);
  } catch (const InspectionError& error) {
    archive.fail(entry, std::string("cannot be read: ") + error.what());
  }
}

}  // namespace

PickledModel read_pickled_model(const ZipArchive& archive, const std::string& root) {
  Findings findings;
  ScriptClasses classes(archive, root);
  const PickledValues data = pickle_in(archive, *archive.find(root + "/data.pkl"));
  Walk(data, {archive, root + "/data/"}, classes, findings).walk_root("");
  const ZipEntry* const constants = archive.find(root + "/constants.pkl");
  if (constants != nullptr) {
    const PickledValues values = pickle_in(archive, *constants);
    Walk(values, {archive, root + "/constants/"}, classes, findings).walk_constants();
  }
  return std::move(findings.found);
}

}  // namespace vigil
