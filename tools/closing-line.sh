#!/usr/bin/env bash
# Ends a run: the notices that steps left in the given folder, and the sum of all tests that
# their `go test -json` files tell of (a test is counted with each of its subtests, and a
# package that failed without a test of its own failing, by not compiling say, as one).
set -euo pipefail
cd "$1"
cat notices 2>/dev/null || true
count() { cat ./*.json 2>/dev/null | grep -c "$1" || true; }
passed=$(count '"Action":"pass".*"Test":')
failed=$(count '"Action":"fail".*"Test":')
[ "$failed" != 0 ] || failed=$(count '"Action":"fail"')
skipped=$(count '"Action":"skip".*"Test":')
echo "$passed passed, $failed failed, $skipped skipped"
