#include "vigil/model_tools/example_input.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string_view>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include "vigil/terminal/text_cells.h"

namespace vigil::model_tools {
namespace {

constexpr std::int64_t kMostOfASize = 1'000'000'000;
constexpr std::int64_t kMostElements = std::int64_t{1} << 31;
constexpr std::size_t kMostSizes = 8;
constexpr std::uint64_t kInputSeed = 1;

struct InputType {
  std::string_view name;
  at::ScalarType type;
};
constexpr std::array<InputType, 7> kInputTypes{{{"float32", at::kFloat},
                                                {"float64", at::kDouble},
                                                {"float16", at::kHalf},
                                                {"bfloat16", at::kBFloat16},
                                                {"int64", at::kLong},
                                                {"int32", at::kInt},
                                                {"bool", at::kBool}}};

std::optional<std::int64_t> whole_number(std::string_view text, std::int64_t most) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 1 || number > most) return std::nullopt;
  return number;
}

[[noreturn]] void refuse_spec(const std::string& spec, const std::string& why) {
  throw std::invalid_argument("--input-size '" + printable(spec) + "': " + why +
                              " (write sizes and, where it is not float32, the type: 1,3,224,224 or 1,128:int64)");
}

std::vector<std::int64_t> sizes_of_spec(const std::string& spec, std::string_view text) {
  std::vector<std::int64_t> sizes;
  std::int64_t elements = 1;
  for (bool more = true; more;) {
    const std::size_t comma = text.find_first_of(",x");
    more = comma != std::string_view::npos;
    const auto size = whole_number(text.substr(0, comma), kMostOfASize);
    if (!size) refuse_spec(spec, "expected sizes from 1 to 1000000000 between commas or x");
    if (sizes.size() == kMostSizes) refuse_spec(spec, "expected at most 8 sizes");
    if (*size > kMostElements / elements) refuse_spec(spec, "expected at most 2147483648 elements");
    elements *= *size;
    sizes.push_back(*size);
    if (more) text.remove_prefix(comma + 1);
  }
  return sizes;
}

at::Tensor tensor_of_spec(const std::string& spec, at::Generator& generator) {
  const std::string_view all = spec;
  const std::size_t colon = all.find(':');
  const std::vector<std::int64_t> sizes = sizes_of_spec(spec, all.substr(0, colon));
  std::string_view type_name = colon == std::string_view::npos ? std::string_view("float32") : all.substr(colon + 1);
  std::int64_t below = 1;
  const std::size_t second = type_name.find(':');
  if (second != std::string_view::npos) {
    const auto bound = whole_number(type_name.substr(second + 1), INT32_MAX);
    if (!bound) refuse_spec(spec, "expected a number from 1 to 2147483647 behind the second colon");
    below = *bound;
    type_name = type_name.substr(0, second);
  }
  for (const InputType& known : kInputTypes) {
    if (known.name != type_name) continue;
    const bool is_integral = at::isIntegralType(known.type, /*includeBool=*/false);
    if (second != std::string_view::npos && !is_integral) refuse_spec(spec, "only int64 and int32 have a bound");
    if (known.type == at::kBool) return at::ones(sizes, at::kBool);
    at::Tensor values = at::empty(sizes, is_integral ? at::kLong : at::kFloat);
    if (is_integral) {
      values.random_(0, below, generator);
    } else {
      values.normal_(0, 1, generator);
    }
    return values.to(known.type);
  }
  refuse_spec(spec, "expected float32, float64, float16, bfloat16, int64, int32 or bool behind the colon");
}

}  // namespace

std::vector<c10::IValue> example_inputs(const std::vector<std::string>& specs) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(kInputSeed);
  std::vector<c10::IValue> inputs;
  for (const std::string& spec : specs) inputs.emplace_back(tensor_of_spec(spec, generator));
  return inputs;
}

}  // namespace vigil::model_tools
