#!/usr/bin/env bash
# rskafka.sh: the integration tests of the crate rskafka that lists/rskafka.txt names. Starts a broker that creates no
# topics by itself, unless BOOTSTRAP names one. Builds a librdkafka of its own to test against (3 minutes).
# Needs: cargo gcc g++ make java zlib1g-dev.
. "$(dirname "$0")/lib.sh"
crate_source rskafka 0.6.0
# The release that the crate's lock file names does not compile any more.
(cd "$CRATE" && cargo update -q -p rsasl --precise 2.3.1)
[ -n "${BOOTSTRAP:-}" ] || { broker_start auto.create.topics.enable=false; started=1; }
export TEST_INTEGRATION=1 TEST_BROKER_IMPL=kafka KAFKA_CONNECT=$BOOTSTRAP
crate_tests rskafka --features full
[ -z "${started:-}" ] || broker_stop
finish
