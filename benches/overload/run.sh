#!/usr/bin/env bash
# Twice as much as Corelog can take: how much of its maximum does it keep, in how much memory? The maximum comes from
# loads in a closed loop, as fast as answers come; then twice that is offered in an open loop. Each phase has a broker
# of its own on a fresh directory. Writes raw reports and a page to benches/results/DATE-overload/.
# What is offered beyond the requests in flight waits in the load generator, and p99 counts from when a request was due:
# under twice the maximum it grows with the seconds of a phase, whoever is to be blamed for it. What reaches the broker is
# connections times requests in flight; hence the loads up to 200 x 100, beyond every bound of the broker.
# Settings: WORKS="large single wide" ROUNDS=3 SECONDS_EACH=10 WARMUP=3 PAUSE=5 THREADS=1
#   MAXIMUM_LOADS="4x5 16x20 64x20" OVERLOADS="16x20 64x20 200x100" (connections x requests in flight)
. "$(dirname "$0")/../versus/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }

WORKS=${WORKS:-large single wide}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-10}
WARMUP=${WARMUP:-3}
# What a phase has left to the device is not to be measured.
PAUSE=${PAUSE:-5}
THREADS=${THREADS:-1}
MAXIMUM_LOADS=${MAXIMUM_LOADS:-4x5 16x20 64x20}
OVERLOADS=${OVERLOADS:-16x20 64x20 200x100}
results=${RESULTS:-$(results_folder overload)}
raw=$results/raw
rm -rf "$raw"
mkdir -p "$raw"

# The load of a work. Of 1,000 partitions each of 200 connections gets five, so that every load sends the same requests.
flags() {
  case $1 in
    large) echo "--record-size 1000 --records-per-batch 64 --partitions 16" ;;
    single) echo "--record-size 100 --records-per-batch 1 --partitions 16" ;;
    wide) echo "--record-size 1000 --records-per-batch 1 --partitions 1000 --partitions-per-request 5" ;;
    *) echo "no such work: $1" >&2; exit 1 ;;
  esac
}

# resident FIELD: VmRSS or VmHWM of the broker in MiB.
resident() { awk -v field="$1:" '$1 == field { printf "%.1f", $2 / 1024 }' "/proc/$broker_pid/status"; }

# phase NAME WORK LOAD FLAG...: one load on a fresh broker; its report is $raw/NAME.json, with the broker's memory in
# $raw/NAME.memory.json.
phase() {
  local name=$1 work=$2 load=$3 idle; shift 3
  rm -rf "$DATA"
  start_broker corelog "$DATA"
  idle=$(resident VmRSS)
  # shellcheck disable=SC2046
  if "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --broker-pid "$broker_pid" --quiet --topic loaded \
      $(flags "$work") --connections "${load%x*}" --inflight "${load#*x}" --threads "$THREADS" --warmup "$WARMUP" \
      --duration "$SECONDS_EACH" "$@" --json - > "$raw/$name.json" 2> "$raw/$name.err"; then
    rm "$raw/$name.err"
    echo "{\"idle_mib\": $idle, \"after_mib\": $(resident VmRSS), \"most_mib\": $(resident VmHWM)}" > "$raw/$name.memory.json"
    pass "$name: $(taken "$name") records/s, $(resident VmHWM) MiB at the most"
  else
    rm "$raw/$name.json"
    fail "$name: $(tail -n 1 "$raw/$name.err")"
  fi
  stop_broker
  sync
  sleep "$PAUSE"
}

# taken NAME: records a second of a phase; 0 of one that failed.
taken() {
  local found
  found=$(grep -oE '"records_per_second": [0-9]+' "$raw/$1.json" 2> /dev/null | grep -oE '[0-9]+$') || true
  echo "${found:-0}"
}

describe_host > "$results/host.txt"
for round in $(seq "$ROUNDS"); do
  for work in $WORKS; do
    maximum=0
    for load in $MAXIMUM_LOADS; do
      phase "$work-maximum-$load-$round" "$work" "$load"
      found=$(taken "$work-maximum-$load-$round")
      [ "$found" -le "$maximum" ] || maximum=$found
    done
    [ "$maximum" -gt 0 ] || continue
    for load in $OVERLOADS; do
      phase "$work-overload-$load-$round" "$work" "$load" --rate $((2 * maximum))
    done
  done
done
rm -rf "$DATA"
corelog_page "Twice the maximum" \
  "command: WORKS=\"$WORKS\" ROUNDS=$ROUNDS SECONDS_EACH=$SECONDS_EACH WARMUP=$WARMUP PAUSE=$PAUSE THREADS=$THREADS MAXIMUM_LOADS=\"$MAXIMUM_LOADS\" OVERLOADS=\"$OVERLOADS\" benches/overload/run.sh" \
  "large: $(flags large)" "single: $(flags single)" "wide: $(flags wide)" \
  "loads are connections x requests in flight; the share is that of the best load of the same round in a closed loop" \
  "p99 counts from when a request was due; beyond the maximum that is mostly the wait in the load generator"
finish
