"""client.py REPORT BROKER_PID RECORD_BYTES COMMAND...: runs a client that is not Corelog's own as a load, and writes what
it printed and what it cost to REPORT, as `corelog bench --json` does. The clients are Kafka's ProducerPerformance,
EndToEnd.java and librdkafka.c. CPU is of the whole run, the warm-up too, over the records of the whole run."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

SECONDS_MAX = 600
# The last lines of ProducerPerformance: all records, and then those after the warm-up.
TOTAL = re.compile(
    r"^(\d+)(?: steady state)? records sent, ([\d.]+) records/sec .* ([\d.]+) ms max latency, "
    r"(\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99.9th",
    re.M,
)
# Where something lies on one machine, which a report is not about.
DIRECTORY = re.compile(r"(?:^|(?<==))/(?:[^/]+/)+")


def cpu_seconds(pid):
    """utime and stime of all threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1]) * 1024


def understood(output, command):
    """What the client printed, as EndToEnd.java and librdkafka.c print it."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if lines:
        return json.loads(lines[-1])
    totals = TOTAL.findall(output)
    if not totals:
        sys.exit(f"no total in what the client printed:\n{output}")
    count, rate, highest, p50, _, p99, p999 = totals[-1]
    wanted = int(command[command.index("--num-records") + 1])
    return {
        "seconds": int(count) / float(rate),
        "records": int(count),
        "records_in_all": int(totals[0][0]),
        "errors": {"failed": wanted - int(totals[0][0])},
        "latency_ms": {"p50": float(p50), "p99": float(p99), "p99.9": float(p999), "max": float(highest)},
    }


def cost(seconds, records, record_bytes):
    return {
        "seconds": seconds,
        "seconds_per_gb": seconds / (records * record_bytes / 1e9),
        "seconds_per_million_records": seconds / (records / 1e6),
    }


def main(path, pid, record_bytes, command):
    before = cpu_seconds(pid)
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX)
    broker = cpu_seconds(pid) - before
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != 0:
        sys.exit(f"exit status {ran.returncode}:\n{ran.stdout}")
    report = understood(ran.stdout, command)
    in_all = report["records_in_all"]
    if not report["records"]:
        sys.exit(f"nothing was measured:\n{ran.stdout}")
    shown = [DIRECTORY.sub(".../", argument) for argument in command]
    report |= {
        "what": shown[0],
        "arguments": shown[1:],
        "bytes": report["records"] * record_bytes,
        "records_per_second": report["records"] / report["seconds"],
        "megabytes_per_second": report["records"] * record_bytes / report["seconds"] / 1e6,
        "broker_cpu": cost(broker, in_all, record_bytes),
        "broker_resident_bytes": resident_bytes(pid),
        "own_cpu": cost(own.ru_utime + own.ru_stime, in_all, record_bytes),
    }
    Path(path).write_text(json.dumps(report, indent=2) + "\n")
    failed = {name: count for name, count in report["errors"].items() if count}
    print(
        f"{report['records']} records in {report['seconds']:.2f} s: {report['records_per_second']:.0f} records/s, "
        f"{report['megabytes_per_second']:.2f} MB/s{f', errors: {failed}' if failed else ''}"
    )
    return 1 if failed else 0


sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
