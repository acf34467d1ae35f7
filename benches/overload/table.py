"""The page of run.sh, from its raw reports: medians of rounds, and of shares within a round."""
import glob
import json
import os
import re
import statistics
import sys


def spread(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def phases():
    """Each report with its memory, as (work, kind, load, round)."""
    found = {}
    for path in glob.glob(f"{sys.argv[1]}/*.json"):
        name = re.fullmatch(r"(\w+)-(maximum|overload)-(\d+x\d+)-(\d+)\.json", os.path.basename(path))
        if name:
            work, kind, load, turn = name.groups()
            with open(path) as report, open(path.removesuffix(".json") + ".memory.json") as memory:
                found[work, kind, load, int(turn)] = json.load(report) | json.load(memory)
    return found


def order(key):
    work, kind, load = key
    return work, kind, [int(part) for part in load.split("x")]


def main():
    found = phases()
    best = {}
    for (work, kind, _, turn), report in found.items():
        if kind == "maximum":
            best[work, turn] = max(best.get((work, turn), 0), report["records_per_second"])
    print("| work | load | offered, records/s | taken, records/s | share of the maximum, % | p99, ms "
          "| most memory, MiB | CPU of the broker, cores |\n|---|---|---|---|---|---|---|---|")
    for work, kind, load in sorted({key[:3] for key in found}, key=order):
        rounds = {turn: report for (*of, turn), report in found.items() if tuple(of) == (work, kind, load)}
        reports = list(rounds.values())
        shares = [100 * report["records_per_second"] / best[work, turn] for turn, report in rounds.items()]
        offered = "as taken" if kind == "maximum" else spread([report["arguments"]["rate"] for report in reports])
        cells = [
            work, load, offered,
            spread([report["records_per_second"] for report in reports]),
            spread(shares, 1),
            spread([report["latency_ms"]["p99"] for report in reports], 1),
            spread([report["most_mib"] for report in reports]),
            spread([report["broker_cpu"]["cores"] for report in reports], 2),
        ]
        print("| " + " | ".join(cells) + " |")
    idle = [report["idle_mib"] for report in found.values()]
    if idle:
        print(f"\nMemory of a broker that has just started: {spread(idle)} MiB.")


main()
