#!/usr/bin/env bash
# big.sh [GIB]: produces that much by librdkafka (acks=all, idempotent, lz4) over 16 partitions to the broker at
# BOOTSTRAP, reads it back, and compares count, order and checksum of each partition. 0.25 GiB when nothing is said.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
(cd "$repo" && cargo build -q --example conformance_big)
if "${CARGO_TARGET_DIR:-$repo/target}/debug/examples/conformance_big" "$BOOTSTRAP" "${1:-${GIB:-0.25}}"; then
  pass "produced and read back"
else
  fail "produced and read back"
fi
finish
