#include "vigil/hooks/nonfinite_provenance.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "vigil/monitor/dtype.h"

namespace vigil {
namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What they leave in the memory means nothing until it is written.
bool makes_uninitialised(std::string_view operation) {
  return is_one_of(operation, {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted", "resize"});
}
// In place, without a look at what was there.
bool overwrites(std::string_view operation) {
  return is_one_of(operation, {"copy", "fill", "zero", "normal", "uniform", "bernoulli", "random", "exponential", "cauchy", "log_normal",
                               "geometric", "set", "resize"});
}
bool fills(std::string_view operation) {
  return is_one_of(operation, {"masked_fill", "fill", "full", "full_like", "new_full", "where", "scalar_tensor", "index_fill",
                               "constant_pad_nd", "pad"});
}
// Take a mask of -Inf as one of their inputs.
bool takes_mask(std::string_view operation) {
  return is_one_of(operation, {"add", "sub", "baddbmm", "where", "masked_fill", "minimum", "maximum", "triu", "tril",
                               "scaled_dot_product_attention", "multi_head_attention_forward"});
}
// An infinity among their arguments is a bound, or tells which norm.
bool takes_infinite_number(std::string_view operation) {
  return operation.find("norm") != std::string_view::npos || operation.find("clamp") != std::string_view::npos ||
         is_one_of(operation, {"clip", "hardtanh", "nan_to_num", "isclose", "allclose", "renorm", "dist", "cdist", "histc"});
}

// Results that are views of several tensors; mse_loss begins with one.
bool makes_views_of_many(std::string_view operation) {
  return is_one_of(operation, {"broadcast_tensors", "meshgrid", "atleast_1d", "atleast_2d", "atleast_3d"});
}

// A function that the program derived from torch::autograd::Function. Its forward pass is no operator of its own.
bool is_custom(const TracedOperator& node) { return node.is_node && node.name.find("CppNode") != std::string_view::npos; }

class Search {
 public:
  explicit Search(const OperatorTrace& trace);

  void from(const TracedTensor& target);
  bool has_found() const noexcept { return found_.kind != Kind::nothing; }
  Provenance result() const;

 private:
  enum class Kind { nothing, operation, from_outside, number, unwritten, unobserved };
  struct Write {
    int operation;
    const TracedTensor* tensor;
    std::uint64_t time;
  };
  // A tensor that an operator reads, or the target, which nothing does.
  struct Read {
    const TracedTensor* tensor;
    const TracedOperator* reader;
  };
  struct Found {
    Kind kind = Kind::nothing;
    std::uint64_t time = std::numeric_limits<std::uint64_t>::max();
    int operation = -1;                    // that made the value; else the one that read it
    const TracedTensor* tensor = nullptr;  // what it wrote, or what was read
  };
  struct FirstSight {
    std::uint64_t time = std::numeric_limits<std::uint64_t>::max();
    int operation = -1;
    bool as_output = false;
  };

  const TracedOperator& at(int index) const { return trace_.operators()[static_cast<std::size_t>(index)]; }
  int index_of(const TracedOperator& traced) const { return static_cast<int>(&traced - trace_.operators().data()); }
  const Write* last_write(const TracedTensor& tensor, std::uint64_t before) const;
  std::vector<Read> nonfinite_inputs(const TracedOperator& traced) const;
  std::vector<Read> nonfinite_reads_of_node(int node) const;
  bool is_meant(const Read& read, std::uint64_t before, int depth = 0);
  void from_value(const Read& read, std::uint64_t before);
  void from_operation(const Write& write);
  void note(Kind kind, std::uint64_t time, int operation, const TracedTensor* tensor);
  const TracedOperator* forward_of(const TracedOperator& node) const;
  const TracedOperator* layer_giver(const TracedOperator& root) const;
  const TracedOperator* first_maker_in(int node) const;
  void tell_operation(Provenance& provenance) const;
  void tell_value(Provenance& provenance) const;

  const OperatorTrace& trace_;
  std::vector<std::vector<Write>> writes_;               // of values that are not finite; by memory, in the order of time
  std::vector<FirstSight> first_sights_;                 // by memory
  std::vector<std::uint64_t> first_writes_;              // by memory: when an operator first said what is in it
  std::unordered_map<const TracedTensor*, bool> meant_;  // answers of is_meant(), by what was written
  std::vector<bool> visited_;                            // by operator
  std::vector<std::pair<Read, std::uint64_t>> pending_;  // values to follow, and the time that they were read at
  Found found_;
};

Search::Search(const OperatorTrace& trace)
    : trace_(trace),
      writes_(trace.memories()),
      first_sights_(trace.memories()),
      first_writes_(trace.memories(), std::numeric_limits<std::uint64_t>::max()),
      visited_(trace.operators().size()) {
  const auto sight = [this](const TracedTensor& tensor, std::uint64_t time, int operation, bool as_output) {
    FirstSight& first = first_sights_[static_cast<std::size_t>(tensor.memory)];
    if (time < first.time) first = {time, operation, as_output};
  };
  for (std::size_t i = 0; i < trace.operators().size(); ++i) {
    const TracedOperator& traced = trace.operators()[i];
    for (const TracedTensor& input : traced.inputs) sight(input, traced.start, static_cast<int>(i), false);
    for (const TracedTensor& output : traced.outputs) {
      sight(output, traced.end, static_cast<int>(i), true);
      if (makes_uninitialised(short_operation(traced.name))) continue;
      std::uint64_t& first_write = first_writes_[static_cast<std::size_t>(output.memory)];
      first_write = std::min(first_write, traced.end);
      if (!output.is_nonfinite()) continue;
      writes_[static_cast<std::size_t>(output.memory)].push_back({static_cast<int>(i), &output, traced.end});
    }
  }
  for (auto& writes : writes_) {
    std::sort(writes.begin(), writes.end(), [](const Write& a, const Write& b) { return a.time < b.time; });
  }
}

const Search::Write* Search::last_write(const TracedTensor& tensor, std::uint64_t before) const {
  const auto& writes = writes_[static_cast<std::size_t>(tensor.memory)];
  for (auto write = writes.rbegin(); write != writes.rend(); ++write) {
    if (write->time < before && write->tensor->overlaps(tensor)) return &*write;
  }
  return nullptr;
}

// Without what is only written to.
std::vector<Search::Read> Search::nonfinite_inputs(const TracedOperator& traced) const {
  std::vector<Read> reads;
  const bool in_place = traced.name.back() == '_';
  for (std::size_t i = 0; i < traced.inputs.size(); ++i) {
    const TracedTensor& input = traced.inputs[i];
    if (!input.is_nonfinite()) continue;
    const bool is_written =
        std::any_of(traced.outputs.begin(), traced.outputs.end(), [&](const TracedTensor& output) { return output.overlaps(input); });
    if (in_place && i == 0 && overwrites(short_operation(traced.name))) continue;
    // Given for the result: at::log_out(result, x).
    if (!traced.is_node && !in_place && i > 0 && is_written && !makes_views_of_many(short_operation(traced.name))) continue;
    reads.push_back({&input, &traced});
  }
  return reads;
}

// A node's own inputs are the gradients; what it has kept from the forward pass shows only in what the operators in it read.
std::vector<Search::Read> Search::nonfinite_reads_of_node(int node) const {
  std::vector<Read> reads = nonfinite_inputs(at(node));
  for (std::size_t i = static_cast<std::size_t>(node) + 1; i < trace_.operators().size(); ++i) {
    const TracedOperator& inner = trace_.operators()[i];
    if (inner.start > at(node).end) break;
    if (inner.root != node) continue;
    for (const Read& read : nonfinite_inputs(inner)) {
      const FirstSight& first = first_sights_[static_cast<std::size_t>(read.tensor->memory)];
      if (first.time > at(node).start) {
        // Made within the node; what an operator was not seen to make is memory that a kernel has yet to write.
        if (first.as_output || !is_custom(at(node)) || inner.parent != node) continue;
      } else {
        bool is_written_within = false;
        for (std::size_t j = static_cast<std::size_t>(node) + 1; j < trace_.operators().size() && !is_written_within; ++j) {
          const TracedOperator& other = trace_.operators()[j];
          if (other.start > inner.start) break;
          if (other.root != node || !other.has_ended || other.end > inner.start) continue;
          for (const TracedTensor& output : other.outputs) {
            // A view of what it was given is not yet a write.
            const bool is_view =
                std::any_of(other.inputs.begin(), other.inputs.end(), [&](const TracedTensor& input) { return input.overlaps(output); }) &&
                other.name.back() != '_';
            is_written_within |= output.overlaps(*read.tensor) && !is_view;
          }
        }
        if (is_written_within) continue;
      }
      reads.push_back(read);
    }
  }
  return reads;
}

// Whether an infinity is one that the program wants, as in a mask.
bool Search::is_meant(const Read& read, std::uint64_t before, int depth) {
  constexpr int kDeepest = 32;  // views, casts and sums between making a mask and using it
  if (read.tensor->has_nan || depth > kDeepest) return false;
  const Write* const write = last_write(*read.tensor, before);
  if (write == nullptr) {
    const std::string_view reader = read.reader == nullptr ? std::string_view() : short_operation(read.reader->name);
    return !read.tensor->has_positive_inf && takes_mask(reader);
  }
  const TracedOperator& root = at(at(write->operation).root);
  if (root.is_node || root.in_backward || write->tensor->has_nan) return false;
  if (root.nonfinite_number && fills(short_operation(root.name))) return true;
  if (const auto known = meant_.find(write->tensor); known != meant_.end()) return known->second;
  const std::vector<Read> inputs = nonfinite_inputs(root);
  const bool is_meant_here = !inputs.empty() && std::all_of(inputs.begin(), inputs.end(),
                                                            [&](const Read& input) { return is_meant(input, root.start, depth + 1); });
  meant_[write->tensor] = is_meant_here;
  return is_meant_here;
}

void Search::note(Kind kind, std::uint64_t time, int operation, const TracedTensor* tensor) {
  if (time < found_.time) found_ = {kind, time, operation, tensor};
}

void Search::from_value(const Read& read, std::uint64_t before) {
  if (const Write* const write = last_write(*read.tensor, before); write != nullptr) {
    from_operation(*write);
    return;
  }
  const int reader = read.reader == nullptr ? -1 : index_of(*read.reader);
  const std::uint64_t time = read.reader == nullptr ? before : read.reader->start;
  const FirstSight& first = first_sights_[static_cast<std::size_t>(read.tensor->memory)];
  if (read.tensor->is_number) {
    note(Kind::number, time, reader, read.tensor);
  } else if (first.operation >= 0 && first.as_output && first.time < before) {
    const bool is_unwritten = first_writes_[static_cast<std::size_t>(read.tensor->memory)] > before;
    note(is_unwritten ? Kind::unwritten : Kind::unobserved, time, reader, read.tensor);
  } else if (first.operation >= 0 && first.time < time) {
    // It was read before. If it was finite then, something has changed it that is not an operator.
    bool was_finite = false;
    for (const TracedTensor& input : at(first.operation).inputs) was_finite |= input.overlaps(*read.tensor) && !input.is_nonfinite();
    note(was_finite ? Kind::unobserved : Kind::from_outside, was_finite ? time : first.time, was_finite ? reader : first.operation,
         read.tensor);
  } else {
    note(read.tensor->grad_fn.empty() ? Kind::from_outside : Kind::unobserved, time, reader, read.tensor);
  }
}

void Search::from_operation(const Write& write) {
  const int root = at(write.operation).root;
  if (visited_[static_cast<std::size_t>(root)]) return;
  visited_[static_cast<std::size_t>(root)] = true;
  const TracedOperator& traced = at(root);
  std::vector<Read> reads = traced.is_node ? nonfinite_reads_of_node(root) : nonfinite_inputs(traced);
  const auto end_of_meant = std::partition(reads.begin(), reads.end(), [&](const Read& read) { return is_meant(read, traced.start); });
  const bool all_meant = end_of_meant == reads.end();
  if (reads.empty() || (all_meant && write.tensor->has_nan)) {
    note(Kind::operation, traced.start, root, write.tensor);
    return;
  }
  // Where some are meant, the others are to blame.
  for (auto read = all_meant ? reads.begin() : end_of_meant; read != reads.end(); ++read) pending_.emplace_back(*read, traced.start);
}

void Search::from(const TracedTensor& target) {
  pending_.emplace_back(Read{&target, nullptr}, trace_.now() + 1);
  while (!pending_.empty()) {
    const auto [read, before] = pending_.back();
    pending_.pop_back();
    from_value(read, before);
  }
}

// The operator that made the node: of those that started with its sequence number the last, and of its callers the outermost that did.
const TracedOperator* Search::forward_of(const TracedOperator& node) const {
  if (node.sequence_number < 0) return nullptr;
  const TracedOperator* made = nullptr;
  for (const TracedOperator& other : trace_.operators()) {
    if (&other == &node) break;
    if (!other.is_node && other.thread == node.thread && other.sequence_number == node.sequence_number) made = &other;
  }
  while (made != nullptr && made->parent >= 0 && at(made->parent).sequence_number == node.sequence_number && !at(made->parent).is_node) {
    made = &at(made->parent);
  }
  return made;
}

// The operator of the forward pass whose layer an outermost one belongs to.
const TracedOperator* Search::layer_giver(const TracedOperator& root) const {
  if (!root.in_backward) return &root;
  if (is_custom(root)) {
    // Its forward pass is not an operator: it stands after the last one that was called before it.
    const TracedOperator* before = nullptr;
    for (const TracedOperator& other : trace_.operators()) {
      if (other.in_backward || other.root != index_of(other) || other.thread != root.thread) continue;
      if (other.sequence_number >= 0 && other.sequence_number < root.sequence_number) before = &other;
    }
    return before;
  }
  // Of a node that a backward pass has made (create_graph), that is one of that pass.
  if (const TracedOperator* const forward = root.is_node ? forward_of(root) : nullptr; forward != nullptr) {
    return layer_giver(at(forward->root));
  }
  // What takes the gradient of a parameter in, a hook of the program's, or the engine that adds gradients up: of the node before it.
  for (int i = index_of(root) - 1; i >= 0; --i) {
    if (!at(i).is_node) continue;
    if (const TracedOperator* const forward = forward_of(at(i)); forward != nullptr) return layer_giver(at(forward->root));
  }
  return nullptr;
}

const TracedOperator* Search::first_maker_in(int node) const {
  for (std::size_t i = static_cast<std::size_t>(node) + 1; i < trace_.operators().size(); ++i) {
    const TracedOperator& inner = trace_.operators()[i];
    if (inner.start > at(node).end) break;
    if (inner.root != node || !inner.has_ended || makes_uninitialised(short_operation(inner.name))) continue;
    const bool made =
        std::any_of(inner.outputs.begin(), inner.outputs.end(), [](const TracedTensor& output) { return output.is_nonfinite(); });
    const bool is_view =
        made && std::all_of(inner.outputs.begin(), inner.outputs.end(), [&](const TracedTensor& output) {
          return inner.name.back() != '_' &&
                 std::any_of(inner.inputs.begin(), inner.inputs.end(), [&](const TracedTensor& input) { return input.overlaps(output); });
        });
    if (made && !is_view && nonfinite_inputs(inner).empty()) return &inner;
  }
  return nullptr;
}

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

std::string counts(const TracedTensor& tensor) {
  std::string text;
  if (tensor.moments.nan_count > 0) text = std::to_string(tensor.moments.nan_count) + " NaN";
  if (tensor.moments.inf_count > 0) text += (text.empty() ? "" : " and ") + std::to_string(tensor.moments.inf_count) + " Inf";
  return text + " in " + std::to_string(tensor.moments.count) + (tensor.moments.count == 1 ? " value" : " values");
}

// "float32 [8, 10] from -1.5 to 3".
std::string with_range(const TracedTensor& tensor) {
  std::string text = describe(tensor);
  if (tensor.is_nonfinite()) text += " with " + counts(tensor);
  const Moments& moments = tensor.moments;
  const bool has_range = moments.zero_count > 0 || moments.min != 0 || moments.max != 0;  // not of integers, which nothing looked into
  if (!has_range) return text;
  return text +
         (moments.min == moments.max ? ", all " + number(moments.min) : " from " + number(moments.min) + " to " + number(moments.max));
}

std::string list_of(const std::vector<TracedTensor>& tensors) {
  std::string text;
  for (const TracedTensor& tensor : tensors) text += (text.empty() ? "" : "; ") + with_range(tensor);
  return text;
}

// "Net" for "(anonymous namespace)::Net".
std::string readable(std::string_view name) {
  static constexpr std::string_view kUnnamed = "(anonymous namespace)::";
  std::string text(name);
  for (auto found = text.find(kUnnamed); found != std::string::npos; found = text.find(kUnnamed)) text.erase(found, kUnnamed.size());
  return text;
}

std::string in_layer(const std::string& layer) { return layer.empty() ? "" : " in " + layer; }

void Search::tell_operation(Provenance& provenance) const {
  const TracedOperator& root = at(found_.operation);
  const TracedOperator* const inner = root.is_node ? first_maker_in(found_.operation) : nullptr;
  const TracedOperator& maker = inner == nullptr ? root : *inner;
  provenance.operation = readable(root.name);
  provenance.backward = root.in_backward;
  provenance.operands = maker.inputs;
  const TracedOperator* const forward = root.is_node && !is_custom(root) ? forward_of(root) : nullptr;
  if (forward != nullptr) provenance.forward_operation = readable(forward->name);
  std::string& message = provenance.message;
  const auto number_given = maker.nonfinite_number;
  if (number_given && (is_nan_bits(*number_given) || !takes_infinite_number(short_operation(maker.name)))) {
    message = readable(maker.name) + (inner == nullptr ? "" : ", in " + provenance.operation) + in_layer(provenance.layer) +
              " was given the number " + number(*number_given) + " and made " + counts(*found_.tensor);
    provenance.operation = "scalar argument of " + readable(maker.name);
  } else {
    message = provenance.operation;
    if (forward != nullptr) message += ", the backward pass of " + provenance.forward_operation;
    if (is_custom(root)) message += ", the backward pass of a function of the program's own";
    message += in_layer(provenance.layer) + (root.is_node ? "," : "") + " made " + counts(*found_.tensor) + " out of finite inputs";
    if (inner != nullptr) message += ", in it " + readable(inner->name);
  }
  if (!provenance.operands.empty()) message += ": " + list_of(provenance.operands);
}

void Search::tell_value(Provenance& provenance) const {
  const TracedTensor& tensor = *found_.tensor;
  const TracedOperator* const reader = found_.operation >= 0 ? &at(found_.operation) : nullptr;
  const std::string read_by = reader == nullptr ? "" : ", read by " + std::string(reader->name) + in_layer(provenance.layer);
  provenance.backward = reader != nullptr && (reader->is_node || reader->in_backward);
  provenance.operands = {tensor};
  const int model_tensor = trace_.model_tensor(tensor.memory);
  switch (found_.kind) {
    case Kind::number:
      provenance.operation = "scalar argument" + (reader == nullptr ? std::string() : " of " + std::string(reader->name));
      provenance.message = "a number among the arguments of " + (reader == nullptr ? "the loss" : std::string(reader->name)) +
                           in_layer(provenance.layer) + " is not finite";
      break;
    case Kind::unwritten:
      provenance.operation = "input data";
      provenance.message = "memory that no operator has written, but other code or nobody, is not finite: " + with_range(tensor) + read_by;
      break;
    case Kind::unobserved:
      provenance.operation = "code that is not an operator of libtorch";
      provenance.message = "a tensor became not finite without an operator that was seen to write it" +
                           (tensor.grad_fn.empty() ? "" : ", a result of the forward of " + tensor.grad_fn) + ": " + with_range(tensor) +
                           read_by;
      break;
    default:
      if (model_tensor == TensorPlaces::kNone) {
        provenance.operation = "input data";
        provenance.message = "the input data is not finite: " + with_range(tensor) + read_by;
        break;
      }
      provenance.tensor = trace_.places().name(model_tensor);
      provenance.operation = trace_.places().is_buffer(model_tensor) ? "buffer" : "parameter";
      provenance.message =
          "the " + provenance.operation + " " + provenance.tensor + " was not finite before the step: " + with_range(tensor) + read_by;
  }
}

Provenance Search::result() const {
  Provenance provenance;
  if (found_.operation >= 0) {
    const TracedOperator* const giver = layer_giver(at(at(found_.operation).root));
    if (giver != nullptr) provenance.layer = giver->place.layer;
  }
  if (found_.kind == Kind::operation) {
    tell_operation(provenance);
  } else {
    tell_value(provenance);
  }
  return provenance;
}

}  // namespace

std::optional<Provenance> find_provenance(const OperatorTrace& trace, const std::vector<TracedTensor>& targets) {
  Search search(trace);
  for (const TracedTensor& target : targets) {
    if (target.is_nonfinite()) search.from(target);
  }
  return search.has_found() ? std::optional(search.result()) : std::nullopt;
}

}  // namespace vigil
