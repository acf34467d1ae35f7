"""kafka-python against a broker: every codec, keys, headers, offsets by time, seeking, idempotence, admin."""

import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import MessageSizeTooLargeError, TopicAlreadyExistsError

BOOTSTRAP = sys.argv[1]
RUN = str(time.time_ns())
RECORDS = 2_000


def consumer(**settings):
    return KafkaConsumer(
        bootstrap_servers=BOOTSTRAP, enable_auto_commit=False, consumer_timeout_ms=20_000, check_crcs=True, **settings
    )


def read(topic, partition, offset, count):
    """`count` records from `offset` on, without a group."""
    reader = consumer()
    place = TopicPartition(topic, partition)
    reader.assign([place])
    reader.seek(place, offset)
    found = []
    for record in reader:
        found.append(record)
        if len(found) == count:
            break
    reader.close()
    return found


def check(what, expected, found):
    assert expected == found, f"{what}: expected {expected!r}, found {found!r}"
    print("ok", what)


admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
topics = {codec: f"python-{codec}-{RUN}" for codec in ("none", "gzip", "snappy", "lz4", "zstd")}
admin.create_topics([NewTopic(name, 2, 1) for name in topics.values()])
try:
    admin.create_topics([NewTopic(topics["none"], 2, 1)])
    raise AssertionError("a topic was created twice")
except TopicAlreadyExistsError:
    print("ok a topic cannot be created twice")
check("the topics are listed", True, set(topics.values()) <= set(admin.list_topics()))

for codec, topic in topics.items():
    producer = KafkaProducer(
        bootstrap_servers=BOOTSTRAP,
        acks="all",
        linger_ms=20,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=True,
    )
    start_ms = int(time.time() * 1000) - RECORDS
    futures = [
        producer.send(
            topic,
            key=b"key-%d" % number,
            value=b"value-%d" % number * 10,
            headers=[("number", b"%d" % number)],
            partition=number % 2,
            timestamp_ms=start_ms + number,
        )
        for number in range(RECORDS)
    ]
    producer.flush(60)
    offsets = [future.get(10).offset for future in futures]
    check(f"{codec}: acknowledged offsets", [number // 2 for number in range(RECORDS)], offsets)
    producer.close()

    for partition in (0, 1):
        found = [(r.offset, r.key, r.value, r.headers, r.timestamp) for r in read(topic, partition, 0, RECORDS // 2)]
        numbers = range(partition, RECORDS, 2)
        expected = [
            (n // 2, b"key-%d" % n, b"value-%d" % n * 10, [("number", b"%d" % n)], start_ms + n) for n in numbers
        ]
        check(f"{codec}: partition {partition}", expected, found)
    check(f"{codec}: seeking into a batch", 777, read(topic, 0, 777, 1)[0].offset)
    place = TopicPartition(topic, 1)
    reader = consumer()
    check(f"{codec}: end offset", RECORDS // 2, reader.end_offsets([place])[place])
    check(f"{codec}: first offset", 0, reader.beginning_offsets([place])[place])
    by_time = reader.offsets_for_times({place: start_ms + 501})[place]
    check(f"{codec}: offset by time", (250, start_ms + 501), (by_time.offset, by_time.timestamp))
    reader.close()

producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks=1, max_request_size=5_000_000, enable_idempotence=False)
try:
    producer.send(topics["none"], value=bytes(3_000_000)).get(30)
    raise AssertionError("a record of 3 MB was taken")
except MessageSizeTooLargeError:
    print("ok a record above max.message.bytes is refused")

# Two members of a group share the partitions, commit, and a third one goes on from there.
group = "python-group-" + RUN
settings = {"group_id": group, "auto_offset_reset": "earliest"}
members = [consumer(**settings) for _ in range(2)]
for member in members:
    member.subscribe([topics["gzip"]])
# A member that comes later begins again where nobody has committed, and what it commits is where it is.
ends = members[0].end_offsets([TopicPartition(topics["gzip"], partition) for partition in range(2)])


def is_done(member):
    places = member.assignment()
    return bool(places) and all(member.position(place) == ends[place] for place in places)


read_by = {}
while len(read_by) < RECORDS or not all(is_done(member) for member in members):
    for number, member in enumerate(members):
        for place, batch in member.poll(timeout_ms=200).items():
            read_by.update({(place.partition, record.offset): number for record in batch})
for member in members:
    member.commit()
    member.close()
check("a group reads every record", RECORDS, len(read_by))
late = KafkaProducer(bootstrap_servers=BOOTSTRAP)
late.send(topics["gzip"], value=b"late", partition=1).get(30)
heir = consumer(**settings)
heir.subscribe([topics["gzip"]])
check("the group goes on with what is new", b"late", next(heir).value)
heir.close()
check("the group is listed", True, group in [listed[0] for listed in admin.list_consumer_groups()])

admin.delete_topics([topics["none"]])
for _ in range(100):
    if topics["none"] not in admin.list_topics():
        break
    time.sleep(0.1)
check("a deleted topic is gone", False, topics["none"] in admin.list_topics())
