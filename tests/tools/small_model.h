// Saved models of a few floats, made byte by byte.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "inspection/small_archive.h"

namespace vigil::test {

struct NamedFloats {
  std::string name;
  std::vector<float> values;
  std::vector<std::int64_t> sizes;
};

// A state dict, as Python's torch.save writes one.
inline std::string file_of(const std::vector<NamedFloats>& tensors) {
  std::string pickle = "\x80\x02}";
  std::vector<SmallEntry> entries;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    SmallTensor tensor;
    tensor.key = std::to_string(i);
    tensor.sizes = tensors[i].sizes;
    tensor.strides.assign(tensor.sizes.size(), 1);
    for (std::size_t d = tensor.sizes.size(); d > 1; --d) tensor.strides[d - 2] = tensor.strides[d - 1] * tensor.sizes[d - 1];
    std::string described = pickled(tensor);
    // The number of elements of a storage, which is 6 there.
    const std::size_t at = described.find(number(6) + "tQ");
    described.replace(at, number(6).size(), number(static_cast<std::int64_t>(tensors[i].values.size())));
    pickle += text(tensors[i].name) + described + 's';
    std::string elements(4 * tensors[i].values.size(), '\0');
    std::memcpy(elements.data(), tensors[i].values.data(), elements.size());
    entries.push_back({"m/data/" + tensor.key, elements});
  }
  entries.insert(entries.begin(), {"m/data.pkl", pickle + '.'});
  entries.push_back({"m/version", "3\n"});
  return small_archive(entries);
}

/// Where `what` stands in `text`; that it does not is a failure.
inline std::size_t position(const std::string& text, const std::string& what) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << "no '" << what << "' in\n" << text;
  return at;
}

}  // namespace vigil::test
