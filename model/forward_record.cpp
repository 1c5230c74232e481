// As in operators/operator_observer.cpp.
#ifndef NDEBUG
#define NDEBUG
#endif

#include "vigil/model/forward_record.h"

#include <stdexcept>
#include <utility>

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>

namespace vigil {
namespace {

// A callback has no context, and a pass runs on one thread.
thread_local ForwardRecord* script_record = nullptr;

struct ScriptContext : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> start_script_function(const at::RecordFunction& function) {
  if (script_record == nullptr) return nullptr;
  const auto inputs = function.inputs();
  const void* const object = !inputs.empty() && inputs[0].isObject() ? &inputs[0].toObjectRef() : nullptr;
  script_record->start_script(object, inputs);
  return std::make_unique<ScriptContext>();
}

void end_script_function(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr && script_record != nullptr) script_record->end_script();
}

}  // namespace

ForwardRecord::ForwardRecord(const std::vector<ModuleNode>& tree) : tree_(tree) {
  TensorPlaces::NamedTensors parameters, buffers;
  for (const bool is_parameter : {true, false}) {
    for (std::size_t i = 0; i < tree.size(); ++i) {
      const ModuleNode& node = tree[i];
      for (const auto& [name, tensor] : is_parameter ? node.parameters : node.buffers) {
        (is_parameter ? parameters : buffers).emplace_back(node.path.empty() ? name : node.path + '.' + name, tensor);
        owners_.push_back(static_cast<int>(i));
      }
    }
  }
  places_ = std::make_unique<TensorPlaces>(parameters, buffers);
  attribution_ = std::make_unique<LayerAttribution>(*places_);
  sharing_.resize(owners_.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const int first = places_->find(parameters[i].second);
    if (first >= 0) sharing_[static_cast<std::size_t>(first)].push_back(static_cast<int>(i));
  }
  for (std::size_t i = 0; i < tree.size(); ++i) {
    by_path_.try_emplace(tree[i].path, static_cast<int>(i));
    by_object_.try_emplace(tree[i].object, static_cast<int>(i));
  }
}

ForwardRecord::~ForwardRecord() { end(); }

void ForwardRecord::begin(bool is_script) {
  is_script_ = is_script;
  if (!observer_.attach(*this)) throw std::runtime_error("too many monitors observe operators at the same time: end one, then summarise");
  if (!is_script) return;
  script_record = this;
  script_handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(start_script_function, end_script_function)
                                                  .needsInputs(true)
                                                  .scopes({at::RecordScope::TORCHSCRIPT_FUNCTION}));
}

void ForwardRecord::end() noexcept {
  if (observer_.is_attached()) failures_ = observer_.failures();
  observer_.detach();
  if (script_record != this) return;
  script_record = nullptr;
  try {
    at::removeCallback(script_handle_);
  } catch (...) {
    // It only logs when there is no such callback; without a record the functions do nothing.
  }
}

DataTensor ForwardRecord::described_data(const at::Tensor& tensor) const {
  DataTensor data;
  data.sizes = tensor.sizes().vec();
  data.bytes = static_cast<std::uint64_t>(tensor.numel()) * static_cast<std::uint64_t>(tensor.element_size());
  if (const auto maker = makers_.find(memory_of(tensor)); maker != makers_.end()) data.producer = maker->second;
  return data;
}

void ForwardRecord::take_result(const c10::IValue& result) {
  if (result.isTensor()) {
    if (result.toTensor().defined()) results_.push_back(described_data(result.toTensor()));
  } else if (result.isTuple()) {
    for (const c10::IValue& element : result.toTupleRef().elements()) take_result(element);
  } else if (result.isList()) {
    for (const c10::IValue& element : result.toListRef()) take_result(element);
  } else if (result.isGenericDict()) {
    for (const auto& entry : result.toGenericDict()) take_result(entry.value());
  }
}

UseOfShared ForwardRecord::shared_use(int parameter, const std::string& operation, c10::ArrayRef<const c10::IValue> inputs) const {
  const auto is_lookup = [](const std::string& text) { return text.find("mbedding") != std::string::npos; };
  UseOfShared use{parameter, parameter, is_lookup(operation)};
  // Of a tied embedding the table looks up and the head multiplies.
  std::vector<int> likely;
  for (const int index : sharing_[static_cast<std::size_t>(parameter)]) {
    const int module = owners_[static_cast<std::size_t>(index)];
    if (is_lookup(tree_[static_cast<std::size_t>(module)].type) == use.is_lookup) likely.push_back(index);
  }
  if (likely.empty()) return use;
  // Of several of a kind that which the rest of the operator's parameters are of, such as its bias; else they come one after the other.
  const auto uses = uses_.find({use.first, use.is_lookup});
  use.parameter = likely[(uses == uses_.end() ? 0 : uses->second) % likely.size()];
  for_each_tensor(inputs, [&](const at::Tensor& tensor) {
    const int other = places_->find(tensor);
    if (other == TensorPlaces::kNone || places_->is_buffer(other) || sharing_[static_cast<std::size_t>(other)].size() != 1) return;
    for (const int index : likely) {
      if (owners_[static_cast<std::size_t>(index)] == owners_[static_cast<std::size_t>(other)]) use.parameter = index;
    }
  });
  return use;
}

