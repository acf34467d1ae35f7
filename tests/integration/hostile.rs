//! Bad input, named case by case: each gets Kafka's error, or a closed connection where Kafka closes it, and
//! a healthy connection beside it never notices.

use std::io::Write;
use std::net::Shutdown;

use crate::harness::batch::RawBatch;
use crate::harness::broker::Broker;
use crate::harness::requests::{self, produce, produce_body};
use crate::harness::wire::{self, Body, Wire, api, flexible};
use crate::harness::{PATIENCE, clients, eventually, now_ms};

/// Error codes of the wire that these tests look for.
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_REQUIRED_ACKS: i16 = 21;
const UNKNOWN_MEMBER_ID: i16 = 25;
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_REQUEST: i16 = 42;
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const INVALID_RECORD: i16 = 87;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// A broker with one topic of one partition, and a connection whose requests must always be answered.
struct Scene {
    broker: Broker,
    healthy: Wire,
    produced: i64,
}

impl Scene {
    fn new() -> Self {
        let broker = Broker::start(2, &[("auto.create.topics.enable", "false")]);
        clients::create_topic(&broker.bootstrap(), "victim", 1, &[("max.message.bytes", "10000")]);
        let healthy = Wire::connect(broker.address());
        let mut scene = Self { broker, healthy, produced: 0 };
        scene.is_unharmed("at first");
        scene
    }

    /// A connection that will misbehave.
    fn wire(&self) -> Wire {
        Wire::connect(self.broker.address())
    }

    /// A connection to the coordinator of a group, which is ready.
    fn coordinated(&self, group: &str) -> Wire {
        let mut wire = self.wire();
        eventually("the group has a coordinator", PATIENCE, || {
            let found = wire.request(api(10, 0), &Body::new().string(group)).i16();
            let heartbeat = Body::new().string(group).i32(1).string("member");
            let known = wire.request(api(12, 0), &heartbeat).i16();
            (found == 0 && known == UNKNOWN_MEMBER_ID).then_some(())
        });
        wire
    }

    /// The other connection is served, and exactly its records are in the log.
    fn is_unharmed(&mut self, after: &str) {
        let batch = RawBatch::of(&[b"healthy"], now_ms());
        let offset = requests::produce_ok(&mut self.healthy, "victim", 0, &batch);
        assert_eq!(offset, self.produced, "records appeared {after}");
        self.produced += 1;
        let fetched = requests::fetch(&mut self.healthy, "victim", 0, 0);
        assert_eq!((fetched.error_code, fetched.high_watermark), (0, self.produced), "{after}");
    }

    /// A produce of these bytes is refused with this error.
    fn refuses_records(&mut self, records: &[u8], error_code: i16, case: &str) {
        let produced = produce(&mut self.wire(), "victim", 0, records);
        assert_eq!(produced.error_code, error_code, "{case}");
        self.is_unharmed(case);
    }

    /// The broker closes a connection on which these bytes arrive.
    fn closes_after(&mut self, bytes: &[u8], case: &str) {
        let mut wire = self.wire();
        // The broker may close before it has read everything.
        _ = wire.stream().write_all(bytes);
        assert!(wire.is_closed(), "{case}: the connection is still open");
        self.is_unharmed(case);
    }
}

