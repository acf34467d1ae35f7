#!/usr/bin/env bash
# kafka-python against the broker at BOOTSTRAP. Needs: python3 with venv, pip.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need python3 "apt-get install python3 python3-venv"
venv=$WORK/venv
if [ ! -e "$venv/ready" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check kafka-python==2.2.15 python-snappy lz4 zstandard crc32c
  touch "$venv/ready"
fi
if timeout 300 "$venv/bin/python" "$here/kafka_python.py" "$BOOTSTRAP" > "$WORK/python.out" 2>&1; then status=0; else status=$?; fi
cat "$WORK/python.out"
passed=$(grep -c '^ok ' "$WORK/python.out" || true)
[ "$status" -eq 0 ] || fail "kafka_python.py ended with status $status"
[ "$passed" -ge 39 ] || fail "only $passed checks were made"
finish