std::unique_ptr<OperatorCall> ForwardRecord::on_start(const OperatorStart& start, const OperatorCall* parent, bool in_backward) {
  auto call = std::make_unique<Call>();
  const std::lock_guard lock(mutex_);
  const std::uint64_t macs = products_[at::RecordFunction::currentThreadId()].enter(start.name, start.inputs);
  if (in_backward) return call;
  if (parent != nullptr) {
    call->operation = static_cast<const Call*>(parent)->operation;
    if (call->operation >= 0) operations_[static_cast<std::size_t>(call->operation)].macs += macs;
    return call;
  }
  call->operation = static_cast<int>(operations_.size());
  call->place = attribution_->place(start.name, start.inputs);
  PassOperation operation;
  operation.name = short_operation(start.name);
  operation.role = call->place.role;
  operation.macs = macs;
  operation.parameter = call->place.parameter;
  const bool has_weights = operation.role == OperatorPlace::Role::layer || operation.role == OperatorPlace::Role::weights;
  if (operation.parameter >= 0) {
    call->use = shared_use(operation.parameter, operation.name, start.inputs);
    operation.parameter = call->use.parameter;
    operation.module = owners_[static_cast<std::size_t>(operation.parameter)];
  } else if (has_weights) {
    const auto known = by_path_.find(attribution_->path(call->place.module));
    if (known != by_path_.end()) operation.module = known->second;
  }
  for (auto open = script_stack_.rbegin(); open != script_stack_.rend(); ++open) {
    if (*open < 0) continue;
    operation.is_told = true;
    operation.call = *open;
    operation.module = calls_[static_cast<std::size_t>(*open)].module;
    break;
  }
  for_each_tensor(start.inputs, [&](const at::Tensor& tensor) {
    const int index = places_->find(tensor);
    if (index != TensorPlaces::kNone) {
      if (places_->is_buffer(index) && operation.buffer_module < 0) operation.buffer_module = owners_[static_cast<std::size_t>(index)];
      return;
    }
    operation.inputs.push_back(described_data(tensor));
  });
  const bool has_window = operation.name.find("pool") != std::string::npos && operation.name.find("adaptive") == std::string::npos;
  if (has_window && start.inputs.size() > 1 && start.inputs[1].isIntList()) operation.kernel = start.inputs[1].toIntVector();
  operations_.push_back(std::move(operation));
  return call;
}

void ForwardRecord::on_end(OperatorCall& ended, c10::ArrayRef<c10::IValue> outputs) {
  const std::lock_guard lock(mutex_);
  products_[at::RecordFunction::currentThreadId()].leave();
  auto& call = static_cast<Call&>(ended);
  if (call.operation < 0 || call.in_backward) return;
  if (call.parent != nullptr) return;
  attribution_->follow(call.place, outputs);
  PassOperation& operation = operations_[static_cast<std::size_t>(call.operation)];
  for_each_tensor(outputs, [&](const at::Tensor& tensor) {
    if (places_->find(tensor) != TensorPlaces::kNone) return;
    DataTensor data = described_data(tensor);
    data.producer = call.operation;
    makers_[memory_of(tensor)] = operation.role == OperatorPlace::Role::weights ? DataTensor::kWeights : call.operation;
    operation.outputs.push_back(std::move(data));
  });
  const bool is_use = operation.role == OperatorPlace::Role::layer && !operation.outputs.empty();
  if (is_use && call.use.first >= 0) ++uses_[{call.use.first, call.use.is_lookup}];
}

void ForwardRecord::start_script(const void* object, c10::ArrayRef<const c10::IValue> arguments) {
  const std::lock_guard lock(mutex_);
  const auto known = object == nullptr ? by_object_.end() : by_object_.find(object);
  const int parent = script_stack_.empty() ? -1 : script_stack_.back();
  if (known == by_object_.end()) {
    script_stack_.push_back(parent);
    return;
  }
  // A method that calls another of the same module is one call.
  if (parent >= 0 && calls_[static_cast<std::size_t>(parent)].module == known->second) {
    script_stack_.push_back(parent);
    return;
  }
  ScriptCall call;
  call.module = known->second;
  call.parent = parent;
  call.first_operation = static_cast<int>(operations_.size());
  for_each_tensor(arguments, [&](const at::Tensor& tensor) { call.inputs.push_back(tensor.sizes().vec()); });
  script_stack_.push_back(static_cast<int>(calls_.size()));
  calls_.push_back(std::move(call));
}

void ForwardRecord::end_script() {
  const std::lock_guard lock(mutex_);
  const int call = script_stack_.back();
  script_stack_.pop_back();
  if (call < 0 || (!script_stack_.empty() && script_stack_.back() == call)) return;
  calls_[static_cast<std::size_t>(call)].end_operation = static_cast<int>(operations_.size());
}

}  // namespace vigil
