#!/usr/bin/env bash
# Groups under load: a large group that forms, rebalances beside producers, many groups through a restart. Writes raw
# reports and a page to benches/results/DATE-groups/.
# Settings: ROUNDS=5 MEMBERS=500 PARTS="join rebalance offsets" SECONDS_EACH=10 RATE=100000 GROUPS_COUNT=10000
. "$(dirname "$0")/../versus/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }

ROUNDS=${ROUNDS:-5}
MEMBERS=${MEMBERS:-500}
PARTS=${PARTS:-join rebalance offsets}
SECONDS_EACH=${SECONDS_EACH:-10}
RATE=${RATE:-100000}
GROUPS_COUNT=${GROUPS_COUNT:-10000}
OFFSETS_EACH=10
results=${RESULTS:-$(results_folder groups)}
raw=$results/raw
mkdir -p "$raw"

groups() { PYTHONDONTWRITEBYTECODE=1 python3 "$(dirname "$0")/groups.py" "$PORT" "$@"; }

resident_mib() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$broker_pid/status"; }

# fresh: an empty broker; further words are overrides.
fresh() {
  stop_broker
  rm -rf "$DATA"
  start_broker corelog "$DATA"
}

create() { "$corelog" topic create "$1" --partitions "$2" --bootstrap "127.0.0.1:$PORT" > /dev/null; }

# measured NAME COMMAND...: keeps the JSON of a command, and says so.
measured() {
  local name=$1; shift
  if "$@" > "$raw/$name.json" 2> "$raw/$name.err"; then
    rm "$raw/$name.err"
    pass "$name: $(grep -oE '"(p99|[a-z_]*seconds)": [0-9.]+' "$raw/$name.json" | tr '\n' ' ')"
  else
    rm "$raw/$name.json"
    fail "$name: $(tail -n 1 "$raw/$name.err")"
  fi
}

join() {
  for round in $(seq "$ROUNDS"); do
    fresh
    create joined "$MEMBERS"
    measured "join-$round" groups join "$MEMBERS" joined "$MEMBERS"
    measured "join-consumer-$round" groups join-consumer "$MEMBERS" joined "$MEMBERS"
  done
}

# Producers at a fixed rate beside a group of 50 that rebalances each second, or only sends heartbeats.
rebalance() {
  local interval name
  fresh
  create shaken 50
  for round in $(seq "$ROUNDS"); do
    for interval in 0 1; do
      name=$([ $interval = 0 ] && echo quiet || echo shaken)-$round
      groups rebalance 50 shaken 50 $((SECONDS_EACH + 6)) $interval > "$raw/rebalance-$name.json" &
      local group=$!
      until grep -qs ready "$raw/rebalance-$name.json"; do sleep 0.1; done
      measured "produce-$name" "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --broker-pid "$broker_pid" --quiet \
        --topic flowing --partitions 16 --connections 4 --record-size 1000 --records-per-batch 64 --rate "$RATE" \
        --warmup 3 --duration "$SECONDS_EACH" --topic-config retention.bytes=268435456 \
        --topic-config segment.bytes=134217728 --topic-config file.delete.delay.ms=0 --json -
      wait $group && pass "group $name: $(tail -n 1 "$raw/rebalance-$name.json")" || fail "group $name"
    done
  done
}

# Memory and loading time of many groups with committed offsets, after a stop and after kill -9.
offsets() {
  for round in $(seq "$ROUNDS"); do
    fresh
    create committed $OFFSETS_EACH
    groups commit 1 committed $OFFSETS_EACH > /dev/null
    echo "{\"resident_mib\": $(resident_mib)}" > "$raw/offsets-before-$round.json"
    measured "offsets-commit-$round" groups commit "$GROUPS_COUNT" committed $OFFSETS_EACH
    echo "{\"resident_mib\": $(resident_mib), \"log_bytes\": $(cat "$DATA"/data/shard-*/__consumer_offsets-*/*.log | wc -c)}" > "$raw/offsets-after-$round.json"
    for signal in TERM KILL; do
      stop_broker $signal
      local began; began=$(date +%s%N)
      launch corelog "$DATA"
      measured "offsets-check-$signal-$round" groups check "$GROUPS_COUNT" committed $OFFSETS_EACH "$began"
      echo "{\"resident_mib\": $(resident_mib)}" > "$raw/offsets-loaded-$signal-$round.json"
      grep -o 'coordinator loaded.*' "$DATA/broker.log" > "$raw/offsets-loads-$signal-$round.txt" || true
    done
  done
}

describe_host > "$results/host.txt"
for part in $PARTS; do "$part"; done
stop_broker
rm -rf "$DATA"
corelog_page "Groups under load" \
  "command: ROUNDS=$ROUNDS MEMBERS=$MEMBERS SECONDS_EACH=$SECONDS_EACH RATE=$RATE GROUPS_COUNT=$GROUPS_COUNT benches/groups/run.sh" \
  "members are benches/groups/wire.py, one process of Python on the same machine"
finish
