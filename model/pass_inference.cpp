// Which module an operator of a C++ model ran in, from its parameters and its data.
#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "vigil/model/pass_modules.h"

namespace vigil {
namespace {

constexpr int kNowhere = -1;
constexpr int kNever = std::numeric_limits<int>::max();

bool holds_index(const std::vector<int>& list, int index) { return std::find(list.begin(), list.end(), index) != list.end(); }

// From the first to the last operator of it that is known to be in the module. What comes before and behind may be in it, too: nearest
// first.
struct InferredCall {
  int first = 0, last = 0;
  std::vector<int> leading, trailing;
};

class PassInference {
 public:
  PassInference(const std::vector<ModuleNode>& tree, const std::vector<PassOperation>& operations)
      : tree_(tree), operations_(operations), passes_(tree.size()), calls_(tree.size()) {}

  std::vector<ModulePass> run() {
    if (operations_.empty()) return std::move(passes_);
    find_anchors();
    follow_data();
    find_calls();
    bound_by_likeness();
    place_operators();
    for (std::size_t i = tree_.size(); i-- > 0;) describe(static_cast<int>(i));
    return std::move(passes_);
  }

 private:
  const ModuleNode& node(int index) const { return tree_[static_cast<std::size_t>(index)]; }
  const PassOperation& operation(int index) const { return operations_[static_cast<std::size_t>(index)]; }
  ModulePass& pass(int index) { return passes_[static_cast<std::size_t>(index)]; }
  static int& at(std::vector<int>& list, int index) { return list[static_cast<std::size_t>(index)]; }
  static int at(const std::vector<int>& list, int index) { return list[static_cast<std::size_t>(index)]; }
  bool is_in(int module, int ancestor) const { return module >= 0 && is_within(tree_, module, ancestor); }
  bool is_anchor(int index) const { return at(anchors_, index) >= 0; }
  int module_before(int index) const { return at(previous_, index) >= 0 ? at(anchors_, at(previous_, index)) : kNowhere; }
  int module_behind(int index) const { return at(next_, index) != kNever ? at(anchors_, at(next_, index)) : kNowhere; }
  int size() const { return static_cast<int>(operations_.size()); }

  // Operators whose module is known: they use its parameters, or its running statistics.
  void find_anchors() {
    for (const PassOperation& one : operations_) {
      int module = kNowhere;
      if (one.outputs.empty()) {  // it prepares parameters, as embedding_renorm_ does
        anchors_.push_back(module);
        continue;
      }
      if (one.role == OperatorPlace::Role::layer) module = one.module;
      if (module < 0 && one.buffer_module >= 0 && one.role != OperatorPlace::Role::weights && one.name.find("norm") != std::string::npos) {
        module = one.buffer_module;
      }
      anchors_.push_back(module);
    }
  }

  void follow_data() {
    consumers_.resize(operations_.size());
    previous_.assign(operations_.size(), kNowhere);
    next_.assign(operations_.size(), kNever);
    for (int i = 0; i < size(); ++i) {
      for (const DataTensor& input : operation(i).inputs) {
        if (input.producer < 0 || input.producer >= i) continue;
        consumers_[static_cast<std::size_t>(input.producer)].push_back(i);
        at(previous_, i) = std::max(at(previous_, i), is_anchor(input.producer) ? input.producer : at(previous_, input.producer));
      }
    }
    for (int i = size(); i-- > 0;) {
      for (const int consumer : consumers_[static_cast<std::size_t>(i)]) {
        at(next_, i) = std::min(at(next_, i), is_anchor(consumer) ? consumer : at(next_, consumer));
      }
    }
  }