#[test]
fn frames_with_wrong_lengths_close_their_connection() {
    let mut scene = Scene::new();
    scene.closes_after(&(-1_i32).to_be_bytes(), "a negative length");
    scene.closes_after(&i32::MIN.to_be_bytes(), "the most negative length");
    scene.closes_after(&i32::MAX.to_be_bytes(), "a length of 2 GiB");
    scene.closes_after(&(104_857_600_i32 + 1).to_be_bytes(), "a length above socket.request.max.bytes");
    scene.closes_after(&[0, 0, 0, 0], "an empty frame");
    scene.closes_after(&[0, 0, 0, 3, 0, 18, 0], "a frame shorter than a header");
    scene.closes_after(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", "another protocol");
}

#[test]
fn a_frame_that_ends_early_harms_nobody() {
    let mut scene = Scene::new();
    let mut wire = scene.wire();
    let frame = wire.frame(wire::PRODUCE_V7, &produce_body("victim", 0, -1, &[0; 100]));
    for length in [1, 4, 10, frame.len() / 2, frame.len() - 1] {
        let mut wire = scene.wire();
        wire.stream().write_all(&frame[..length]).expect("the broker reads");
        wire.stream().shutdown(Shutdown::Write).expect("the connection is open");
        assert!(wire.is_closed(), "after {length} of {} bytes", frame.len());
        scene.is_unharmed("a frame that ends early");
    }
}

#[test]
fn bodies_that_do_not_parse_close_their_connection() {
    let mut scene = Scene::new();
    let produce = produce_body("victim", 0, -1, &[]);
    let cases: Vec<(&str, wire::Api, Body)> = vec![
        ("Produce cut in the middle", wire::PRODUCE_V7, Body(produce.0[..produce.0.len() - 6].to_vec())),
        ("Produce with two thousand million topics", wire::PRODUCE_V7, {
            Body::new().null_string().i16(-1).i32(1_000).i32(i32::MAX)
        }),
        ("Produce with a string longer than the frame", wire::PRODUCE_V7, {
            Body::new().null_string().i16(-1).i32(1_000).i32(1).i16(i16::MAX)
        }),
        ("Produce with records longer than the frame", wire::PRODUCE_V7, {
            let body = Body::new().null_string().i16(-1).i32(1_000);
            body.i32(1).string("victim").i32(1).i32(0).i32(i32::MAX)
        }),
        ("Metadata with two thousand million topics", wire::METADATA_V8, Body::new().i32(i32::MAX)),
        ("Metadata with a huge compact array", wire::METADATA_V12, Body::new().uvarint(u32::MAX)),
        ("Metadata with an endless varint", wire::METADATA_V12, Body(vec![0xff; 20])),
        ("Fetch with nothing in it", wire::FETCH_V11, Body::new()),
        ("Fetch with two thousand million partitions", wire::FETCH_V11, {
            let body = Body::new().i32(-1).i32(0).i32(1).i32(1_000).i8(0).i32(0).i32(-1);
            body.i32(1).string("victim").i32(i32::MAX)
        }),
        ("CreateTopics with two thousand million topics", wire::CREATE_TOPICS_V4, Body::new().i32(i32::MAX)),
        ("Metadata with a name that is no UTF-8", wire::METADATA_V8, {
            let mut body = Body::new().i32(1).i16(2);
            body.0.extend([0xc3, 0x28]);
            body.i8(0).i8(0).i8(0)
        }),
    ];
    for (case, api, body) in cases {
        let mut wire = scene.wire();
        wire.send(api, &body);
        // Kafka takes bytes that are no UTF-8 and answers; either way nobody is harmed.
        assert!(wire.is_closed() || case.contains("UTF-8"), "{case}: the connection is still open");
        scene.is_unharmed(case);
    }
}

#[test]
fn unknown_requests_and_versions_are_refused() {
    let mut scene = Scene::new();
    for (case, unknown) in [
        ("an unknown API", api(999, 0)),
        ("a negative API", api(-1, 0)),
        ("a retired API", api(4, 0)),
        ("a version that is too new", api(3, 99)),
        ("a negative version", api(3, -1)),
        ("a version that is too old", api(1, 0)),
        ("a Produce version that is only advertised", api(0, 0)),
    ] {
        let mut wire = scene.wire();
        wire.send(unknown, &Body::new());
        assert!(wire.is_closed(), "{case}: the connection is still open");
        scene.is_unharmed(case);
    }
}

#[test]
fn who_speaks_another_protocol_is_named_in_the_log() {
    let mut scene = Scene::new();
    let hello = [22, 3, 1, 0, 5, 1, 0, 0, 1, 3];
    for (bytes, case) in [
        (b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".as_slice(), "looks like HTTP"),
        (&hello, "looks like a TLS handshake: this listener is PLAINTEXT"),
    ] {
        scene.closes_after(bytes, case);
        eventually(case, PATIENCE, || scene.broker.output().contains(case).then_some(()));
    }
}

#[test]
fn an_api_versions_request_that_is_too_new_is_told_what_there_is() {
    let scene = Scene::new();
    let mut wire = scene.wire();
    let mut reply = wire.request(flexible(18, 99), &Body::new());
    assert_eq!(reply.i16(), UNSUPPORTED_VERSION);
    assert_eq!(reply.i32(), 1, "one API, so that the client learns the range");
    assert_eq!((reply.i16(), reply.i16()), (18, 0));
    assert!(reply.i16() >= 3);
    assert_eq!(reply.remaining(), 0, "the answer has the shape of version 0");
    assert!(wire.api_versions().expect("the connection goes on").len() > 10);
}

#[test]
fn batches_with_a_wrong_checksum_length_or_magic_are_refused() {
    let mut scene = Scene::new();
    let right = RawBatch::of(&[b"one", b"two", b"three"], now_ms());

    for position in [17, 30, 61, 75] {
        let mut bytes = right.encode();
        bytes[position] ^= 0x10;
        scene.refuses_records(&bytes, CORRUPT_MESSAGE, &format!("a flipped bit at {position}"));
    }
    let mut longer = right.encode();
    longer[8..12].copy_from_slice(&10_000_i32.to_be_bytes());
    scene.refuses_records(&longer, INVALID_RECORD, "a length beyond the records");
    let mut shorter = right.encode();
    shorter[8..12].copy_from_slice(&20_i32.to_be_bytes());
    scene.refuses_records(&shorter, CORRUPT_MESSAGE, "a length below a header");
    let mut negative = right.encode();
    negative[8..12].copy_from_slice(&(-5_i32).to_be_bytes());
    scene.refuses_records(&negative, CORRUPT_MESSAGE, "a negative length");
    // Once ended the broker: nothing was validated, and the log was asked to append nothing.
    scene.refuses_records(&[], INVALID_RECORD, "no batch at all");
    let two = [right.encode(), right.encode()].concat();
    scene.refuses_records(&two, INVALID_RECORD, "two batches for one partition");
    let cut = right.encode();
    scene.refuses_records(&cut[..cut.len() - 5], INVALID_RECORD, "a batch that ends early");
    for (magic, error_code) in
        [(0, INVALID_RECORD), (1, INVALID_RECORD), (3, CORRUPT_MESSAGE), (-1, CORRUPT_MESSAGE)]
    {
        let wrong = RawBatch { magic, ..right.clone() };
        scene.refuses_records(&wrong.encode(), error_code, &format!("magic {magic}"));
    }
}

#[test]
fn batches_whose_contents_do_not_fit_their_header_are_refused() {
    let mut scene = Scene::new();
    let right = RawBatch::of(&[b"one", b"two", b"three"], now_ms());

    let cases = [
        ("a count that is too high", RawBatch { record_count: 4, last_offset_delta: 3, ..right.clone() }),
        ("a count that is too low", RawBatch { record_count: 2, last_offset_delta: 1, ..right.clone() }),
        ("a last offset against the count", RawBatch { last_offset_delta: 7, ..right.clone() }),
        (
            "no records at all",
            RawBatch { record_count: 0, last_offset_delta: 0, records: vec![], ..right.clone() },
        ),
        ("a negative count", RawBatch { record_count: -3, ..right.clone() }),
        ("a control batch of a client", RawBatch { attributes: 0x20, ..right.clone() }),
    ];
    for (case, batch) in cases {
        scene.refuses_records(&batch.encode(), INVALID_RECORD, case);
    }
    let transactional =
        RawBatch { attributes: 0x10, producer_id: 5, producer_epoch: 0, base_sequence: 0, ..right.clone() };
    scene.refuses_records(
        &transactional.encode(),
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        "a transaction that nobody coordinates",
    );
    // Differs from Kafka, which takes such a batch when it is not compressed and numbers its records wrongly.
    let mut gap = right.clone();
    gap.records[1].offset_delta = 5;
    scene.refuses_records(&gap.encode(), INVALID_RECORD, "offsets that are not dense");
    let mut twice = right;
    twice.records[2].offset_delta = 1;
    scene.refuses_records(&twice.encode(), INVALID_RECORD, "an offset twice");
}

#[test]
fn oversized_batches_are_refused() {
    let mut scene = Scene::new();
    let value = vec![b'x'; 11_000];
    scene.refuses_records(
        &RawBatch::of(&[&value], now_ms()).encode(),
        MESSAGE_TOO_LARGE,
        "an oversized record",
    );
}

#[test]
fn produce_to_what_is_not_there_is_refused() {
    let mut scene = Scene::new();
    let records = RawBatch::of(&[b"x"], now_ms()).encode();
    for (topic, partition) in
        [("unknown", 0), ("victim", 1), ("victim", -1), ("victim", i32::MAX), ("with space", 0), ("", 0)]
    {
        let produced = produce(&mut scene.wire(), topic, partition, &records);
        assert_eq!(produced.error_code, UNKNOWN_TOPIC_OR_PARTITION, "{topic}-{partition}");
        let fetched = requests::fetch(&mut scene.wire(), topic, partition, 0);
        assert_eq!(fetched.error_code, UNKNOWN_TOPIC_OR_PARTITION, "{topic}-{partition}");
        let (error_code, ..) = requests::list_offset(&mut scene.wire(), topic, partition, -1);
        assert_eq!(error_code, UNKNOWN_TOPIC_OR_PARTITION, "{topic}-{partition}");
        scene.is_unharmed("a partition that is not there");
    }
}

#[test]
fn acks_other_than_all_one_and_none_are_refused() {
    let mut scene = Scene::new();
    let records = RawBatch::of(&[b"x"], now_ms()).encode();
    for acks in [2, -2, i16::MAX, i16::MIN] {
        let mut reply = scene.wire().request(wire::PRODUCE_V7, &produce_body("victim", 0, acks, &records));
        assert_eq!(requests::read_produced(&mut reply).error_code, INVALID_REQUIRED_ACKS, "acks={acks}");
        scene.is_unharmed("wrong acks");
    }
}

#[test]
fn without_acks_an_error_closes_the_connection() {
    let mut scene = Scene::new();
    let mut bytes = RawBatch::of(&[b"x"], now_ms()).encode();
    bytes[61] ^= 1;
    let mut wire = scene.wire();
    wire.send(wire::PRODUCE_V7, &produce_body("victim", 0, 0, &bytes));
    assert!(wire.is_closed(), "a client that asks for no answer learns of errors by a closed connection");
    scene.is_unharmed("a broken batch with acks=0");
}

#[test]
fn unknown_topic_ids_are_refused() {
    let mut scene = Scene::new();
    let id = 0x1234_5678_9abc_def0_1122_3344_5566_7788;

    let fetch = Body::new().i32(0).i32(1).i32(1_000_000).i8(0).i32(0).i32(-1);
    let partition = Body::new().i32(0).i32(-1).i64(0).i32(-1).i64(-1).i32(1_000).tags();
    let mut fetch = fetch.compact_len(Some(1)).uuid(id).compact_len(Some(1));
    fetch.0.extend(&partition.0);
    let fetch = fetch.tags().compact_len(Some(0)).compact_string(Some("")).tags();
    let mut reply = scene.wire().request(wire::FETCH_V13, &with_replica_id(&fetch));
    reply.i32();
    assert_eq!(reply.i16(), 0, "error code of Fetch");
    reply.i32();
    assert_eq!(reply.compact_len(), 1, "one topic");
    assert_eq!(reply.uuid(), id);
    assert_eq!(reply.compact_len(), 1, "one partition");
    reply.i32();
    assert_eq!(reply.i16(), UNKNOWN_TOPIC_ID);

    let records = RawBatch::of(&[b"x"], now_ms()).encode();
    let produce = Body::new().compact_string(None).i16(-1).i32(5_000).compact_len(Some(1)).uuid(id);
    let produce = produce.compact_len(Some(1)).i32(0).compact_bytes(&records).tags().tags().tags();
    let mut reply = scene.wire().request(wire::PRODUCE_V13, &produce);
    assert_eq!(reply.compact_len(), 1, "one topic");
    assert_eq!(reply.uuid(), id);
    assert_eq!(reply.compact_len(), 1, "one partition");
    reply.i32();
    assert_eq!(reply.i16(), UNKNOWN_TOPIC_ID);
    scene.is_unharmed("an unknown topic id");
}

/// Fetch before v15 begins with the replica's id.
fn with_replica_id(fetch: &Body) -> Body {
    let mut body = Body::new().i32(-1);
    body.0.extend(&fetch.0);
    body
}

#[test]
fn a_failing_produce_without_answer_ends_a_connection_behind_earlier_answers() {
    let mut scene = Scene::new();
    let records = RawBatch::of(&[b"lost"], now_ms()).encode();
    let mut wire = scene.wire();
    let mut frames = wire.frame(wire::API_VERSIONS_V2, &Body::new());
    frames.extend(wire.frame(wire::PRODUCE_V7, &produce_body("missing", 0, 0, &records)));
    wire.stream().write_all(&frames).expect("the broker reads");
    let mut reply = wire.any_reply().expect("what came first is answered");
    assert_eq!(reply.i32(), 1, "correlation id");
    assert!(wire.is_closed(), "the connection is still open");
    scene.is_unharmed("after a failed acks=0");
}

#[test]
fn what_is_named_again_and_again_is_not_answered_without_bound() {
    const TIMES: i32 = 50_000;
    const BROKER: i8 = 4;
    let mut scene = Scene::new();
    let mut wire = scene.wire();
    let all = (0..TIMES).fold(Body::new().i32(TIMES), |body, _| body.i8(BROKER).string("1").i32(-1));
    wire.send(api(32, 1), &all.i8(0));
    scene.is_unharmed("while many configs are described");
    let mut reply = wire.reply(api(32, 1)).expect("it is answered");
    reply.i32();
    assert_eq!(reply.i32(), TIMES);
    let mut outcomes = Vec::new();
    for _ in 0..TIMES {
        let error_code = reply.i16();
        _ = (reply.string(), reply.i8(), reply.string());
        let configs = reply.i32();
        for _ in 0..configs {
            _ = (reply.string(), reply.string(), reply.i8(), reply.i8(), reply.i8());
            assert_eq!(reply.i32(), 0, "synonyms, which nobody asked for");
        }
        outcomes.push((error_code, 0 < configs));
    }
    assert_eq!((outcomes[0], *outcomes.last().unwrap()), ((0, true), (INVALID_REQUEST, false)));
    outcomes.dedup();
    assert_eq!(outcomes, [(0, true), (INVALID_REQUEST, false)], "the first ones are answered");

    let mut reply = wire.request(api(15, 0), &Body::new().i32(3).string("a").string("b").string("a"));
    assert_eq!(reply.i32(), 2, "groups described");
}

#[test]
fn offsets_of_a_partition_that_is_named_twice_are_not_listed() {
    let mut scene = Scene::new();
    let partition = |body: Body, index| body.i32(index).i32(-1).i64(-1);
    let body = Body::new().i32(-1).i8(0).i32(1).string("victim").i32(3);
    let body = partition(partition(partition(body, 1), 0), 1);
    let mut reply = scene.wire().request(wire::LIST_OFFSETS_V5, &body);
    reply.i32();
    assert_eq!(reply.i32(), 1, "one topic");
    reply.string();
    let answers = (0..reply.i32()).map(|_| {
        let answer = (reply.i32(), reply.i16());
        _ = (reply.i64(), reply.i64(), reply.i32());
        answer
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers, [(1, INVALID_REQUEST), (0, 0), (1, INVALID_REQUEST)]);
    scene.is_unharmed("after a partition named twice");
}

#[test]
fn a_transactional_produce_without_answer_ends_its_connection() {
    let mut scene = Scene::new();
    let records = RawBatch::of(&[b"lost"], now_ms()).encode();
    let head = Body::new().string("transaction").i16(0).i32(30_000);
    let body = head.i32(1).string("victim").i32(1).i32(0).bytes(&records);
    let mut wire = scene.wire();
    wire.send(wire::PRODUCE_V7, &body);
    assert!(wire.is_closed(), "the connection is still open");
    scene.is_unharmed("after a transactional acks=0");
}

#[test]
fn half_a_producer_id_is_refused() {
    let mut scene = Scene::new();
    for (id, epoch, error_code) in
        [(-1, -1, 0), (7, 3, 0), (-1, 3, INVALID_REQUEST), (7, -1, INVALID_REQUEST)]
    {
        let body = Body::new().compact_string(None).i32(60_000).i64(id).i16(epoch).tags();
        let mut reply = scene.wire().request(flexible(22, 3), &body);
        reply.i32();
        assert_eq!(reply.i16(), error_code, "id {id}, epoch {epoch}");
    }
    scene.is_unharmed("after half a producer id");
}

#[test]
fn a_member_that_does_not_name_its_protocol_cannot_sync() {
    const INCONSISTENT_GROUP_PROTOCOL: i16 = 23;
    let mut scene = Scene::new();
    let mut coordinated = scene.coordinated("group");
    let cases = [
        (None, Some("range"), INCONSISTENT_GROUP_PROTOCOL),
        (Some("consumer"), None, INCONSISTENT_GROUP_PROTOCOL),
        (Some("consumer"), Some("range"), UNKNOWN_MEMBER_ID),
    ];
    for (protocol_type, protocol_name, expected) in cases {
        let head = Body::new().compact_string(Some("group")).i32(1).compact_string(Some("member"));
        let body = head.compact_string(None).compact_string(protocol_type).compact_string(protocol_name);
        let mut reply = coordinated.request(flexible(14, 5), &body.compact_len(Some(0)).tags());
        reply.i32();
        assert_eq!(reply.i16(), expected, "{protocol_type:?} {protocol_name:?}");
    }
    scene.is_unharmed("after members without a protocol");
}

#[test]
fn offsets_of_a_partition_that_is_not_there_are_not_deleted() {
    let mut scene = Scene::new();
    let mut wire = scene.coordinated("group");
    // A commit makes the group.
    let commit = Body::new().string("group").i32(-1).string("").i64(-1);
    let commit = commit.i32(1).string("victim").i32(1).i32(0).i64(5).null_string();
    let mut reply = wire.request(api(8, 2), &commit);
    assert_eq!(reply.i32(), 1, "one topic");
    _ = (reply.string(), reply.i32(), reply.i32());
    assert_eq!(reply.i16(), 0, "error code of the commit");
    let delete = Body::new().string("group").i32(1).string("victim").i32(2).i32(0).i32(1);
    let mut reply = wire.request(api(47, 0), &delete);
    assert_eq!((reply.i16(), reply.i32(), reply.i32()), (0, 0, 1), "error, throttle time, topics");
    reply.string();
    let answers: Vec<_> = (0..reply.i32()).map(|_| (reply.i32(), reply.i16())).collect();
    assert_eq!(answers, [(0, 0), (1, UNKNOWN_TOPIC_OR_PARTITION)]);
    scene.is_unharmed("after the deletion of offsets");
}

#[test]
fn topics_are_not_asked_for_by_id_before_metadata_knows_ids() {
    let mut scene = Scene::new();
    for version in [10, 11] {
        for (id, name) in [(0, None), (7, Some("victim")), (7, None)] {
            let body = Body::new().compact_len(Some(1)).uuid(id).compact_string(name).tags().i8(0);
            let body = if version == 10 { body.i8(0) } else { body };
            let mut reply = scene.wire().request(flexible(3, version), &body.i8(0).tags());
            reply.i32();
            for _ in 0..reply.compact_len() {
                _ = (reply.i32(), reply.compact_string(), reply.i32(), reply.compact_string());
                reply.skip_tags();
            }
            _ = (reply.compact_string(), reply.i32());
            assert_eq!(reply.compact_len(), 1, "one topic");
            let answer = (reply.i16(), reply.compact_string(), reply.uuid());
            assert_eq!(answer, (INVALID_REQUEST, name.unwrap_or_default().to_owned(), id), "v{version}");
        }
    }
    scene.is_unharmed("after topics named by id too early");
}
