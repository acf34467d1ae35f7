# What the conformance scripts share: a work folder, counted checks, a broker, Kafka's jars. Sourced, not run.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
WORK=${WORK:-$here/.work}
mkdir -p "$WORK"
KAFKA_VERSION=4.3.1

passed=0 failed=0

pass() { passed=$((passed + 1)); echo "ok      $1"; }
fail() { failed=$((failed + 1)); echo "FAILED  $1"; }

# check NAME COMMAND...: passes when the command succeeds; its output is shown when it does not.
check() {
  local name=$1; shift
  if "$@" > "$WORK/check.out" 2>&1; then pass "$name"; else fail "$name"; tail -n 30 "$WORK/check.out" | sed 's/^/        /'; fi
}

# is NAME EXPECTED FOUND
is() { if [ "$2" = "$3" ]; then pass "$1"; else fail "$1: expected '$2', found '$3'"; fi; }

# The last thing each script says; its exit status tells the same.
finish() { echo "$passed passed, $failed failed"; [ "$failed" -eq 0 ]; }

# add FILE: takes over the counts that a script's output closes with.
add() {
  local line; line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$1" | tail -n 1) || true
  if [ -z "$line" ]; then failed=$((failed + 1)); return; fi
  set -- $line
  passed=$((passed + $1)) failed=$((failed + $3))
}

need() { command -v "$1" > /dev/null || { echo "$1 is missing: $2" >&2; exit 1; }; }

