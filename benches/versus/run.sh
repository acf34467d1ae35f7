#!/usr/bin/env bash
# Corelog beside Apache Kafka 4.3 on this machine: the same load from `corelog bench`, round by round in turn, each
# round on a fresh directory. Writes the raw reports and a table to benches/results/DATE-versus/.
# Settings: ROUNDS=5 SECONDS_EACH=10 FETCH_SECONDS=8 SHARDS=$(nproc) SCENARIOS="produce-64x1000 ..."
. "$(dirname "$0")/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
kafka_jars

ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-10}
FETCH_SECONDS=${FETCH_SECONDS:-8}
WARMUP=${WARMUP:-8}
results=${RESULTS:-$(results_folder versus)}
raw=$results/raw
mkdir -p "$raw"

# The load of a scenario: the first one and `fetch`, which reads what it wrote, are the ones that are promised about.
produce_flags() {
  case $1 in
    produce-64x1000) echo "--record-size 1000 --records-per-batch 64 --partitions 16 --connections 4 --inflight 5 --acks all" ;;
    produce-5x100) echo "--record-size 100 --records-per-batch 5 --partitions 16 --connections 4 --inflight 5 --acks all" ;;
    produce-single) echo "--record-size 1000 --records-per-batch 1 --partitions 16 --connections 4 --inflight 1 --acks all" ;;
    produce-1000-partitions) echo "--record-size 100 --records-per-batch 10 --partitions 1000 --partitions-per-request 50 --connections 4 --inflight 5 --acks all" ;;
    *) echo "no such scenario: $1" >&2; exit 1 ;;
  esac
}
SCENARIOS=${SCENARIOS:-produce-64x1000 produce-5x100 produce-single produce-1000-partitions}

# bench KIND ROUND NAME FLAGS...
bench() {
  local kind=$1 round=$2 name=$3 verb=produce; shift 3
  case $name in fetch*) verb=fetch ;; esac
  if "$corelog" bench "$verb" --bootstrap "127.0.0.1:$PORT" --broker-pid "$broker_pid" --quiet \
    --json "$raw/$name-$kind-$round.json" "$@" > "$raw/$name-$kind-$round.txt" 2>&1; then
    pass "$name $kind $round: $(head -n 1 "$raw/$name-$kind-$round.txt")"
  else
    fail "$name $kind $round"
    tail -n 5 "$raw/$name-$kind-$round.txt" "$DATA/broker.log" 2> /dev/null || true
  fi
}

describe_host > "$results/host.txt"
for round in $(seq "$ROUNDS"); do
  # Who begins alternates, so that a machine that warms up or slows down favours nobody.
  if [ $((round % 2)) = 1 ]; then order="corelog kafka"; else order="kafka corelog"; fi
  for scenario in $SCENARIOS; do
    flags=$(produce_flags "$scenario")
    for kind in $order; do
      rm -rf "$DATA"
      start_broker "$kind" "$DATA"
      # shellcheck disable=SC2086
      bench "$kind" "$round" "$scenario" --topic bench $flags --warmup "$WARMUP" --duration "$SECONDS_EACH"
      if [ "$scenario" = produce-64x1000 ]; then
        bench "$kind" "$round" fetch-64x1000 --topic bench --partitions 16 --connections 4 --warmup 2 --duration "$FETCH_SECONDS"
      fi
      stop_broker
    done
  done
done
rm -rf "$DATA"
{
  echo "# Corelog beside Apache Kafka $KAFKA_VERSION"
  echo
  cat "$results/host.txt"
  echo "- command: ROUNDS=$ROUNDS SECONDS_EACH=$SECONDS_EACH FETCH_SECONDS=$FETCH_SECONDS benches/versus/run.sh"
  for scenario in $SCENARIOS; do echo "- $scenario: \`corelog bench produce $(produce_flags "$scenario")\`"; done
  echo "- fetch-64x1000: \`corelog bench fetch --partitions 16 --connections 4\` of what produce-64x1000 wrote"
  echo
  python3 "$here/../../benches/versus/table.py" "$raw"
} > "$results/README.md"
rm "$results/host.txt"
cat "$results/README.md"
finish
