#!/usr/bin/env bash
# Makes the pictures of the built-in page, and of the report of a model, from three real trainings on MNIST, one of them with an injected
# NaN: about a minute.
#
#   scripts/screenshots.sh [--build DIR] [--out DIR]
#
#   --build DIR   where vigild, vigil and the examples were built; build/release unless told
#   --out DIR     where the pictures go; docs/img unless told
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/release out=docs/img
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    --build | --out)
      [ $# -ge 2 ] || { echo "screenshots.sh: $1 needs a folder (see --help)" >&2; exit 2; }
      [ "$1" = --build ] && build=$2 || out=$2
      shift 2 ;;
    *) echo "screenshots.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
  esac
done

export VIGIL_VIGILD=${VIGIL_VIGILD:-$build/daemon/vigild} VIGIL_MNIST=${VIGIL_MNIST:-$build/examples/mnist}
export VIGIL_CLI=${VIGIL_CLI:-$build/tools/vigil} VIGIL_MNIST_DATA=$PWD/build/deps/mnist
VIGIL_CHROMIUM=${VIGIL_CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
export VIGIL_CHROMIUM
for program in "$VIGIL_VIGILD" "$VIGIL_MNIST" "$VIGIL_CLI"; do
  [ -x "$program" ] || { echo "screenshots.sh: $program is missing: cmake --build $build, or name another build with --build" >&2; exit 1; }
done
if [ -z "$VIGIL_CHROMIUM" ] || [ ! -d "$VIGIL_MNIST_DATA" ] || [ ! -d tests/browser/node_modules/playwright-core ]; then
  echo "screenshots.sh: Chromium, playwright-core or MNIST is missing: run scripts/setup.sh" >&2
  exit 1
fi
VIGIL_VIGILD=$(realpath "$VIGIL_VIGILD") VIGIL_MNIST=$(realpath "$VIGIL_MNIST") VIGIL_CLI=$(realpath "$VIGIL_CLI")
exec node tests/browser/screenshots.js "$out"
