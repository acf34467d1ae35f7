#!/usr/bin/env bash
# Kafka's administration tools against a fresh Corelog and a fresh Apache Kafka: the same commands bring both into the
# same state, one after the other, and what each command prints is compared. What differs by nature is made equal in
# `normalised`; every other difference must be in `differs`, with its reason, or fails. The outputs stay in
# .work/compare. Needs: a JDK 17, maven for the first run. A minute or two on two cores.
. "$(dirname "$0")/lib.sh"
corelog=${CORELOG:-$repo/target/release/corelog}
[ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
kafka_jars
need javac "apt-get install openjdk-17-jdk-headless"
state=$WORK/compare
rm -rf "$state"
mkdir -p "$state"
javac -cp "$AK_LIBS/*" -d "$WORK" "$here/Tools.java"

pids=()
cleanup() {
  local pid
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; wait "$pid" 2> /dev/null || true; done
  rm -rf "$state"/*/data
}
trap cleanup EXIT

# What both brokers are started with.
settings=(node.id=1 num.partitions=1 offsets.topic.num.partitions=3 offsets.topic.replication.factor=1
  group.initial.rebalance.delay.ms=0 log.cleaner.dedupe.buffer.size=8388608)

start_corelog() {
  mkdir -p "$state/corelog/data"
  local overrides=() setting
  for setting in "${settings[@]}"; do overrides+=(--override "$setting"); done
  "$corelog" start --override log.dirs="$state/corelog/data" --override listeners=PLAINTEXT://127.0.0.1:0 \
    --override corelog.shards=1 "${overrides[@]}" > "$state/corelog/broker.log" 2>&1 &
  pids+=($!)
  for _ in $(seq 200); do
    corelog_address=$(sed -n 's/.*listener=PLAINTEXT address="\{0,1\}\([0-9.:]*\).*/\1/p' "$state/corelog/broker.log" | head -n 1)
    [ -z "$corelog_address" ] || return 0
    kill -0 "${pids[0]}" 2> /dev/null || break
    sleep 0.05
  done
  tail "$state/corelog/broker.log" >&2
  return 1
}

# Kafka must know its ports before it starts: a pair that nothing listens on. It is asked, not guessed, whether they are.
free_port() {
  local port
  for port in $(shuf -i 20000-29999 -n 50); do
    if ! (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then echo "$port"; return 0; fi
  done
  return 1
}

start_kafka() {
  local own=$state/kafka port controller setting
  port=$(free_port) controller=$(free_port)
  mkdir -p "$own/data"
  cat > "$own/server.properties" << PROPERTIES
process.roles=broker,controller
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$own/data
PROPERTIES
  for setting in "${settings[@]}"; do echo "$setting" >> "$own/server.properties"; done
  # The features that a new Corelog has.
  kafka kafka.tools.StorageTool format -t "$(kafka kafka.tools.StorageTool random-uuid 2> /dev/null)" \
    --feature eligible.leader.replicas.version=0 --feature transaction.version=0 --feature share.version=0 \
    --feature streams.version=0 -c "$own/server.properties" > "$own/format.log" 2>&1
  java -Xms256m -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlevel=info \
    -Dlog4j2.configurationFile="$WORK/log4j2.properties" -cp "$AK_LIBS/*" kafka.Kafka "$own/server.properties" \
    > "$own/broker.log" 2>&1 &
  pids+=($!)
  kafka_address=127.0.0.1:$port
  for _ in $(seq 240); do
    ! grep -q 'Kafka Server started' "$own/broker.log" || return 0
    kill -0 "${pids[1]}" 2> /dev/null || break
    sleep 0.25
  done
  tail "$own/broker.log" >&2
  return 1
}

tools=org.apache.kafka.tools
configs=kafka.admin.ConfigCommand
groups=$tools.consumer.group.ConsumerGroupCommand

# The commands, in order. `t NAME CLASS ARGUMENTS...` keeps what a tool prints as NAME.
scenario() {
  local server=$1 out=$2 consumer
  coproc RUNNER { java -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC \
    -Dlog4j2.configurationFile="$WORK/log4j2.properties" -cp "$AK_LIBS/*:$WORK" Tools 2> "$out/runner.err"; }
  t() {
    local name=$1 class=$2 field before=(); shift 2
    # This one wants to know first what to do.
    if [ "$class" = $tools.ClusterTool ]; then before=("$1"); shift; fi
    { printf '%s\x1f%s' "$out/$name.out" "$class"
      for field in "${before[@]}" --bootstrap-server "$server" "$@"; do printf '\x1f%s' "$field"; done
      printf '\n'; } >&"${RUNNER[1]}"
    read -r -t 120 <&"${RUNNER[0]}" || { echo "no answer to $name" >&2; return 1; }
  }
  topics() { local name=$1; shift; t "topics-$name" $tools.TopicCommand "$@"; }
  configs() { local name=$1; shift; t "configs-$name" $configs "$@"; }
  groups() { local name=$1; shift; t "groups-$name" $groups "$@"; }
  offsets() { local name=$1; shift; t "get-offsets-$name" $tools.GetOffsetShell "$@"; }
  features() { local name=$1; shift; t "features-$name" $tools.FeatureCommand "$@"; }
  # With keys, which say where each record goes.
  produce() {
    sed 's/.*/&:&/' | kafka $tools.ConsoleProducer --bootstrap-server "$server" --topic "$1" \
      --reader-property parse.key=true --reader-property key.separator=: > /dev/null 2>&1
  }
  # consume NAME GROUP TOPIC PROPERTY...: starts a member and returns once it has read what there is.
  consume() {
    local name=$1 group=$2 topic=$3 property properties=(); shift 3
    for property in "$@"; do properties+=(--command-property "$property"); done
    kafka_instead $tools.consumer.ConsoleConsumer --bootstrap-server "$server" --topic "$topic" --group "$group" --from-beginning \
      --command-property client.id="client-$name" "${properties[@]}" > "$out/read-$name" 2> "$out/read-$name.err" &
    consumer=$!
    for _ in $(seq 100); do
      [ "$(wc -l < "$out/read-$name")" -lt 20 ] || return 0
      sleep 0.1
    done
  }
  leave() { kill -TERM "$consumer" 2> /dev/null || true; wait "$consumer" 2> /dev/null || true; }
  json() { printf '%s' "$2" > "$out/$1"; echo "$out/$1"; }

  features describe describe
  features upgrade-unknown upgrade --feature nope=1
  features upgrade-too-high upgrade --feature group.version=9
  features downgrade downgrade --feature group.version=0
  features describe-after-downgrade describe
  features upgrade upgrade --feature group.version=1
  features upgrade-dry-run upgrade --feature group.version=1 --dry-run
  features upgrade-lower upgrade --feature group.version=0
  features downgrade-metadata downgrade --metadata 4.0-IV0
  t quorum-status $tools.MetadataQuorumCommand describe --status
  t quorum-replication $tools.MetadataQuorumCommand describe --replication

  topics create --create --topic orders --partitions 2 --config segment.bytes=2097152 --config cleanup.policy=compact,delete
  topics create-default --create --topic plain
  topics create-assigned --create --topic placed --replica-assignment 1,1,1
  topics create-again --create --topic orders
  topics create-again-if --create --topic orders --if-not-exists
  topics create-bad-name --create --topic 'a b'
  topics create-colliding --create --topic or.ders --partitions 1
  topics create-replicas --create --topic wide --replication-factor 3
  topics create-no-partitions --create --topic none --partitions 0
  topics create-bad-config --create --topic bad --config retention.ms=x
  topics create-unknown-config --create --topic bad --config no.such.key=1
  topics create-unknown-broker --create --topic bad --replica-assignment 9
  topics list --list
  topics describe --describe
  topics describe-one --describe --topic orders
  topics describe-overrides --describe --topics-with-overrides
  topics describe-under-replicated --describe --under-replicated-partitions
  topics describe-unavailable --describe --unavailable-partitions
  topics describe-at-min-isr --describe --at-min-isr-partitions
  topics describe-missing --describe --topic missing
  topics alter --alter --topic plain --partitions 3
  topics alter-fewer --alter --topic plain --partitions 2
  topics alter-same --alter --topic plain --partitions 3
  topics alter-missing --alter --topic missing --partitions 2
  topics describe-altered --describe --topic plain
  topics delete-missing --delete --topic missing
  topics delete --delete --topic placed
  topics list-internal --list --exclude-internal

  configs topic --describe --entity-type topics --entity-name orders
  configs topic-all --describe --all --entity-type topics --entity-name orders
  configs topic-missing --describe --entity-type topics --entity-name missing
  configs topic-alter --alter --entity-type topics --entity-name orders --add-config retention.ms=60000,max.message.bytes=2000
  configs topic-alter-list --alter --entity-type topics --entity-name orders --add-config 'cleanup.policy=[delete,compact]'
  configs topic-alter-unknown --alter --entity-type topics --entity-name orders --add-config no.such.key=1
  configs topic-alter-bad --alter --entity-type topics --entity-name orders --add-config segment.bytes=1
  configs topic-alter-missing --alter --entity-type topics --entity-name missing --add-config retention.ms=1
  configs topic-altered --describe --entity-type topics --entity-name orders
  configs topic-delete --alter --entity-type topics --entity-name orders --delete-config retention.ms,max.message.bytes,cleanup.policy
  configs topic-delete-absent --alter --entity-type topics --entity-name orders --delete-config retention.bytes
  configs topics --describe --entity-type topics
  configs broker --describe --entity-type brokers --entity-name 1
  configs broker-all --describe --all --entity-type brokers --entity-name 1
  configs broker-missing --describe --entity-type brokers --entity-name 7
  configs broker-alter --alter --entity-type brokers --entity-name 1 --add-config log.retention.ms=3600000
  configs broker-alter-default --alter --entity-type brokers --entity-default --add-config log.segment.delete.delay.ms=50000
  configs broker-alter-static --alter --entity-type brokers --entity-default --add-config num.partitions=3
  configs broker-alter-per-broker --alter --entity-type brokers --entity-default --add-config leader.replication.throttled.rate=5
  configs broker-alter-bad --alter --entity-type brokers --entity-default --add-config log.segment.bytes=1
  configs broker-altered --describe --entity-type brokers --entity-name 1
  configs broker-default --describe --entity-type brokers --entity-default
  configs topic-inherits --describe --all --entity-type topics --entity-name plain
  configs broker-delete --alter --entity-type brokers --entity-name 1 --delete-config log.retention.ms
  configs broker-delete-default --alter --entity-type brokers --entity-default --delete-config log.segment.delete.delay.ms
  configs group-alter --alter --entity-type groups --entity-name tuned --add-config consumer.session.timeout.ms=50000
  configs group-alter-bad --alter --entity-type groups --entity-name tuned --add-config consumer.session.timeout.ms=1
  configs group --describe --entity-type groups --entity-name tuned
  configs group-all --describe --all --entity-type groups --entity-name tuned
  configs groups --describe --entity-type groups
  configs group-delete --alter --entity-type groups --entity-name tuned --delete-config consumer.session.timeout.ms

  groups list-empty --list
  seq 1 20 | produce orders
  seq 1 20 | produce plain
  topics create-single --create --topic single --partitions 1
  echo one | produce single
  offsets latest --topic orders --time -1
  offsets earliest --topic orders --time -2
  offsets max-timestamp --topic single --time -3
  offsets old --topic orders --time 1000
  offsets future --topic orders --time 4000000000000
  offsets partition --topic-partitions orders:1,plain:0-2
  offsets missing --topic missing
  t log-dirs $tools.LogDirsCommand --describe --topic-list orders,missing
  t log-dirs-broker $tools.LogDirsCommand --describe --broker-list 1 --topic-list plain
  t log-dirs-missing-broker $tools.LogDirsCommand --describe --broker-list 7

  for protocol in classic consumer; do
    consume $protocol "g-$protocol" orders group.protocol=$protocol
    groups $protocol-list --list
    groups $protocol-list-state --list --state
    groups $protocol-list-type --list --type
    groups $protocol-describe --describe --group g-$protocol
    groups $protocol-offsets --describe --group g-$protocol --offsets --verbose
    groups $protocol-members --describe --group g-$protocol --members
    groups $protocol-members-verbose --describe --group g-$protocol --members --verbose
    groups $protocol-state --describe --group g-$protocol --state
    groups $protocol-state-verbose --describe --group g-$protocol --state --verbose
    groups $protocol-reset-active --reset-offsets --group g-$protocol --topic orders --to-earliest --execute
    groups $protocol-delete-active --delete --group g-$protocol
    groups $protocol-delete-offsets-active --delete-offsets --group g-$protocol --topic orders
    leave
    groups $protocol-empty --describe --group g-$protocol
    groups $protocol-empty-members --describe --group g-$protocol --members --verbose
    groups $protocol-empty-state --describe --group g-$protocol --state
    groups $protocol-reset --reset-offsets --group g-$protocol --topic orders --to-earliest --execute
    groups $protocol-reset-dry --reset-offsets --group g-$protocol --all-topics --to-latest --dry-run
    groups $protocol-reset-shift --reset-offsets --group g-$protocol --topic orders:0 --shift-by 3 --execute
    groups $protocol-after --describe --group g-$protocol
  done
  t groups-command $tools.GroupsCommand --list
  groups describe-all --describe --all-groups
  groups state-all --describe --all-groups --state
  groups describe-missing --describe --group missing
  groups state-missing --describe --group missing --state
  groups members-missing --describe --group missing --members
  groups reset-missing --reset-offsets --group fresh --topic plain --to-datetime 2020-01-01T00:00:00.000 --execute
  groups reset-export --reset-offsets --group fresh --topic plain --to-offset 4 --dry-run --export
  groups reset-file --reset-offsets --group fresh --from-file "$(json plan.csv 'plain,0,2')" --execute
  groups reset-beyond --reset-offsets --group fresh --topic plain:0 --to-offset 999999 --execute
  groups reset-duration --reset-offsets --group fresh --topic plain --by-duration PT1H --execute
  groups reset-current --reset-offsets --group fresh --all-topics --to-current --execute
  groups reset-no-topic --reset-offsets --group fresh --topic missing --to-latest --execute
  groups reset-no-partition --reset-offsets --group fresh --topic plain:9 --to-latest --execute
  groups fresh --describe --group fresh
  groups delete-offsets --delete-offsets --group fresh --topic plain:0
  groups delete-offsets-absent --delete-offsets --group fresh --topic orders
  groups delete-offsets-missing-group --delete-offsets --group missing --topic plain
  groups delete-offsets-missing-topic --delete-offsets --group fresh --topic missing
  groups fresh-after --describe --group fresh

  # What the groups have left in their topic, as Kafka's own formatters read it.
  for formatter in OffsetsMessageFormatter GroupMetadataMessageFormatter; do
    kafka $tools.consumer.ConsoleConsumer --bootstrap-server "$server" --topic __consumer_offsets --from-beginning \
      --timeout-ms 3000 --group decoder --command-property enable.auto.commit=false --formatter $tools.consumer.$formatter > "$out/decoded-$formatter.out" 2> "$out/decoded.err" || true
  done

  groups delete --delete --group g-classic --group missing
  groups delete-consumer --delete --group g-consumer
  groups list-left --list

  t delete-records $tools.DeleteRecordsCommand --offset-json-file \
    "$(json delete.json '{"partitions":[{"topic":"orders","partition":0,"offset":-1},{"topic":"orders","partition":1,"offset":-1}]}')"
  t delete-records-beyond $tools.DeleteRecordsCommand --offset-json-file \
    "$(json delete.json '{"partitions":[{"topic":"orders","partition":0,"offset":1000}]}')"
  offsets after-delete --topic orders --time -2
  t leader-election $tools.LeaderElectionCommand --election-type preferred --topic orders --partition 0
  t leader-election-unclean $tools.LeaderElectionCommand --election-type unclean --topic orders --partition 0
  t reassign-list $tools.reassign.ReassignPartitionsCommand --list
  t describe-producers $tools.TransactionsCommand describe-producers --topic plain --partition 0
  t cluster-id $tools.ClusterTool cluster-id
  t cluster-unregister $tools.ClusterTool unregister --id 7
}

# Features and keys of parts of Kafka that Corelog does not have yet, and its own keys.
missing_features='(eligible\.leader\.replicas|kraft|share|streams|transaction)\.version'
missing_keys='(config\.providers|delegation\.token|follower\.fetch\.last|kafka\.metrics|metric|principal\.builder|remote|sasl|security\.providers|ssl|telemetry)'
# What this script starts the two with is not the same: one has a controller with a listener of its own. Kafka keeps a
# delay of its tests to itself, and counts node.id as a setting of broker.id.
start_keys='(broker\.id|controller\.listener\.names|controller\.quorum\.voters|listener\.security\.protocol\.map|listeners|log\.initial\.task\.delay\.ms|process\.roles)'

# Reads what a command printed: without lines of stack traces, with names instead of what is drawn or measured anew in
# each run: addresses, ids of topics, clusters, directories and members, times, epochs, offsets of the metadata log, sizes
# of logs, in which times of records are, and paths. Groups come in the order of hash maps, what a formatter decodes
# without ends of lines and with as many commits as there was time for.
normalised() {
  case $1 in
    */decoded-*) sed -e 's/}{"key"/}\n{"key"/g' -e '$a\' "$1" | grep -v '"group":"decoder"' | sort -u ;;
    */groups-*list*.out | */delete-records*.out) sort "$1" ;;
    *) cat "$1" ;;
  esac |
  sed -E \
    -e "s#$state/(corelog|kafka)/data(/shard-[0-9]+)?#DATA#g; s#$state/(corelog|kafka)#OUT#g" \
    -e 's/127\.0\.0\.1:[0-9]+/ADDRESS/g; s#(/?)127\.0\.0\.1#\1HOST#g' \
    -e 's/(client-[a-z]+)-[0-9a-f-]{36}/\1-MEMBER/g; s/(^|[ \t])[A-Za-z0-9_-]{22}([ \t]|$)/\1ID\2/g' \
    -e 's/((TopicId|ClusterId|Cluster ID|DirectoryId|clusterId|directoryId): ?"?)[A-Za-z0-9_-]{22}/\1ID/g' \
    -e 's/^\[[0-9: ,-]{23}\] /[TIME] /; s/\(Thread\[[^)]*\)//; s/1[0-9]{12}/TIME/g' \
    -e 's/Epoch: [0-9]+/Epoch: N/; s/[ \t]+$//; s/[ \t]+/ /g' \
    -e 's/^(1 ID) [0-9]+ 0 /\1 N 0 /; s/HighWatermark: [0-9]+/HighWatermark: N/; s/, "endpoints": \[[^]]*\]//' \
    -e 's/"topicId":"[^"]*"/"topicId":"ID"/; s/"currentStateTimestamp":[0-9]+/"currentStateTimestamp":TIME/' \
    -e 's/"size":[1-9][0-9]*/"size":N/g' \
    -e "/^Feature: $missing_features/d; /^ $missing_keys/d; /^ $start_keys=/d; /^ corelog\\./d" \
    -e '/^\tat |^\s+at |^ \.\.\. [0-9]+ more/d'
}

# differs NAME: the reason why the outputs of NAME are not the same; nothing when they must be.
differs() {
  case $1 in
    *) ;;
  esac
}

start_corelog
start_kafka
mkdir -p "$state/corelog/out" "$state/kafka/out"
scenario "$corelog_address" "$state/corelog/out" &
one=$!
scenario "$kafka_address" "$state/kafka/out" &
another=$!
wait $one $another

for found in "$state"/kafka/out/*.out; do
  name=$(basename "$found" .out)
  for kind in corelog kafka; do normalised "$state/$kind/out/$name.out" > "$state/$kind/$name.txt"; done
  reason=$(differs "$name")
  if diff "$state/corelog/$name.txt" "$state/kafka/$name.txt" > "$state/$name.diff"; then
    if [ -z "$reason" ]; then pass "$name"; else fail "$name is the same: take it off the list ($reason)"; fi
  elif [ -n "$reason" ]; then
    pass "$name differs: $reason"
  else
    fail "$name: < corelog, > Apache Kafka"
    head -n 20 "$state/$name.diff" | sed 's/^/        /'
  fi
done
finish
