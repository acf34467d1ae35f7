"""answered.py PORT TOPIC: asks the broker on 127.0.0.1:PORT, which may not be there yet, until it answers its first
request (ApiVersions), and until ListOffsets of the last partition of TOPIC succeeds. Prints when that was, both as
nanoseconds since 1970; `-` as TOPIC asks for the first only."""

import socket
import struct
import sys
import time

PORT, TOPIC = int(sys.argv[1]), sys.argv[2]
BEGIN = time.monotonic()
LIMIT_SECONDS = 180


def request(connection, key, version, body):
    head = struct.pack(">hhi", key, version, 1) + struct.pack(">h", 8) + b"answered"
    frame = head + body
    connection.sendall(struct.pack(">i", len(frame)) + frame)
    length = struct.unpack(">i", receive(connection, 4))[0]
    return receive(connection, length)[4:]


def receive(connection, count):
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise OSError("closed")
        found += more
    return found


def until(ready):
    while time.monotonic() - BEGIN < LIMIT_SECONDS:
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=5) as connection:
                found = ready(connection)
                if found is not None:
                    return found
        except OSError:
            pass
        time.sleep(0.002)
    sys.exit(f"no answer within {LIMIT_SECONDS} s")


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def partitions(connection):
    """The number of partitions of TOPIC in Metadata v4, when it is there."""
    reply = request(connection, 3, 4, struct.pack(">i", 1) + string(TOPIC) + b"\0")
    at = 4
    (brokers,) = struct.unpack_from(">i", reply, at)
    at += 4
    for _ in range(brokers):
        at += 4
        at += 2 + struct.unpack_from(">h", reply, at)[0] + 4
        rack = struct.unpack_from(">h", reply, at)[0]
        at += 2 + max(rack, 0)
    cluster = struct.unpack_from(">h", reply, at)[0]
    at += 2 + max(cluster, 0) + 4
    topics, error, name = struct.unpack_from(">ihh", reply, at)
    at += 8 + name + 1
    (count,) = struct.unpack_from(">i", reply, at)
    return count if topics == 1 and error == 0 and count > 0 else None


def served(connection):
    """The end offset of the last partition of TOPIC, when the broker knows it."""
    count = partitions(connection)
    if count is None:
        return None
    body = struct.pack(">ibi", -1, 0, 1) + string(TOPIC) + struct.pack(">iiq", 1, count - 1, -1)
    reply = request(connection, 2, 2, body)
    at = 4 + 4 + 2 + len(TOPIC) + 4
    _, error, _, offset = struct.unpack_from(">ihqq", reply, at)
    return offset if error == 0 else None


until(lambda connection: request(connection, 18, 0, b"")[:2] == b"\0\0" or None)
first = time.time_ns()
if TOPIC != "-":
    until(served)
print(first, time.time_ns())
