#include "vigil/inspection/fingerprint.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace vigil {
namespace {

// Bytes that read the same on every machine, and that only one sequence of fields has.
class FieldHash {
 public:
  void add(std::uint64_t number) noexcept {
    unsigned char bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(number >> (8 * i));
    hash_.add(bytes, sizeof bytes);
  }
  void add(std::string_view text) noexcept {
    add(std::uint64_t{text.size()});
    hash_.add(text.data(), text.size());
  }
  void add(const Hash128& hash) noexcept { hash_.add(hash.data(), hash.size()); }
  std::string text() const { return hex_of(hash_.digest()); }

 private:
  HashOfBytes hash_;
};

std::vector<std::size_t> by_name(const std::vector<ModelTensor>& tensors) {
  const bool has_roles =
      std::any_of(tensors.begin(), tensors.end(), [](const ModelTensor& one) { return one.role != ModelTensor::Role::other; });
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!has_roles || tensors[i].role != ModelTensor::Role::other) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tensors[a].name < tensors[b].name; });
  return order;
}

void add_architecture(FieldHash& hash, const ModelTensor& tensor) noexcept {
  hash.add(tensor.name);
  hash.add(name_of(tensor.type));
  hash.add(std::uint64_t{tensor.sizes.size()});
  for (const std::int64_t size : tensor.sizes) hash.add(static_cast<std::uint64_t>(size));
}

}  // namespace

std::string architecture_fingerprint(const std::vector<ModelTensor>& tensors) {
  FieldHash hash;
  for (const std::size_t i : by_name(tensors)) add_architecture(hash, tensors[i]);
  return hash.text();
}

std::string value_fingerprint(const std::vector<ModelTensor>& tensors, const std::vector<TensorReading>& readings) {
  FieldHash hash;
  for (const std::size_t i : by_name(tensors)) {
    if (!readings[i].error.empty()) return {};
    add_architecture(hash, tensors[i]);
    hash.add(readings[i].hash);
  }
  return hash.text();
}

}  // namespace vigil
