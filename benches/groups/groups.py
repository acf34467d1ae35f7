"""Load on group coordinators; each command prints one line of JSON. See run.sh.

  groups.py PORT join MEMBERS TOPIC PARTITIONS           a classic group until all share one generation
  groups.py PORT join-consumer MEMBERS TOPIC PARTITIONS  a KIP-848 group until all partitions are owned
  groups.py PORT rebalance MEMBERS TOPIC PARTITIONS SECONDS INTERVAL
                                                         a classic group that rebalances every INTERVAL seconds,
                                                         with 0 never; prints a line when all have joined
  groups.py PORT commit GROUPS TOPIC PARTITIONS          commits every partition in every group
  groups.py PORT check GROUPS TOPIC PARTITIONS BEGAN     how long since BEGAN, in nanoseconds since 1970, until
                                                         every group's offsets are answered
"""
import asyncio
import json
import struct
import sys
import time

from wire import (COMMIT, FETCH_OFFSETS, RETRIABLE, ConsumerMember, Connection, Member, array, await_coordinator, string)

IN_FLIGHT = 100


def report(**values):
    print(json.dumps({name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}), flush=True)


async def until(members, is_there, tasks):
    """Waits until the members are as wanted; one that failed ends the wait."""
    there = asyncio.Event()

    def look():
        if is_there():
            there.set()

    for member in members:
        member.changed = look
    waiting = asyncio.ensure_future(there.wait())
    await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            task.result()
    assert there.is_set()


def begin(members):
    return [asyncio.ensure_future(member.run()) for member in members]


def is_one_generation(members):
    # The member that came first to a generation looks at all others only when the last has come.
    generation = members[0].generation
    return all(member.synced == generation and member.generation == generation for member in members)


async def join(port, count, topic, partitions, heartbeat=1.0):
    await await_coordinator(await Connection.open(port), "joined")
    members = [Member(port, "joined", topic, partitions, heartbeat) for _ in range(count)]
    began = time.monotonic()
    tasks = begin(members)
    await until(members, lambda: is_one_generation(members), tasks)
    report(what="join", members=count, partitions=partitions, seconds=time.monotonic() - began, generations=members[0].generation)


async def join_consumer(port, count, topic, partitions):
    await await_coordinator(await Connection.open(port), "consumed")
    members = [ConsumerMember(port, "consumed", topic, number) for number in range(count)]
    began = time.monotonic()
    tasks = begin(members)

    def is_shared():
        if sum(len(share) for member in members for _, share in member.owned) != partitions:
            return False
        owned = {(uuid, index) for member in members for uuid, share in member.owned for index in share}
        return len(owned) == partitions and min(count, partitions) <= sum(1 for member in members if member.owned)

    await until(members, is_shared, tasks)
    answers = sorted(seconds for member in members for seconds in member.answer_seconds)
    report(what="join-consumer", members=count, partitions=partitions, seconds=time.monotonic() - began,
           epoch=max(member.epoch for member in members), answers=len(answers),
           answer_p50=answers[len(answers) // 2], answer_p99=answers[len(answers) * 99 // 100], answer_max=answers[-1])


async def rebalance(port, count, topic, partitions, seconds, interval):
    await await_coordinator(await Connection.open(port), "shaken")
    members = [Member(port, "shaken", topic, partitions, 0.5) for _ in range(count)]
    tasks = begin(members)
    await until(members, lambda: is_one_generation(members), tasks)
    report(what="ready")
    end, times, first = time.monotonic() + seconds, [], members[0].generation
    while time.monotonic() < end:
        if interval == 0:
            await asyncio.sleep(0.1)
            continue
        began = time.monotonic()
        leader = next(index for index, member in enumerate(members) if member.is_leader)
        # A leader that joins again has the whole group rebalance.
        tasks[leader].cancel()
        await asyncio.gather(tasks[leader], return_exceptions=True)
        members[leader].connection.close()
        tasks[leader] = asyncio.ensure_future(members[leader].run())
        target = members[leader].generation
        await until(members, lambda: target < members[0].generation and is_one_generation(members), tasks)
        times.append(time.monotonic() - began)
        await asyncio.sleep(max(0, interval - times[-1]))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for member in members:
        # On a connection of its own: what was cancelled may have left an answer unread.
        member.connection.close()
        member.connection = await Connection.open(port)
        await member.leave()
    times.sort()
    report(what="rebalance", members=count, generations=members[0].generation - first, rebalances=len(times),
           median_seconds=times[len(times) // 2] if times else 0, max_seconds=times[-1] if times else 0)


async def commit(port, groups, topic, partitions):
    connection = await Connection.open(port)
    await await_coordinator(connection, "group-0")
    began, errors = time.monotonic(), 0
    for first in range(0, groups, IN_FLIGHT):
        batch = range(first, min(first + IN_FLIGHT, groups))
        for group in batch:
            committed = [struct.pack(">iqi", partition, 1_000 + group, -1) + string("") for partition in range(partitions)]
            body = string(f"group-{group}") + struct.pack(">i", -1) + string("") + string(None)
            connection.send(COMMIT, 7, body + array([string(topic) + array(committed)]))
        for _ in batch:
            reply = await connection.receive()
            reply.take("i")
            reply.take("i")
            reply.string()
            for _ in range(reply.take("i")):
                reply.take("i")
                errors += reply.take("h") != 0
    assert errors == 0, f"{errors} refused"
    report(what="commit", groups=groups, offsets=groups * partitions, seconds=time.monotonic() - began)


async def check(port, groups, topic, partitions, began):
    began /= 1e9
    while True:
        try:
            connection = await Connection.open(port)
            break
        except OSError:
            await asyncio.sleep(0.005)
    listening, left = time.time() - began, list(range(groups))
    first = None
    while left:
        again = []
        for at in range(0, len(left), IN_FLIGHT):
            batch = left[at : at + IN_FLIGHT]
            for group in batch:
                asked = array([struct.pack(">i", partition) for partition in range(partitions)])
                connection.send(FETCH_OFFSETS, 5, string(f"group-{group}") + array([string(topic) + asked]))
            for group in batch:
                reply = await connection.receive()
                reply.take("i")
                found = []
                for _ in range(reply.take("i")):
                    reply.string()
                    for _ in range(reply.take("i")):
                        reply.take("i")
                        found.append(reply.take("q"))
                        reply.take("i")
                        reply.string()
                        reply.take("h")
                error = reply.take("h")
                if error in RETRIABLE:
                    again.append(group)
                    continue
                assert error == 0 and found == [1_000 + group] * partitions, (group, error, found)
                first = first or time.time() - began
        left = again
    report(what="check", groups=groups, listening_seconds=listening, first_seconds=first, all_seconds=time.time() - began)


COMMANDS = {"join": join, "join-consumer": join_consumer, "rebalance": rebalance, "commit": commit, "check": check}


def main():
    port, command, *arguments = sys.argv[1:]
    numbers = [argument if not argument.replace(".", "").isdigit() else float(argument) if "." in argument else int(argument) for argument in arguments]
    asyncio.run(COMMANDS[command](int(port), *numbers))


main()
