//! Responses to Produce and Fetch as a client reads them, without copying records or building messages.

use bytes::Bytes;

use super::WireError;
use super::messages::{ApiKey, StrBytes};
use super::offsets::TOPIC_ID_VERSION;
use super::primitives::{Form, take_bytes, take_i16, take_i32, take_i64, take_u128};

/// The highest version of Produce that names topics by name, as [`read_produce_reply`] needs it.
pub const PRODUCE_VERSION_MAX: i16 = 12;

/// The highest version of Fetch that names topics by name, as [`read_fetch_reply`] needs it.
pub const FETCH_VERSION_MAX: i16 = 12;

/// One partition's part of a Produce response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducedPartition {
    /// The topic's name.
    pub topic: StrBytes,
    /// The partition's index.
    pub partition: i32,
    /// 0 if the batch is in.
    pub error_code: i16,
    /// The offset of the batch's first record.
    pub base_offset: i64,
    /// What the broker says about the error.
    pub error_message: Option<StrBytes>,
}

/// One partition's part of a Fetch response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The topic's name.
    pub topic: StrBytes,
    /// The partition's index.
    pub partition: i32,
    /// 0 if the records are there.
    pub error_code: i16,
    /// End of what a consumer may read.
    pub high_watermark: i64,
    /// First offset that is there, or -1 before version 5.
    pub log_start_offset: i64,
    /// Batches; the last one may be cut.
    pub records: Bytes,
}

/// Reads the body of a Produce response of version 3 to [`PRODUCE_VERSION_MAX`].
pub fn read_produce_reply(
    mut body: Bytes,
    version: i16,
    mut handle: impl FnMut(ProducedPartition),
) -> Result<(), WireError> {
    assert!((3..=PRODUCE_VERSION_MAX).contains(&version), "Produce v{version} cannot be read here");
    let form = Form { is_flexible: 9 <= version };
    let topics = form.take_array_len(&mut body, 1)?;
    for _ in 0..topics {
        let topic = form.take_string(&mut body)?;
        let partitions = form.take_array_len(&mut body, 22)?;
        for _ in 0..partitions {
            handle(take_produced(&mut body, version, form, &topic)?);
        }
        form.skip_tags(&mut body)?;
    }
    Ok(())
}

fn take_produced(
    body: &mut Bytes,
    version: i16,
    form: Form,
    topic: &StrBytes,
) -> Result<ProducedPartition, WireError> {
    let partition = take_i32(body)?;
    let error_code = take_i16(body)?;
    let base_offset = take_i64(body)?;
    let _append_time = take_i64(body)?;
    let mut error_message = None;
    if 5 <= version {
        let _log_start_offset = take_i64(body)?;
    }
    if 8 <= version {
        for _ in 0..form.take_array_len(body, 5)? {
            let _batch_index = take_i32(body)?;
            error_message = form.take_nullable_string(body)?.or(error_message);
            form.skip_tags(body)?;
        }
        error_message = form.take_nullable_string(body)?.or(error_message);
    }
    form.skip_tags(body)?;
    Ok(ProducedPartition { topic: topic.clone(), partition, error_code, base_offset, error_message })
}

/// Reads the body of a Fetch response of version 4 to [`FETCH_VERSION_MAX`]; returns its own error code.
pub fn read_fetch_reply(
    mut body: Bytes,
    version: i16,
    mut handle: impl FnMut(FetchedPartition),
) -> Result<i16, WireError> {
    assert!((4..=FETCH_VERSION_MAX).contains(&version), "Fetch v{version} cannot be read here");
    let form = Form { is_flexible: 12 <= version };
    let _throttle_time_ms = take_i32(&mut body)?;
    let mut error_code = 0;
    if 7 <= version {
        error_code = take_i16(&mut body)?;
        let _session_id = take_i32(&mut body)?;
    }
    let topics = form.take_array_len(&mut body, 1)?;
    for _ in 0..topics {
        let topic = form.take_string(&mut body)?;
        let partitions = form.take_array_len(&mut body, 24)?;
        for _ in 0..partitions {
            handle(take_fetched(&mut body, version, form, &topic)?);
        }
        form.skip_tags(&mut body)?;
    }
    Ok(error_code)
}

fn take_fetched(
    body: &mut Bytes,
    version: i16,
    form: Form,
    topic: &StrBytes,
) -> Result<FetchedPartition, WireError> {
    let partition = take_i32(body)?;
    let error_code = take_i16(body)?;
    let high_watermark = take_i64(body)?;
    let _last_stable_offset = take_i64(body)?;
    let log_start_offset = if 5 <= version { take_i64(body)? } else { -1 };
    skip_aborted_transactions(body, form)?;
    if 11 <= version {
        let _preferred_read_replica = take_i32(body)?;
    }
    let records = form.take_nullable_bytes(body)?.unwrap_or_default();
    form.skip_tags(body)?;
    Ok(FetchedPartition {
        topic: topic.clone(),
        partition,
        error_code,
        high_watermark,
        log_start_offset,
        records,
    })
}

