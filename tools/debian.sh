#!/usr/bin/env bash
# Puts Debian's prometheus (2.42 on Debian 12: the oldest sender that the end-to-end tests
# know) at the given path. The package is only unpacked: nothing is installed, no service starts.
set -euo pipefail
out=$1
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  echo "Debian's prometheus comes by apt-get, which is not here" >&2
  exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir" # apt fetches as a user of its own
chown _apt "$dir" 2>/dev/null || true
cd "$dir"
apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }
dpkg -x prometheus_*.deb unpacked
mkdir -p "$(dirname "$out")"
mv unpacked/usr/bin/prometheus "$out"
touch "$out"
"$out" --version 2>&1 | head -n 1
