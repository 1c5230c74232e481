// What is thrown where a file of a model cannot be looked at.
#pragma once

#include <stdexcept>
#include <string>

namespace vigil {

/// One printable line: it names the file, says what is wrong with it and what to do.
class InspectionError : public std::runtime_error {
 public:
  explicit InspectionError(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace vigil