/// The one array of these responses that may be null.
fn skip_aborted_transactions(body: &mut Bytes, form: Form) -> Result<(), WireError> {
    let is_null = match form.is_flexible {
        true => body.first() == Some(&0),
        false => body.starts_with(&[0xff; 4]),
    };
    if is_null {
        return take_bytes(body, if form.is_flexible { 1 } else { 4 }).map(drop);
    }
    for _ in 0..form.take_array_len(body, 16)? {
        take_u128(body)?;
        form.skip_tags(body)?;
    }
    Ok(())
}

/// The highest version that this client's writer of an API's requests and reader of its responses know;
/// `None` when both are generated up to the highest version served.
pub fn version_max(api: ApiKey) -> Option<i16> {
    match api {
        ApiKey::Produce => Some(PRODUCE_VERSION_MAX),
        ApiKey::Fetch => Some(FETCH_VERSION_MAX),
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => Some(TOPIC_ID_VERSION - 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::fetch_response::{
        AbortedTransaction, FetchableTopicResponse, PartitionData,
    };
    use kafka_protocol::messages::produce_response::{
        BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
    };
    use kafka_protocol::protocol::Encodable;

    use super::*;
    use crate::wire::messages::{FetchResponse, ProduceResponse, TopicName};

    fn encoded<T: Encodable>(message: &T, version: i16) -> Bytes {
        let mut out = BytesMut::new();
        message.encode(&mut out, version).unwrap();
        out.freeze()
    }

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    #[test]
    fn produce_replies_of_every_version_are_read() {
        let row = |partition, error_code| {
            PartitionProduceResponse::default()
                .with_index(partition)
                .with_error_code(error_code)
                .with_base_offset(77)
        };
        let topic = TopicProduceResponse::default()
            .with_name(TopicName(text("t")))
            .with_partition_responses(vec![row(3, 0), row(4, 87)]);
        for version in 3..=PRODUCE_VERSION_MAX {
            let mut topic = topic.clone();
            if 8 <= version {
                let failed = &mut topic.partition_responses[1];
                failed.error_message = Some(text("why"));
                failed.record_errors =
                    vec![BatchIndexAndErrorMessage::default().with_batch_index_error_message(None)];
            }
            let reply = ProduceResponse::default().with_responses(vec![topic]);
            let mut seen = Vec::new();
            read_produce_reply(encoded(&reply, version), version, |part| seen.push(part)).unwrap();
            let codes: Vec<_> = seen.iter().map(|part| (part.partition, part.error_code)).collect();
            assert_eq!(codes, [(3, 0), (4, 87)], "v{version}");
            assert_eq!((seen[0].base_offset, seen[0].topic.as_str()), (77, "t"));
            assert_eq!(seen[1].error_message.is_some(), 8 <= version);
        }
    }

    #[test]
    fn fetch_replies_of_every_version_are_read() {
        for version in 4..=FETCH_VERSION_MAX {
            for aborted in [None, Some(vec![AbortedTransaction::default(); 2])] {
                let row = PartitionData::default()
                    .with_partition_index(1)
                    .with_high_watermark(9)
                    .with_aborted_transactions(aborted)
                    .with_records(Some(Bytes::from_static(b"batches")));
                let topic = FetchableTopicResponse::default()
                    .with_topic(TopicName(text("t")))
                    .with_partitions(vec![row, PartitionData::default().with_error_code(6)]);
                let reply = FetchResponse::default().with_responses(vec![topic]);
                let mut seen = Vec::new();
                let error = read_fetch_reply(encoded(&reply, version), version, |part| seen.push(part));
                assert_eq!(error, Ok(0), "v{version}");
                assert_eq!((seen[0].high_watermark, &seen[0].records[..]), (9, &b"batches"[..]));
                assert_eq!((seen[1].error_code, seen[1].records.len()), (6, 0));
            }
        }
    }

    #[test]
    fn cut_replies_are_errors() {
        let topic = TopicProduceResponse::default()
            .with_name(TopicName(text("t")))
            .with_partition_responses(vec![PartitionProduceResponse::default()]);
        let whole = encoded(&ProduceResponse::default().with_responses(vec![topic]), 9);
        for len in 0..whole.len() - 6 {
            assert!(read_produce_reply(whole.slice(..len), 9, |_| {}).is_err(), "{len}");
        }
    }
}
