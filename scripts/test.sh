#!/usr/bin/env bash
# Builds and tests everything, from a bare Debian 12 on: what reads foreign data or has threads also under the sanitizers, then
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

# Under AddressSanitizer: what reads what others wrote, and what has threads. Under ThreadSanitizer: what has threads. The others print
# and judge; `cmake --build --preset asan && ctest --preset asan` runs them as well.
read=(channel_test config_test daemon_history_test daemon_host_test daemon_push_test exporters_alert_test exporters_hostile_test
      exporters_http_test exporters_push_test exporters_thread_test history_test http_request_fuzz monitor_test report_test ring_file_fuzz ring_test saved_file_test
      saved_model_fuzz tools_run_test tools_test vigild_test web_config_fuzz)
threaded=(channel_test exporters_alert_test exporters_thread_test ring_test vigild_test)
threads='^(channel_test|exporters_alert_test|exporters_thread_test\.(Exporting|Logging|Report|RunLogOf)|vigild_test\.Daemon|ring_test\.RingStress\.AnotherThread)'
# Trials of minutes, real servers and bounds on time: in the last run only.
slow='Restart|DaemonAndPrometheus'

# sanitize <preset> <targets> <ctest options…>
sanitize() {
  local preset=$1 targets=$2
  shift 2
  step "$preset: targets without libtorch"
  cmake --preset "$preset" >"build/$preset-configure.log" || { cat "build/$preset-configure.log"; exit 1; }
  # shellcheck disable=SC2086
  cmake --build --preset "$preset" -j "$jobs" --target $targets -- --quiet
  ctest --preset "$preset" -j "$jobs" "$@" >"build/$preset-test.log" || { cat "build/$preset-test.log"; exit 1; }
  grep 'tests passed' "build/$preset-test.log"
}
sanitize asan "${read[*]}" -R "^($(IFS='|' && echo "${read[*]}"))\.|^fuzz\." -E "$slow"
sanitize tsan "${threaded[*]}" -R "$threads" -E "$slow"

step "build with warnings as errors"
cmake --preset ci >build/ci-configure.log || { cat build/ci-configure.log; exit 1; }
cmake --build --preset ci -j "$jobs" -- --quiet

step "test"
exec ctest --preset ci -j "$jobs" "$@"