  // A parameter that is used again begins a new call, unless the calls would not be alike: then it is used more than once in one.
  void find_calls() {
    for (int module = 0; module < static_cast<int>(tree_.size()); ++module) {
      if (node(module).original != module) continue;
      std::vector<InferredCall>& calls = calls_[static_cast<std::size_t>(module)];
      std::set<int> used;
      std::vector<std::set<int>> all;
      for (int i = 0; i < size(); ++i) {
        if (!is_anchor(i) || !is_in(at(anchors_, i), module)) continue;
        const int key = operation(i).parameter >= 0 ? operation(i).parameter : -2 - operation(i).buffer_module;
        if (calls.empty() || !used.insert(key).second) {
          if (!calls.empty()) all.push_back(std::move(used));
          used = {key};
          calls.push_back({i, i, {}, {}});
        }
        calls.back().last = i;
      }
      if (calls.empty()) continue;
      all.push_back(std::move(used));
      if (std::any_of(all.begin(), all.end(), [&](const std::set<int>& one) { return one != all.front(); })) {
        calls = {{calls.front().first, calls.back().last, {}, {}}};
      }
      for (InferredCall& call : calls) {
        call.leading = leading(call);
        call.trailing = trailing(call);
      }
    }
  }

  std::vector<int> leading(const InferredCall& call) const {
    std::vector<int> list;
    for (int i = call.first;;) {
      if (operation(i).inputs.empty()) return list;
      i = operation(i).inputs.front().producer;
      if (i < 0 || is_anchor(i) || at(next_, i) != call.first) return list;
      list.push_back(i);
    }
  }

  std::vector<int> trailing(const InferredCall& call) const {
    std::vector<int> list;
    std::set<int> reached{call.last};
    for (int i = call.last + 1; i < size() && !is_anchor(i); ++i) {
      if (at(previous_, i) != call.last) continue;
      const auto& inputs = operation(i).inputs;
      if (std::none_of(inputs.begin(), inputs.end(), [&](const DataTensor& input) { return reached.count(input.producer) > 0; })) continue;
      reached.insert(i);
      list.push_back(i);
    }
    return list;
  }

  std::string likeness(int module) const {
    std::string text = node(module).type;
    for (const int child : node(module).children) text += '(' + node(child).name + ':' + likeness(child) + ')';
    return text;
  }

  // Modules of one type and structure run the same code: what does not stand before or behind each of them is in none.
  void bound_by_likeness() {
    std::map<std::string, std::vector<int>> alike;
    for (int module = 1; module < static_cast<int>(tree_.size()); ++module) {
      if (!calls_[static_cast<std::size_t>(module)].empty()) alike[likeness(module)].push_back(module);
    }
    for (const auto& entry : alike) {
      for (std::vector<int> InferredCall::*side : {&InferredCall::leading, &InferredCall::trailing}) {
        const std::vector<int>& first = calls_[static_cast<std::size_t>(entry.second.front())].front().*side;
        std::size_t common = first.size();
        for (const int module : entry.second) {
          for (const InferredCall& call : calls_[static_cast<std::size_t>(module)]) {
            const std::vector<int>& other = call.*side;
            const auto same = [this](int a, int b) { return operation(a).name == operation(b).name; };
            const auto end = std::mismatch(first.begin(), first.end(), other.begin(), other.end(), same).first;
            common = std::min(common, static_cast<std::size_t>(end - first.begin()));
          }
        }
        for (const int module : entry.second) {
          for (InferredCall& call : calls_[static_cast<std::size_t>(module)]) (call.*side).resize(common);
        }
      }
    }
  }

  // Whether all modules of its type have an operator like this one there, whatever their structure.
  bool is_typical(int index, int module) const {
    for (std::vector<int> InferredCall::*side : {&InferredCall::leading, &InferredCall::trailing}) {
      for (const InferredCall& call : calls_[static_cast<std::size_t>(module)]) {
        const auto place = std::find((call.*side).begin(), (call.*side).end(), index);
        if (place == (call.*side).end()) continue;
        const std::ptrdiff_t position = place - (call.*side).begin();
        for (std::size_t other = 1; other < tree_.size(); ++other) {
          if (tree_[other].type != node(module).type) continue;
          for (const InferredCall& others : calls_[other]) {
            const std::vector<int>& list = others.*side;
            if (static_cast<std::ptrdiff_t>(list.size()) <= position) return false;
            if (operation(list[static_cast<std::size_t>(position)]).name != operation(index).name) return false;
          }
        }
      }
    }
    return true;
  }

  bool may_be_in(int index, int module) const {
    for (const InferredCall& call : calls_[static_cast<std::size_t>(module)]) {
      if (index > call.first && index < call.last) return true;
      if (holds_index(call.leading, index) || holds_index(call.trailing, index)) return true;
    }
    return calls_[static_cast<std::size_t>(module)].empty();
  }

