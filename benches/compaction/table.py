"""The page of run.sh, from its raw reports: medians of rounds, and of ratios within a round."""
import glob
import json
import re
import statistics
import sys


def reports(name):
    return [json.load(open(path)) for path in sorted(glob.glob(f"{sys.argv[1]}/{name}-[0-9]*.json"))]


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main():
    compacted = []
    for path in sorted(glob.glob(f"{sys.argv[1]}/compacted-[0-9]*.txt")):
        compacted.append({name: int(value) for name, value in re.findall(r"(\w+)=(\d+)\b", open(path).read())})
    before, cleaning, after = (reports(name) for name in ("before", "cleaning", "after"))
    p99 = lambda one: one["latency_ms"]["p99"]
    idle = before + after
    ratios = [2 * p99(with_) / (p99(one) + p99(other)) for one, with_, other in zip(before, cleaning, after)]
    rate = [one["bytes_before"] / one["elapsed_ms"] / 1e3 for one in compacted]
    lines = [
        ("cleaned, MB/s of the log", spread(rate)),
        ("a cleaning, s", spread([one["elapsed_ms"] / 1e3 for one in compacted])),
        ("log before, MB", spread([one["bytes_before"] / 1e6 for one in compacted])),
        ("log after, MB", spread([one["bytes_after"] / 1e6 for one in compacted])),
        ("keys in the map", spread([one["keys"] for one in compacted], 0)),
        ("memory of the map, MB", spread([one["map_bytes"] / 1e6 for one in compacted])),
        ("produced beside it, MB/s", spread([one["megabytes_per_second"] for one in cleaning])),
        ("p99 of produces without a cleaning, ms", spread([p99(one) for one in idle], 2)),
        ("p99 with it, ms", spread([p99(one) for one in cleaning], 2)),
        ("ratio to the mean of the runs before and after", spread(ratios, 2)),
        ("CPU of the broker without it, cores", spread([one["broker_cpu"]["cores"] for one in idle], 2)),
        ("CPU of the broker with it, cores", spread([one["broker_cpu"]["cores"] for one in cleaning], 2)),
    ]
    print("| what | median (least to most) |\n|---|---|")
    for name, text in lines:
        print(f"| {name} | {text} |")


main()
