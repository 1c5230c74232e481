#!/usr/bin/env bash
# Measures vigil against others in the same run and prints a table of ratios (docs/performance.md says what each row means).
# Nothing else should run meanwhile: on busy cores it takes longer, and rows of two threads mean nothing.
#
#   scripts/bench.sh                  the table, on stdout
#   scripts/bench.sh --check          also exits with 1 when goals are missed, and names each
#   scripts/bench.sh --quick          a third of the rounds: rough figures
#   scripts/bench.sh --only TEXT      only the sections whose title holds TEXT, e.g. "Whole step"
#
# A single benchmark: build/bench/bench/vigil_bench --benchmark_filter=float32/dram
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --check | --quick) options+=("$1") ;;
    --only) [[ "${2:---}" != --* ]] || { echo "bench.sh: --only needs a text (see --help)" >&2; exit 2; }; options+=("$1" "$2"); shift ;;
    -h | --help) sed -n '2,10p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "bench.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
  esac
  shift
done

scripts/setup.sh --bench
echo "bench: building (the log is build/bench-build.log)" >&2
{ cmake --preset bench && cmake --build --preset bench --target vigil_bench -j "$(nproc)"; } >build/bench-build.log 2>&1 ||
  { tail -n 30 build/bench-build.log >&2; exit 1; }
commit=$(git describe --always --dirty --tags 2>/dev/null || true)
# These would change what is measured.
unset VIGIL_DISABLE VIGIL_CONFIG OMP_NUM_THREADS OPENBLAS_NUM_THREADS GOMP_CPU_AFFINITY OMP_PROC_BIND OMP_WAIT_POLICY
exec build/bench/bench/vigil_bench --table --commit "$commit" ${options[@]+"${options[@]}"}
