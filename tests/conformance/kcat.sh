#!/usr/bin/env bash
# kcat (on the distribution's librdkafka) against the broker at BOOTSTRAP. Needs: kcat.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need kcat "apt-get install kcat"
run=$(date +%s)
kc() { timeout 60 kcat -b "$BOOTSTRAP" -q "$@"; }

kc -L > "$WORK/kcat.meta" 2>&1 || true
is "-L lists one broker" 1 "$(grep -c "broker [0-9]* at $BOOTSTRAP" "$WORK/kcat.meta")"
is "-L -J is JSON with a broker" 1 "$(kc -L -J | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["brokers"]))')"

seq 1 5000 | awk '{ print "key-" $1 ":value-" $1 "-" $1 * 7919 }' > "$WORK/kcat.in"
for codec in none gzip snappy lz4 zstd; do
  topic=kcat-$codec-$run
  check "$codec: -P -K" kc -P -t "$topic" -p 0 -K : -z $codec -X enable.idempotence=true -l "$WORK/kcat.in"
  kc -C -t "$topic" -p 0 -o beginning -c 5000 -K : > "$WORK/kcat.out" || true
  check "$codec: -C gives the same lines" cmp "$WORK/kcat.in" "$WORK/kcat.out"
  is "$codec: -o -3" "key-4998" "$(kc -C -t "$topic" -p 0 -o -3 -c 1 -f '%k')"
  is "$codec: -o 1234" "key-1235 1234" "$(kc -C -t "$topic" -p 0 -o 1234 -c 1 -f '%k %o')"
  is "$codec: -e stops at the end" 5000 "$(kc -C -t "$topic" -p 0 -o beginning -e | wc -l)"
done
topic=kcat-none-$run
is "-Q by time finds the start" "$topic [0] offset 0" "$(kc -Q -t "$topic:0:1")"
echo value | kc -P -t "$topic" -p 0 -H a=1 -H b=two -H a=3 || true
is "headers" "a=1,b=two,a=3" "$(kc -C -t "$topic" -p 0 -o -1 -c 1 -f '%h')"
echo later | kc -P -t "$topic" -p 0 || true
stamp=$(kc -C -t "$topic" -p 0 -o -1 -c 1 -f "%T" || echo 0)
is "-o s@TIMESTAMP" "later" "$(kc -C -t "$topic" -p 0 -o "s@$stamp" -e -f '%s\n' | tail -n 1)"
check "acks=0" bash -c "echo x | timeout 60 kcat -b '$BOOTSTRAP' -q -P -t '$topic' -p 0 -X acks=0"
if kc -C -t "$topic" -p 99 -o beginning -e > /dev/null 2>&1; then fail "a partition that is not there"; else pass "a partition that is not there"; fi

# A group reads everything once, and from then on only what is new.
topic=kcat-lz4-$run
is "-G reads the topic once" 5000 "$(kc -G "kcat-group-$run" "$topic" -e -X auto.offset.reset=earliest | wc -l)"
is "-G has nothing left" 0 "$(kc -G "kcat-group-$run" "$topic" -e -X auto.offset.reset=earliest | wc -l)"
echo late | kc -P -t "$topic" -p 0 || true
is "-G goes on with what is new" late "$(kc -G "kcat-group-$run" "$topic" -e -X auto.offset.reset=earliest)"
finish
