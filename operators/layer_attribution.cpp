#include "vigil/operators/layer_attribution.h"

#include <algorithm>

#include "vigil/monitor/schema.h"
#include "vigil/operators/torch_version.h"

namespace vigil {

const void* memory_of(const at::Tensor& tensor) {
  if (tensor.has_storage()) return tensor.storage().unsafeGetStorageImpl();
  // Detaching a sparse tensor makes another object, over the same values.
  if (tensor.layout() == at::kSparse) return memory_of(tensor._values());
  return tensor.unsafeGetTensorImpl();
}

std::string_view short_operation(std::string_view operation) {
  if (const auto colon = operation.rfind("::"); colon != std::string_view::npos) operation.remove_prefix(colon + 2);
  while (operation.size() > 1 && operation.back() == '_') operation.remove_suffix(1);
  return operation;
}

TensorPlaces::TensorPlaces(const NamedTensors& parameters, const NamedTensors& buffers) : parameters_(parameters.size()) {
  add(parameters);
  add(buffers);
  refresh();
}

void TensorPlaces::add(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    names_.push_back(name);
    layers_.push_back(layer_of(name));
    tensors_.push_back(tensor);
  }
}

void TensorPlaces::refresh() {
  places_.clear();
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const at::Tensor& tensor = tensors_[i];
    if (!tensor.defined()) continue;
    Place place{memory_of(tensor), nullptr, nullptr, static_cast<int>(i)};
    if (tensor.has_storage()) {
      place.begin = static_cast<const char*>(read_pointer(tensor));
      place.end = place.begin + tensor.nbytes();  // more with strides, but then it is a view, found by its memory
    }
    places_.push_back(place);
  }
  std::stable_sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) { return std::less<>()(a.memory, b.memory); });
}

int TensorPlaces::find(const at::Tensor& tensor) const {
  const void* const memory = memory_of(tensor);
  const auto before = [](const Place& place, const void* key) { return std::less<>()(place.memory, key); };
  auto place = std::lower_bound(places_.begin(), places_.end(), memory, before);
  if (place == places_.end() || place->memory != memory) return kNone;
  const int first = place->index;
  if (!tensor.has_storage()) return first;
  const auto* const data = static_cast<const char*>(read_pointer(tensor));
  for (; place != places_.end() && place->memory == memory; ++place) {
    if (data >= place->begin && data < place->end) return place->index;
  }
  return first;
}

void LayerAttribution::clear() {
  origins_.clear();
  modules_.clear();
  calls_ = 0;
}

int LayerAttribution::module_index(const std::string& path) {
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    if (modules_[i].path == path) return static_cast<int>(i);
  }
  modules_.push_back({path, 0, {}});
  return static_cast<int>(modules_.size() - 1);
}

namespace {

// Looks at the shape of what it is given, not at the values.
bool makes_anew(std::string_view operation) {
  constexpr std::string_view kLike = "_like";
  return operation.substr(0, 4) == "new_" ||
         (operation.size() > kLike.size() && operation.substr(operation.size() - kLike.size()) == kLike);
}

}  // namespace

OperatorPlace LayerAttribution::place(std::string_view operation, c10::ArrayRef<const c10::IValue> inputs) {
  OperatorPlace place;
  if (makes_anew(short_operation(operation))) return place;
  bool has_data = false;
  int weights_of = -1, follows = -1;
  for_each_tensor(inputs, [&](const at::Tensor& tensor) {
    const int index = places_.find(tensor);
    if (index != TensorPlaces::kNone && places_.is_buffer(index)) return;  // a mask, running statistics: not what makes a layer
    if (index != TensorPlaces::kNone) {
      if (weights_of < 0) weights_of = module_index(places_.layer(index));
      if (place.parameter == TensorPlaces::kNone) place.parameter = index;
      return;
    }
    const auto origin = origins_.find(memory_of(tensor));
    if (origin != origins_.end() && origin->second.is_weight) {
      if (weights_of < 0) weights_of = origin->second.module;
      return;
    }
    has_data = true;
    if (origin == origins_.end()) return;
    const auto latest_call = [this](int module) { return modules_[static_cast<std::size_t>(module)].latest_call; };
    if (follows < 0 || latest_call(origin->second.module) > latest_call(follows)) follows = origin->second.module;
  });
  place.module = weights_of >= 0 ? weights_of : follows;
  if (place.module < 0) return place;
  Module& module = modules_[static_cast<std::size_t>(place.module)];
  if (weights_of < 0) {
    place.role = OperatorPlace::Role::follower;
    place.layer = numbered(module, operation);
    return place;
  }
  place.role = has_data ? OperatorPlace::Role::layer : OperatorPlace::Role::weights;
  // The root has no path.
  place.layer = module.path.empty() && has_data ? std::string(short_operation(operation)) : module.path;
  if (!has_data) return place;
  module.latest_call = ++calls_;
  module.followers.clear();
  return place;
}

std::string LayerAttribution::numbered(Module& module, std::string_view operation) {
  std::string name(short_operation(operation));
  auto& followers = module.followers;
  auto known = std::find_if(followers.begin(), followers.end(), [&](const auto& follower) { return follower.first == name; });
  if (known == followers.end()) known = followers.insert(known, {name, 0});
  const int count = ++known->second;
  if (count > 1) name += "#" + std::to_string(count);
  return module.path.empty() ? name : module.path + "/" + name;
}

void LayerAttribution::follow(const OperatorPlace& place, c10::ArrayRef<const c10::IValue> outputs) {
  for_each_tensor(outputs, [&](const at::Tensor& tensor) {
    const void* const memory = memory_of(tensor);
    // A number made of weights, such as their norm, is a term of the loss, not a weight.
    const bool is_weight = place.role == OperatorPlace::Role::weights;
    if (place.role == OperatorPlace::Role::outside || (is_weight && tensor.dim() == 0)) {
      origins_.erase(memory);  // it may be at the address of something freed
      return;
    }
    if (places_.find(tensor) != TensorPlaces::kNone) return;  // a view of a parameter
    origins_[memory] = {place.module, is_weight};
  });
}

}  // namespace vigil
