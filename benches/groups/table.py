"""The page of run.sh, from its raw reports: medians of rounds, and of ratios within a round."""
import glob
import json
import statistics
import sys


def load(path):
    with open(path) as file:
        text = file.read()
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return json.loads(text.strip().splitlines()[-1])


def all_of(pattern):
    return [load(path) for path in sorted(glob.glob(f"{sys.argv[1]}/{pattern}.json"))]


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rows(title, lines):
    print(f"## {title}\n\n| what | median (least to most) |\n|---|---|")
    for name, text in lines:
        print(f"| {name} | {text} |")
    print()


def main():
    for kind, title in (("join", "a classic group"), ("join-consumer", "a KIP-848 group")):
        found = all_of(f"{kind}-[0-9]*")
        if not found:
            continue
        lines = [("from the first request until every member has its share, s", spread([one["seconds"] for one in found]))]
        if kind == "join":
            lines.append(("generations it took", spread([one["generations"] for one in found], 0)))
        else:
            lines.append(("answer to a heartbeat meanwhile, p50, ms", spread([1e3 * one["answer_p50"] for one in found])))
            lines.append(("the same, p99, ms", spread([1e3 * one["answer_p99"] for one in found])))
        rows(f"{found[0]['members']} members join {title} of {found[0]['partitions']} partitions", lines)
    quiet, shaken, groups = (all_of(f"{name}-[0-9]*") for name in ("produce-quiet", "produce-shaken", "rebalance-shaken"))
    if shaken:
        p99 = lambda one: one["latency_ms"]["p99"]
        rows(f"50 members rebalance each second beside {statistics.median(one['megabytes_per_second'] for one in shaken):.0f} MB/s of produces", [
            ("p99 of produces beside a quiet group, ms", spread([p99(one) for one in quiet])),
            ("p99 beside the rebalances, ms", spread([p99(one) for one in shaken])),
            ("ratio of neighbouring runs", spread([p99(with_) / p99(without) for without, with_ in zip(quiet, shaken)])),
            ("rebalances of a run", spread([one["rebalances"] for one in groups], 0)),
            ("a rebalance, s (heartbeats each 0.5 s)", spread([one["median_seconds"] for one in groups])),
        ])
    commits = all_of("offsets-commit-[0-9]*")
    if commits:
        memory = lambda name: [one["resident_mib"] for one in all_of(name)]
        before, after = memory("offsets-before-[0-9]*"), memory("offsets-after-[0-9]*")
        log = [one["log_bytes"] / 1e6 for one in all_of("offsets-after-[0-9]*")]
        lines = [
            ("committing, one connection, s", spread([one["seconds"] for one in commits])),
            ("log of the groups, MB", spread(log, 1)),
            ("memory without them, MiB", spread(before, 1)),
            ("memory with them, MiB", spread(after, 1)),
        ]
        for signal, name in (("TERM", "a stop"), ("KILL", "kill -9")):
            checks = all_of(f"offsets-check-{signal}-[0-9]*")
            lines += [
                (f"start after {name} until it listens, s", spread([one["listening_seconds"] for one in checks], 3)),
                (f"after {name}, until the first group's offsets are answered, s", spread([one["first_seconds"] for one in checks], 3)),
                (f"after {name}, until all are answered, s", spread([one["all_seconds"] for one in checks])),
                (f"memory after {name}, MiB", spread(memory(f"offsets-loaded-{signal}-[0-9]*"), 1)),
            ]
        rows(f"{commits[0]['groups']} groups with {commits[0]['offsets']} committed offsets", lines)


main()
