"""table.py RAW: a table of the reports SCENARIO-BROKER-ROUND.json in RAW: medians, spread and ratios."""

import json
import re
import statistics
import sys
from collections import defaultdict
from pathlib import Path

METRICS = [
    ("broker CPU-s per GB", lambda report: report["broker_cpu"]["seconds_per_gb"]),
    ("broker CPU-s per million records", lambda report: report["broker_cpu"]["seconds_per_million_records"]),
    ("MB/s", lambda report: report["megabytes_per_second"]),
    ("records/s", lambda report: report["records_per_second"]),
    ("p50 ms", lambda report: report["latency_ms"]["p50"]),
    ("p99 ms", lambda report: report["latency_ms"]["p99"]),
    ("p99.9 ms", lambda report: report["latency_ms"]["p99.9"]),
    ("max ms", lambda report: report["latency_ms"]["max"]),
    ("resident MiB", lambda report: report["broker_resident_bytes"] / 1_048_576),
    ("generator CPU-s per GB", lambda report: report["own_cpu"]["seconds_per_gb"]),
]

reports = defaultdict(lambda: defaultdict(list))
for path in sorted(Path(sys.argv[1]).glob("*.json")):
    found = re.fullmatch(r"(.+)-(corelog|kafka)-\d+", path.stem)
    if found:
        reports[found[1]][found[2]].append(json.loads(path.read_text()))


def number(value):
    return f"{value:.3g}" if abs(value) < 1_000 else f"{value:,.0f}"


def cell(values):
    """Median and, in brackets, the lowest and the highest round."""
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


print("Medians of the rounds, in brackets the lowest and the highest; the ratio is Kafka's median over Corelog's.")
for scenario, brokers in reports.items():
    rounds = " and ".join(f"{len(found)} of {broker}" for broker, found in sorted(brokers.items()))
    print(f"\n## {scenario}\n\nRounds: {rounds}.\n\n| | Corelog | Kafka | ratio |\n|---|---|---|---|")
    for name, metric in METRICS:
        values = {broker: [metric(report) for report in found] for broker, found in brokers.items()}
        cells = [cell(values[broker]) if broker in values else "-" for broker in ("corelog", "kafka")]
        ratio = "-"
        if len(values) == 2 and statistics.median(values["corelog"]) > 0:
            ratio = f"{statistics.median(values['kafka']) / statistics.median(values['corelog']):.2f}"
        print(f"| {name} | {cells[0]} | {cells[1]} | {ratio} |")
    errors = sum(sum(report["errors"].values()) for found in brokers.values() for report in found)
    if errors:
        print(f"\n{errors} requests failed: these numbers mean nothing.")
