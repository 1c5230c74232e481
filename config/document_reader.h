// Fills a `Config` from a document, along the table of settings.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "vigil/config/config.h"
#include "vigil/config/document.h"

namespace vigil::config_reader {

struct Reading {
  Config config;              ///< the defaults where the document says nothing, or something wrong
  std::vector<Fault> faults;  ///< the document's own and those of its values
  /// Where the value of each setting and section stands, and each element of a list (`rules.actions[0]`), as offsets into the source.
  std::map<std::string, std::size_t> places;
};

Reading read_settings(const Document& document);

}  // namespace vigil::config_reader
