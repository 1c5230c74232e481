#!/usr/bin/env bash
# Compiles monitor/ for aarch64 with warnings as errors and runs the tests of its kernels under an emulator. Not part of scripts/test.sh:
# it installs a cross compiler, and takes two to three minutes. It says nothing about speed.
#
#   scripts/test-aarch64.sh [options of GoogleTest]
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  -h | --help) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
esac

packages=(g++-aarch64-linux-gnu qemu-user-static googletest)
if ! dpkg-query -W "${packages[@]}" >/dev/null 2>&1; then
  echo "aarch64: installing ${packages[*]}"
  as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

build=build/aarch64
mkdir -p "$build/include"
ln -sfn "$PWD" "$build/include/vigil"
compile() { aarch64-linux-gnu-g++ -std=c++17 -O2 -c "$@"; }

gtest=/usr/src/googletest
for source in googletest/src/gtest-all googletest/src/gtest_main googlemock/src/gmock-all; do
  object=$build/$(basename "$source").o
  [ -f "$object" ] || compile -I"$gtest"/{googletest,googlemock}{,/include} "$gtest/$source.cc" -o "$object"
done
for source in monitor/*.cpp; do
  echo "aarch64: $source"
  compile -O3 -fopenmp-simd -fno-fast-math -Wall -Wextra -Werror -I"$build/include" "$source" -o "$build/$(basename "$source" .cpp).o"
done
compile -I"$build/include" -I. -Itests -I"$gtest"/{googletest,googlemock}/include tests/monitor/reduction_test.cpp -o "$build/reduction_test.o"
aarch64-linux-gnu-g++ -static "$build"/*.o -o "$build/reduction_test" -lpthread 2>"$build/link.log" || { cat "$build/link.log" >&2; exit 1; }
exec qemu-aarch64-static "$build/reduction_test" "$@"
