#!/usr/bin/env bash
# Trains a CNN on MNIST under vigil and reports what it saw: about two minutes of building the first time, then one of training.
#
#   scripts/demo.sh [options of examples/mnist]     e.g. --epochs 3, --port 0, --inject-nan-at 300 --layer conv2; --help lists them
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh --demo
echo "demo: building (the log is build/demo-build.log)"
{ cmake --preset release && cmake --build --preset release --target mnist -j "$(nproc)"; } >build/demo-build.log 2>&1 ||
  { tail -n 30 build/demo-build.log >&2; exit 1; }
exec build/release/examples/mnist --data build/deps/mnist "$@"
