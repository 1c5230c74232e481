#include "vigil/tools/inspect.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <system_error>

#include "vigil/monitor/ring_file.h"
#include "vigil/monitor/ring_format.h"
#include "vigil/terminal/text_cells.h"
#include "vigil/tools/inspect_model.h"
#include "vigil/tools/inspect_run.h"
#include "vigil/tools/ring_search.h"

namespace vigil::tools {
namespace {

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

bool begins_as_ring(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;  // opening a pipe would wait
  std::array<char, RingHeader::kMagic.size()> first{};
  std::ifstream file(path, std::ios::binary);
  return file.read(first.data(), first.size()) && std::equal(first.begin(), first.end(), RingHeader::kMagic.begin());
}

bool is_run(const InspectOptions& options) {
  if (options.rank || !options.directories.empty()) return true;
  if (exists(options.file)) return begins_as_ring(options.file) || is_ring_file_name(options.file);
  if (is_ring_file_name(options.file)) return true;
  if (options.file.find('/') != std::string::npos) return false;
  if (options.file.find('.') == std::string::npos) return true;
  // Runs may be called like files: only if there is one is a missing model not what is to be told of.
  try {
    choose_ring({options.file, options.rank, options.directories});
    return true;
  } catch (const SearchError&) {
    return false;
  }
}

// Empty: none.
std::string problem_of(const InspectOptions& options) {
  if (options.file.empty()) return "expected a saved model, a ring file or the name of a run, got an empty text";
  if (!options.report) return "";
  if (!options.tensor.empty()) return "--report is of all tensors; leave --tensor out";
  if (options.report->empty()) return "--report: expected the name of a file to write, got an empty text";
  if (*options.report == "-") return "--report: expected the name of a file to write, got -; the text goes to stdout";
  std::error_code error;
  if (std::filesystem::equivalent(*options.report, options.file, error) && !error)
    return "--report: " + printable(*options.report) + " is the file that is inspected; name another one";
  return "";
}

}  // namespace

int inspect(const InspectOptions& options, std::ostream& out, std::ostream& err) {
  if (const std::string problem = problem_of(options); !problem.empty()) {
    err << "vigil: " << problem << '\n';
    return 2;
  }
  return is_run(options) ? inspect_run(options, out, err) : inspect_model(options, out, err);
}

}  // namespace vigil::tools
