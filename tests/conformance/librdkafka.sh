#!/usr/bin/env bash
# librdkafka.sh [NUMBER...]: librdkafka's own test-runner against a fresh broker at BOOTSTRAP, all of
# lists/librdkafka-produce-fetch.txt or the numbers named. Optional, not run by run.sh: builds librdkafka (3 minutes).
# Needs: gcc g++ make npm libssl-dev libsasl2-dev libcurl4-openssl-dev libzstd-dev zlib1g-dev rapidjson-dev.
# The broker needs auto-creation of topics with num.partitions=4.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need npm "apt-get install npm; it only fetches the source"
version=1.10.1
rdkafka=$WORK/librdkafka/package/deps/librdkafka
if [ ! -x "$rdkafka/tests/test-runner" ]; then
  mkdir -p "$WORK/librdkafka"
  (
    cd "$WORK/librdkafka"
    npm pack -s "@confluentinc/kafka-javascript@$version" > /dev/null
    tar xf "confluentinc-kafka-javascript-$version.tgz"
    cd package/deps/librdkafka
    ./configure && make -j2 libs && make -j2 -C tests build
  ) > "$WORK/librdkafka/build.log" 2>&1 || { tail "$WORK/librdkafka/build.log" >&2; exit 1; }
fi
printf 'bootstrap.servers=%s\ntest.topic.random=true\ntest.timeout.multiplier=3\n' "$BOOTSTRAP" > "$rdkafka/tests/test.conf"

list=$here/lists/librdkafka-produce-fetch.txt
while read -r number quick; do
  report=$WORK/librdkafka/$number.json
  rm -f "$report"
  begin=$SECONDS
  (cd "$rdkafka/tests" && LD_LIBRARY_PATH=../src:../src-cpp BROKERS=$BOOTSTRAP TEST_KAFKA_VERSION=4.3.1 TESTS=$number \
    TEST_REPORT="$report" timeout 400 ./test-runner -p1 -E -L ${quick:+-Q}) > "$WORK/librdkafka/$number.log" 2>&1 < /dev/null || true
  # A crash leaves no report, and a test that was filtered out none of its own.
  state=$(python3 - "$report" << 'PY'
import json, sys
try:
    tests = json.load(open(sys.argv[1]))["tests"]
except (OSError, ValueError):
    tests = {}
states = sorted({test["state"] for test in tests.values() if test["state"] != "SKIPPED"})
print(" ".join(states) or "NOTHING RAN")
PY
  )
  is "$number ($((SECONDS - begin)) s)" PASSED "$state"
done < <(if [ $# -gt 0 ]; then printf '%s\n' "$@" | while read -r n; do grep "^$n" "$list" || echo "$n"; done; else grep -v '^#' "$list"; fi)
finish
