// Every field of a ring file as docs/ring-format.md tells it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vigil {

struct RingField {
  std::string_view name;
  std::size_t offset = 0, size = 0;
  std::string_view
      type;  ///< u16, u32, u64, i32, i64, f64, bytes, chars, text (a TextPlace), or the name of another struct, perhaps with [n]
  std::string_view meaning;
};

struct RingStruct {
  std::string_view name;
  std::size_t bytes = 0;
  std::vector<RingField> fields;  ///< one behind the other, without a gap

  const RingField& field(std::string_view field_name) const;
};

const std::vector<RingStruct>& ring_structs();
const RingStruct& ring_struct(std::string_view name);

}  // namespace vigil
