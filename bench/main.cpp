// vigil's benchmarks: Google Benchmark's own program, or with --table the comparisons of docs/performance.md.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include <benchmark/benchmark.h>
#include <CLI/CLI.hpp>

#include "bench/fixture.h"
#include "bench/registration.h"
#include "bench/table.h"

namespace {

void register_all(bool quick) {
  vigil::bench::register_statistics(quick);
  vigil::bench::register_parameter_sets(quick);
  vigil::bench::register_whole_steps();
}

int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  register_all(false);
  benchmark::RunSpecifiedBenchmarks();
  vigil::bench::FixtureShelf::instance().clear();
  benchmark::Shutdown();
  return 0;
}

int run_table(int argc, char** argv) {
  vigil::bench::TableOptions options;
  bool table = false, check = false;
  CLI::App app("Measures vigil against others and prints a table of ratios. Without --table: Google Benchmark's own program.");
  app.add_flag("--table", table, "print the table");
  app.add_flag("--check", check, "exit with 1, and name the goals, when goals are missed");
  app.add_flag("--quick", options.quick, "a third of the rounds: rough figures in a third of the time");
  app.add_option("--only", options.only, "only the sections whose title holds this text");
  app.add_option("--commit", options.commit, "what is measured, for the last lines");
  CLI11_PARSE(app, argc, argv);
  register_all(options.quick);
  const std::vector<std::string> missed = vigil::bench::print_table(options);
  std::fflush(stdout);
  if (!check) return 0;
  for (const std::string& line : missed) std::fprintf(stderr, "bench: missed: %s\n", line.c_str());
  return missed.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const bool table = argc > 1 && std::string(argv[1]) == "--table";
    return table ? run_table(argc, argv) : run_benchmarks(argc, argv);
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "bench: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench: %s\n", error.what());
    return 1;
  }
}
