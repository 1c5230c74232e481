// What a pickle holds, as data: none of what it asks to be imported or called is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vigil/inspection/inspection_error.h"

namespace vigil {

/// Place of a value in a PickledValues.
using PickleIndex = std::uint32_t;
inline constexpr PickleIndex kNoValue = 0xffffffff;

struct PickledValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,      ///< `integer` is 0 or 1
    integer,      ///< `integer`
    big_integer,  ///< one that does not fit into 64 bits; `text` are its bytes, the lowest first
    real,         ///< `real`
    text,         ///< `text`, UTF-8 if the file is honest
    bytes,        ///< `text`
    tuple,        ///< `items`
    list,         ///< `items`
    set,          ///< `items`
    dict,         ///< `items`: key, value, key, value, …
    global,       ///< `text`: module, '.', name
    /// What a call or the making of an instance would give: `callable`, `arguments` (a tuple, as a rule), `state` of BUILD if any, and
    /// `items` as a dict's or a list's if it was given such.
    object,
    persistent,  ///< an object kept outside; `arguments` is its id
  };

  Kind kind = Kind::none;
  bool has_pairs = false;  ///< of an object: `items` are keys and values
  double real = 0;
  std::int64_t integer = 0;
  std::string text;
  std::vector<PickleIndex> items;
  PickleIndex callable = kNoValue;
  PickleIndex arguments = kNoValue;
  PickleIndex state = kNoValue;
};

/// Values refer to each other by place; one may be referred to several times, and by itself.
struct PickledValues {
  std::vector<PickledValue> values;
  PickleIndex root = kNoValue;

  const PickledValue& operator[](PickleIndex index) const { return values[index]; }
  const PickledValue& top() const { return values[root]; }
};

/// Values of one pickle.
inline constexpr std::size_t kMaxPickledValues = std::size_t{1} << 21;

/// Reads a pickle of protocol 2 to 5 up to its STOP, with the opcodes that Python's and libtorch's picklers write.
/// @throws InspectionError with the opcode and its offset, without the name of a file; at more than kMaxPickledValues values
PickledValues read_pickle(std::string_view bytes);

}  // namespace vigil
