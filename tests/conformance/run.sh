#!/usr/bin/env bash
# Every client against one broker after the other: starts target/release/corelog (or CORELOG) on a fresh directory,
# runs the scripts named (all by default), stops the broker, and has Kafka's dump-log read what it left.
# Usage: run.sh [kcat] [java] [tools] [python] [go] [kgo] [rebalance] [big]
. "$(dirname "$0")/lib.sh"
scripts=("$@")
[ $# -gt 0 ] || scripts=(kcat java tools python go kgo rebalance big)

for shards in ${SHARDS:-2}; do
  # Dead members are to be missed soon, as the classic protocol lets each client say for itself.
  broker_start corelog.shards="$shards" group.initial.rebalance.delay.ms=0 group.consumer.min.session.timeout.ms=1000 \
    group.consumer.session.timeout.ms=6000 group.consumer.min.heartbeat.interval.ms=500 \
    group.consumer.heartbeat.interval.ms=1000 metadata.log.max.record.bytes.between.snapshots=5000
  for script in "${scripts[@]}"; do
    begin=$SECONDS
    echo "== $script, $shards shards, $BOOTSTRAP"
    bash "$here/$script.sh" 2>&1 | tee "$WORK/$script.log" || true
    add "$WORK/$script.log"
    echo "== $script took $((SECONDS - begin)) s"
  done
  broker_stop
  echo "== dumplog"
  bash "$here/dumplog.sh" "$WORK/data" 2>&1 | tee "$WORK/dumplog.log" || true
  add "$WORK/dumplog.log"
done
finish
