#!/usr/bin/env bash
# kafka-python against the broker at BOOTSTRAP. Needs: python3 with venv, pip.
. "$(dirname "$0")/lib.sh"
bootstrap_wanted
need python3 "apt-get install python3 python3-venv"
venv=$WORK/venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check kafka-python==2.2.15 python-snappy lz4 zstandard crc32c
fi
check "kafka-python $("$venv/bin/pip" list 2> /dev/null | awk '/^kafka-python/ { print $2 }')" \
  timeout 300 "$venv/bin/python" "$here/kafka_python.py" "$BOOTSTRAP"
grep '^ok' "$WORK/check.out" | sed 's/^/  /' || true
finish
