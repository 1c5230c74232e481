#include "bench/fixture.h"

#include <cstdio>
#include <cstdlib>

namespace vigil::bench {

FixtureShelf& FixtureShelf::instance() {
  static FixtureShelf shelf;
  return shelf;
}

bool FixtureShelf::is_unchecked(const std::string& benchmark) { return checked_.insert(benchmark).second; }

void FixtureShelf::clear() {
  held_.reset();
  key_.clear();
  checked_.clear();
}

void fail(const std::string& benchmark, const std::string& what) {
  std::fprintf(stderr, "\nbench: %s: wrong result: %s\n", benchmark.c_str(), what.c_str());
  std::fflush(stdout);
  std::_Exit(1);
}

}  // namespace vigil::bench
