#!/usr/bin/env bash
# Kafka's own administration tools against the broker at BOOTSTRAP: each is run for what it changes and for what it
# must refuse, and its output is compared. REFERENCE=host:port of an Apache Kafka compares the outputs of both for the
# same state as well. Needs: java 17, maven for the first run.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
kafka_jars
tools=org.apache.kafka.tools
topic=tools-$(date +%s)

# tool SERVER CLASS ARGUMENTS...: what a tool prints, its log and stack traces included.
tool() { local server=$1 class=$2; shift 2; kafka "$class" --bootstrap-server "$server" "$@" 2>&1 || true; }
# says NAME PATTERN CLASS ARGUMENTS...: the tool's output has a line that matches.
says() {
  local name=$1 pattern=$2; shift 2
  tool "$BOOTSTRAP" "$@" > "$WORK/tool.out"
  if grep -qE -- "$pattern" "$WORK/tool.out"; then pass "$name"; else
    fail "$name: no line matches '$pattern'"; head -n 12 "$WORK/tool.out" | sed 's/^/        /'
  fi
}
topics=$tools.TopicCommand configs=kafka.admin.ConfigCommand

says "topics --create" "Created topic $topic" $topics --create --topic "$topic" --partitions 2 --config segment.bytes=2097152
says "topics --describe" "PartitionCount: 2.*Configs: .*segment.bytes=2097152" $topics --describe --topic "$topic"
tool "$BOOTSTRAP" $topics --alter --topic "$topic" --partitions 4 > /dev/null
says "topics --alter adds partitions" "PartitionCount: 4" $topics --describe --topic "$topic"
says "topics --alter refuses fewer" "currently has 4 partition\(s\); 3 would not be an increase" \
  $topics --alter --topic "$topic" --partitions 3

for change in retention.ms=60000 cleanup.policy=[compact,delete]; do
  says "configs --alter topic $change" "Completed updating config for topic $topic" \
    $configs --alter --entity-type topics --entity-name "$topic" --add-config "$change"
done
says "configs --describe topic" "retention.ms=60000 .*DYNAMIC_TOPIC_CONFIG:retention.ms=60000" \
  $configs --describe --entity-type topics --entity-name "$topic"
says "configs --alter refuses an unknown key" "Unknown topic config name: no.such.key" \
  $configs --alter --entity-type topics --entity-name "$topic" --add-config no.such.key=1
says "configs --delete-config topic" "Completed updating config for topic" \
  $configs --alter --entity-type topics --entity-name "$topic" --delete-config retention.ms,cleanup.policy
says "configs --alter brokers" "Completed updating default config for brokers" \
  $configs --alter --entity-type brokers --entity-default --add-config log.segment.delete.delay.ms=50000
says "configs --describe brokers" "log.segment.delete.delay.ms=50000 .*DYNAMIC_DEFAULT_BROKER_CONFIG" \
  $configs --describe --all --entity-type brokers --entity-name 1
says "a topic inherits from the brokers" "file.delete.delay.ms=50000 .*DYNAMIC_DEFAULT_BROKER_CONFIG" \
  $configs --describe --all --entity-type topics --entity-name "$topic"
says "configs refuses a key that is not dynamic" "Cannot update these configs dynamically: \[num.partitions\]" \
  $configs --alter --entity-type brokers --entity-default --add-config num.partitions=3
says "configs --delete-config brokers" "Completed updating default config" \
  $configs --alter --entity-type brokers --entity-default --delete-config log.segment.delete.delay.ms
says "configs --alter groups" "Completed updating config for group" \
  $configs --alter --entity-type groups --entity-name "g-$topic" --add-config consumer.session.timeout.ms=50000
says "configs --describe groups" "consumer.session.timeout.ms=50000" \
  $configs --describe --entity-type groups --entity-name "g-$topic"

seq 1 20 | kafka $tools.ConsoleProducer --bootstrap-server "$BOOTSTRAP" --topic "$topic" > /dev/null 2>&1
total() { tool "$BOOTSTRAP" $tools.GetOffsetShell --topic "$topic" --time "$1" | awk -F: '{ sum += $3 } END { print sum + 0 }'; }
is "get-offsets --time -1" 20 "$(total -1)"
is "get-offsets --time -2" 0 "$(total -2)"
partitions() { printf '{"partitions":['; for p in 0 1 2 3; do printf '%s{"topic":"%s","partition":%s,"offset":%s}' "$([ $p = 0 ] || echo ,)" "$topic" $p "$1"; done; echo ']}'; }
partitions -1 > "$WORK/delete.json"
says "delete-records" "partition: $topic-0.*low_watermark" $tools.DeleteRecordsCommand --offset-json-file "$WORK/delete.json"
is "get-offsets --time -2 after delete-records" 20 "$(total -2)"
partitions 1000 > "$WORK/delete.json"
says "delete-records refuses what is not there" "OffsetOutOfRangeException" $tools.DeleteRecordsCommand --offset-json-file "$WORK/delete.json"

says "log-dirs" "\"partition\":\"$topic-0\",\"size\":[0-9]+,\"offsetLag\":0" $tools.LogDirsCommand --describe --topic-list "$topic"
says "metadata-quorum --status" "LeaderId: +1" $tools.MetadataQuorumCommand describe --status
says "metadata-quorum --replication" "Leader" $tools.MetadataQuorumCommand describe --replication
says "features describe" "Feature: metadata.version.*FinalizedVersionLevel: 4.3-IV0" $tools.FeatureCommand describe
says "features upgrade refuses what is unknown" "Could not upgrade nope to 1" $tools.FeatureCommand upgrade --feature nope=1
says "leader-election" "Valid replica already elected for partitions $topic-0" \
  $tools.LeaderElectionCommand --election-type preferred --topic "$topic" --partition 0
says "reassign-partitions --list" "No partition reassignments found" $tools.reassign.ReassignPartitionsCommand --list
says "transactions describe-producers" "ProducerId" $tools.TransactionsCommand describe-producers --topic "$topic" --partition 0
says "broker-api-versions" "DescribeTopicPartitions\(75\): 0" $tools.BrokerApiVersionsCommand
kafka $tools.ClusterTool unregister --bootstrap-server "$BOOTSTRAP" --id 7 > "$WORK/tool.out" 2>&1 || true
is "cluster unregister refuses an unknown id" 1 "$(grep -c -m 1 'Broker ID 7 is not currently registered' "$WORK/tool.out")"

# The same commands against both brokers: all the keys of a new topic and of a group must have the same values. Synonyms
# and sources are left out: for a value in another unit, such as log.retention.hours, Kafka names none.
if [ -n "${REFERENCE:-}" ]; then
  for server in "$BOOTSTRAP" "$REFERENCE"; do
    tool "$server" $topics --create --topic "same-$topic" --partitions 1 > /dev/null
    for entity in "topics --entity-name same-$topic" "groups --entity-name same-$topic"; do
      # shellcheck disable=SC2086
      tool "$server" $configs --describe --all --entity-type $entity | sed -n 's/^  \([a-z.]*=[^ ]*\) .*/\1/p' |
        grep -v '^corelog\.'
    done | sort > "$WORK/values-${server##*:}"
  done
  check "configs --describe --all: the values of Apache Kafka" diff "$WORK/values-${BOOTSTRAP##*:}" "$WORK/values-${REFERENCE##*:}"
fi
finish
