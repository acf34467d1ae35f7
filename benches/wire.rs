//! What does a request cost before anybody looks at its records, and the answer to it?
//!
//! `cargo bench --bench wire`; under `cargo test` each runs once. `*_request_view` goes from the bytes of a
//! connection to the view that a handler gets: frame, header, body; `*_response` goes back to bytes. Nothing
//! copies records, so all batches are of one size.

use bytes::Bytes;
use corelog::client::consumer::{FetchOptions, fetch_request};
use corelog::client::producer::{Acks, PartitionBatch, ProduceOptions, produce_request};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::types::{ErrorCode, Offset, Prng, Timestamp, Uuid};
use corelog::wire::fetch::{FetchPartitionResponse, FetchRequestView, FetchResponse, FetchTopicResponse};
use corelog::wire::frame::{FrameStatus, LENGTH_LEN, peek_frame};
use corelog::wire::header::{RequestHeader, decode_request_header};
use corelog::wire::messages::{ApiKey, StrBytes, encode_request};
use corelog::wire::produce::{
    ProducePartitionResponse, ProduceRequestView, ProduceResponse, ProduceTopicResponse,
};
use corelog::wire::{TopicRef, api};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The last versions that name topics, which most clients speak.
const PRODUCE_VERSION: i16 = 12;
const FETCH_VERSION: i16 = 12;

/// The version that a current client speaks.
const FETCH_BY_ID_VERSION: i16 = 17;

/// Partitions of a request.
const PARTITIONS: [usize; 3] = [1, 20, 1_000];

const FRAME_BYTES_MAX: usize = 100 << 20;

fn main() {
    divan::main();
}

fn batch() -> Bytes {
    let mut value = vec![0; 1_000];
    Prng::new(7).fill(&mut value);
    let mut builder = BatchBuilder::new(BatchFields::default());
    builder.append(NOW, None, Some(&value), &[]);
    builder.build()
}

fn header(key: ApiKey, api_version: i16) -> RequestHeader {
    let api = api::lookup(key as i16).expect("the API is served");
    RequestHeader { api, api_version, correlation_id: 7, client_id: Some(StrBytes::from_static_str("bench")) }
}

/// The body of the frame at the front of `received`, as a connection takes it.
fn body(received: &Bytes) -> Bytes {
    let Ok(FrameStatus::Complete { end }) = peek_frame(received, FRAME_BYTES_MAX) else {
        panic!("the frame is whole");
    };
    let mut frame = received.slice(LENGTH_LEN..end);
    decode_request_header(&mut frame).expect("the header is good");
    frame
}

#[divan::bench(args = PARTITIONS)]
fn produce_request_view(bencher: Bencher<'_, '_>, partitions: usize) {
    let records = batch();
    let to = |partition| PartitionBatch { topic: "orders", partition, records: records.clone() };
    let batches: Vec<_> = (0..partitions as i32).map(to).collect();
    let request = produce_request(&batches, ProduceOptions { acks: Acks::All, timeout_ms: 30_000 });
    let received =
        encode_request(&header(ApiKey::Produce, PRODUCE_VERSION), &request).expect("a good request");
    bencher.counter(ItemsCount::new(partitions)).bench_local(|| {
        ProduceRequestView::decode(body(black_box(&received)), PRODUCE_VERSION).expect("the body is good")
    });
}

#[divan::bench(args = PARTITIONS)]
fn fetch_request_view(bencher: Bencher<'_, '_>, partitions: usize) {
    let options =
        FetchOptions { max_wait_ms: 500, min_bytes: 1, max_bytes: 50 << 20, partition_max_bytes: 1 << 20 };
    let wanted: Vec<_> = (0..partitions as i32).map(|index| ("orders", index, Offset(1_000))).collect();
    let request = fetch_request(&wanted, options);
    let received = encode_request(&header(ApiKey::Fetch, FETCH_VERSION), &request).expect("a good request");
    bencher.counter(ItemsCount::new(partitions)).bench_local(|| {
        FetchRequestView::decode(body(black_box(&received)), FETCH_VERSION).expect("the body is good")
    });
}

#[divan::bench(args = PARTITIONS)]
fn produce_response(bencher: Bencher<'_, '_>, partitions: usize) {
    let answer = |index| ProducePartitionResponse {
        base_offset: Offset(1_000),
        log_start_offset: Offset::ZERO,
        ..ProducePartitionResponse::error(index, ErrorCode::None)
    };
    let topic = ProduceTopicResponse {
        topic: TopicRef::Name(StrBytes::from_static_str("orders")),
        partitions: (0..partitions as i32).map(answer).collect(),
    };
    let response = ProduceResponse { topics: vec![topic], throttle_time_ms: 0, node_endpoints: Vec::new() };
    bencher
        .counter(ItemsCount::new(partitions))
        .bench_local(|| black_box(&response).encode(PRODUCE_VERSION, 7));
}

#[divan::bench(args = PARTITIONS)]
fn fetch_response(bencher: Bencher<'_, '_>, partitions: usize) {
    let records = batch();
    let answer = |partition| FetchPartitionResponse {
        high_watermark: Offset(1_001),
        last_stable_offset: Offset(1_001),
        log_start_offset: Offset::ZERO,
        records: vec![records.clone().into()],
        ..FetchPartitionResponse::error(partition, ErrorCode::None)
    };
    let response = || FetchResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::None,
        session_id: 0,
        topics: vec![FetchTopicResponse {
            topic: TopicRef::Id(Uuid(7)),
            partitions: (0..partitions as i32).map(answer).collect(),
        }],
        node_endpoints: Vec::new(),
    };
    bencher
        .counter(ItemsCount::new(partitions))
        .with_inputs(response)
        .bench_local_values(|response| response.encode(FETCH_BY_ID_VERSION, 7));
}