  int child_towards(int ancestor, int module) const {
    while (node(module).parent != ancestor) module = node(module).parent;
    return module;
  }

  // Whether the parameterless `module` can run behind module `before` and in front of module `behind`, below `ancestor`.
  bool fits_order(int module, int ancestor, int before, int behind) const {
    for (int above = module; above != ancestor;) {
      above = node(above).parent;
      if (!is_sequential(node(above))) continue;
      const int own = child_towards(above, module);
      const int first = before != above && is_in(before, above) ? child_towards(above, before) : kNowhere;
      const int last = behind != above && is_in(behind, above) ? child_towards(above, behind) : kNever;
      if (first < last && (own < first || own > last)) return false;
    }
    return true;
  }

  // A Sequential that has begun runs what is left of it before anything else does.
  bool is_due(int module, int index, int before) const {
    const int parent = node(module).parent;
    if (before < 0 || !is_sequential(node(parent)) || before == parent || !is_in(before, parent)) return false;
    const int begun = child_towards(parent, before);
    for (int child = begun + 1; child < module; ++child) {
      if (node(child).parent == parent && !calls_[static_cast<std::size_t>(child)].empty()) return false;
    }
    const auto& calls = calls_[static_cast<std::size_t>(begun)];
    const auto times = std::count_if(calls.begin(), calls.end(), [&](const InferredCall& call) { return call.first < index; });
    return begun < module && passes_[static_cast<std::size_t>(module)].calls < static_cast<std::uint64_t>(times);
  }

  // Whether the Sequential that `module` stands in has run it as often as it has itself run.
  bool is_done(int module, int index) const {
    const int parent = node(module).parent;
    if (!is_sequential(node(parent))) return false;
    const auto& calls = calls_[static_cast<std::size_t>(parent)];
    std::uint64_t times = 0;
    for (const InferredCall& call : calls) {
      if (index > call.first && index < call.last) return false;
      if (index > call.first || holds_index(call.leading, index)) ++times;
    }
    const auto& row = node(parent).children;
    const auto places = std::count_if(row.begin(), row.end(), [&](int child) { return node(child).original == module; });
    return times > 0 && passes_[static_cast<std::size_t>(module)].calls >= times * static_cast<std::uint64_t>(places);
  }

  // The module without parameters that an operator without any is the work of.
  int match(int index, int lowest, const std::vector<std::pair<int, std::string>>& parameterless) {
    const int before = module_before(index), behind = module_behind(index);
    const std::string name = plain_name(operation(index).name);
    std::vector<int> candidates;
    for (const auto& [module, type] : parameterless) {
      if (!may_be_of(type, name) || !is_in(module, lowest) || !fits_order(module, lowest, before, behind)) continue;
      if (is_due(module, index, before)) return module;
      if (is_done(module, index)) continue;
      bool fits = true;
      for (int above = node(module).parent; fits && above > lowest; above = node(above).parent) fits = may_be_in(index, above);
      if (fits) candidates.push_back(module);
    }
    if (candidates.size() > 1) {
      const int parent = node(candidates.front()).parent;
      const bool in_one_row = is_sequential(node(parent)) &&
                              std::all_of(candidates.begin(), candidates.end(), [&](int module) { return node(module).parent == parent; });
      if (in_one_row) {
        return *std::min_element(candidates.begin(), candidates.end(), [this](int a, int b) { return pass(a).calls < pass(b).calls; });
      }
      const auto is_odd = [&](int module) {
        for (int above = node(module).parent; above > lowest; above = node(above).parent) {
          if (!is_sequential(node(above)) && !is_typical(index, above)) return true;
        }
        return false;
      };
      candidates.erase(std::remove_if(candidates.begin(), candidates.end(), is_odd), candidates.end());
    }
    if (candidates.size() == 1) return candidates.front();
    if (!candidates.empty()) open_.emplace_back(index, std::move(candidates));
    return kNowhere;
  }

