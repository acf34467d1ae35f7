//! One test per rule, on batches that break only that one.

use std::io::Write;

use super::*;
use crate::record::bounds::UNPACKED_IN_TURN_MAX;
use crate::record::compression::DECOMPRESSED_BYTES_MAX;
use crate::types::{ErrorCode, ProducerEpoch, ProducerId};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn build(fields: BatchFields) -> Vec<u8> {
    let mut builder = BatchBuilder::new(fields);
    let headers = [HeaderRef { key: b"trace", value: Some(b"1") }];
    builder.append(NOW, Some(b"a"), Some(b"first"), &headers);
    builder.append(Timestamp(NOW.0 - 5), Some(b"b"), Some(&[7; 3_000]), &[]);
    builder.append(Timestamp(NOW.0 - 1), Some(b"c"), None, &[]);
    builder.build().to_vec()
}

fn of_codec(codec: Codec) -> Vec<u8> {
    build(BatchFields { codec, ..BatchFields::default() })
}

fn validate(batch: &[u8], rules: &BatchRules) -> Result<Validated, InvalidBatch> {
    validate_batch(batch, rules, NOW, &mut Scratch::default())
}

fn error_of(batch: &[u8], rules: &BatchRules) -> (ErrorCode, InvalidBatch) {
    let error = validate(batch, rules).unwrap_err();
    (error.error_code(), error)
}

/// `batch` with a header that `change` changed and the CRC that fits it.
fn with_header(batch: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::decode(batch).unwrap();
    change(&mut header);
    let mut changed = batch.to_vec();
    header.encode(changed.first_chunk_mut().unwrap());
    header.crc = batch::compute_crc(&changed);
    header.encode(changed.first_chunk_mut().unwrap());
    changed
}

#[test]
fn good_batches_pass_as_they_are() {
    for codec in Codec::ALL {
        for crc_check in [CrcCheck::Here, CrcCheck::WithCopy] {
            let batch = of_codec(codec);
            let validated = validate(&batch, &BatchRules { crc_check, ..BatchRules::default() }).unwrap();
            assert_eq!(validated.bytes, ValidatedBytes::AsIs, "{codec}");
            assert_eq!(validated.header, BatchHeader::decode(&batch).unwrap());
            assert_eq!(validated.append_time, None);
            let is_fused = codec == Codec::None && crc_check == CrcCheck::WithCopy;
            assert_eq!(validated.is_crc_checked, !is_fused, "{codec}");
        }
    }
}

#[test]
fn exactly_one_batch() {
    let batch = of_codec(Codec::None);
    let rules = BatchRules::default();
    assert_eq!(error_of(&[], &rules), (ErrorCode::InvalidRecord, InvalidBatch::NoBatch));
    let two = [batch.clone(), batch.clone()].concat();
    let expected = InvalidBatch::MoreThanOneBatch { expected: batch.len(), found: two.len() };
    assert_eq!(error_of(&two, &rules), (ErrorCode::InvalidRecord, expected));
    assert_eq!(error_of(&batch[..batch.len() - 1], &rules).0, ErrorCode::InvalidRecord);
    assert_eq!(error_of(&batch[..30], &rules).0, ErrorCode::InvalidRecord);
}

#[test]
fn old_formats_and_unknown_ones() {
    let mut batch = of_codec(Codec::None);
    for (magic, code) in
        [(0, ErrorCode::InvalidRecord), (1, ErrorCode::InvalidRecord), (3, ErrorCode::CorruptMessage)]
    {
        batch[16] = magic;
        assert_eq!(error_of(&batch, &BatchRules::default()).0, code, "magic {magic}");
    }
}

#[test]
fn length_below_the_header() {
    let batch = with_header(&of_codec(Codec::None), |header| header.batch_length = 20);
    assert_eq!(error_of(&batch, &BatchRules::default()).0, ErrorCode::CorruptMessage);
}

#[test]
fn size_limit() {
    let batch = of_codec(Codec::None);
    let rules = |batch_bytes_max| BatchRules { batch_bytes_max, ..BatchRules::default() };
    assert!(validate(&batch, &rules(batch.len())).is_ok());
    let expected = InvalidBatch::TooLarge { max: batch.len() - 1, found: batch.len() };
    assert_eq!(error_of(&batch, &rules(batch.len() - 1)), (ErrorCode::MessageTooLarge, expected));
}

