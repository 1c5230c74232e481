#!/usr/bin/env bash
# Builds and tests everything, from a bare Debian 12 on: unit tests also under AddressSanitizer + UBSan and under ThreadSanitizer, then
# the whole suite (unit, rules, e2e with the real Prometheus and Alertmanager, the table of the benchmarks, consumer). The last lines
# are ctest's summary.
#
#   scripts/test.sh [ctest options]     passed to the last, complete run, e.g. -L unit, -R Ring
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,6p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
esac

step() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

step "setup"
scripts/setup.sh
jobs=$(nproc)

for preset in asan tsan; do
  step "$preset: targets without libtorch"
  cmake --preset "$preset" >"build/$preset-configure.log" || { cat "build/$preset-configure.log"; exit 1; }
  cmake --build --preset "$preset" -j "$jobs" -- --quiet
  ctest --preset "$preset" -j "$jobs" >"build/$preset-test.log" || { cat "build/$preset-test.log"; exit 1; }
  grep 'tests passed' "build/$preset-test.log"
done

step "build with warnings as errors"
cmake --preset ci >build/ci-configure.log || { cat build/ci-configure.log; exit 1; }
cmake --build --preset ci -j "$jobs" -- --quiet

step "test"
exec ctest --preset ci "$@"