  // The child of that name that another module of the same type has called there.
  bool has_precedent(int index, int module) const {
    const int parent = node(module).parent;
    for (std::vector<int> InferredCall::*side : {&InferredCall::leading, &InferredCall::trailing}) {
      for (const InferredCall& call : calls_[static_cast<std::size_t>(parent)]) {
        const auto position = static_cast<std::size_t>(std::find((call.*side).begin(), (call.*side).end(), index) - (call.*side).begin());
        if (position == (call.*side).size()) continue;
        for (std::size_t other = 1; other < tree_.size(); ++other) {
          if (tree_[other].type != node(parent).type) continue;
          for (const InferredCall& others : calls_[other]) {
            if ((others.*side).size() <= position) continue;
            const int like = (others.*side)[position];
            const ModuleNode& called = node(at(places_, like));
            if (is_matched_[static_cast<std::size_t>(like)] && called.parent == static_cast<int>(other) && called.name == node(module).name)
              return true;
          }
        }
      }
    }
    return false;
  }

  void match_by_precedent() {
    for (auto& [index, candidates] : open_) {
      const int one = index;
      candidates.erase(std::remove_if(candidates.begin(), candidates.end(), [&](int module) { return !has_precedent(one, module); }),
                       candidates.end());
      if (candidates.size() != 1) continue;
      take_call(candidates.front(), operation(index));
      at(places_, index) = candidates.front();
      is_matched_[static_cast<std::size_t>(index)] = true;
    }
  }

  // Of every operator the deepest module that it is surely in; its products are those of that module.
  void place_operators() {
    std::vector<std::pair<int, std::string>> parameterless;
    for (int module = 0; module < static_cast<int>(tree_.size()); ++module) {
      const ModuleNode& one = node(module);
      if (one.of_torch && one.children.empty() && one.original == module && calls_[static_cast<std::size_t>(module)].empty()) {
        parameterless.emplace_back(module, plain_name(one.type));
      }
    }
    for (int i = 0; i < size(); ++i) {
      const PassOperation& one = operation(i);
      int module = at(anchors_, i);
      if (module < 0 && one.role == OperatorPlace::Role::weights) module = one.module;
      if (module < 0) {
        const int lowest = common_ancestor(tree_, module_before(i), module_behind(i));
        module = match(i, lowest, parameterless);
        is_matched_.push_back(module >= 0);
        if (module >= 0) {
          take_call(module, one);
        } else {
          module = lowest;
          while (module > 0 && (is_sequential(node(module)) || is_module_list(node(module)))) module = node(module).parent;
        }
      } else {
        is_matched_.push_back(false);
      }
      places_.push_back(module);
      pass(module).macs += one.macs;
    }
    match_by_precedent();
  }

  void take_call(int module, const PassOperation& one) {
    ModulePass& into = pass(module);
    if (!one.outputs.empty()) into.output_bytes += one.outputs.front().bytes;
    if (into.calls++ > 0) return;
    if (!one.inputs.empty()) into.input = one.inputs.front().sizes;
    if (!one.outputs.empty()) into.output = one.outputs.front().sizes;
    into.kernel = one.kernel;
  }

  // Of the sizes at the ends of all operators that may be the module's first or last, if they are the same.
  std::optional<TensorSizes> boundary(int module, int end, const std::vector<int>& beyond, bool is_input) const {
    const auto sizes_at = [&](int index) -> const TensorSizes* {
      const auto& tensors = is_input ? operation(index).inputs : operation(index).outputs;
      return tensors.empty() ? nullptr : &tensors.front().sizes;
    };
    std::vector<const TensorSizes*> sizes{sizes_at(end)};
    // What is of torch.nn and has no children begins and ends with what uses its parameters.
    const bool is_known = node(module).of_torch && (node(module).children.empty() || node(module).type == "MultiheadAttention");
    for (std::size_t i = 0; !is_known && i < beyond.size(); ++i) {
      if (is_matched_[static_cast<std::size_t>(beyond[i])]) {
        if (!is_in(at(places_, beyond[i]), module)) break;
        sizes.clear();
      }
      sizes.push_back(sizes_at(beyond[i]));
    }
    if (!is_known && is_input) add_further_inputs(calls_[static_cast<std::size_t>(module)].front(), sizes);
    if (!is_known && !is_input) add_further_outputs(calls_[static_cast<std::size_t>(module)].front(), sizes);
    for (const TensorSizes* one : sizes) {
      if (one == nullptr || *one != *sizes.front()) return std::nullopt;
    }
    return *sizes.front();
  }

