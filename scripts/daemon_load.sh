#!/usr/bin/env bash
# What vigild costs with many trainers on one host: time of a scrape of everything, CPU of a core, and memory. Prints a table.
#
#   scripts/daemon_load.sh [TRAINERS [TENSORS]]    trainers without libtorch with so many parameters each (and as many gradients), one step
#                                                  and one sample a second (64 300)
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  "" | [1-9]*) ;;
  *) echo "daemon_load.sh: expected a number, got '$1' (see --help)" >&2; exit 2 ;;
esac
trainers=${1:-64} tensors=${2:-300} scrapes=15 seconds=30

build=${VIGIL_BUILD:-build/release}
if [ -z "${VIGIL_BUILD:-}" ]; then
  scripts/setup.sh --build
  cmake --preset release >/dev/null
  cmake --build --preset release --target vigild ring_trainer -j "$(nproc)" -- --quiet
fi

folder=$(mktemp -d /dev/shm/vigil-load-XXXXXX)
trap 'kill $(jobs -p) 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
mkdir "$folder/rings"
"$build/tests/daemon/ring_trainer" "$folder/rings" load --runs "$trainers" --tensors "$tensors" --interval-us 1000000 --sample-every 1 --step-records 256 >"$folder/trainer.log" &
until grep -q ready "$folder/trainer.log"; do read -rt 0.1 <> <(:) || true; done
"$build/daemon/vigild" --ring.directory="$folder/rings" --storage.path="$folder/history.db" --web.listen-address=127.0.0.1:0 2>"$folder/vigild.log" &
vigild=$!
until address=$(sed -n 's|.*http://\([^/]*\)/.*|\1|p' "$folder/vigild.log") && [ -n "$address" ]; do read -rt 0.1 <> <(:) || true; done
until [ "$(curl -s "$address/metrics" | grep -c '^vigil_loss')" = "$trainers" ]; do read -rt 0.5 <> <(:) || true; done

ticks() { awk '{print $14 + $15}' "/proc/$vigild/stat"; }
median() { sort -n | awk '{value[NR] = $1} END {printf "%.0f (%.0f to %.0f)", value[int((NR + 1) / 2)] * 1000, value[1] * 1000, value[NR] * 1000}'; }
before=$(ticks)
read -rt "$seconds" <> <(:) || true
idle=$(($(ticks) - before))
for encoding in identity gzip; do
  for _ in $(seq "$scrapes"); do curl -s -H "Accept-Encoding: $encoding" -o "$folder/scrape" -w '%{time_total}\n' "$address/metrics"; done >"$folder/$encoding"
done
series=$(curl -s "$address/metrics" | grep -vc '^#')
printf '%s trainers, %s parameters and as many gradients each, one step and sample a second, rules and history on\n' "$trainers" "$tensors"
printf '  series in one scrape          %s\n' "$series"
printf '  scrape of all, plain          %s ms, median (least to most) of %s\n' "$(median <"$folder/identity")" "$scrapes"
printf '  scrape of all, gzip           %s ms\n' "$(median <"$folder/gzip")"
printf '  CPU without scrapes           %s %% of a core, over %s s\n' "$(awk "BEGIN {printf \"%.1f\", $idle / $(getconf CLK_TCK) / $seconds * 100}")" "$seconds"
printf '  memory, now and at most       %s and %s MiB\n' "$(awk '/VmRSS/ {printf "%.0f", $2 / 1024}' "/proc/$vigild/status")" "$(awk '/VmHWM/ {printf "%.0f", $2 / 1024}' "/proc/$vigild/status")"
