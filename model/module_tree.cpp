#include "vigil/model/module_tree.h"

#include <unordered_map>

#include <torch/csrc/jit/api/module.h>
#include <torch/nn/module.h>

namespace vigil {
namespace {

bool starts_with(const std::string& text, const char* beginning) { return text.rfind(beginning, 0) == 0; }

// What differs between the two kinds of modules.
struct NnAccess {
  using Module = torch::nn::Module;
  static const void* object(const Module& module) { return &module; }
  static std::string type(const Module& module) { return module.name(); }
  static bool is_training(const Module& module) { return module.is_training(); }
  template <class Use>
  static void for_each_child(const Module& module, Use use) {
    for (const auto& child : module.named_children()) use(child.key(), *child.value());
  }
  template <class Use>
  static void for_each_parameter(const Module& module, Use use) {
    for (const auto& named : module.named_parameters(/*recurse=*/false)) use(named.key(), named.value());
  }
  template <class Use>
  static void for_each_buffer(const Module& module, Use use) {
    for (const auto& named : module.named_buffers(/*recurse=*/false)) use(named.key(), named.value());
  }
};

struct ScriptAccess {
  using Module = torch::jit::Module;
  static const void* object(const Module& module) { return module._ivalue().get(); }
  static std::string type(const Module& module) { return module.type()->name() ? module.type()->name()->qualifiedName() : "Module"; }
  static bool is_training(const Module& module) {
    return module.hasattr("training") && module.attr("training").isBool() && module.attr("training").toBool();
  }
  template <class Use>
  static void for_each_child(const Module& module, Use use) {
    for (const auto& child : module.named_children()) use(child.name, child.value);
  }
  template <class Use>
  static void for_each_parameter(const Module& module, Use use) {
    for (const auto& named : module.named_parameters(/*recurse=*/false)) use(named.name, named.value);
  }
  template <class Use>
  static void for_each_buffer(const Module& module, Use use) {
    for (const auto& named : module.named_buffers(/*recurse=*/false)) use(named.name, named.value);
  }
};

template <class Access>
class TreeWalk {
 public:
  std::vector<ModuleNode> tree;

  void add(const typename Access::Module& module, const std::string& name, int parent) {
    const int index = static_cast<int>(tree.size());
    const std::string type = Access::type(module);
    ModuleNode node;
    node.name = name;
    node.type = short_module_type(type);
    node.of_torch = starts_with(type, "torch::nn::") || starts_with(type, "__torch__.torch.nn.");
    node.parent = parent;
    node.object = Access::object(module);
    node.is_training = Access::is_training(module);
    node.original = seen_.try_emplace(node.object, index).first->second;
    if (parent >= 0) {
      ModuleNode& above = tree[static_cast<std::size_t>(parent)];
      above.children.push_back(index);
      node.path = above.path.empty() ? name : above.path + '.' + name;
      node.depth = above.depth + 1;
    }
    const auto add_to = [](auto& list) {
      return [&list](const std::string& key, const at::Tensor& tensor) {
        if (tensor.defined()) list.emplace_back(key, tensor);
      };
    };
    Access::for_each_parameter(module, add_to(node.parameters));
    Access::for_each_buffer(module, add_to(node.buffers));
    const bool is_first = node.original == index;
    tree.push_back(std::move(node));
    if (!is_first) return;
    Access::for_each_child(module, [&](const std::string& child, const auto& value) { add(value, child, index); });
  }

 private:
  std::unordered_map<const void*, int> seen_;
};

}  // namespace

std::vector<ModuleNode> module_tree(const torch::nn::Module& module) {
  TreeWalk<NnAccess> walk;
  walk.add(module, "", -1);
  return std::move(walk.tree);
}

std::vector<ModuleNode> module_tree(const torch::jit::Module& module) {
  TreeWalk<ScriptAccess> walk;
  walk.add(module, "", -1);
  return std::move(walk.tree);
}

std::string short_module_type(const std::string& type) {
  // What stands in the brackets of a template has separators of its own.
  const std::string outer = type.substr(0, type.find('<', 1));
  std::size_t begin = 0;
  if (const auto colon = outer.rfind("::"); colon != std::string::npos) {
    begin = colon + 2;
  } else if (const auto dot = outer.rfind('.'); dot != std::string::npos) {
    begin = dot + 1;
  }
  std::string name = outer.substr(begin);
  constexpr std::size_t kImpl = 4;
  if (name.size() > kImpl && name.compare(name.size() - kImpl, kImpl, "Impl") == 0) name.resize(name.size() - kImpl);
  return name + type.substr(outer.size());
}

bool is_within(const std::vector<ModuleNode>& tree, int node, int ancestor) {
  // Depth first, so what stands below comes after.
  while (node > ancestor) node = tree[static_cast<std::size_t>(node)].parent;
  return node == ancestor;
}

int common_ancestor(const std::vector<ModuleNode>& tree, int a, int b) {
  if (a < 0 || b < 0) return 0;
  while (a != b) {
    int& later = a > b ? a : b;
    later = tree[static_cast<std::size_t>(later)].parent;
  }
  return a;
}

}  // namespace vigil