  // What a call's other operators take from outside. Nobody tells which argument comes first.
  void add_further_inputs(const InferredCall& call, std::vector<const TensorSizes*>& sizes) const {
    const auto look_at = [&](int index) {
      for (const DataTensor& input : operation(index).inputs) {
        const int from = input.producer;
        const bool is_anew = from == DataTensor::kWeights || (from >= 0 && operation(from).inputs.empty());  // a state of zeros, a range
        if (from >= call.first || holds_index(call.leading, from) || is_anew || input.sizes.empty()) continue;
        sizes.push_back(&input.sizes);
      }
    };
    for (int i = call.first + 1; i <= call.last; ++i) look_at(i);
    for (const int behind : call.trailing) {
      if (is_matched_[static_cast<std::size_t>(behind)]) break;
      look_at(behind);
    }
  }

  // What others than the call's last operator give to outside: what is taken behind it, and where the data of an anchor ends before it.
  void add_further_outputs(const InferredCall& call, std::vector<const TensorSizes*>& sizes) const {
    std::vector<bool> reaches(static_cast<std::size_t>(call.last - call.first) + 1, false);  // the last one
    const auto reaching = [&](int index) { return reaches[static_cast<std::size_t>(index - call.first)]; };
    reaches.back() = true;
    for (int i = call.last; i-- > call.first;) {
      for (const int consumer : consumers_[static_cast<std::size_t>(i)]) {
        if (consumer <= call.last && reaching(consumer)) reaches[static_cast<std::size_t>(i - call.first)] = true;
      }
    }
    for (int i = call.first; i < call.last; ++i) {
      if (operation(i).outputs.empty()) continue;
      const auto& consumers = consumers_[static_cast<std::size_t>(i)];
      const bool goes_on = std::any_of(consumers.begin(), consumers.end(), [&](int one) { return one > call.last; });
      const int anchor = is_anchor(i) ? i : at(previous_, i);
      const bool ends = consumers.empty() && anchor >= call.first && !reaching(anchor);
      if (goes_on || ends) sizes.push_back(&operation(i).outputs.front().sizes);
    }
  }

  bool stands_once(int module) const {
    return std::count_if(tree_.begin(), tree_.end(), [&](const ModuleNode& one) { return one.original == node(module).original; }) == 1;
  }

  // From the last module to the first, so that its children have been.
  void describe(int module) {
    ModulePass& into = pass(module);
    const std::vector<InferredCall>& calls = calls_[static_cast<std::size_t>(module)];
    if (!calls.empty()) {
      into.calls = calls.size();
      into.output_bytes = own_bytes(operations_, anchors_, module);
      if (is_module_list(node(module))) {
        into.calls = 0;
        return;
      }
      into.input = boundary(module, calls.front().first, calls.front().leading, true);
      into.output = boundary(module, calls.front().last, calls.front().trailing, false);
    }
    if (!is_sequential(node(module)) || node(module).children.empty()) return;
    // What stands elsewhere, too, may have run there first.
    const int begin = node(module).children.front(), end = node(module).children.back();
    if (stands_once(begin)) {
      if (calls.empty()) into.calls = pass(begin).calls;
      if (pass(begin).input) into.input = pass(begin).input;
    }
    if (stands_once(end) && pass(end).output) into.output = pass(end).output;
  }

  const std::vector<ModuleNode>& tree_;
  const std::vector<PassOperation>& operations_;
  std::vector<ModulePass> passes_;
  std::vector<std::vector<InferredCall>> calls_;  // by module
  // By operation:
  std::vector<int> anchors_;                 // module whose parameters it uses, or kNowhere
  std::vector<std::vector<int>> consumers_;  // of its outputs
  std::vector<int> previous_, next_;         // anchors that its data comes from, the latest, and goes to, the first; kNowhere, kNever
  std::vector<int> places_;                  // module
  std::vector<bool> is_matched_;             // to a module without parameters

  std::vector<std::pair<int, std::vector<int>>> open_;  // operators that several modules without parameters may have run
};

}  // namespace

std::vector<ModulePass> inferred_modules(const std::vector<ModuleNode>& tree, const std::vector<PassOperation>& operations) {
  return PassInference(tree, operations).run();
}

}  // namespace vigil
