"""A small Kafka client for load on group coordinators: asyncio, requests of groups and offsets only."""
import asyncio
import struct

FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC, COMMIT, FETCH_OFFSETS, CONSUMER_HEARTBEAT = 10, 11, 12, 13, 14, 8, 9, 68
RETRIABLE = (14, 15, 16)
REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, MEMBER_ID_REQUIRED = 27, 22, 25, 79


def string(text):
    if text is None:
        return struct.pack(">h", -1)
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded


def data(value):
    return struct.pack(">i", len(value)) + value


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def uvarint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def compact(text):
    return b"\0" if text is None else uvarint(len(text.encode()) + 1) + text.encode()


def compact_array(items):
    return b"\0" if items is None else uvarint(len(items) + 1) + b"".join(items)


class Reader:
    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, form):
        (value,) = struct.unpack_from(">" + form, self.body, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def bytes(self, length):
        self.at += length
        return self.body[self.at - length : self.at]

    def string(self):
        length = self.take("h")
        return None if length < 0 else self.bytes(length).decode()

    def data(self):
        return self.bytes(self.take("i"))

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def compact(self):
        length = self.uvarint()
        return None if length == 0 else self.bytes(length - 1).decode()

    def tags(self):
        for _ in range(self.uvarint()):
            self.uvarint()
            self.bytes(self.uvarint())


class Connection:
    """Requests in order on one socket; several may be in flight."""

    @classmethod
    async def open(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
        self.correlation, self.turn = 0, asyncio.Lock()
        return self

    def send(self, key, version, body, flexible=False):
        self.correlation += 1
        header = struct.pack(">hhi", key, version, self.correlation) + string("bench") + (b"\0" if flexible else b"")
        self.writer.write(struct.pack(">i", len(header) + len(body)) + header + body)

    async def receive(self, flexible=False):
        (length,) = struct.unpack(">i", await self.reader.readexactly(4))
        reader = Reader(await self.reader.readexactly(length))
        reader.take("i")
        if flexible:
            reader.tags()
        return reader

    async def ask(self, key, version, body, flexible=False):
        async with self.turn:
            self.send(key, version, body, flexible)
            return await self.receive(flexible)

    def close(self):
        self.writer.close()


async def await_coordinator(connection, group):
    """The topic of the groups is created with the first question."""
    while True:
        reply = await connection.ask(FIND_COORDINATOR, 1, string(group) + b"\0")
        reply.take("i")
        if reply.take("h") == 0:
            return
        await asyncio.sleep(0.02)


class Member:
    """A member of a classic group, as clients behave: join, sync, heartbeats, again when told."""

    def __init__(self, port, group, topic, partitions, heartbeat):
        self.port, self.group, self.topic, self.partitions = port, group, topic, partitions
        self.heartbeat_interval = heartbeat
        self.id, self.generation, self.is_leader, self.synced = "", -1, False, 0
        self.share = 0
        self.changed = lambda: None

    async def run(self):
        self.connection = await Connection.open(self.port)
        while True:
            if await self.join():
                await self.heartbeats()

    async def join(self):
        subscription = struct.pack(">h", 0) + array([string(self.topic)]) + data(b"")
        while True:
            body = string(self.group) + struct.pack(">ii", 45_000, 300_000) + string(self.id) + string(None)
            body += string("consumer") + array([string("range") + data(subscription)])
            reply = await self.connection.ask(JOIN, 5, body)
            reply.take("i")
            error, generation = reply.take("h"), reply.take("i")
            reply.string()
            leader, member_id = reply.string(), reply.string()
            if error == 0:
                break
            if error == MEMBER_ID_REQUIRED:
                self.id = member_id
            elif error == UNKNOWN_MEMBER_ID:
                self.id = ""
            elif error in RETRIABLE:
                await asyncio.sleep(0.02)
            elif error != REBALANCE_IN_PROGRESS:
                raise RuntimeError(f"JoinGroup: error {error}")
        self.id, self.generation, self.is_leader = member_id, generation, leader == member_id
        members = []
        for _ in range(reply.take("i")):
            members.append(reply.string())
            reply.string()
            reply.data()
        return await self.sync(self.assign(members) if self.is_leader else [])

    def assign(self, members):
        shares = [range(index, self.partitions, len(members)) for index in range(len(members))]
        encode = lambda share: struct.pack(">h", 0) + array(
            [string(self.topic) + array([struct.pack(">i", partition) for partition in share])]) + data(b"")
        return [string(member) + data(encode(share)) for member, share in zip(members, shares)]

    async def sync(self, assignments):
        body = string(self.group) + struct.pack(">i", self.generation) + string(self.id) + string(None)
        reply = await self.connection.ask(SYNC, 3, body + array(assignments))
        reply.take("i")
        error = reply.take("h")
        if error == UNKNOWN_MEMBER_ID:
            self.id = ""
        if error != 0:
            return False
        self.share = len(reply.data())
        self.synced = self.generation
        self.changed()
        return True

    async def leave(self):
        await self.connection.ask(LEAVE, 3, string(self.group) + array([string(self.id) + string(None)]))

    async def heartbeats(self):
        while True:
            await asyncio.sleep(self.heartbeat_interval)
            body = string(self.group) + struct.pack(">i", self.generation) + string(self.id) + string(None)
            reply = await self.connection.ask(HEARTBEAT, 3, body)
            reply.take("i")
            error = reply.take("h")
            if error == UNKNOWN_MEMBER_ID:
                self.id = ""
            if error in (REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID):
                return


class ConsumerMember:
    """A member of a KIP-848 group: heartbeats, each at the broker's interval."""

    def __init__(self, port, group, topic, number):
        self.port, self.group, self.topic = port, group, topic
        self.id, self.epoch, self.owned = f"member-{number:06}-of-the-bench", 0, []
        self.answer_seconds = []
        self.changed = lambda: None

    async def run(self):
        self.connection = await Connection.open(self.port)
        loop, is_first = asyncio.get_running_loop(), True
        while True:
            owned = [uuid + compact_array([struct.pack(">i", index) for index in share]) + b"\0" for uuid, share in self.owned]
            body = compact(self.group) + compact(self.id) + struct.pack(">i", self.epoch) + b"\0\0"
            body += struct.pack(">i", 300_000 if is_first else -1)
            body += compact_array([compact(self.topic)] if is_first else None) + b"\0" + compact_array(owned) + b"\0"
            began = loop.time()
            reply = await self.connection.ask(CONSUMER_HEARTBEAT, 0, body, flexible=True)
            self.answer_seconds.append(loop.time() - began)
            reply.take("i")
            error, message = reply.take("h"), reply.compact()
            if error in RETRIABLE:
                await asyncio.sleep(0.02)
                continue
            if error != 0:
                raise RuntimeError(f"ConsumerGroupHeartbeat: error {error}, {message}")
            reply.compact()
            self.epoch, interval = reply.take("i"), reply.take("i")
            is_first = False
            if reply.take("b") >= 0:
                self.owned = []
                for _ in range(reply.uvarint() - 1):
                    uuid = reply.bytes(16)
                    share = [reply.take("i") for _ in range(reply.uvarint() - 1)]
                    reply.tags()
                    self.owned.append((uuid, share))
                self.changed()
                # What was given or given up is said at once.
                continue
            self.changed()
            await asyncio.sleep(interval / 1000)
