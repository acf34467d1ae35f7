#!/usr/bin/env bash
# kgo.sh: the tests of franz-go's kgo package in lists/kgo.txt against a fresh broker at BOOTSTRAP. Optional, not run
# by run.sh. Needs: go 1.26 or later.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need go "from go.dev"
folder=$(cd "$here/go" && go list -m -f '{{.Dir}}' github.com/twmb/franz-go)/pkg/kgo
module=$WORK/kgo
mkdir -p "$module"
(cd "$module" && { [ -e go.mod ] || go mod init scratch; } && go get github.com/twmb/franz-go@v1.22.2 &&
  go test -c -o kgo.test github.com/twmb/franz-go/pkg/kgo) > "$module/build.log" 2>&1 || { tail "$module/build.log" >&2; exit 1; }
list=$here/lists/kgo.txt
(cd "$folder" && KGO_SEEDS=$BOOTSTRAP KGO_TEST_RF=1 KGO_TEST_RECORDS=${RECORDS:-20000} KGO_LOG_LEVEL=none \
  "$module/kgo.test" -test.v -test.timeout 390s -test.run "^($(grep -v '^#' "$list" | paste -sd '|'))\$") > "$module/out" 2>&1 || true
for test in $(grep -v '^#' "$list"); do
  # A test that the broker's ApiVersions rules out is skipped quietly: that is no pass.
  is "$test" PASS "$(sed -n "s/^--- \([A-Z]*\): $test .*/\1/p" "$module/out" | head -n 1)"
done
finish
