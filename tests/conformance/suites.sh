#!/usr/bin/env bash
# suites.sh [LIST...]: the public test suites of clients, each against a fresh broker, and the table of them in the README.
# Runs all of lists/ by default: an hour on two cores, half of it waiting, and ten minutes of building before. A row is
# written for each list that was run, when all of it passes.
. "$(dirname "$0")/lib.sh"
lists=("$@")
[ $# -gt 0 ] || lists=(kgo rskafka rdkafka rdkafka-noautocreate librdkafka librdkafka-noautocreate
  librdkafka-consumer librdkafka-delayed)

# What a list is a list of.
title() {
  case $1 in
    kgo) echo "franz-go 1.22.2, package kgo" ;;
    rskafka) echo "crate rskafka 0.6.0" ;;
    rdkafka) echo "crate rdkafka 0.39.0" ;;
    rdkafka-noautocreate) echo "the same, no automatic creation of topics" ;;
    librdkafka) echo "librdkafka 2.15.1, test-runner" ;;
    librdkafka-consumer) echo "the same, \`group.protocol=consumer\`" ;;
    librdkafka-delayed) echo "the same, default \`group.initial.rebalance.delay.ms\`" ;;
    librdkafka-noautocreate) echo "the same, no automatic creation of topics" ;;
    *) echo "$1 is no list" >&2; exit 1 ;;
  esac
}

# What a list leaves out, as a count for each reason, the most frequent first.
left_out() {
  local skipped=$here/lists/$1.skip.txt
  [ -e "$skipped" ] || { echo "-"; return; }
  listed "$skipped" | sed -e 's/^[^ ]* //' -e 's/ (.*//' | sort | uniq -c | sort -k1,1nr -k2 |
    sed 's/^ *\([0-9]*\) \(.*\)/\2 \1/' | paste -sd '|' | sed 's/|/, /g'
}

# row LIST: replaces the list's row in the README, which must not fall behind what it says.
row() {
  python3 - "$repo/README.md" "$1" "$(title "$1")" "$(listed "$here/lists/$1.txt" | wc -l)" "$(left_out "$1")" << 'PY'
import re, sys
path, name, title, count, left_out = sys.argv[1:]
text = open(path).read()
row = f"| [{title}](tests/conformance/lists/{name}.txt) | {count} | {left_out} |"
old = re.search(rf"^\| \[[^\n]*/lists/{name}\.txt\) \| (\d+) \|[^\n]*$", text, re.M)
if not old:
    sys.exit(f"{path}: there is no row for lists/{name}.txt")
if int(count) < int(old[1]):
    sys.exit(f"lists/{name}.txt: {count} lines, {old[1]} in {path}: lines are only ever added")
open(path, "w").write(text[: old.start()] + row + text[old.end() :])
PY
}

for list in "${lists[@]}"; do
  title "$list" > /dev/null
  begin=$SECONDS
  echo "== $list"
  case $list in
    librdkafka*) command=("$here/librdkafka.sh" "$list") ;;
    rdkafka*) command=("$here/rdkafka.sh" "$list") ;;
    *) command=("$here/$list.sh") ;;
  esac
  if BOOTSTRAP='' bash "${command[@]}" > "$WORK/$list.log" 2>&1; then
    check "the README's row for $list" row "$list"
  fi
  cat "$WORK/$list.log"
  add "$WORK/$list.log"
  echo "== $list took $((SECONDS - begin)) s"
done
finish
