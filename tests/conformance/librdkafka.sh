#!/usr/bin/env bash
# librdkafka.sh [LIST [ID...]]: librdkafka's own test-runner, all of lists/LIST.txt or the ids named. Starts a broker
# as the list wants it, unless BOOTSTRAP names one. Builds librdkafka first (3 minutes on two cores). Lists:
#   librdkafka               (the default) the classic group protocol, and all that has nothing to do with groups
#   librdkafka-delayed       counts rebalances, and needs Kafka's default group.initial.rebalance.delay.ms
#   librdkafka-noautocreate  topics are not created by asking for them
#   librdkafka-consumer      group.protocol=consumer (KIP-848)
# Needs: gcc g++ make npm java maven libssl-dev libsasl2-dev libcurl4-openssl-dev libzstd-dev zlib1g-dev rapidjson-dev.
. "$(dirname "$0")/lib.sh"
list=${1:-librdkafka}
[ -e "$here/lists/$list.txt" ] || { echo "lists/$list.txt is not there: $(ls "$here/lists")" >&2; exit 1; }
shift $(($# > 0))

# One broker serves the whole list, with short waits: a test that needs Kafka's longer ones has a list of its own. Some
# tests take it that two members that start together are together from the first generation on, and the client puts off
# a JoinGroup by 50 ms now and then: without any wait, 0118 fails at times.
broker=()
case $list in
  librdkafka) broker=(group.initial.rebalance.delay.ms=200) runner=() ;;
  librdkafka-delayed) broker=(group.initial.rebalance.delay.ms=3000) runner=() ;;
  librdkafka-noautocreate)
    broker=(group.initial.rebalance.delay.ms=0 auto.create.topics.enable=false) runner=(TEST_SCENARIO=noautocreate)
    ;;
  librdkafka-consumer)
    broker=(group.initial.rebalance.delay.ms=0 group.consumer.heartbeat.interval.ms=1000)
    runner=(TEST_CONSUMER_GROUP_PROTOCOL=consumer)
    ;;
esac

# states REPORT TESTS: the states of the tests that ran, or of those named. A crash leaves no report, and a test that was
# left out is SKIPPED.
states() {
  python3 - "$@" << 'PY'
import json, sys
try:
    tests = json.load(open(sys.argv[1]))["tests"]
except (OSError, ValueError):
    tests = {}
wanted = sys.argv[2].split(",") if sys.argv[2] else tests
states = {tests[name]["state"] if name in tests else "MISSING" for name in wanted} - {"SKIPPED"}
print(" ".join(sorted(states)) or "NOTHING RAN")
PY
}

# run ID OPTION...: one line of a list. `q`: -Q, only where a test has no sub-tests, which -Q leaves out silently;
# part=TEXT: the sub-tests whose name contains it; count=N: so many sub-tests must have passed;
# tests=NAME,...: only these of the number's variants count; tools: it calls Kafka's own; version=X: it takes the broker
# for that version, and leaves out what that one does not have.
run() {
  local id=$1 begin=$SECONDS quick='' part='' count=0 tests='' tools='' version=$KAFKA_VERSION option found; shift
  for option in "$@"; do
    case $option in
      q) quick=-Q ;;
      part=*) part=${option#part=} ;;
      tests=*) tests=${option#tests=} ;;
      version=*) version=${option#version=} ;;
      tools) tools=$KAFKA_PATH ;;
      count=*) count=${option#count=} ;;
      *) echo "lists/$list.txt: $id: unknown option $option" >&2; exit 1 ;;
    esac
  done
  local name=$id${part:+ $part}${tests:+ ${tests//,/ }} log; log=$WORK/librdkafka/$list-$id${part:+-$part}
  rm -f "$log.json"
  (
    cd "$LIBRDKAFKA/tests"
    export LD_LIBRARY_PATH=../src:../src-cpp BROKERS=$BOOTSTRAP TEST_KAFKA_VERSION=$version TESTS=$id
    export TEST_REPORT=$log.json RDKAFKA_TEST_CONF=$WORK/librdkafka/$list.conf
    # shellcheck disable=SC2086
    env ${part:+SUBTESTS="$part"} ${tools:+KAFKA_PATH="$tools"} "${runner[@]}" \
      timeout "${SECONDS_MAX:-900}" ./test-runner -p1 -L $quick
  ) > "$log.log" 2>&1 < /dev/null || true
  found=$(grep -c ': PASS (' "$log.log" || true)
  is "$name ($((SECONDS - begin)) s, $found sub-tests)" PASSED "$(states "$log.json" "$tests")"
  [ "$found" -ge "$count" ] || fail "$name: $found sub-tests passed, expected $count or more"
}

librdkafka
if [ ! -x "$LIBRDKAFKA/tests/test-runner" ]; then
  make -j2 -C "$LIBRDKAFKA/tests" build > "$WORK/librdkafka/tests.log" 2>&1 || { tail "$WORK/librdkafka/tests.log" >&2; exit 1; }
fi
kafka_path
make -s -C "$LIBRDKAFKA/tests/java" KAFKA_PATH="$KAFKA_PATH" > "$WORK/librdkafka/java.log" 2>&1
[ -n "${BOOTSTRAP:-}" ] || { broker_start "${broker[@]}"; started=1; }
printf 'bootstrap.servers=%s\ntest.topic.random=true\ntest.timeout.multiplier=3\n' "$BOOTSTRAP" > "$WORK/librdkafka/$list.conf"
while read -r id options; do
  [ $# = 0 ] || [[ " $* " == *" $id "* ]] || continue
  # shellcheck disable=SC2086
  run "$id" $options
done < <(listed "$here/lists/$list.txt")
[ -z "${started:-}" ] || broker_stop
finish
