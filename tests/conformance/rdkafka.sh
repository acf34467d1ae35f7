#!/usr/bin/env bash
# rdkafka.sh [LIST]: the integration tests of the crate rdkafka that lists/LIST.txt names. Starts a broker as the list
# wants it, unless BOOTSTRAP names one. Builds a librdkafka of its own to test against (3 minutes). Lists:
#   rdkafka               (the default) all but one
#   rdkafka-noautocreate  topics are not created by asking for them
# Some tests want node 0 at localhost:9092, whatever KAFKA_HOST says: that port must be free.
# Needs: cargo gcc g++ make zlib1g-dev.
. "$(dirname "$0")/lib.sh"
list=${1:-rdkafka}
broker=(listeners=PLAINTEXT://127.0.0.1:9092 node.id=0 num.partitions=3 group.initial.rebalance.delay.ms=0)
case $list in
  rdkafka) ;;
  rdkafka-noautocreate) broker+=(auto.create.topics.enable=false) ;;
  *) echo "$list is no list of this script: rdkafka, rdkafka-noautocreate" >&2; exit 1 ;;
esac
crate_source rdkafka 0.39.0
[ -n "${BOOTSTRAP:-}" ] || { broker_start "${broker[@]}"; started=1; }
export KAFKA_HOST=$BOOTSTRAP KAFKA_VERSION
crate_tests "$list"
[ -z "${started:-}" ] || broker_stop
finish
