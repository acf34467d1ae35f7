#!/usr/bin/env bash
# dumplog.sh DIRECTORY: Apache Kafka's own kafka-dump-log over every file of a stopped broker's data directory. Any
# complaint about a segment, an index, a producer snapshot or the metadata log is a failure. Needs: java, maven.
. "$(dirname "$0")/lib.sh"
data=${1:?usage: dumplog.sh DATA_DIRECTORY}
kafka_jars
dump=org.apache.kafka.tools.DumpLogSegments

# What DumpLogSegments says when it does not like a file; it exits with 0 all the same.
complaints='Mismatches in|Non-consecutive|invalid bytes|isvalid: false|timestamp mismatch|out of order timestamp|are not found in|Ignoring unknown|Exception|[Cc]orrupt|Could not|Error'

# lots WHERE FIND...: the files, joined by commas in lots of 200. Left out: partitions under deletion, and what belongs
# to a segment without records, at which the tool stumbles on Kafka's own data too.
lots() {
  local where=$1 file; shift
  find "$data" -type f -size +0 \( "$@" \) -not -path '*-delete/*' | sort | while read -r file; do
    case $where:$file in
      metadata:*__cluster_metadata*) ;;
      data:*__cluster_metadata* | metadata:*) continue ;;
    esac
    case $file in
      *index) [ -s "${file%.*}.log" ] || continue ;;
    esac
    echo "$file"
  done | xargs -r -n 200 | tr ' ' ','
}

# dumped WHAT WHERE OPTIONS -- FIND...: runs the tool over all the files and looks for complaints.
dumped() {
  local what=$1 where=$2 options=(); shift 2
  while [ "$1" != -- ]; do options+=("$1"); shift; done; shift
  local count=0 bad=0 lot
  while read -r lot; do
    [ -n "$lot" ] || continue
    count=$((count + $(tr -cd ',' <<< "$lot" | wc -c) + 1))
    if ! kafka $dump "${options[@]}" --files "$lot" > "$WORK/dump.out" 2>&1 ||
      grep -E "$complaints" "$WORK/dump.out" > "$WORK/dump.bad"; then
      bad=1
      { grep -E -m 20 "$complaints" "$WORK/dump.out" || tail -n 20 "$WORK/dump.out"; } | sed 's/^/        /'
    fi
  done < <(lots "$where" "$@")
  if [ "$bad" = 1 ]; then fail "$what"; elif [ "$count" = 0 ]; then echo "none    $what"; else pass "$what: $count files"; fi
}

dumped "segments --deep-iteration" data --deep-iteration -- -name '*.log'
dumped "offset indexes" data -- -name '*.index'
dumped "offset indexes --index-sanity-check" data --index-sanity-check -- -name '*.index'
dumped "time indexes" data -- -name '*.timeindex'
dumped "time indexes --index-sanity-check" data --index-sanity-check -- -name '*.timeindex'
dumped "producer snapshots" data -- -name '*.snapshot'
dumped "metadata log --cluster-metadata-decoder" metadata --cluster-metadata-decoder --deep-iteration -- -name '*.log'
dumped "metadata snapshots --cluster-metadata-decoder" metadata --cluster-metadata-decoder -- -name '*.checkpoint'
dumped "metadata offset indexes" metadata --index-sanity-check -- -name '*.index'
dumped "metadata time indexes" metadata --index-sanity-check -- -name '*.timeindex'
[ "$passed" -gt 0 ] || fail "no file was found under $data"
finish
