# What the conformance scripts share: a work folder, counted checks, Kafka's jars. Sourced, not run.
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

need() { command -v "$1" > /dev/null || { echo "$1 is missing: $2" >&2; exit 1; }; }

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
