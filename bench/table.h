// The table of ratios: what is compared, the goals, and how it is printed.
#pragma once

#include <string>
#include <vector>

#include "bench/comparison.h"

namespace vigil::bench {

/// Every comparison with its rows and goals, as they apply to this machine and build. `quick`: a third of the rounds.
std::vector<Comparison> make_comparisons(bool quick);

struct TableOptions {
  bool quick = false;
  std::string commit;  ///< printed below the table
  std::string only;    ///< comparisons whose title holds this text
};

/// Runs and prints (Markdown on stdout, progress on stderr); returns the missed goals, a line each. @throws std::invalid_argument
/// when no title holds `only`
std::vector<std::string> print_table(const TableOptions& options);

}  // namespace vigil::bench
