"""Groups of Kafka's VerifiableConsumer, each member a process, that grow, are killed one by one, and must read everything.

Usage: rebalance.py BOOTSTRAP JAVA_COMMAND. All kinds of groups go through the same story at the same time.
"""

import collections
import json
import subprocess
import sys
import threading
import time

BOOTSTRAP, JAVA = sys.argv[1], sys.argv[2].split()
PARTITIONS = 3
PATIENCE = 90
RUN = int(time.time())

CLASSIC = ["--session-timeout", "6000"]
KINDS = {
    "eager range": CLASSIC,
    "cooperative-sticky": CLASSIC
    + ["--assignment-strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"],
    "static": CLASSIC,
    "consumer": ["--group-protocol", "consumer"],
}

printing = threading.Lock()


def say(passed, what):
    with printing:
        print(("ok      " if passed else "FAILED  ") + what, flush=True)


class Member:
    """A consumer in a process of its own, and what it told of itself."""

    def __init__(self, topic, group, options, reads):
        self.owned, self.reads = set(), reads
        command = [*JAVA, "org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", BOOTSTRAP]
        command += ["--topic", topic, "--group-id", group, "--verbose", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            partitions = {partition["partition"] for partition in event.get("partitions", []) if "partition" in partition}
            match event.get("name"):
                case "partitions_assigned":
                    self.owned |= partitions
                case "partitions_revoked":
                    self.owned -= partitions
                # Told before the commit.
                case "record_data":
                    self.reads[event["partition"]].add(event["offset"])

    def kill(self):
        self.process.kill()
        self.process.wait()


class Group:
    """A group whose members share a topic of its own."""

    def __init__(self, kind, options):
        self.kind, self.options = kind, options
        self.topic = f"rebalance-{kind.replace(' ', '-')}-{RUN}"
        self.members, self.joined, self.produced = [], 0, 0
        self.reads = collections.defaultdict(set)
        topics = ["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", BOOTSTRAP]
        create = [*JAVA, *topics, "--create", "--topic", self.topic, "--partitions", str(PARTITIONS)]
        subprocess.run(create, check=True, capture_output=True)

    def produce(self, records=20):
        for partition in range(PARTITIONS):
            kcat = ["kcat", "-b", BOOTSTRAP, "-q", "-P", "-t", self.topic, "-p", str(partition)]
            lines = "".join(f"{self.produced + record}\n" for record in range(records))
            subprocess.run(kcat, input=lines, text=True, check=True)
        self.produced += records

    def join(self):
        static = ["--group-instance-id", f"instance-{self.joined}"] if self.kind == "static" else []
        self.members.append(Member(self.topic, self.topic, self.options + static, self.reads))
        self.joined += 1

    def kill_an_owner(self):
        owner = next(member for member in self.members if member.owned)
        self.members.remove(owner)
        owner.kill()

    def eventually(self, what, ready):
        deadline = time.time() + PATIENCE
        while not ready():
            if time.time() > deadline:
                owned = [sorted(member.owned) for member in self.members]
                say(False, f"{self.kind}: {what}: not within {PATIENCE} s; owned: {owned}")
                return
            time.sleep(0.05)
        say(True, f"{self.kind}: {what}")

    def await_shares(self, *sizes):
        def ready():
            shares = [set(member.owned) for member in self.members]
            everything = set().union(*shares)
            return sorted(map(len, shares)) == sorted(sizes) and everything == set(range(PARTITIONS))

        self.eventually(f"{len(self.members)} members own {sorted(sizes)} partitions", ready)

    def await_everything(self):
        everything = set(range(self.produced))
        for partition in range(PARTITIONS):
            self.eventually(f"every record of partition {partition} is read", lambda: self.reads[partition] == everything)

    def live_and_die(self):
        try:
            for size, shares in [(1, [3]), (3, [1, 1, 1]), (5, [0, 0, 1, 1, 1])]:
                while len(self.members) < size:
                    self.join()
                self.produce()
                self.await_shares(*shares)
            for shares in [[0, 1, 1, 1], [1, 1, 1], [1, 2]]:
                self.produce()
                self.kill_an_owner()
                self.produce()
                self.await_shares(*shares)
            self.await_everything()
            self.is_committed()
        except Exception as error:
            say(False, f"{self.kind}: {error!r}")
        finally:
            for member in self.members:
                member.kill()

    def is_committed(self):
        """What Kafka's own tool says of the group."""
        command = ["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", BOOTSTRAP]

        def ready():
            described = [*JAVA, *command, "--describe", "--group", self.topic]
            lines = subprocess.run(described, capture_output=True, text=True).stdout.splitlines()
            rows = [line.split() for line in lines if self.topic in line]
            return sorted((row[2], row[3]) for row in rows) == [
                (str(partition), str(self.produced)) for partition in range(PARTITIONS)
            ]

        self.eventually("the ends are committed", ready)


stories = [threading.Thread(target=Group(kind, options).live_and_die) for kind, options in KINDS.items()]
for story in stories:
    story.start()
for story in stories:
    story.join()
