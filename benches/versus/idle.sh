#!/usr/bin/env bash
# What a broker costs that does nothing, and how fast it is up: with PARTITIONS partitions, empty, after a clean stop,
# and after kill -9 with GIB of data. Prints and writes a table to benches/results/DATE-idle/.
# Settings: PARTITIONS=1000 GIB=10 IDLE_SECONDS=30 SHARDS=2 ROUNDS=3 KINDS="corelog kafka"
. "$(dirname "$0")/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
PARTITIONS=${PARTITIONS:-1000}
GIB=${GIB:-10}
IDLE_SECONDS=${IDLE_SECONDS:-30}
ROUNDS=${ROUNDS:-3}
KINDS=${KINDS:-corelog kafka}
case $KINDS in *kafka*) kafka_jars ;; esac
results=${RESULTS:-$(results_folder idle)}
mkdir -p "$results"

resident_mib() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$broker_pid/status"; }
# CPU seconds of the process so far, all threads.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$broker_pid/stat"; }
# restart KIND TOPIC: starts it again and leaves `FIRST SERVED`, in milliseconds since then, in $WORK/restarted.
restart() {
  answered "$2" > "$WORK/answered" &
  local watcher=$!
  sleep 0.5 # python's own start
  local begin; begin=$(date +%s%N)
  launch "$1" "$DATA/$1"
  wait "$watcher"
  awk -v begin="$begin" '{ printf "%.0f, %.0f\n", ($1 - begin) / 1e6, ($2 - begin) / 1e6 }' "$WORK/answered" > "$WORK/restarted"
}

row() { printf '| %s | %s | %s |\n' "$@" | tee -a "$results/rows"; }
rm -f "$results/rows"
for kind in $KINDS; do
  rm -rf "${DATA:?}/$kind"
  start_broker "$kind" "$DATA/$kind"
  check "$kind: $PARTITIONS partitions" "$corelog" topic create idle --partitions "$PARTITIONS" --bootstrap "127.0.0.1:$PORT"
  sleep 5
  before=$(cpu); sleep "$IDLE_SECONDS"; after=$(cpu)
  row "$kind" "resident, idle with $PARTITIONS partitions, MiB" "$(resident_mib)"
  row "$kind" "CPU, idle, % of a core" "$(echo "$after $before $IDLE_SECONDS" | awk '{ printf "%.2f", 100 * ($1 - $2) / $3 }')"
  for round in $(seq "$ROUNDS"); do
    stop_broker
    restart "$kind" idle
    row "$kind" "ms to the first answer, to the last partition served; clean stop, round $round" "$(cat "$WORK/restarted")"
  done
  check "$kind: $GIB GiB" "$corelog" bench produce --topic idle --partitions "$PARTITIONS" --warmup 0 --bytes "${GIB}GiB" \
    --quiet --bootstrap "127.0.0.1:$PORT"
  for round in $(seq "$ROUNDS"); do
    stop_broker KILL
    restart "$kind" idle
    row "$kind" "ms to the first answer, to the last partition served; kill -9 with $GIB GiB, round $round" "$(cat "$WORK/restarted")"
  done
  row "$kind" "resident after that, MiB" "$(resident_mib)"
  stop_broker
  rm -rf "${DATA:?}/$kind"
done
{
  echo "# An idle broker and its start"; echo
  describe_host
  echo "- command: PARTITIONS=$PARTITIONS GIB=$GIB IDLE_SECONDS=$IDLE_SECONDS ROUNDS=$ROUNDS benches/versus/idle.sh"; echo
  echo "| broker | what | value |"; echo "|---|---|---|"
  cat "$results/rows"
} > "$results/README.md"
rm "$results/rows"
finish
