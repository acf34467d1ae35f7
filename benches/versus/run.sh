#!/usr/bin/env bash
# Corelog beside Apache Kafka 4.3 on this machine: the same load from `corelog bench`, round by round in turn, each
# round on a fresh directory. Writes the raw reports and a table to benches/results/DATE-versus/.
# Settings: WORKS="A B C D D-synced E E-synced F G H I J K" ROUNDS=5 SECONDS_EACH=10 WARMUP=8 FETCH_SECONDS=8
# KAFKA_WARMUP=20 FETCH_BYTES=8GiB IDLE_PARTITIONS=5000 IDLE_GIB=2 SHARDS=$(nproc)
. "$(dirname "$0")/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
kafka_jars

WORKS=${WORKS:-A B C D D-synced E E-synced F G H I J K}
ROUNDS=${ROUNDS:-5}
SECONDS_EACH=${SECONDS_EACH:-10}
FETCH_SECONDS=${FETCH_SECONDS:-8}
# What H and I fetch: both brokers the same bytes, however fast each took them.
FETCH_BYTES=${FETCH_BYTES:-8GiB}
WARMUP=${WARMUP:-8}
# A JVM that was just started is several times slower than it will be.
KAFKA_WARMUP=${KAFKA_WARMUP:-20}
IDLE_PARTITIONS=${IDLE_PARTITIONS:-5000}
IDLE_GIB=${IDLE_GIB:-2}
results=${RESULTS:-$(results_folder versus)}
raw=$results/raw
rm -rf "$raw"
mkdir -p "$raw"

# Each work in a line of the table.
title() {
  case $1 in
    A) echo "64 x 1,000 B per batch, 16 partitions, 4 connections, 5 in flight" ;;
    B) echo "5 x 100 B per batch, 20 partitions per request, 100 partitions, 8 connections, 5 in flight" ;;
    C) echo "1 x 100 B per request, 16 partitions, 8 connections, 5 in flight" ;;
    D) echo "1 x 1,000 B per batch, 10 partitions per request, 1,000 partitions, 8 connections, 5 in flight" ;;
    D-synced) echo "D with flush.messages=1" ;;
    E) echo "1 x 100 B, one request at a time on one connection" ;;
    E-synced) echo "E with flush.messages=1" ;;
    F) echo "40,000 records/s of 1,000 B in batches of 5, end to end to tailing consumers, 16 partitions, 4 + 4 connections" ;;
    G) echo "100,000 records/s, else as F" ;;
    H) echo "fetch of $FETCH_BYTES from the page cache, 16 partitions, 4 connections" ;;
    I) echo "the same with a cold page cache, once to the end" ;;
    J) echo "20,000 records/s of 200 B, one a request, 100 partitions, 500 connections" ;;
    K) echo "$IDLE_PARTITIONS partitions, idle, started, killed" ;;
  esac
}

# The load of a work: `bench produce` with these, unless it is a fetch.
flags() {
  case $1 in
    A) echo "--record-size 1000 --records-per-batch 64 --partitions 16 --connections 4 --inflight 5" ;;
    B) echo "--record-size 100 --records-per-batch 5 --partitions 100 --partitions-per-request 20 --connections 8 --inflight 5" ;;
    C) echo "--record-size 100 --records-per-batch 1 --partitions 16 --connections 8 --inflight 5" ;;
    D) echo "--record-size 1000 --records-per-batch 1 --partitions 1000 --partitions-per-request 10 --connections 8 --inflight 5" ;;
    D-synced) echo "$(flags D) --topic-config flush.messages=1" ;;
    E) echo "--record-size 100 --records-per-batch 1 --partitions 1 --connections 1 --inflight 1" ;;
    E-synced) echo "$(flags E) --topic-config flush.messages=1" ;;
    F) echo "--record-size 1000 --records-per-batch 5 --partitions 16 --connections 4 --inflight 50 --rate 40k --stamp" ;;
    G) echo "--record-size 1000 --records-per-batch 5 --partitions 16 --connections 4 --inflight 50 --rate 100k --stamp" ;;
    H | I) echo "--partitions 16 --connections 4" ;;
    J) echo "--record-size 200 --records-per-batch 1 --partitions 100 --connections 500 --inflight 5 --rate 20k" ;;
    *) echo "no such work: $1" >&2; exit 1 ;;
  esac
}

# bench KIND ROUND NAME VERB FLAGS...
bench() {
  local kind=$1 round=$2 name=$3 verb=$4; shift 4
  if "$corelog" bench "$verb" --bootstrap "127.0.0.1:$PORT" --broker-pid "$broker_pid" --quiet --topic bench \
    --json "$raw/$name-$kind-$round.json" "$@" > "$raw/$name-$kind-$round.txt" 2>&1; then
    pass "$name $kind $round: $(head -n 1 "$raw/$name-$kind-$round.txt")"
  else
    fail "$name $kind $round"
    tail -n 5 "$raw/$name-$kind-$round.txt" "$DATA/broker.log" 2> /dev/null || true
  fi
}

