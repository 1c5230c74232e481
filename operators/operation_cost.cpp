#include "vigil/operators/operation_cost.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include <ATen/core/Tensor.h>
#include <c10/core/Layout.h>

namespace vigil {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

const c10::IValue& argument(Inputs inputs, std::size_t index) {
  static const c10::IValue kNone;
  return index < inputs.size() ? inputs[index] : kNone;
}

bool is_dense(const c10::IValue& value) {
  if (!value.isTensor()) return false;
  const at::Tensor& tensor = value.toTensor();
  return tensor.defined() && !tensor.is_nested() && tensor.layout() == at::kStrided;
}

// Sizes of an argument. Of none, and so without elements, for what is not a dense tensor.
class Shape {
 public:
  explicit Shape(const c10::IValue& value) : is_known_(is_dense(value)), sizes_(is_known_ ? value.toTensor().sizes() : at::IntArrayRef()) {}
  Shape(Inputs inputs, std::size_t index) : Shape(argument(inputs, index)) {}

  std::size_t dimensions() const { return sizes_.size(); }
  /// `index` below dimensions().
  std::uint64_t operator[](std::size_t index) const { return static_cast<std::uint64_t>(sizes_[index]); }
  /// 1 for a vector, which is a column.
  std::uint64_t columns() const { return dimensions() < 2 ? is_known_ : (*this)[dimensions() - 1]; }
  /// Elements of the dimensions from `first` to before `end`.
  std::uint64_t elements(std::size_t first, std::size_t end) const {
    std::uint64_t product = is_known_;
    for (std::size_t i = first; i < end; ++i) product *= (*this)[i];
    return product;
  }
  std::uint64_t elements() const { return elements(0, dimensions()); }

