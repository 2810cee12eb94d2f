#!/usr/bin/env bash
# Runs every fuzzer of the module for the given time each (10s, or 1000000x for a count), and
# fails at the first that finds something.
set -euo pipefail
# Left to itself Go spends up to a minute on making each new interesting input smaller, and tries nothing
# else meanwhile: 10^6 inputs of FuzzDecodeV1 then take hours instead of minutes.
minimize=5x
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for pkg in $(go list ./...); do
  found=$(go test -list '^Fuzz' "$pkg")
  for fuzzer in $(grep '^Fuzz' <<<"$found" || true); do
    echo "== $pkg $fuzzer"
    if ! go test -run '^$' -fuzz "^$fuzzer\$" -fuzztime "$1" -fuzzminimizetime "$minimize" "$pkg" 2>&1 | tee "$log"; then
      # go test itself fails now and then when the time runs out on a busy machine
      # (go.dev/issue/75804, mended in Go 1.27): no input is to blame then, and none is written.
      if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"; then
        echo "(the time ran out, nothing was found)"
        continue
      fi
      exit 1
    fi
  done
done