# fill ROUND KIND: what is fetched.
fill() {
  "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --quiet --topic bench --partitions 16 --warmup 0 \
    --bytes "$FETCH_BYTES" > "$raw/fill.txt" 2>&1 || { fail "filling $2 for round $1"; tail -n 5 "$raw/fill.txt"; }
  rm -f "$raw/fill.txt"
}

# What `topic create` takes of a work's flags.
topic_flags() { flags "$1" | grep -oE -- '--(partitions|topic-config) [^ ]+' | sed 's/--topic-config/--config/'; }

# prepare NAME KIND: the topic is there before anybody measures, and Kafka has compiled what the work makes it do.
prepare() {
  # shellcheck disable=SC2046
  "$corelog" topic create bench $(topic_flags "$1") --bootstrap "127.0.0.1:$PORT" > /dev/null || fail "$1 $2: no topic"
  [ "$2" = kafka ] || return 0
  local load=$1
  case $load in H | I) load=A ;; *-synced) load=${load%-synced} ;; esac
  # shellcheck disable=SC2046
  "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --quiet --topic warm $(flags "$load") --acks all \
    --warmup 0 --duration "$KAFKA_WARMUP" > "$raw/warm.txt" 2>&1 || { fail "$1: warming Kafka up"; tail -n 5 "$raw/warm.txt"; }
  rm -f "$raw/warm.txt"
  "$corelog" topic delete warm --bootstrap "127.0.0.1:$PORT" > /dev/null
}

drop_caches() {
  sync
  echo 3 > /proc/sys/vm/drop_caches 2> /dev/null || fail "I: dropping the page cache needs root; the figures are of a warm one"
}

# work NAME KIND ROUND: on a broker that was just started.
work() {
  local name=$1 kind=$2 round=$3
  # shellcheck disable=SC2046
  case $name in
    F | G)
      bench "$kind" "$round" "$name-produced" produce $(flags "$name") --acks all --warmup "$WARMUP" --duration "$((SECONDS_EACH + 2))" &
      local producing=$!
      bench "$kind" "$round" "$name" fetch --follow --partitions 16 --connections 4 --warmup "$WARMUP" --duration "$SECONDS_EACH"
      wait "$producing"
      ;;
    H)
      fill "$round" "$kind"
      bench "$kind" "$round" H fetch $(flags H) --warmup "$WARMUP" --duration "$FETCH_SECONDS"
      ;;
    I)
      fill "$round" "$kind"
      drop_caches
      bench "$kind" "$round" I fetch $(flags I)
      ;;
    *) bench "$kind" "$round" "$name" produce $(flags "$name") --acks all --warmup "$WARMUP" --duration "$SECONDS_EACH" ;;
  esac
}

describe_host > "$results/host.txt"
for round in $(seq "$ROUNDS"); do
  # Who begins alternates, so that a machine that warms up or slows down favours nobody.
  if [ $((round % 2)) = 1 ]; then order="corelog kafka"; else order="kafka corelog"; fi
  for name in $WORKS; do
    [ "$name" != K ] || continue
    for kind in $order; do
      rm -rf "$DATA"
      start_broker "$kind" "$DATA"
      prepare "$name" "$kind"
      work "$name" "$kind" "$round"
      stop_broker
    done
  done
done
rm -rf "$DATA"
case " $WORKS " in *" K "*)
  check "K" env PARTITIONS="$IDLE_PARTITIONS" GIB="$IDLE_GIB" ROUNDS=1 SHARDS="$SHARDS" RESULTS="$results/idle" \
    bash "$(dirname "$0")/idle.sh"
  ;;
esac
for name in $WORKS; do printf '%s\t%s\n' "$name" "$(title "$name")"; done > "$raw/works.tsv"
{
  echo "# Corelog beside Apache Kafka $KAFKA_VERSION"
  echo
  cat "$results/host.txt"
  echo "- command: WORKS=\"$WORKS\" ROUNDS=$ROUNDS SECONDS_EACH=$SECONDS_EACH WARMUP=$WARMUP KAFKA_WARMUP=$KAFKA_WARMUP FETCH_SECONDS=$FETCH_SECONDS FETCH_BYTES=$FETCH_BYTES benches/versus/run.sh"
  for name in $WORKS; do
    case $name in
      K) ;;
      H | I) echo "- $name: \`corelog bench fetch $(flags "$name")\`, filled by \`corelog bench produce --partitions 16 --bytes $FETCH_BYTES\`" ;;
      F | G) echo "- $name: \`corelog bench produce $(flags "$name") --acks all\` beside \`corelog bench fetch --follow --partitions 16 --connections 4\`" ;;
      *) echo "- $name: \`corelog bench produce $(flags "$name") --acks all\`" ;;
    esac
  done
  echo
  python3 "$here/../../benches/versus/table.py" "$raw"
  if [ -e "$results/idle/README.md" ]; then
    echo; echo "## K: $(title K)"; echo
    grep '^|' "$results/idle/README.md"
  fi
} > "$results/README.md"
rm -f "$results/host.txt"
cat "$results/README.md"
finish
