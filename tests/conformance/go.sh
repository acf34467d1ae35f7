#!/usr/bin/env bash
# franz-go against the broker at BOOTSTRAP. Needs: go 1.24 or later.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need go "apt-get install golang, or from go.dev"
(cd "$here/go" && go build -o "$WORK/franz-go" .)
if timeout 300 "$WORK/franz-go" "$BOOTSTRAP" > "$WORK/go.out" 2>&1; then status=0; else status=$?; fi
cat "$WORK/go.out"
passed=$(grep -c '^ok ' "$WORK/go.out" || true)
failed=$(grep -c '^FAILED ' "$WORK/go.out" || true)
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || fail "the program ended with status $status"
[ "$passed" -ge 24 ] || fail "only $passed checks were made"
finish