# listed FILE: the lines of a list, without comments.
listed() { sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1"; }

# broker_start KEY=VALUE...: starts target/release/corelog (or CORELOG) on a fresh directory and a free port, and sets
# BOOTSTRAP once it listens. It is killed when the script ends.
broker_start() {
  corelog=${CORELOG:-${CARGO_TARGET_DIR:-$repo/target}/release/corelog}
  [ -x "$corelog" ] || { echo "$corelog is missing: cargo build --release" >&2; exit 1; }
  local overrides=() pair
  for pair in log.dirs="$WORK/data" listeners=PLAINTEXT://127.0.0.1:0 num.partitions=4 "$@"; do
    overrides+=(--override "$pair")
  done
  rm -rf "$WORK/data"
  mkdir -p "$WORK/data"
  : > "$WORK/broker.log"
  "$corelog" start "${overrides[@]}" > "$WORK/broker.log" 2>&1 &
  broker=$!
  trap broker_cleanup EXIT
  BOOTSTRAP=
  for _ in $(seq 200); do
    BOOTSTRAP=$(sed -n 's/.*listener=PLAINTEXT address="\{0,1\}\([0-9.:]*\).*/\1/p' "$WORK/broker.log" | head -n 1)
    [ -z "$BOOTSTRAP" ] || break
    kill -0 "$broker" 2> /dev/null || { tail "$WORK/broker.log" >&2; exit 1; }
    sleep 0.05
  done
  [ -n "$BOOTSTRAP" ] || { echo "the broker does not listen after 10 s: $WORK/broker.log" >&2; exit 1; }
  export BOOTSTRAP
}

broker_cleanup() { [ -z "${broker:-}" ] || kill -9 "$broker" 2> /dev/null || true; rm -rf "$WORK/data"; }

# Stops the broker in an orderly way, which counts as a check.
broker_stop() {
  kill -TERM "$broker" 2> /dev/null || true
  if wait "$broker"; then pass "the broker stops in order"; else
    fail "the broker stopped with $?"
    tail -n 30 "$WORK/broker.log"
  fi
  broker=
}

bootstrap_wanted() { : "${BOOTSTRAP:?set BOOTSTRAP to host:port of a running broker}"; }

# Kafka's jars from Maven Central, once; AK_LIBS names a folder that holds them already.
kafka_jars() {
  AK_LIBS=${AK_LIBS:-$WORK/kafka-$KAFKA_VERSION/libs}
  need java "apt-get install openjdk-17-jre-headless"
  if ! ls "$AK_LIBS"/kafka-tools-*.jar > /dev/null 2>&1; then
    need mvn "apt-get install maven"
    local folder; folder=$(dirname "$AK_LIBS")
    mkdir -p "$folder"
    cat > "$folder/pom.xml" << POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$KAFKA_VERSION</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.3</version></dependency>
  </dependencies>
</project>
POM
    (cd "$folder" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory=libs) > "$folder/mvn.log" 2>&1 || { tail "$folder/mvn.log" >&2; exit 1; }
  fi
  cat > "$WORK/log4j2.properties" << 'LOG'
status = warn
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = ${sys:level:-warn}
rootLogger.appenderRef.stderr.ref = stderr
LOG
  # The classes of a tool, loaded once and kept: a start takes half the time.
  [ -e "$WORK/kafka-$KAFKA_VERSION.jsa" ] || java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable \
    -XX:ArchiveClassesAtExit="$WORK/kafka-$KAFKA_VERSION.jsa" -Dlog4j2.configurationFile="$WORK/log4j2.properties" \
    -cp "$AK_LIBS/*" org.apache.kafka.tools.BrokerApiVersionsCommand --bootstrap-server 127.0.0.1:1 > /dev/null 2>&1 || true
}

# kafka CLASS ARGUMENTS...: one of Kafka's own programs.
kafka() { (kafka_instead "$@"); }

# The same in place of the shell: in the background a signal to the job is one to the program.
kafka_instead() {
  exec java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:disable -Xlog:all=off \
    -XX:SharedArchiveFile="$WORK/kafka-$KAFKA_VERSION.jsa" -Dlog4j2.configurationFile="$WORK/log4j2.properties" \
    -cp "$AK_LIBS/*" "$@"
}

# A folder of scripts as Kafka's distribution has it, for suites that call its tools by KAFKA_PATH.
kafka_path() {
  kafka_jars
  KAFKA_PATH=$WORK/kafka-path
  mkdir -p "$KAFKA_PATH/bin"
  ln -sfn "$AK_LIBS" "$KAFKA_PATH/libs"
  local name class
  while read -r name class; do
    printf '#!/bin/sh\nexec java %s -cp "${CLASSPATH:+$CLASSPATH:}%s" %s "$@"\n' \
      "-Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile=$WORK/log4j2.properties" \
      "$AK_LIBS/*" "$class" > "$KAFKA_PATH/bin/$name.sh"
    chmod +x "$KAFKA_PATH/bin/$name.sh"
  done << 'SCRIPTS'
kafka-topics org.apache.kafka.tools.TopicCommand
kafka-run-class
SCRIPTS
}

# librdkafka's source, tests and all, with its libraries built: LIBRDKAFKA names the folder. Fetched and built once (2
# minutes on two cores). The source comes in the package of librdkafka's JavaScript binding.
librdkafka() {
  LIBRDKAFKA=$WORK/librdkafka/package/deps/librdkafka
  [ ! -e "$LIBRDKAFKA/src/librdkafka.so.1" ] || return 0
  need npm "apt-get install npm; it only fetches the source"
  mkdir -p "$WORK/librdkafka"
  (
    cd "$WORK/librdkafka"
    tar xf "$(npm pack -s @confluentinc/kafka-javascript@1.10.1)"
    cd package/deps/librdkafka
    ./configure && make -j2 libs
  ) > "$WORK/librdkafka/build.log" 2>&1 || { tail "$WORK/librdkafka/build.log" >&2; exit 1; }
}

# crate_source NAME VERSION: a copy of a crate's source in CRATE, as crates.io has it: tests and lock file included.
crate_source() {
  need cargo "with rustup"
  CRATE=$WORK/crates/$1-$2
  [ ! -e "$CRATE/Cargo.toml" ] || return 0
  local project=$WORK/crates/fetch-$1 manifest
  mkdir -p "$project/src"
  printf '[package]\nname = "fetch"\nedition = "2021"\n[workspace]\n[dependencies]\n%s = "=%s"\n' "$1" "$2" \
    > "$project/Cargo.toml"
  : > "$project/src/lib.rs"
  manifest=$(cd "$project" && cargo metadata -q --format-version 1 | python3 -c '
import json, sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == sys.argv[1]))' "$1")
  mkdir -p "$CRATE"
  cp -r "$(dirname "$manifest")/." "$CRATE"
  rm -f "$CRATE/rust-toolchain.toml"
  # Nothing above the folder is its workspace.
  printf '\n[workspace]\n' >> "$CRATE/Cargo.toml"
}

# crate_tests LIST ARGUMENTS...: runs the tests of the crate in CRATE that a list names as `file::test`, and checks each.
crate_tests() {
  local list=$here/lists/$1.txt file id out tests; shift
  export CARGO_TARGET_DIR=$WORK/crates/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never
  for file in $(listed "$list" | sed 's/::.*//' | sort -u); do
    out=$CRATE/$file.out
    mapfile -t tests < <(listed "$list" | sed -n "s/^$file:://p")
    (
      cd "$CRATE"
      cargo test -q --locked "$@" --no-run --test "$file" > "$out" 2>&1 || exit 0
      # One line a test, whatever the tests themselves print.
      timeout 600 cargo test --locked "$@" --test "$file" -- --test-threads=2 --format=pretty --exact "${tests[@]}" \
        > "$out" 2>&1 || true
    )
    for id in "${tests[@]}"; do
      is "$file::$id" ok "$(sed -n "s/^test $id \.\.\. //p" "$out" | head -n 1)"
    done
  done
}
