// Names the operators of a step after the modules whose work they do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/ArrayRef.h>

namespace vigil {

/// Calls `use(const at::Tensor&)` for each defined tensor of an operator's arguments, those in lists too.
template <class Use>
void for_each_tensor(c10::ArrayRef<const c10::IValue> values, Use use) {
  for (const c10::IValue& value : values) {
    if (value.isTensor()) {
      if (value.toTensor().defined()) use(value.toTensor());
    } else if (value.isList()) {
      for (const c10::IValue& element : value.toListRef()) {
        if (!element.isTensor()) break;  // lists are of one type, but for optional tensors
        if (element.toTensor().defined()) use(element.toTensor());
      }
    }
  }
}

/// What tells a tensor's memory from that of others: views of it have the same. Null for a tensor without any.
const void* memory_of(const at::Tensor& tensor);

/// The model's tensors by where they lie.
class TensorPlaces {
 public:
  static constexpr int kNone = -1;

  using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

  /// With their full paths. Of two that share memory the first counts, and a parameter rather than a buffer. Made once, at watch().
  TensorPlaces(const NamedTensors& parameters, const NamedTensors& buffers);

  /// Looks again where they lie: a model may have moved to another device or type since. While nobody calls find().
  void refresh();

  /// Of the tensor of the model that shares memory with `tensor`, be it the same or a view: its index, buffers after parameters. Some tens
  /// of nanoseconds.
  int find(const at::Tensor& tensor) const;
  bool is_buffer(int index) const { return static_cast<std::size_t>(index) >= parameters_; }
  const std::string& name(int index) const { return names_[static_cast<std::size_t>(index)]; }
  /// Path of the module that owns it; empty at the root.
  const std::string& layer(int index) const { return layers_[static_cast<std::size_t>(index)]; }

 private:
  struct Place {
    const void* memory;
    const char *begin, *end;  // several tensors may lie in one storage
    int index;
  };
  void add(const NamedTensors& tensors);

  std::size_t parameters_;
  std::vector<std::string> names_, layers_;
  std::vector<at::Tensor> tensors_;
  std::vector<Place> places_;  // by memory, then by index
};

/// Where an operator stands in the model.
struct OperatorPlace {
  enum class Role : std::uint8_t {
    outside,   ///< works on nothing that comes from the model
    layer,     ///< works on data with parameters of a module
    follower,  ///< works, without parameters, on what came out of a module
    weights,   ///< works on parameters alone: what comes out is a weight too
  };
  Role role = Role::outside;
  /// Of a layer or weights the path of its module, or the operator where that is the root; buffers make no layer. Of a follower the module
  /// that it follows, the operator, and which of them it is: "conv1/relu#2".
  std::string layer;
  int module = -1;                      ///< which of the modules seen, for follow()
  int parameter = TensorPlaces::kNone;  ///< the first of them among its inputs
};

/// Follows the data through the modules of one forward pass. Operators that the program itself calls are to be told of in their order, not
/// those that they are made of.
class LayerAttribution {
 public:
  /// `places` outlives this.
  explicit LayerAttribution(const TensorPlaces& places) : places_(places) {}

  /// Forgets the data of the step before. Pointers of freed memory mean nothing in another one.
  void clear();
  /// Of an operator that starts.
  OperatorPlace place(std::string_view operation, c10::ArrayRef<const c10::IValue> inputs);
  /// Its outputs, when it ends.
  void follow(const OperatorPlace& place, c10::ArrayRef<const c10::IValue> outputs);
  /// Path of OperatorPlace::module; empty at the root.
  const std::string& path(int module) const { return modules_[static_cast<std::size_t>(module)].path; }

 private:
  struct Origin {
    int module = 0;  // index into modules_
    bool is_weight = false;
  };
  struct Module {
    std::string path;
    std::uint64_t latest_call = 0;
    std::vector<std::pair<std::string, int>> followers;  // since that call, with their counts
  };
  std::string numbered(Module& module, std::string_view operation);
  int module_index(const std::string& path);

  const TensorPlaces& places_;
  std::vector<Module> modules_;
  std::unordered_map<const void*, Origin> origins_;  // by memory
  std::uint64_t calls_ = 0;
};

/// "relu" for "aten::relu_": without the namespace, and without the mark of working in place.
std::string_view short_operation(std::string_view operation);

}  // namespace vigil
