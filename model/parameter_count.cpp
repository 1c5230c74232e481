#include "vigil/model/parameter_count.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

#include <ATen/core/Tensor.h>

#include "vigil/model/module_tensors.h"
#include "vigil/model/module_tree.h"
#include "vigil/operators/layer_attribution.h"
#include "vigil/terminal/table.h"
#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

// Which bytes of which memory are counted.
class CountedMemory {
 public:
  /// Elements of `tensor` that are not counted yet; from now on they are.
  std::uint64_t take(const at::Tensor& tensor) {
    const at::Tensor values = tensor.layout() == at::kSparse ? tensor._values() : tensor;
    const auto elements = static_cast<std::uint64_t>(values.numel());
    Ranges& ranges = counted_[memory_of(values)];
    std::uint64_t begin = 0, end = elements * size_of(values);
    if (values.has_storage()) {
      begin = static_cast<std::uint64_t>(values.storage_offset()) * size_of(values);
      // Where it has gaps, as every second row of a matrix, what lies between its ends counts as its own for who comes later.
      std::uint64_t span = elements > 0 ? 1 : 0;
      for (std::int64_t d = 0; elements > 0 && d < values.dim(); ++d) {
        span += static_cast<std::uint64_t>(values.size(d) - 1) * static_cast<std::uint64_t>(values.stride(d));
      }
      end = begin + span * size_of(values);
    }
    if (begin == end) return 0;
    const std::uint64_t fresh = add(ranges, begin, end);
    return fresh == end - begin ? elements : std::min(elements, fresh / size_of(values));
  }

 private:
  using Ranges = std::map<std::uint64_t, std::uint64_t>;  // begin to end, apart from each other

  static std::uint64_t size_of(const at::Tensor& values) { return static_cast<std::uint64_t>(values.element_size()); }

  // Bytes of it that were not there.
  static std::uint64_t add(Ranges& ranges, std::uint64_t begin, std::uint64_t end) {
    std::uint64_t fresh = end - begin;
    auto range = ranges.upper_bound(begin);
    if (range != ranges.begin() && std::prev(range)->second >= begin) --range;
    std::uint64_t whole_begin = begin, whole_end = end;
    while (range != ranges.end() && range->first <= end) {
      const std::uint64_t overlap_begin = std::max(begin, range->first), overlap_end = std::min(end, range->second);
      if (overlap_end > overlap_begin) fresh -= overlap_end - overlap_begin;
      whole_begin = std::min(whole_begin, range->first);
      whole_end = std::max(whole_end, range->second);
      range = ranges.erase(range);
    }
    ranges[whole_begin] = whole_end;
    return fresh;
  }

  std::map<const void*, Ranges> counted_;
};

std::string type_name(const at::Tensor& tensor) {
  try {
    return std::string(name_of(element_type_of(tensor.scalar_type())));
  } catch (const std::invalid_argument&) {
    return c10::toString(tensor.scalar_type());
  }
}

}  // namespace

void add(TensorCount& into, const TensorCount& other) noexcept {
  into.trainable += other.trainable;
  into.frozen += other.frozen;
  into.buffers += other.buffers;
  into.shared += other.shared;
  into.parameter_bytes += other.parameter_bytes;
  into.buffer_bytes += other.buffer_bytes;
}

ParameterCount count_parameters(const std::vector<ModuleNode>& tree) {
  ParameterCount count;
  CountedMemory memory;
  const auto take = [&](const at::Tensor& tensor, bool is_parameter, TensorCount& own) {
    const std::string type = type_name(tensor);
    auto row = std::find_if(count.by_type.begin(), count.by_type.end(), [&](const TypeCount& known) { return known.type == type; });
    if (row == count.by_type.end()) row = count.by_type.insert(row, {type, {}});
    TensorCount one;
    const std::uint64_t elements = memory.take(tensor);
    const std::uint64_t bytes = elements * static_cast<std::uint64_t>(tensor.element_size());
    const auto all = static_cast<std::uint64_t>(tensor.layout() == at::kSparse ? tensor._values().numel() : tensor.numel());
    one.shared = all - elements;
    if (is_parameter) {
      (tensor.requires_grad() ? one.trainable : one.frozen) = elements;
      one.parameter_bytes = bytes;
    } else {
      one.buffers = elements;
      one.buffer_bytes = bytes;
    }
    add(own, one);
    add(row->count, one);
  };
  for (std::size_t i = 0; i < tree.size(); ++i) {
    const ModuleNode& node = tree[i];
    ModuleCount module;
    module.path = node.path;
    module.name = node.name;
    module.type = node.type;
    module.depth = node.depth;
    module.parent = node.parent;
    module.is_repeated = node.original != static_cast<int>(i);
    count.modules.push_back(std::move(module));
  }
  // Parameters of all modules before buffers: memory that is both is a parameter.
  for (const bool is_parameter : {true, false}) {
    for (std::size_t i = 0; i < tree.size(); ++i) {
      for (const auto& named : is_parameter ? tree[i].parameters : tree[i].buffers) take(named.second, is_parameter, count.modules[i].own);
    }
  }
  for (std::size_t i = count.modules.size(); i-- > 0;) {
    ModuleCount& module = count.modules[i];
    add(module.total, module.own);
    if (module.parent >= 0) add(count.modules[static_cast<std::size_t>(module.parent)].total, module.total);
  }
  count.total = count.modules.front().total;
  return count;
}

ParameterCount count_parameters(const torch::nn::Module& module) { return count_parameters(module_tree(module)); }
ParameterCount count_parameters(const torch::jit::Module& module) { return count_parameters(module_tree(module)); }

std::string parameter_count_text(const ParameterCount& count, int depth, const OutputPlace& place) {
  const std::vector<TableColumn> heads{{"module", false, 0, 20}, {"type", false, 3},  {"parameters", true}, {"trainable", true, 2},
                                       {"buffers", true, 2},     {"shared", true, 1}, {"bytes", true}};
  std::vector<TableRow> rows;
  const auto number = [](std::uint64_t value) { return value > 0 ? grouped(value) : std::string("-"); };
  for (const ModuleCount& module : count.modules) {
    if (module.depth > depth) continue;
    const std::string name =
        module.depth == 0 ? "(all)" : std::string(static_cast<std::size_t>(module.depth - 1) * 2, ' ') + printable(module.name);
    rows.push_back(
        {{name, printable(module.type), number(module.total.parameters()), number(module.total.trainable), number(module.total.buffers),
          number(module.total.shared), bytes_text(module.total.parameter_bytes + module.total.buffer_bytes)},
         module.total.parameters() + module.total.buffers == 0 ? Style::dim : Style::plain});
  }
  std::string text = table_text(heads, rows, place);
  for (const TypeCount& type : count.by_type) {
    text += type.type + ": " + counted(type.count.parameters(), "parameter") + ", " + bytes_text(type.count.parameter_bytes) + "; " +
            counted(type.count.buffers, "element") + " of buffers, " + bytes_text(type.count.buffer_bytes) + '\n';
  }
  return text;
}

}  // namespace vigil
