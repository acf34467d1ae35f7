#!/usr/bin/env bash
# The Java clients and Kafka's own tools against the broker at BOOTSTRAP. Needs: java 17, maven for the first run.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
kafka_jars
tools=org.apache.kafka.tools
run=$(date +%s)
records=${RECORDS:-20000}

topics() { kafka $tools.TopicCommand --bootstrap-server "$BOOTSTRAP" "$@"; }
# The end offsets of topics, a line `topic:partition:offset` each.
ends() { kafka $tools.GetOffsetShell --bootstrap-server "$BOOTSTRAP" --topic "$1" --time "${2:--1}" 2> "$WORK/ends.err"; }
sum() { awk -F: -v topic="$1" '$1 == topic { sum += $3 } END { print sum + 0 }' "$WORK/ends"; }
perf() {
  local topic=$1 count=$2; shift 2
  kafka $tools.ProducerPerformance --bootstrap-server "$BOOTSTRAP" --topic "$topic" --num-records "$count" \
    --record-size 200 --throughput -1 --command-property "$@"
}
# Every record of a partition, without a group.
consume() {
  kafka $tools.consumer.ConsoleConsumer --bootstrap-server "$BOOTSTRAP" --topic "$1" --partition "$2" \
    --offset "${4:-earliest}" --max-messages "$3" --timeout-ms 30000 "${@:5}" 2> "$WORK/consumer.err"
}

check "broker-api-versions" kafka $tools.BrokerApiVersionsCommand --bootstrap-server "$BOOTSTRAP"
check "topics --create" topics --create --topic "java-$run" --partitions 2 --replication-factor 1
check "topics --create with a config" topics --create --topic "java-config-$run" --config max.message.bytes=50000
listed() { topics --list | grep -x "$1" > /dev/null; }
check "topics --list" listed "java-$run"

for codec in none gzip snappy lz4 zstd; do
  check "producer-perf-test $codec acks=all" perf "java-$codec-$run" "$records" compression.type=$codec linger.ms=5
done
check "producer-perf-test acks=1, no idempotence" perf "java-$run" 5000 acks=1 enable.idempotence=false
check "producer-perf-test acks=0" perf "java-$run" 5000 acks=0 enable.idempotence=false
sleep 1
ends "java.*-$run" > "$WORK/ends"
is "end offsets with acks 0 and 1" 10000 "$(sum "java-$run")"
for codec in none gzip snappy lz4 zstd; do
  topic=java-$codec-$run
  is "end offsets of $topic" "$records" "$(sum "$topic")"
  first=$(awk -F: -v topic="$topic" '$1 == topic && $2 == 0 { print $3 }' "$WORK/ends")
  is "console-consumer --partition reads $codec" "$first" "$(consume "$topic" 0 "$first" | wc -l)"
done

# Lines in, the same lines out: keys, order, offsets.
topic=java-lines-$run
topics --create --topic "$topic" --partitions 1 > /dev/null 2>&1
seq 1 1000 | awk '{ print "key-" $1 ":value-" $1 }' > "$WORK/lines.in"
check "console-producer" kafka $tools.ConsoleProducer --bootstrap-server "$BOOTSTRAP" --topic "$topic" \
  --reader-property parse.key=true --reader-property key.separator=: < "$WORK/lines.in"
consume "$topic" 0 1000 earliest --formatter-property print.key=true --formatter-property key.separator=: > "$WORK/lines.out"
check "console-consumer: the lines are the same" cmp "$WORK/lines.in" "$WORK/lines.out"
is "console-consumer --offset 500" value-501 "$(consume "$topic" 0 1 500)"
is "get-offsets --time -2" "$topic:0:0" "$(ends "$topic" -2)"

# A record that is too large must be refused, not stored.
kafka $tools.ProducerPerformance --bootstrap-server "$BOOTSTRAP" --topic "java-config-$run" --num-records 1 \
  --record-size 60000 --throughput -1 > "$WORK/large.out" 2>&1 || true
is "a record above max.message.bytes is refused" 1 "$(grep -c -m 1 RecordTooLarge "$WORK/large.out")"
check "topics --delete" topics --delete --topic "java-config-$run"

# A group reads, is described, moved, and deleted.
topic=java-lines-$run
group=java-group-$run
groups() { kafka $tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" "$@" 2> "$WORK/groups.err"; }
lag() { groups --describe --group "$group" | awk -v topic="$topic" '$2 == topic { print $4 ":" $6 }'; }
in_group() {
  kafka $tools.consumer.ConsoleConsumer --bootstrap-server "$BOOTSTRAP" --topic "$topic" --group "$group" \
    --from-beginning --max-messages "$1" --timeout-ms 30000 2> "$WORK/consumer.err"
}
is "console-consumer --group reads everything" 1000 "$(in_group 1000 | wc -l)"
is "consumer-groups --describe: nothing is left" 1000:0 "$(lag)"
is "consumer-groups --list" 1 "$(groups --list | grep -cx "$group")"
is "consumer-groups --state" Empty "$(groups --describe --state --group "$group" | awk -v group="$group" '$1 == group { print $(NF - 1) }')"
check "consumer-groups --reset-offsets" groups --reset-offsets --group "$group" --topic "$topic" --to-offset 990 --execute
is "consumer-groups --describe: ten are left" 990:10 "$(lag)"
is "console-consumer --group goes on there" value-991 "$(in_group 1)"
check "consumer-groups --delete-offsets" groups --delete-offsets --group "$group" --topic "$topic"
check "consumer-groups --delete" groups --delete --group "$group"
is "consumer-groups --list without the group" 0 "$(groups --list | grep -cx "$group")"
finish
