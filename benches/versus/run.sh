#!/usr/bin/env bash
# Corelog beside Apache Kafka 4.3 on this machine: the same load on both in turn, work by work and round by round, from
# `corelog bench` and, for A, B and F, from the Java clients and librdkafka too. Writes the raw reports and a table to
# benches/results/DATE-versus/.
#
# One broker of each lives through all rounds, so that Kafka's JVM is warm; each work has a fresh topic in each round,
# deleted afterwards, and what the one wrote is off to the disk before the other is measured. The one that is not measured
# idles: stopped by a signal, Kafka would miss its own heartbeats and be fenced when it goes on. It costs the other a few
# percent of a core. Who begins alternates by round.
#
# With the defaults it takes about half an hour, and 20 GiB of disk.
# Settings: WORKS="A B C ..." ROUNDS=3 SECONDS_EACH=5 WARMUP=2 KAFKA_WARMUP=4 FETCH_BYTES=4GiB IDLE_PARTITIONS=5000
# IDLE_GIB=2 IDLE_SECONDS=15 SHARDS=$(nproc)
. "$(dirname "$0")/lib.sh"
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
kafka_jars
versus=$(cd "$(dirname "$0")" && pwd)

WORKS=${WORKS:-A A-many A-java A-librdkafka B B-java B-librdkafka C C-many D D-synced E E-synced F F-java F-librdkafka G H-first H I J K}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-5}
WARMUP=${WARMUP:-2}
# A JVM that was just started is several times slower than it will be: so long for each work, once.
KAFKA_WARMUP=${KAFKA_WARMUP:-4}
# What the H and I works fetch: both brokers the same bytes, however fast each took them.
FETCH_BYTES=${FETCH_BYTES:-4GiB}
IDLE_PARTITIONS=${IDLE_PARTITIONS:-5000}
IDLE_GIB=${IDLE_GIB:-2}
IDLE_SECONDS=${IDLE_SECONDS:-15}
results=${RESULTS:-$(results_folder versus)}
raw=$results/raw
rm -rf "$raw" "$DATA"
mkdir -p "$raw" "$DATA"

# Files of a deleted topic go at once, before they fill the disk.
settings=(log.segment.delete.delay.ms=100)
declare -A pids=() ports=([kafka]=$PORT [corelog]=$((PORT + 1))) filled=()
trap 'for broker_pid in $broker_pid "${pids[@]}"; do stop_broker KILL; done; rm -rf "$DATA"' EXIT

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
    H-first) echo "fetch of $FETCH_BYTES that were just written, once to the end, 16 partitions, 4 connections: Kafka's writes left them in the page cache, Corelog's did not" ;;
    H) echo "the same again and again, from the page cache" ;;
    I) echo "the same with a cold page cache, once to the end" ;;
    J) echo "20,000 records/s of 200 B, one a request, 100 partitions, 500 connections" ;;
    K) echo "$IDLE_PARTITIONS partitions, idle, started, killed" ;;
    *-many) echo "${1%-many} from 64 connections with 20 requests in flight each" ;;
    F-java) echo "F from the Java clients: 4 idempotent producers and 4 consumers" ;;
    F-librdkafka) echo "F from librdkafka: 4 producers and 4 consumers" ;;
    *-java) echo "${1%-java} from Kafka's ProducerPerformance: one idempotent producer, which decides what goes into a request" ;;
    *-librdkafka) echo "${1%-librdkafka} from librdkafka, which decides what goes into a request" ;;
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
    H-first | H | I) echo "--partitions 16 --connections 4" ;;
    J) echo "--record-size 200 --records-per-batch 1 --partitions 100 --connections 500 --inflight 5 --rate 20k" ;;
    *-many) flags "${1%-many}" | sed 's/--connections .*/--connections 64 --inflight 20/' ;;
    *-java | *-librdkafka) flags "${1%%-*}" ;;
    *) echo "no such work: $1" >&2; return 1 ;;
  esac
}

# flag WORK NAME: the value of one of them, nothing where it is not given.
flag() { flags "$1" | sed -nE "s/.*--$2 ([^ ]+).*/\1/p" | sed 's/k$/000/'; }

