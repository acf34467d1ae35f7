#!/usr/bin/env bash
# kgo.sh [TEST...]: the tests of franz-go's kgo package in lists/kgo.txt, or those named. Starts a broker, unless
# BOOTSTRAP names one. RECORDS is how much the group tests produce. Needs: go 1.26 or later.
. "$(dirname "$0")/lib.sh"
need go "from go.dev"
module=$WORK/kgo
mkdir -p "$module"
# The version is that of our own franz-go program, so that go.sum vouches for what is fetched.
(
  cd "$module"
  cp "$here/go/go.mod" "$here/go/go.sum" .
  go test -mod=mod -c -o kgo.test github.com/twmb/franz-go/pkg/kgo
) > "$module/build.log" 2>&1 || { tail "$module/build.log" >&2; exit 1; }
# One of the tests reads the sources that it lies beside.
folder=$(cd "$module" && go list -m -f '{{.Dir}}' github.com/twmb/franz-go)/pkg/kgo

mapfile -t listed < <(listed "$here/lists/kgo.txt")
[ $# = 0 ] || listed=("$@")
[ -n "${BOOTSTRAP:-}" ] || { broker_start group.initial.rebalance.delay.ms=0; started=1; }
(
  cd "$folder"
  export KGO_SEEDS=$BOOTSTRAP KGO_TEST_RF=1 KGO_TEST_RECORDS=${RECORDS:-20000} KGO_LOG_LEVEL=${KGO_LOG_LEVEL:-none}
  "$module/kgo.test" -test.v -test.timeout 390s \
    -test.run "^($(printf '%s\n' "${listed[@]%%/*}" | sort -u | paste -sd '|'))\$"
) > "$module/out" 2>&1 || true
for test in "${listed[@]}"; do
  # A test that the broker's ApiVersions rules out is skipped quietly: that is no pass.
  is "$test" PASS "$(sed -n "s|^ *--- \([A-Z]*\): $test (.*|\1|p" "$module/out" | head -n 1)"
done
[ -z "${started:-}" ] || broker_stop
finish