 private:
  bool is_known_;
  at::IntArrayRef sizes_;
};

bool flag(const c10::IValue& mask, std::size_t index) {
  if (!mask.isBoolList()) return false;
  const c10::List<bool> flags = mask.toBoolList();  // shares it
  return index < flags.size() && flags.get(index);
}

// The integer of dimension `i` in a list of one for all or one for each.
std::int64_t of_dimension(const c10::List<std::int64_t>& list, std::size_t i) { return list.get(list.size() == 1 ? 0 : i); }

// [.., m, k] * [.., k, n], [m, k] * [k] and [k] * [k].
template <std::size_t kLeft, std::size_t kRight>
std::uint64_t matrix_product(Inputs inputs) {
  return Shape(inputs, kLeft).elements() * Shape(inputs, kRight).columns();
}

// [m] * [n]^T
template <std::size_t kLeft, std::size_t kRight>
std::uint64_t outer_product(Inputs inputs) {
  return Shape(inputs, kLeft).elements() * Shape(inputs, kRight).elements();
}

// input [N, C, in..], weight [O, C/groups, k..] or, transposed, [C, O/groups, k..]; bias, stride, padding, dilation, transposed. A weight
// is applied once for each position of the output, or of the input of a transposed convolution.
std::uint64_t convolution(Inputs inputs) {
  const Shape input(inputs, 0), weight(inputs, 1);
  if (input.dimensions() < 3 || weight.dimensions() != input.dimensions() || inputs.size() < 7 || !inputs[6].isBool()) return 0;
  std::uint64_t positions = input[0];
  if (inputs[6].toBool()) return positions * input.elements(2, input.dimensions()) * weight.elements();
  for (const std::size_t list : {3, 4, 5}) {
    if (!inputs[list].isIntList() || (inputs[list].toIntList().size() != 1 && inputs[list].toIntList().size() != input.dimensions() - 2)) {
      return 0;
    }
  }
  const auto stride = inputs[3].toIntList(), padding = inputs[4].toIntList(), dilation = inputs[5].toIntList();
  for (std::size_t i = 0; i + 2 < input.dimensions(); ++i) {
    const std::int64_t step = of_dimension(stride, i), kernel = static_cast<std::int64_t>(weight[i + 2]);
    const std::int64_t room =
        static_cast<std::int64_t>(input[i + 2]) + 2 * of_dimension(padding, i) - of_dimension(dilation, i) * (kernel - 1) - 1;
    if (step <= 0 || room < 0) return 0;
    positions *= static_cast<std::uint64_t>(room / step + 1);
  }
  return positions * weight.elements();
}

// grad_output [N, O, out..], input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, output_mask: the
// gradients for input, weight and bias.
std::uint64_t convolution_backward(Inputs inputs) {
  if (inputs.size() < 11 || !inputs[7].isBool()) return 0;
  const Shape applied(inputs, inputs[7].toBool() ? 1 : 0), weight(inputs, 2);
  if (applied.dimensions() < 3) return 0;
  const std::uint64_t forward = applied[0] * applied.elements(2, applied.dimensions()) * weight.elements();
  return forward * (flag(inputs[10], 0) + std::uint64_t{flag(inputs[10], 1)});
}

// input [T, B, I] or [B, T, I], or packed [tokens, I].
std::uint64_t tokens(Inputs inputs) {
  const Shape input(inputs, 0);
  return input.dimensions() < 2 ? 0 : input.elements(0, input.dimensions() - 1);
}

// One layer in one direction: input, the weights for the input and for the hidden state, biases.
template <std::uint64_t kTimes>
std::uint64_t mkldnn_rnn_layer(Inputs inputs) {
  return kTimes * tokens(inputs) * (Shape(inputs, 1).elements() + Shape(inputs, 2).elements());
}

// All layers and directions: input, a list of weight matrices and bias vectors.
std::uint64_t rnn(Inputs inputs) {
  const c10::IValue& weights = argument(inputs, 1);
  if (!weights.isTensorList()) return 0;
  std::uint64_t elements = 0;
  for (const c10::IValue& weight : weights.toListRef()) {
    if (const Shape shape(weight); shape.dimensions() == 2) elements += shape.elements();
  }
  return tokens(inputs) * elements;
}

// Ends with output_mask: input, hidden state, cell state, weights. Kernels compute the first three together, whatever is asked for.
std::uint64_t rnn_backward(Inputs inputs) { return inputs.empty() ? 0 : rnn(inputs) * (1 + std::uint64_t{flag(inputs.back(), 3)}); }

// From argument kFirst on: query [.., L, E], key [.., S, E], value [.., S, V]. kScores products of L * E * S, kValues of L * S * V. Query
// heads may share those of key and value.
template <std::size_t kFirst, std::uint64_t kScores, std::uint64_t kValues>
std::uint64_t attention(Inputs inputs) {
  const Shape query(inputs, kFirst), key(inputs, kFirst + 1), value(inputs, kFirst + 2);
  if (query.dimensions() < 2 || key.dimensions() < 2 || value.dimensions() < 2) return 0;
  const std::uint64_t scores = query.elements(0, query.dimensions() - 1) * key[key.dimensions() - 2];
  return scores * (kScores * query.columns() + kValues * value.columns());
}
constexpr auto kAttention = attention<0, 1, 1>;
constexpr auto kAttentionBackward = attention<1, 3, 2>;  // grad_output comes first

struct CountedOperator {
  std::string_view name;  // behind the namespace; overloads have one name
  std::uint64_t (*products)(Inputs inputs);
};

// Sorted. A composite operator (linear, matmul, einsum, lstm, _native_multi_head_attention) is not here: those that it calls are.
constexpr std::string_view kNamespace = "aten::";
constexpr std::array kCounted{
    CountedOperator{"_addmm_activation", matrix_product<1, 2>},
    CountedOperator{"_convolution", convolution},
    CountedOperator{"_cudnn_rnn", rnn},
    CountedOperator{"_cudnn_rnn_backward", rnn_backward},
    CountedOperator{"_scaled_dot_product_cudnn_attention", kAttention},
    CountedOperator{"_scaled_dot_product_cudnn_attention_backward", kAttentionBackward},
    CountedOperator{"_scaled_dot_product_efficient_attention", kAttention},
    CountedOperator{"_scaled_dot_product_efficient_attention_backward", kAttentionBackward},
    CountedOperator{"_scaled_dot_product_flash_attention", kAttention},
    CountedOperator{"_scaled_dot_product_flash_attention_backward", kAttentionBackward},
    CountedOperator{"_scaled_dot_product_flash_attention_for_cpu", kAttention},
    CountedOperator{"_scaled_dot_product_flash_attention_for_cpu_backward", kAttentionBackward},
    CountedOperator{"addbmm", matrix_product<1, 2>},
    CountedOperator{"addmm", matrix_product<1, 2>},
    CountedOperator{"addmm_", matrix_product<1, 2>},
    CountedOperator{"addmv", matrix_product<1, 2>},
    CountedOperator{"addmv_", matrix_product<1, 2>},
    CountedOperator{"addr", outer_product<1, 2>},
    CountedOperator{"baddbmm", matrix_product<1, 2>},
    CountedOperator{"baddbmm_", matrix_product<1, 2>},
    CountedOperator{"bmm", matrix_product<0, 1>},
    CountedOperator{"convolution_backward", convolution_backward},
    CountedOperator{"dot", matrix_product<0, 1>},
    CountedOperator{"miopen_rnn", rnn},
    CountedOperator{"miopen_rnn_backward", rnn_backward},
    CountedOperator{"mkldnn_rnn_layer", mkldnn_rnn_layer<1>},
    CountedOperator{"mkldnn_rnn_layer_backward", mkldnn_rnn_layer<2>},
    CountedOperator{"mm", matrix_product<0, 1>},
    CountedOperator{"mv", matrix_product<0, 1>},
    CountedOperator{"outer", outer_product<0, 1>},
    CountedOperator{"vdot", matrix_product<0, 1>},
};

constexpr bool is_sorted() {
  for (std::size_t i = 1; i < kCounted.size(); ++i) {
    if (kCounted[i - 1].name.compare(kCounted[i].name) >= 0) return false;
  }
  return true;
}
static_assert(is_sorted());

}  // namespace

std::uint64_t multiply_accumulates(std::string_view name, Inputs inputs) noexcept {
  if (name.substr(0, kNamespace.size()) != kNamespace) return 0;
  name.remove_prefix(kNamespace.size());
  const auto row = std::lower_bound(kCounted.begin(), kCounted.end(), name,
                                    [](const CountedOperator& counted, std::string_view wanted) { return counted.name < wanted; });
  if (row == kCounted.end() || row->name != name) return 0;
  try {
    return row->products(inputs);
  } catch (...) {  // a tensor whose sizes are not numbers
    return 0;
  }
}

std::vector<std::string_view> counted_operators() {
  std::vector<std::string_view> names;
  names.reserve(kCounted.size());
  for (const CountedOperator& counted : kCounted) names.push_back(counted.name);
  return names;
}

std::uint64_t OutermostProducts::enter(std::string_view name, Inputs inputs) noexcept {
  if (depth_ > 0) {
    ++depth_;
    return 0;
  }
  const std::uint64_t products = multiply_accumulates(name, inputs);
  depth_ = products > 0;
  return products;
}

void OutermostProducts::leave() noexcept {
  if (depth_ > 0) --depth_;
}

}  // namespace vigil
