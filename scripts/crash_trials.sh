#!/usr/bin/env bash
# Kills trainers (SIGKILL) at random moments and looks at what is left: the last whole step is readable in each ring file, nothing torn is shown, and vigild
# says "crashed" within 2 s. Prints a table; exits 1 when anything was wrong.
#
#   scripts/crash_trials.sh [N]    N trainers without libtorch whose every figure is known, and a tenth as many of examples/minimal (1000)
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  "" | [1-9]*) ;;
  *) echo "crash_trials.sh: expected a number, got '$1' (see --help)" >&2; exit 2 ;;
esac
trials=${1:-1000}

scripts/setup.sh --build
cmake --preset release >/dev/null
cmake --build --preset release --target crash_trials vigild ring_trainer minimal -j "$(nproc)" -- --quiet
build/release/tests/daemon/crash_trials --trials "$trials" --parallel 8
build/release/tests/daemon/crash_trials --trials "$(((trials + 9) / 10))" --parallel 4 --trainer build/release/examples/minimal
