"""table.py RAW: tables of the reports WORK-BROKER-ROUND.json in RAW: medians, spread and ratios. RAW/works.tsv says
what each work is."""

import json
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

# Name, where it is in a report, how many of its unit make one, and whether more is better.
METRICS = [
    ("MB/s", ["megabytes_per_second"], 1, True),
    ("records/s", ["records_per_second"], 1, True),
    ("broker CPU-s per GB", ["broker_cpu", "seconds_per_gb"], 1, False),
    ("broker CPU-s per million records", ["broker_cpu", "seconds_per_million_records"], 1, False),
    ("p50 ms", ["latency_ms", "p50"], 1, False),
    ("p99 ms", ["latency_ms", "p99"], 1, False),
    ("p99.9 ms", ["latency_ms", "p99.9"], 1, False),
    ("max ms", ["latency_ms", "max"], 1, False),
    ("resident MiB", ["broker_resident_bytes"], 1_048_576, False),
    ("generator CPU-s per GB", ["own_cpu", "seconds_per_gb"], 1, False),
]
OVERVIEW = ["MB/s", "records/s", "broker CPU-s per GB", "broker CPU-s per million records", "p50 ms", "p99 ms", "p99.9 ms"]

raw = Path(sys.argv[1])
works = dict(line.split("\t") for line in (raw / "works.tsv").read_text().splitlines())
reports = defaultdict(lambda: defaultdict(list))
for path in sorted(raw.glob("*.json")):
    found = re.fullmatch(r"(.+)-(corelog|kafka)-\d+", path.stem)
    if found:
        reports[found[1]][found[2]].append(json.loads(path.read_text()))


def number(value):
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def cell(values):
    """Median and, in brackets, the lowest and the highest round."""
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


def figure(report, where, unit):
    """The value of a metric, nothing where the load generator does not tell it."""
    for name in where:
        report = report.get(name) if report else None
    return None if report is None else report / unit


def values(work, where, unit):
    """The rounds of each broker that has the metric."""
    figures = {broker: [figure(report, where, unit) for report in found] for broker, found in reports[work].items()}
    return {broker: found for broker, found in figures.items() if None not in found}


def ratio(found, is_more_better):
    """How many times better Corelog's median is."""
    if len(found) < 2:
        return "-"
    ours, theirs = (statistics.median(found[broker]) for broker in ("corelog", "kafka"))
    better, worse = (ours, theirs) if is_more_better else (theirs, ours)
    return f"{better / worse:.2f}" if worse > 0 and better > 0 else "-"


def errors(work):
    return sum(sum(report["errors"].values()) for found in reports[work].values() for report in found)


measured = [work for work in works if work in reports]
print("How many times better Corelog is than Kafka: the ratio of the medians, above 1 where Corelog uses or takes less, or")
print("moves more. Everything of Corelog's is synced before it is acknowledged, nothing of Kafka's but in D-synced and E-synced.\n")
print("| work | " + " | ".join(OVERVIEW) + " |")
print("|---|" + "---|" * len(OVERVIEW))
for work in measured:
    cells = [ratio(values(work, where, unit), more) for name, where, unit, more in METRICS if name in OVERVIEW]
    failed = " (errors: means nothing)" if errors(work) else ""
    print(f"| {work}{failed} | " + " | ".join(cells) + " |")

print("\nBelow: medians of the rounds, in brackets the lowest and the highest.")
for work in measured:
    rounds = " and ".join(f"{len(found)} of {broker}" for broker, found in sorted(reports[work].items()))
    print(f"\n## {work}: {works[work]}\n\nRounds: {rounds}.\n\n| | Corelog | Kafka | ratio |\n|---|---|---|---|")
    for name, where, unit, more in METRICS:
        found = values(work, where, unit)
        cells = [cell(found[broker]) if broker in found else "-" for broker in ("corelog", "kafka")]
        print(f"| {name} | {cells[0]} | {cells[1]} | {ratio(found, more)} |")
    if errors(work):
        print(f"\n{errors(work)} requests failed: these numbers mean nothing.")
