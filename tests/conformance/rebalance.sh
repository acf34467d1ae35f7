#!/usr/bin/env bash
# Groups of Java consumers against the broker at BOOTSTRAP: three partitions, groups of one, three and five members, of
# which some are killed. The broker needs group.consumer.session.timeout.ms of a few seconds. Needs: java, kcat, python3;
# maven for the first run.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need kcat "apt-get install kcat"
kafka_jars
java="java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile=$WORK/log4j2.properties -cp $AK_LIBS/*"
if timeout 600 python3 "$here/rebalance.py" "$BOOTSTRAP" "$java" > "$WORK/rebalance.out" 2>&1; then status=0; else status=$?; fi
cat "$WORK/rebalance.out"
passed=$(grep -c '^ok ' "$WORK/rebalance.out" || true)
failed=$(grep -c '^FAILED ' "$WORK/rebalance.out" || true)
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || fail "rebalance.py ended with status $status"
[ "$((passed + failed))" -ge 40 ] || fail "only $passed checks were made"
finish
