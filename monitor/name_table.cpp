#include <algorithm>

#include "vigil/monitor/schema.h"

namespace vigil {

NameTable::NameTable(std::size_t capacity, std::size_t max_bytes)
    : capacity_(capacity),
      max_bytes_(max_bytes),
      own_(std::make_unique<std::byte[]>(bytes_of(capacity, max_bytes))),  // zeroed
      memory_(own_.get()) {}

bool NameTable::append(std::string_view name, std::uint32_t tag) noexcept {
  // relaxed: only this thread stores it.
  const auto size = static_cast<std::size_t>(count().load(std::memory_order_relaxed));
  if (size >= capacity_ || name.empty() || name.size() > max_bytes_) return false;
  std::byte* const entry = entry_at(size);
  const auto length = static_cast<std::uint32_t>(name.size());
  std::memcpy(entry, &length, sizeof length);
  std::memcpy(entry + kTagOffset, &tag, sizeof tag);
  std::memcpy(entry + kNameOffset, name.data(), name.size());
  // release: pairs with size(); the name is whole before it is counted.
  count().store(size + 1, std::memory_order_release);
  return true;
}

int NameTable::find_or_append(std::string_view name, std::uint32_t number) noexcept {
  // relaxed: only this thread stores it.
  const auto size = static_cast<std::size_t>(count().load(std::memory_order_relaxed));
  for (std::size_t i = 0; i < size; ++i) {
    if (tag(i) == number && at(i) == name) return static_cast<int>(i);
  }
  return append(name, number) ? static_cast<int>(size) : -1;
}

}  // namespace vigil