# on KIND: what follows is about that broker.
on() {
  broker_pid=${pids[$1]}
  PORT=${ports[$1]}
  kill -0 "$broker_pid" 2> /dev/null && return
  echo "$1 is gone:" >&2
  tail -n 20 "$DATA/$1/broker.log" >&2
  exit 1
}

# create TOPIC WORK: with the partitions and configs of the work's flags. When it returns, all partitions are there and have
# taken their first batches, and as many bytes as fill an entry of an index (index.interval.bytes): of the first batch,
# Kafka syncs a file, and the first touch of an index reads a part of its 10 MiB, which is seconds for a thousand of them.
create() {
  local batches bytes first
  batches=$((3 * $(flag "$2" records-per-batch))) bytes=$((10000 / $(flag "$2" record-size)))
  first=$(($(flag "$2" partitions) * (batches > bytes ? batches : bytes)))
  # shellcheck disable=SC2046
  if "$corelog" topic create "$1" $(flags "$2" | grep -oE -- '--(partitions|topic-config) [^ ]+' | sed 's/--topic-config/--config/') \
    --bootstrap "127.0.0.1:$PORT" && answered "$1" && "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --quiet --topic "$1" \
    $(flags "$2") --acks all --warmup 0 --records "$first"; then
    return
  fi > "$DATA/create.txt" 2>&1
  fail "$2: topic $1"
  tail -n 5 "$DATA/create.txt"
}

# forget KIND TOPIC: deletes it, waits until its files are gone, and has written what else the broker left in memory.
forget() {
  "$corelog" topic delete "$2" --bootstrap "127.0.0.1:$PORT" > /dev/null || fail "$1: deleting $2"
  for _ in $(seq 200); do
    [ -n "$(find "$DATA/$1/data" -maxdepth 3 -name "$2-*" -print -quit)" ] || break
    sleep 0.2
  done
  sync
}

# measured REPORT COMMAND...: keeps what a load printed, which is to write REPORT.json.
measured() {
  local name=${1##*/} text=$1.txt; shift
  if "$@" > "$text" 2>&1; then
    pass "$name: $(head -n 1 "$text")"
  else
    fail "$name"
    tail -n 5 "$text"
  fi
}

# bench REPORT TOPIC VERB FLAGS...
bench() {
  local report=$1 topic=$2 verb=$3; shift 3
  measured "$report" "$corelog" bench "$verb" --bootstrap "127.0.0.1:$PORT" --broker-pid "$broker_pid" --quiet --topic "$topic" \
    --json "$report.json" "$@"
}

# client REPORT WORK COMMAND...: the same from a client that is not Corelog's own.
client() {
  local report=$1 name=$2; shift 2
  measured "$report" python3 "$versus/client.py" "$report.json" "$broker_pid" "$(flag "$name" record-size)" "$@"
}

# Java with what Kafka's own scripts give its tools.
# shellcheck disable=SC2206
java_client=(java ${KAFKA_JVM/-Xms1g -Xmx1g/-Xmx512M} -Dlog4j2.configurationFile="$WORK/log4j2.properties" -cp "$AK_LIBS/*")

# Nor is a load generator in Java of much use in its first seconds.
java_warmup() { echo $((WARMUP + 3)); }

# ProducerPerformance ends after a number of records, the same for both brokers: so many for each second.
java_records() { case $1 in A-*) echo 100000 ;; *) echo 300000 ;; esac; }

# produce_java REPORT TOPIC WORK: batches hold as many records as the work's, and there is memory for those in flight and
# a few more: a longer queue would be all that the latency tells of.
produce_java() {
  local bytes records batch each
  bytes=$(flag "$3" record-size) records=$(flag "$3" records-per-batch) each=$(java_records "$3")
  batch=$((records * (bytes + 15) + 61))
  [ -e "$WORK/payload-$bytes" ] || head -c "$bytes" /dev/zero | tr '\0' x > "$WORK/payload-$bytes"
  client "$1" "$3" "${java_client[@]}" org.apache.kafka.tools.ProducerPerformance --bootstrap-server "127.0.0.1:$PORT" --topic "$2" \
    --throughput -1 --payload-file "$WORK/payload-$bytes" --num-records $((each * ($(java_warmup) + SECONDS_EACH))) \
    --warmup-records $((each * $(java_warmup))) --command-property acks=all "batch.size=$batch" \
    "buffer.memory=$((8 * batch * $(flag "$3" partitions)))"
}