#[test]
fn flipped_bits_are_corruption_whoever_checks_the_crc() {
    for codec in Codec::ALL {
        let batch = of_codec(codec);
        for position in batch::ATTRIBUTES_AT + 2..batch.len() {
            let mut flipped = batch.clone();
            flipped[position] ^= 0x10;
            let code = error_of(&flipped, &BatchRules::default()).0;
            assert_eq!(code, ErrorCode::CorruptMessage, "{codec} at {position}");
            let fused = BatchRules { crc_check: CrcCheck::WithCopy, ..BatchRules::default() };
            match validate(&flipped, &fused) {
                Err(error) => {
                    assert_eq!(error.error_code(), ErrorCode::CorruptMessage, "{codec} at {position}")
                }
                Ok(validated) => {
                    assert!(!validated.is_crc_checked);
                    assert_ne!(validated.header.crc, batch::compute_crc(&flipped));
                }
            }
        }
    }
}

#[test]
fn clients_assign_no_offsets() {
    let batch = with_header(&of_codec(Codec::None), |header| header.base_offset = Offset(3));
    let expected = (ErrorCode::InvalidRecord, InvalidBatch::BaseOffset { found: 3 });
    assert_eq!(error_of(&batch, &BatchRules::default()), expected);
}

#[test]
fn count_and_offset_range_agree() {
    for (record_count, last_offset_delta) in [(0, -1), (3, 3), (4, 2), (-1, 2), (3, -1), (i32::MIN, i32::MAX)]
    {
        let batch = with_header(&of_codec(Codec::None), |header| {
            header.record_count = record_count;
            header.last_offset_delta = last_offset_delta;
        });
        let expected = InvalidBatch::OffsetRange { record_count, last_offset_delta };
        assert_eq!(error_of(&batch, &BatchRules::default()), (ErrorCode::InvalidRecord, expected));
    }
}

#[test]
fn count_is_that_of_the_contents() {
    for codec in Codec::ALL {
        for record_count in [1, 2, 4, i32::MAX] {
            let batch = with_header(&of_codec(codec), |header| {
                header.record_count = record_count;
                header.last_offset_delta = record_count - 1;
            });
            let (code, error) = error_of(&batch, &BatchRules::default());
            assert_eq!(code, ErrorCode::InvalidRecord, "{codec} {record_count}");
            assert!(matches!(error, InvalidBatch::Malformed(_)));
        }
    }
}

#[test]
fn offset_deltas_are_dense() {
    for codec in Codec::ALL {
        let mut builder = BatchBuilder::new(BatchFields { codec, ..BatchFields::default() });
        builder.append(NOW, None, None, &[]);
        builder.append_at(2, NOW, None, None, &[]);
        let batch = with_header(&builder.build(), |header| header.last_offset_delta = 1);
        assert_eq!(error_of(&batch, &BatchRules::default()).0, ErrorCode::InvalidRecord, "{codec}");
    }
}

#[test]
fn no_control_batches() {
    let batch = build(BatchFields { is_control: true, ..BatchFields::default() });
    let expected = (ErrorCode::InvalidRecord, InvalidBatch::ControlBatch);
    assert_eq!(error_of(&batch, &BatchRules::default()), expected);
}

#[test]
fn idempotent_batches_have_a_sequence() {
    let idempotent = |base_sequence| {
        build(BatchFields {
            producer_id: ProducerId(9),
            producer_epoch: ProducerEpoch(0),
            base_sequence,
            ..BatchFields::default()
        })
    };
    assert!(validate(&idempotent(0), &BatchRules::default()).is_ok());
    let expected = InvalidBatch::BaseSequence { producer_id: 9, base_sequence: -1 };
    assert_eq!(error_of(&idempotent(-1), &BatchRules::default()), (ErrorCode::InvalidRecord, expected));
}

#[test]
fn zstd_only_where_the_request_may_carry_it() {
    let rules = BatchRules { allows_zstd: false, ..BatchRules::default() };
    let code = error_of(&of_codec(Codec::Zstd), &rules).0;
    assert_eq!(code, ErrorCode::UnsupportedCompressionType);
    assert!(validate(&of_codec(Codec::Lz4), &rules).is_ok());
}

#[test]
fn unknown_codecs_are_refused() {
    let batch = with_header(&of_codec(Codec::None), |header| header.attributes.0 |= 5);
    assert_eq!(error_of(&batch, &BatchRules::default()).0, ErrorCode::UnsupportedCompressionType);
}

