#!/usr/bin/env bash
# Every client against one broker after the other: starts target/release/corelog (or CORELOG) on a fresh directory,
# runs the scripts named (all by default), stops the broker, and has Kafka's dump-log read what it left.
# Usage: run.sh [kcat] [java] [tools] [python] [go] [big]
. "$(dirname "$0")/lib.sh"
corelog=${CORELOG:-$repo/target/release/corelog}
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
scripts=("$@")
[ $# -gt 0 ] || scripts=(kcat java tools python go big)

broker=
cleanup() { [ -z "$broker" ] || kill -9 "$broker" 2> /dev/null || true; rm -rf "$WORK/data"; }
trap cleanup EXIT

total_passed=0 total_failed=0
# Adds the counts of the last line of a script's output.
add() {
  local line; line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1) || true
  if [ -z "$line" ]; then total_failed=$((total_failed + 1)); return; fi
  set -- $line
  total_passed=$((total_passed + $1)) total_failed=$((total_failed + $3))
}

for shards in ${SHARDS:-2}; do
  rm -rf "$WORK/data"
  mkdir -p "$WORK/data"
  : > "$WORK/broker.log"
  "$corelog" start --override log.dirs="$WORK/data" --override listeners=PLAINTEXT://127.0.0.1:0 \
    --override corelog.shards="$shards" --override num.partitions=4 \
    --override metadata.log.max.record.bytes.between.snapshots=5000 > "$WORK/broker.log" 2>&1 &
  broker=$!
  for _ in $(seq 200); do
    BOOTSTRAP=$(sed -n 's/.*listener=PLAINTEXT address="\{0,1\}\([0-9.:]*\).*/\1/p' "$WORK/broker.log" | head -n 1)
    [ -z "$BOOTSTRAP" ] || break
    kill -0 "$broker" 2> /dev/null || { tail "$WORK/broker.log" >&2; exit 1; }
    sleep 0.05
  done
  export BOOTSTRAP
  for script in "${scripts[@]}"; do
    begin=$SECONDS
    echo "== $script, $shards shards, $BOOTSTRAP"
    bash "$here/$script.sh" 2>&1 | tee "$WORK/$script.log" || true
    add "$WORK/$script.log"
    echo "== $script took $((SECONDS - begin)) s"
  done
  kill -TERM "$broker"
  if wait "$broker"; then total_passed=$((total_passed + 1)); else
    echo "FAILED  the broker stopped with $?"
    tail -n 30 "$WORK/broker.log"
    total_failed=$((total_failed + 1))
  fi
  broker=
  echo "== dumplog"
  bash "$here/dumplog.sh" "$WORK/data" 2>&1 | tee "$WORK/dumplog.log" || true
  add "$WORK/dumplog.log"
done
passed=$total_passed failed=$total_failed
finish