# client_arguments TOPIC WORK: what EndToEnd.java and librdkafka.c are told.
client_arguments() {
  local rate warmup=$WARMUP; rate=$(flag "$2" rate)
  case $2 in *-java) warmup=$(java_warmup) ;; esac
  echo "127.0.0.1:$PORT $1 $(flag "$2" partitions) $(flag "$2" connections) $(flag "$2" record-size)" \
    "$(flag "$2" records-per-batch) ${rate:-0} $warmup $SECONDS_EACH"
}

# Builds $WORK/versus-librdkafka from librdkafka.c.
librdkafka_client() {
  need gcc "apt-get install gcc make"
  librdkafka
  gcc -std=gnu11 -O2 -isystem "$LIBRDKAFKA/src" "$versus/librdkafka.c" -o "$WORK/versus-librdkafka" \
    -L"$LIBRDKAFKA/src" -lrdkafka -Wl,-rpath,"$LIBRDKAFKA/src" -pthread
}

# filled_topic KIND ROUND: the H and I works of a round fetch the same.
filled_topic() {
  [ "${filled[$1]:-}" != "$2" ] || return 0
  filled[$1]=$2
  create "filled-$2" A
  "$corelog" bench produce --bootstrap "127.0.0.1:$PORT" --quiet --topic "filled-$2" --partitions 16 --warmup 0 \
    --bytes "$FETCH_BYTES" > "$raw/fill.txt" 2>&1 || { fail "filling $1 for round $2"; tail -n 5 "$raw/fill.txt"; }
  rm -f "$raw/fill.txt"
  sync
}

drop_caches() {
  sync
  echo 3 > /proc/sys/vm/drop_caches 2> /dev/null || fail "I: dropping the page cache needs root; the figures are of a warm one"
}

# work NAME KIND ROUND: measures it once.
work() {
  local name=$1 kind=$2 round=$3
  local report=$raw/$name-$kind-$round topic=$name-$round producing
  on "$kind"
  case $name in H-first | H | I) filled_topic "$kind" "$round" ;; *) create "$topic" "$name" ;; esac
  # shellcheck disable=SC2046
  case $name in
    H) bench "$report" "filled-$round" fetch $(flags H) --warmup "$WARMUP" --duration "$SECONDS_EACH" ;;
    H-first) bench "$report" "filled-$round" fetch $(flags H-first) ;;
    I) drop_caches; bench "$report" "filled-$round" fetch $(flags I) ;;
    F | G)
      bench "$raw/$name-produced-$kind-$round" "$topic" produce $(flags "$name") --acks all --warmup "$WARMUP" \
        --duration "$((SECONDS_EACH + 1))" &
      producing=$!
      bench "$report" "$topic" fetch --follow --partitions 16 --connections 4 --warmup "$WARMUP" --duration "$SECONDS_EACH"
      wait "$producing"
      ;;
    F-java) client "$report" "$name" "${java_client[@]}" "$versus/EndToEnd.java" $(client_arguments "$topic" "$name") ;;
    *-java) produce_java "$report" "$topic" "$name" ;;
    *-librdkafka) client "$report" "$name" "$WORK/versus-librdkafka" $(client_arguments "$topic" "$name") ;;
    *) bench "$report" "$topic" produce $(flags "$name") --acks all --warmup "$WARMUP" --duration "$SECONDS_EACH" ;;
  esac
  case $name in H-first | H | I) ;; *) forget "$kind" "$topic" ;; esac
}

# forget_filled KIND ROUND: what the H and I works fetched.
forget_filled() { [ "${filled[$1]:-}" != "$2" ] || { on "$1"; forget "$1" "filled-$2"; }; }