#[test]
fn compacted_topics_need_keys() {
    let mut builder = BatchBuilder::new(BatchFields::default());
    for key in [Some(&b"key"[..]), None, Some(b""), None] {
        builder.append(NOW, key, None, &[]);
    }
    let batch = builder.build();
    assert!(validate(&batch, &BatchRules::default()).is_ok());
    let (code, error) = error_of(&batch, &BatchRules { requires_keys: true, ..BatchRules::default() });
    assert_eq!(code, ErrorCode::InvalidRecord);
    assert_eq!(error.record_errors().iter().map(|fault| fault.index).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn record_errors_are_bounded() {
    let mut builder = BatchBuilder::new(BatchFields::default());
    for _ in 0..1_000 {
        builder.append(NOW, None, None, &[]);
    }
    let rules = BatchRules { requires_keys: true, ..BatchRules::default() };
    assert_eq!(error_of(&builder.build(), &rules).1.record_errors().len(), RECORD_ERRORS_MAX);
}

#[test]
fn create_times_lie_within_the_topics_bounds() {
    let rules =
        BatchRules { timestamp_before_max_ms: 100, timestamp_after_max_ms: 10, ..BatchRules::default() };
    let at = |timestamp| {
        let mut builder = BatchBuilder::new(BatchFields::default());
        builder.append(timestamp, None, None, &[]);
        validate(&builder.build(), &rules)
    };
    for offset_ms in [-100, 0, 10] {
        assert!(at(Timestamp(NOW.0 + offset_ms)).is_ok(), "{offset_ms}");
    }
    assert!(at(Timestamp::NONE).is_ok(), "no timestamp is out of no range");
    for timestamp in [NOW.0 - 101, NOW.0 + 11, i64::MAX, i64::MIN, 0] {
        let error = at(Timestamp(timestamp)).unwrap_err();
        assert_eq!(error.error_code(), ErrorCode::InvalidTimestamp, "{timestamp}");
        assert_eq!(error.record_errors()[0].index, 0);
    }
}

#[test]
fn append_time_topics_take_any_producers_time() {
    let rules = BatchRules {
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_max_ms: 0,
        timestamp_after_max_ms: 0,
        ..BatchRules::default()
    };
    for codec in Codec::ALL {
        let mut batch = of_codec(codec);
        let validated = validate(&batch, &rules).unwrap();
        assert_eq!((validated.append_time, &validated.bytes), (Some(NOW), &ValidatedBytes::AsIs));
        batch::set_append_time(&mut batch, NOW);
        let patched = BatchHeader::decode(&batch).unwrap();
        assert_eq!(BatchHeader { crc: patched.crc, ..validated.header }, patched);
    }
    let by_producer =
        build(BatchFields { timestamp_type: TimestampType::LogAppendTime, ..BatchFields::default() });
    assert_eq!(error_of(&by_producer, &rules).0, ErrorCode::InvalidTimestamp);
}

#[test]
fn wrong_max_timestamps_are_corrected() {
    for codec in Codec::ALL {
        for crc_check in [CrcCheck::Here, CrcCheck::WithCopy] {
            let batch = with_header(&of_codec(codec), |header| header.max_timestamp = Timestamp(5));
            let validated = validate(&batch, &BatchRules { crc_check, ..BatchRules::default() }).unwrap();
            assert_eq!(validated.batch(&batch), of_codec(codec), "{codec}");
            assert_eq!(validated.header.max_timestamp, NOW);
            assert!(validated.is_crc_checked);
        }
    }
}

#[test]
fn topics_with_a_codec_recompress() {
    let fields = BatchFields {
        producer_id: ProducerId(9),
        producer_epoch: ProducerEpoch(1),
        base_sequence: 4,
        is_transactional: true,
        ..BatchFields::default()
    };
    for source in Codec::ALL {
        for target in Codec::ALL {
            let compression = TargetCompression::Codec { codec: target, level: target.default_level() };
            let rules = BatchRules { compression, ..BatchRules::default() };
            let batch = build(BatchFields { codec: source, ..fields });
            let validated = validate(&batch, &rules).unwrap();
            assert_eq!(matches!(validated.bytes, ValidatedBytes::AsIs), source == target);
            assert_eq!(validated.batch(&batch), build(BatchFields { codec: target, ..fields }));
        }
    }
}

#[test]
fn recompressed_batches_keep_the_size_limit() {
    let batch = of_codec(Codec::Zstd);
    let compression = TargetCompression::Codec { codec: Codec::None, level: 0 };
    let rules = BatchRules { compression, batch_bytes_max: batch.len(), ..BatchRules::default() };
    assert_eq!(error_of(&batch, &rules).0, ErrorCode::MessageTooLarge);
}

#[test]
fn recompressed_batches_of_append_time_topics_carry_it() {
    let compression = TargetCompression::Codec { codec: Codec::Lz4, level: 9 };
    let rules =
        BatchRules { compression, timestamp_type: TimestampType::LogAppendTime, ..BatchRules::default() };
    let validated = validate(&of_codec(Codec::None), &rules).unwrap();
    assert_eq!(validated.append_time, None, "the rewritten bytes have it already");
    assert_eq!(validated.header.attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((validated.header.max_timestamp, validated.header.base_timestamp), (NOW, NOW));
}

/// One record whose value of `value_len` zeros was never in memory as a whole.
fn bomb(value_len: usize) -> Vec<u8> {
    let mut value = Vec::new();
    crate::record::varint::put_varlong(&mut value, value_len as i64);
    let mut head = Vec::new();
    // Attributes, two deltas, null key, value, header count.
    crate::record::varint::put_varlong(&mut head, (4 + value.len() + value_len + 1) as i64);
    head.extend_from_slice(&[0, 0, 0, 1]);
    head.extend_from_slice(&value);
    let mut packer = zstd::stream::write::Encoder::new(vec![0; HEADER_LEN], 1).unwrap();
    packer.write_all(&head).unwrap();
    for _ in 0..value_len / 4_096 {
        packer.write_all(&[0; 4_096]).unwrap();
    }
    packer.write_all(&[0]).unwrap();
    let mut batch = packer.finish().unwrap();
    batch[..HEADER_LEN].copy_from_slice(&of_codec(Codec::Zstd)[..HEADER_LEN]);
    let batch_length = (batch.len() - batch::LOG_OVERHEAD) as i32;
    with_header(&batch, |header| {
        (header.batch_length, header.record_count, header.last_offset_delta) = (batch_length, 1, 0);
        (header.base_timestamp, header.max_timestamp) = (NOW, NOW);
    })
}

#[test]
fn bombs_are_too_large() {
    assert!(validate(&bomb(64 << 20), &BatchRules::default()).is_ok());
    let (code, error) = error_of(&bomb(DECOMPRESSED_BYTES_MAX), &BatchRules::default());
    assert_eq!(code, ErrorCode::MessageTooLarge);
    let expected = RecordError::DecompressedTooLarge { max: DECOMPRESSED_BYTES_MAX };
    assert_eq!(error, InvalidBatch::Malformed(expected));
}

#[test]
fn a_turn_does_what_the_whole_does_or_says_that_it_is_too_long() {
    let mut scratch = Scratch::default();
    let mut in_turn =
        |batch: &[u8], rules: &BatchRules| validate_batch_in_turn(batch, rules, NOW, &mut scratch);
    let rules = BatchRules::default();
    for codec in Codec::ALL {
        let batch = of_codec(codec);
        assert_eq!(in_turn(&batch, &rules), validate(&batch, &rules).map(Some), "{codec:?}");
        let mut broken = batch.to_vec();
        *broken.last_mut().unwrap() ^= 0xff;
        let outcome = in_turn(&broken, &rules);
        assert_eq!(outcome, validate(&broken, &rules).map(Some), "{codec:?}: the checksum tells at once");
    }
    assert_eq!(in_turn(&bomb(UNPACKED_IN_TURN_MAX * 2), &rules), Ok(None));
    assert_eq!(in_turn(&bomb(DECOMPRESSED_BYTES_MAX), &rules), Ok(None));
    let below = bomb(UNPACKED_IN_TURN_MAX / 2);
    assert_eq!(in_turn(&below, &rules), validate(&below, &rules).map(Some));
    let compression = TargetCompression::Codec { codec: Codec::Gzip, level: 6 };
    assert_eq!(in_turn(&below, &BatchRules { compression, ..rules }), Ok(None), "packing anew takes longer");
    let unpacked = scratch.take_unpacked_bytes();
    assert!((UNPACKED_IN_TURN_MAX..10 * UNPACKED_IN_TURN_MAX).contains(&unpacked), "{unpacked} bytes");
    assert_eq!(scratch.take_unpacked_bytes(), 0);
}
