// Fills a `Config` from a document, along the table of settings.
#pragma once

#include <vector>

#include "vigil/config/config.h"
#include "vigil/config/document.h"

namespace vigil::config_reader {

struct Reading {
  Config config;              ///< the defaults where the document says nothing, or something wrong
  std::vector<Fault> faults;  ///< the document's own and those of its values
};

Reading read_settings(const Document& document);

}  // namespace vigil::config_reader
