#!/usr/bin/env bash
# Tries the alert rules on trainings with a known fault and on healthy ones, and prints the two tables of docs/alerts.md. Exits with 1
# when a rule missed its fault, named another layer, or a healthy run was not silent. Takes about half an hour; nothing else should run
# meanwhile, as some of the rules look at times.
#
#   scripts/rule_trials.sh                both tables, on stdout
#   scripts/rule_trials.sh --short        every fault; healthy runs of two optimizers, one seed each: two minutes
#   scripts/rule_trials.sh --no-healthy   the faults; --no-faults: the healthy runs
#   scripts/rule_trials.sh --only NAME    one rule of the first table, or one example of the second
#   scripts/rule_trials.sh --seeds N      of each healthy run; 5 by default
set -euo pipefail
cd "$(dirname "$0")/.."

options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --short) options+=(--short --seeds 1) ;;
    --no-healthy | --no-faults) options+=("$1") ;;
    --only | --seeds) [[ "${2:---}" != --* ]] || { echo "rule_trials.sh: $1 needs a value (see --help)" >&2; exit 2; }; options+=("$1" "$2"); shift ;;
    -h | --help) sed -n '2,11p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "rule_trials.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
  esac
  shift
done

scripts/setup.sh --demo >&2
echo "trials: building (the log is build/trials-build.log)" >&2
{ cmake --preset release && cmake --build --preset release --target rule_trials -j "$(nproc)"; } >build/trials-build.log 2>&1 ||
  { tail -n 30 build/trials-build.log >&2; exit 1; }
unset VIGIL_DISABLE VIGIL_CONFIG RANK WORLD_SIZE LOCAL_RANK
exec build/release/tests/trials/rule_trials ${options[@]+"${options[@]}"}
