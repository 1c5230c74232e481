// A write request as the libraries of protobuf and snappy read it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "vigil/daemon/write_request.h"

namespace vigil::test {

struct DecodedSeries {
  std::vector<std::pair<std::string, std::string>> labels;      ///< in the order of the message
  std::vector<std::pair<std::int64_t, std::uint64_t>> samples;  ///< milliseconds and the bits of the value

  /// "name{a="x",b="y"}", labels in the order of their names.
  std::string key() const;
};

/// @throws std::runtime_error when `request` is not a WriteRequest, or holds a field that it does not have
std::vector<DecodedSeries> decode_message(const std::string& request);
/// The same of what was compressed. @throws std::runtime_error also when it is not in snappy's block format
std::vector<DecodedSeries> decode_body(const std::string& body);

/// The message as the protobuf library writes it.
std::string encoded_by_library(const std::vector<DecodedSeries>& series);

/// By key, all samples of several bodies one after the other.
std::map<std::string, std::vector<std::pair<std::int64_t, std::uint64_t>>> samples_of(const std::vector<std::string>& bodies);

}  // namespace vigil::test
