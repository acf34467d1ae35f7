#!/usr/bin/env bash
# Compaction of a topic of which half of the keys are repeated, beside producers of another topic at a fixed rate: how
# fast it is, and what it does to the producers. Writes raw reports and a page to benches/results/DATE-compaction/.
# Settings: ROUNDS=3 GIB=2 SECONDS_EACH=15 RATE=50000
. "$(dirname "$0")/../versus/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }

ROUNDS=${ROUNDS:-3}
GIB=${GIB:-2}
SECONDS_EACH=${SECONDS_EACH:-15}
RATE=${RATE:-50000}
results=${RESULTS:-$(results_folder compaction)}
raw=$results/raw
mkdir -p "$raw"

# Records of 1,000 bytes: every key once, and then half of them again.
records() {
  python3 - "$GIB" << 'P'
import sys
count = int(float(sys.argv[1]) * (1 << 30) / 1000)
keys, value, write = count * 2 // 3, b"x" * 980, sys.stdout.buffer.write
for first in range(0, count, 1000):
    write(b"".join(b"key-%012d:%s\n" % (index % keys, value) for index in range(first, min(first + 1000, count))))
P
}

produce() {
  "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --broker-pid "$broker_pid" --quiet --topic flowing --partitions 16 \
    --connections 4 --record-size 1000 --records-per-batch 64 --rate "$RATE" --warmup 2 --duration "$SECONDS_EACH" \
    --topic-config retention.bytes=134217728 --topic-config segment.bytes=67108864 \
    --topic-config file.delete.delay.ms=0 --json - > "$raw/$1.json" 2> "$raw/$1.err" && rm "$raw/$1.err" ||
    fail "$1: $(tail -n 1 "$raw/$1.err")"
  pass "$1: $(grep -oE '"p99": [0-9.]+' "$raw/$1.json")"
}

describe_host > "$results/host.txt"
for round in $(seq "$ROUNDS"); do
  rm -rf "$DATA"
  start_broker corelog "$DATA"
  # With a ratio of 1 nothing is due, however dirty.
  "$corelog" topic create dirty --partitions 1 --bootstrap "127.0.0.1:$PORT" -c cleanup.policy=compact \
    -c min.cleanable.dirty.ratio=1 -c segment.bytes=134217728 -c file.delete.delay.ms=0 > /dev/null
  records | "$corelog" produce dirty --bootstrap "127.0.0.1:$PORT" --key-separator : --partition 0 --acks 1
  # What the load has left to the device is not to be measured.
  sync; sleep 5
  produce "before-$round"
  "$corelog" config alter topic dirty --bootstrap "127.0.0.1:$PORT" min.cleanable.dirty.ratio=0.01 > /dev/null
  produce "cleaning-$round"
  for _ in $(seq 600); do grep -q 'compacted tp=dirty-0' "$DATA/broker.log" && break; sleep 0.5; done
  sed -E 's/\x1b\[[0-9;]*m//g' "$DATA/broker.log" | grep 'compacted tp=dirty-0' | head -n 1 > "$raw/compacted-$round.txt"
  pass "compaction $round: $(cat "$raw/compacted-$round.txt")"
  produce "after-$round"
  stop_broker
done
rm -rf "$DATA"
corelog_page "Compaction beside producers" \
  "command: ROUNDS=$ROUNDS GIB=$GIB SECONDS_EACH=$SECONDS_EACH RATE=$RATE benches/compaction/run.sh" \
  "one partition of $GIB GiB, records of 1,000 bytes, half of the keys twice; producers of another topic beside it"
finish