# Kafka has compiled what each work makes it do before anybody measures: the works as they are, their reports thrown away.
warm_up_kafka() {
  local raw=$DATA/warm SECONDS_EACH=$KAFKA_WARMUP WARMUP=0 FETCH_BYTES=1GiB name
  mkdir -p "$raw"
  for name in "${works[@]}"; do
    case $name in *-synced) ;; *) work "$name" kafka warm ;; esac
  done
  forget_filled kafka warm
}

# command NAME: what was run for a work.
command_of() {
  case $1 in
    H-first | H | I) echo "\`corelog bench fetch $(flags "$1")\`, filled by \`corelog bench produce --partitions 16 --bytes $FETCH_BYTES\`" ;;
    F | G) echo "\`corelog bench produce $(flags "$1") --acks all\` beside \`corelog bench fetch --follow --partitions 16 --connections 4\`" ;;
    F-java) echo "\`java EndToEnd.java $(client_arguments TOPIC F-java)\`" ;;
    *-java) echo "\`ProducerPerformance\` of $((SECONDS_EACH * $(java_records "$1"))) records after $(($(java_warmup) * $(java_records "$1"))) to warm up; its arguments are in the reports" ;;
    *-librdkafka) echo "\`librdkafka.c\` built with librdkafka 2.15.1: $(client_arguments TOPIC "$1")" ;;
    *) echo "\`corelog bench produce $(flags "$1") --acks all\`" ;;
  esac
}

# All but K, which is about brokers of its own.
works=()
for name in $WORKS; do
  [ "$name" != K ] || continue
  flags "$name" > /dev/null
  works+=("$name")
done
case $WORKS in *librdkafka*) librdkafka_client ;; esac
describe_host > "$results/host.txt"
if [ ${#works[@]} -gt 0 ]; then
  for kind in kafka corelog; do
    PORT=${ports[$kind]}
    start_broker "$kind" "$DATA/$kind"
    pids[$kind]=$broker_pid
  done
  warm_up_kafka
  for round in $(seq "$ROUNDS"); do
    # A machine that warms up or slows down favours nobody.
    if [ $((round % 2)) = 1 ]; then order="corelog kafka"; else order="kafka corelog"; fi
    for name in "${works[@]}"; do
      for kind in $order; do work "$name" "$kind" "$round"; done
    done
    for kind in $order; do forget_filled "$kind" "$round"; done
  done
  for kind in kafka corelog; do
    on "$kind"
    stop_broker
    unset "pids[$kind]"
  done
  PORT=${ports[kafka]}
  rm -rf "$DATA"
fi
case " $WORKS " in *" K "*)
  check "K" env PARTITIONS="$IDLE_PARTITIONS" GIB="$IDLE_GIB" IDLE_SECONDS="$IDLE_SECONDS" ROUNDS=1 SHARDS="$SHARDS" PORT="$PORT" \
    RESULTS="$results/idle" bash "$versus/idle.sh"
  ;;
esac
for name in $WORKS; do printf '%s\t%s\n' "$name" "$(title "$name")"; done > "$raw/works.tsv"
{
  echo "# Corelog beside Apache Kafka $KAFKA_VERSION"
  echo
  cat "$results/host.txt"
  echo "- both brokers run through all rounds, the other one idle; log.segment.delete.delay.ms=100 for both"
  echo "- command: WORKS=\"$WORKS\" ROUNDS=$ROUNDS SECONDS_EACH=$SECONDS_EACH WARMUP=$WARMUP KAFKA_WARMUP=$KAFKA_WARMUP FETCH_BYTES=$FETCH_BYTES benches/versus/run.sh"
  echo "- took: $((SECONDS / 60)) minutes"
  for name in ${works[@]+"${works[@]}"}; do echo "- $name: $(command_of "$name")"; done
  echo
  python3 "$versus/table.py" "$raw"
  if [ -e "$results/idle/README.md" ]; then
    echo; echo "## K: $(title K)"; echo
    grep '^|' "$results/idle/README.md"
  fi
} > "$results/README.md"
rm -f "$results/host.txt"
cat "$results/README.md"
finish
