#include "vigil/inspection/rebuilt_tensor.h"

#include <array>
#include <string_view>

#include "vigil/terminal/text_cells.h"

namespace vigil {
namespace {

using Kind = PickledValue::Kind;

// An expanded tensor is looked at up to so many times what its storage holds.
constexpr std::uint64_t kMaxExpansion = 16;
constexpr std::uint64_t kAlwaysExpanded = std::uint64_t{1} << 20;

struct TypeName {
  std::string_view name;
  ElementType type;
};

// Classes of storages: of Python's torch, and as libtorch makes them of the names of its scalar types.
constexpr std::array kStorages{
    TypeName{"torch.BoolStorage", ElementType::boolean},
    TypeName{"torch.ByteStorage", ElementType::uint8},
    TypeName{"torch.CharStorage", ElementType::int8},
    TypeName{"torch.ShortStorage", ElementType::int16},
    TypeName{"torch.IntStorage", ElementType::int32},
    TypeName{"torch.LongStorage", ElementType::int64},
    TypeName{"torch.HalfStorage", ElementType::float16},
    TypeName{"torch.BFloat16Storage", ElementType::bfloat16},
    TypeName{"torch.FloatStorage", ElementType::float32},
    TypeName{"torch.DoubleStorage", ElementType::float64},
    TypeName{"torch.ComplexFloatStorage", ElementType::complex64},
    TypeName{"torch.ComplexDoubleStorage", ElementType::complex128},
    TypeName{"torch.Float8_e4m3fnStorage", ElementType::float8_e4m3},
    TypeName{"torch.Float8_e5m2Storage", ElementType::float8_e5m2},
    TypeName{"torch.QUInt8Storage", ElementType::quint8},
    TypeName{"torch.QInt8Storage", ElementType::qint8},
    TypeName{"torch.QInt32Storage", ElementType::qint32},
};

constexpr std::array kTypes{
    TypeName{"torch.bool", ElementType::boolean},
    TypeName{"torch.uint8", ElementType::uint8},
    TypeName{"torch.int8", ElementType::int8},
    TypeName{"torch.int16", ElementType::int16},
    TypeName{"torch.int32", ElementType::int32},
    TypeName{"torch.int64", ElementType::int64},
    TypeName{"torch.float16", ElementType::float16},
    TypeName{"torch.bfloat16", ElementType::bfloat16},
    TypeName{"torch.float32", ElementType::float32},
    TypeName{"torch.float64", ElementType::float64},
    TypeName{"torch.complex64", ElementType::complex64},
    TypeName{"torch.complex128", ElementType::complex128},
    TypeName{"torch.float8_e4m3fn", ElementType::float8_e4m3},
    TypeName{"torch.float8_e5m2", ElementType::float8_e5m2},
    TypeName{"torch.quint8", ElementType::quint8},
    TypeName{"torch.qint8", ElementType::qint8},
    TypeName{"torch.qint32", ElementType::qint32},
};

template <std::size_t Count>
std::optional<ElementType> type_of(const std::array<TypeName, Count>& names, std::string_view name) {
  for (const TypeName& each : names) {
    if (each.name == name) return each.type;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(const std::string& what) { throw InspectionError(what); }

// What a rebuilding function is given.
class Arguments {
 public:
  Arguments(const PickledValues& values, const PickledValue& tuple) : values_(values), tuple_(tuple) {
    if (tuple.kind != Kind::tuple) refuse("is described by something that is no list of arguments");
  }

  std::size_t size() const { return tuple_.items.size(); }
  PickleIndex index(std::size_t i) const {
    if (i >= tuple_.items.size()) refuse("is described by fewer numbers than it takes");
    return tuple_.items[i];
  }
  const PickledValue& operator[](std::size_t i) const { return values_[index(i)]; }
  std::int64_t integer(std::size_t i) const { return integer_of((*this)[i]); }
  bool boolean(std::size_t i) const { return (*this)[i].kind == Kind::boolean && (*this)[i].integer != 0; }
  std::vector<std::int64_t> integers(std::size_t i) const {
    const PickledValue& value = (*this)[i];
    if (value.kind != Kind::tuple && value.kind != Kind::list && value.kind != Kind::object)
      refuse("has a shape that is no list of numbers");
    // torch.Size is a tuple that is called into being.
    const PickledValue* list = &value;
    if (value.kind == Kind::object) list = &values_[Arguments(values_, values_[value.arguments]).index(0)];
    if (list->items.size() > StoredView::kMaxDimensions) refuse("has " + grouped(list->items.size()) + " dimensions; at most 64 are read");
    std::vector<std::int64_t> numbers;
    for (const PickleIndex item : list->items) numbers.push_back(integer_of(values_[item]));
    return numbers;
  }

 private:
  static std::int64_t integer_of(const PickledValue& value) {
    if (value.kind != Kind::integer) refuse("has something else where a number belongs");
    return value.integer;
  }

  const PickledValues& values_;
  const PickledValue& tuple_;
};

class Rebuilder {
 public:
  Rebuilder(const PickledValues& values, const StoragePlace& place) : values_(values), place_(place) {}

  std::optional<RebuiltTensor> rebuild(const PickledValue& object, int depth = 0) const {
    if (object.kind != Kind::object || values_[object.callable].kind != Kind::global) return std::nullopt;
    const std::string& callable = values_[object.callable].text;
    if (callable == "torch._utils._rebuild_tensor_v2") return plain(object, 6);
    if (callable == "torch._utils._rebuild_tensor_v3") return typed(object);
    if (callable == "torch._utils._rebuild_tensor") return plain(object, 4);
    if (callable == "torch._utils._rebuild_qtensor") return quantised(object);
    if (callable == "torch._utils._rebuild_sparse_tensor" || callable == "torch._utils._rebuild_sparse_csr_tensor") return sparse(object);
    if (depth > kMaxWrapped) refuse("is wrapped too many times");
    if (callable == "torch._utils._rebuild_parameter" || callable == "torch._utils._rebuild_parameter_with_state") {
      const Arguments arguments(values_, values_[object.arguments]);
      std::optional<RebuiltTensor> tensor = rebuild(arguments[0], depth + 1);
      if (tensor) {
        tensor->is_parameter = true;
        tensor->requires_grad = arguments.boolean(1);
      }
      return tensor;
    }
    // Of a subclass: (function, class, arguments, state).
    if (callable == "torch._tensor._rebuild_from_type_v2" || callable == "torch._tensor._rebuild_from_type") {
      const Arguments arguments(values_, values_[object.arguments]);
      PickledValue inner;
      inner.kind = Kind::object;
      inner.callable = arguments.index(0);
      inner.arguments = arguments.index(2);
      return rebuild(inner, depth + 1);
    }
    if (callable.rfind("torch._utils._rebuild_", 0) == 0 || callable.rfind("torch._tensor._rebuild_", 0) == 0)
      return passed_over("it is rebuilt by " + printable(callable) + ", which is not known");
    return std::nullopt;
  }

 private:
  static constexpr int kMaxWrapped = 8;

  static RebuiltTensor passed_over(std::string reason) {
    RebuiltTensor tensor;
    tensor.reason = std::move(reason);
    return tensor;
  }

  // (storage, offset, sizes, strides, requires_grad, hooks, metadata); the first four of an old one.
  RebuiltTensor plain(const PickledValue& object, std::size_t metadata) const {
    const Arguments arguments(values_, values_[object.arguments]);
    return viewed(arguments, std::nullopt, metadata == 6 && arguments.boolean(4), metadata);
  }

  // With the element type before the metadata, of a storage of bytes.
  RebuiltTensor typed(const PickledValue& object) const {
    const Arguments arguments(values_, values_[object.arguments]);
    if (arguments[6].kind != Kind::global) refuse("has an element type that is none");
    const std::optional<ElementType> type = type_of(kTypes, arguments[6].text);
    if (!type) return passed_over("its element type is " + printable(arguments[6].text.substr(arguments[6].text.rfind('.') + 1)));
    return viewed(arguments, type, arguments.boolean(4), 7);
  }

  // (storage, offset, sizes, strides, (scheme, scale, zero point), requires_grad, hooks)
  RebuiltTensor quantised(const PickledValue& object) const {
    const Arguments arguments(values_, values_[object.arguments]);
    RebuiltTensor tensor = viewed(arguments, std::nullopt, false, arguments.size());
    if (!tensor.view) return tensor;
    const Arguments scheme(values_, arguments[4]);
    Quantisation meaning;
    const std::string& name = scheme[0].text;
    if (name == "torch.per_tensor_affine" || name == "torch.per_tensor_symmetric") {
      if (scheme[1].kind != Kind::real) refuse("has a scale that is no number");
      meaning.scale = scheme[1].real;
      meaning.zero_point = scheme.integer(2);
    } else if (name.rfind("torch.per_channel_", 0) == 0) {
      meaning.per_channel = true;
      meaning.axis = scheme.integer(3);
      tensor.parts = {{".scales", scheme.index(1)}, {".zero_points", scheme.index(2)}};
    } else {
      return passed_over("it is quantised by the scheme " + printable(name) + ", which is not known");
    }
    tensor.quantisation = meaning;
    return tensor;
  }

  // (layout, (indices, values, sizes)) or (layout, (rows, columns, values, sizes)).
  RebuiltTensor sparse(const PickledValue& object) const {
    const Arguments arguments(values_, values_[object.arguments]);
    const Arguments content(values_, arguments[1]);
    RebuiltTensor tensor;
    if (content.size() >= 3 && is_call_of(content[2], "torch._utils._rebuild_")) {
      tensor.parts = {{".compressed_indices", content.index(0)}, {".plain_indices", content.index(1)}, {".values", content.index(2)}};
    } else {
      tensor.parts = {{".indices", content.index(0)}, {".values", content.index(1)}};
    }
    return tensor;
  }

  bool is_call_of(const PickledValue& value, std::string_view beginning) const {
    return value.kind == Kind::object && values_[value.callable].text.rfind(beginning, 0) == 0;
  }

  RebuiltTensor viewed(const Arguments& arguments, std::optional<ElementType> type, bool requires_grad, std::size_t metadata) const {
    RebuiltTensor tensor;
    tensor.requires_grad = requires_grad;
    StoredView view;
    const PickledValue& storage = arguments[0];
    if (storage.kind != Kind::persistent) return passed_over("its storage is not in the file as others are");
    const Arguments id(values_, values_[storage.arguments]);
    if (id[0].text != "storage" || id[1].kind != Kind::global || id[2].kind != Kind::text)
      refuse("names its storage in a way that is not known");
    if (id[3].text == "meta") return passed_over("it is on the device meta and has no elements");
    if (!type) type = type_of(kStorages, id[1].text);
    if (!type) return passed_over("its storage is a " + printable(id[1].text) + ", whose element type is not known");
    view.type = *type;
    view.offset = arguments.integer(1);
    view.sizes = arguments.integers(2);
    view.strides = arguments.integers(3);
    if (view.sizes.size() != view.strides.size()) refuse("has more sizes than strides, or fewer");
    if (arguments.size() > metadata && is_lazily_changed(arguments[metadata]))
      return passed_over("its values are kept as their negative or conjugate");
    const std::string name = place_.folder + id[2].text;
    view.entry = place_.archive.find(name);
    if (view.entry == nullptr) refuse("has its elements in the entry " + name + ", which is not in the file");
    const std::optional<ByteRange> range = range_of(view);
    if (!range) {
      refuse("of " + shape_text(view) + " is larger than the entry " + name + ", which has " + grouped(view.entry->bytes) + " bytes");
    }
    const std::uint64_t bytes = bounded_count(view.sizes) * element_size(view.type);
    if (bytes > kAlwaysExpanded && bytes / kMaxExpansion > range->end - range->begin)
      return passed_over("it repeats the " + bytes_text(range->end - range->begin) + " that the file holds of it to " + bytes_text(bytes));
    if (!is_contiguous(view) && range->end - range->begin > kMaxGatheredBytes)
      return passed_over("it is strided and lies in " + bytes_text(range->end - range->begin) + "; at most " +
                         bytes_text(kMaxGatheredBytes) + " are gathered");
    tensor.view = std::move(view);
    return tensor;
  }

  // {"conj": True} or {"neg": True}.
  bool is_lazily_changed(const PickledValue& metadata) const {
    if (metadata.kind != Kind::dict) return false;
    for (std::size_t i = 1; i < metadata.items.size(); i += 2) {
      const PickledValue& value = values_[metadata.items[i]];
      if (value.kind == Kind::boolean && value.integer != 0) return true;
    }
    return false;
  }

  static std::string shape_text(const StoredView& view) {
    std::string text(name_of(view.type));
    text += '[';
    for (std::size_t i = 0; i < view.sizes.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(view.sizes[i]);
    text += "] with the strides [";
    for (std::size_t i = 0; i < view.strides.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(view.strides[i]);
    return text + "] from element " + std::to_string(view.offset) + " on";
  }

  const PickledValues& values_;
  const StoragePlace& place_;
};

}  // namespace

std::optional<RebuiltTensor> rebuilt_tensor(const PickledValues& values, const PickledValue& object, const StoragePlace& place) {
  return Rebuilder(values, place).rebuild(object);
}

}  // namespace vigil
