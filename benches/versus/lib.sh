# What the comparisons share: starting and stopping Corelog and Apache Kafka alike, and saying where it ran. Sourced.
. "$(dirname "${BASH_SOURCE[0]}")/../../tests/conformance/lib.sh"

corelog=${CORELOG:-$repo/target/release/corelog}
SHARDS=${SHARDS:-$(nproc)}
PORT=${PORT:-19092}
DATA=${DATA:-$WORK/versus}
# What Kafka's own start script sets.
KAFKA_JVM=${KAFKA_JVM:--server -Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent}
# Further KEY=VALUE of the brokers that are started, alike for both.
settings=()
broker_pid=

stop_broker() {
  [ -n "$broker_pid" ] || return 0
  kill "-${1:-TERM}" "$broker_pid" 2> /dev/null || true
  wait "$broker_pid" 2> /dev/null || true
  broker_pid=
}
trap 'stop_broker KILL; rm -rf "$DATA"' EXIT

# format_kafka DIR: writes DIR/server.properties and formats DIR/data, once.
format_kafka() {
  [ ! -e "$1/server.properties" ] || return 0
  mkdir -p "$1"
  cat > "$1/server.properties" << P
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$((PORT + 10000))
listeners=PLAINTEXT://127.0.0.1:$PORT,CONTROLLER://127.0.0.1:$((PORT + 10000))
advertised.listeners=PLAINTEXT://127.0.0.1:$PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
P
  [ ${#settings[@]} = 0 ] || printf '%s\n' "${settings[@]}" >> "$1/server.properties"
  kafka kafka.tools.StorageTool format --standalone -t AAAAAAAAAAAAAAAAAAAAAQ -c "$1/server.properties" > "$1/format.log" 2>&1
}

# launch KIND DIR: starts `corelog` or `kafka` in the background on PORT, does not wait; sets broker_pid.
launch() {
  mkdir -p "$2"
  case $1 in
    corelog)
      "$corelog" start --override log.dirs="$2/data" --override "listeners=PLAINTEXT://127.0.0.1:$PORT" \
        --override corelog.shards="$SHARDS" "${settings[@]/#/--override=}" > "$2/broker.log" 2>&1 < /dev/null &
      ;;
    kafka)
      # shellcheck disable=SC2086
      java $KAFKA_JVM -Dlevel=info -Dlog4j2.configurationFile="$WORK/log4j2.properties" -cp "$AK_LIBS/*" \
        kafka.Kafka "$2/server.properties" > "$2/broker.log" 2>&1 < /dev/null &
      ;;
  esac
  broker_pid=$!
}

# answered TOPIC: when the broker answers its first request, and when it serves the last partition of TOPIC (`-` for
# none), as `FIRST SERVED` in nanoseconds since 1970.
answered() { python3 "$(dirname "${BASH_SOURCE[0]}")/answered.py" "$PORT" "$1"; }

start_broker() {
  [ "$1" = corelog ] || format_kafka "$2"
  launch "$1" "$2"
  answered - > /dev/null
}

# One line each of what a reader needs to judge the numbers.
describe_host() {
  echo "- date: $(date -u +%Y-%m-%dT%H:%MZ), commit $(git -C "$repo" rev-parse --short HEAD)$(git -C "$repo" diff --quiet HEAD || echo ' with changes')"
  echo "- host: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, $(free -g | awk '/^Mem/ { print $2 }') GiB, Linux $(uname -r)"
  echo "- file system: $(stat -f -c %T "$WORK"), $(findmnt -n -o SOURCE,FSTYPE,OPTIONS -T "$WORK" 2> /dev/null)"
  echo "- load before: $(cut -d ' ' -f 1-3 /proc/loadavg)"
  echo "- Corelog: $("$corelog" --version 2> /dev/null), $SHARDS shards, defaults (acks=all is synced)"
  echo "- Apache Kafka $KAFKA_VERSION, defaults (acks=all is in the page cache), $(java -version 2>&1 | sed -n 2p), $KAFKA_JVM"
}

# A fresh folder for the results.
results_folder() {
  local folder; folder=$repo/benches/results/$(date +%Y-%m-%d)-$1
  mkdir -p "$folder"
  echo "$folder"
}

# corelog_page TITLE FACT...: writes $results/README.md of a bench of Corelog alone: where it ran (noted in
# $results/host.txt when it began), the facts, and the table that table.py beside the script makes of $raw; prints it.
corelog_page() {
  local title=$1 fact; shift
  {
    echo "# $title"
    echo
    grep -v 'Apache Kafka' "$results/host.txt"
    for fact in "$@"; do echo "- $fact"; done
    echo
    python3 "$(dirname "$0")/table.py" "$raw"
  } > "$results/README.md"
  rm "$results/host.txt"
  cat "$results/README.md"
}
