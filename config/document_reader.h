// Fills a `Config` from a document, along the table of settings.
#pragma once

#include <cstddef>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/config/document.h"

namespace vigil::config_reader {

/// Reading ends soon after so many faults: who wrote them will not read more.
inline constexpr std::size_t kMaxFaults = 100;

struct Reading {
  Config config;              ///< the defaults where the document says nothing, or something wrong
  std::vector<Fault> faults;  ///< the document's own and those of its values, in the order of the source
};

Reading read_settings(const Document& document);

}  // namespace vigil::config_reader
