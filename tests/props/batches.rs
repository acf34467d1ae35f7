//! Batches: written, read, validated, damaged.

use bytes::Bytes;
use corelog::record::RecordError;
use corelog::record::batch::{self, Batches};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::record::compression::{self, Codec};
use corelog::record::records::{HeaderRef, Record, RecordIter};
use corelog::record::validate::{BatchRules, CrcCheck, Scratch, TargetCompression, validate_batch};
use corelog::types::{LeaderEpoch, Offset, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

type Contents = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn contents() -> impl Strategy<Value = Vec<Contents>> {
    let bytes = || vec(any::<u8>(), 0..80);
    let headers = vec((bytes(), option::of(bytes())), 0..3);
    vec((0..2_000_000_000_000_i64, option::of(bytes()), option::of(bytes()), headers), 1..20)
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

fn build(contents: &[Contents], codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(BatchFields { codec, ..BatchFields::default() });
    for (timestamp, key, value, headers) in contents {
        let headers: Vec<_> =
            headers.iter().map(|(key, value)| HeaderRef { key, value: value.as_deref() }).collect();
        builder.append(Timestamp(*timestamp), key.as_deref(), value.as_deref(), &headers);
    }
    builder.build()
}

fn read(batch: &Bytes) -> Result<Vec<Record>, RecordError> {
    RecordIter::new(batch)?.collect()
}

fn rules() -> BatchRules {
    BatchRules { timestamp_after_max_ms: i64::MAX, ..BatchRules::default() }
}

proptest! {
    #[test]
    fn records_round_trip(contents in contents(), codec in codec()) {
        let batch = build(&contents, codec);
        prop_assert!(batch::crc_matches(&batch));
        let records = read(&batch).unwrap();
        prop_assert_eq!(records.len(), contents.len());
        for (index, (record, (timestamp, key, value, headers))) in records.iter().zip(&contents).enumerate() {
            prop_assert_eq!((record.offset.0, record.timestamp.0), (index as i64, *timestamp));
            let found = (record.key.as_deref(), record.value.as_deref());
            prop_assert_eq!(found, (key.as_deref(), value.as_deref()));
            let read: Vec<_> = record
                .headers
                .iter()
                .map(|header| (header.key.to_vec(), header.value.as_ref().map(|value| value.to_vec())))
                .collect();
            prop_assert_eq!(&read, headers);
        }
    }

    #[test]
    fn what_is_built_is_valid_and_the_walk_agrees_with_the_reader(contents in contents(), codec in codec()) {
        let batch = build(&contents, codec);
        let validated = validate_batch(&batch, &rules(), Timestamp(0), &mut Scratch::default()).unwrap();
        prop_assert_eq!(validated.batch(&batch), &batch[..]);
        let latest = contents.iter().map(|(timestamp, ..)| *timestamp).max().unwrap();
        prop_assert_eq!(validated.header.max_timestamp, Timestamp(latest));
    }

    #[test]
    fn recompression_keeps_the_records(contents in contents(), source in codec(), target in codec()) {
        let compression = TargetCompression::Codec { codec: target, level: target.default_level() };
        let rules = BatchRules { compression, ..rules() };
        let batch = build(&contents, source);
        let validated = validate_batch(&batch, &rules, Timestamp(0), &mut Scratch::default()).unwrap();
        let stored = Bytes::copy_from_slice(validated.batch(&batch));
        prop_assert_eq!(read(&stored).unwrap(), read(&batch).unwrap());
        prop_assert!(batch::crc_matches(&stored));
    }

    #[test]
    fn patches_keep_the_batch_whole(
        contents in contents(), codec in codec(), offset: i64, epoch: i32, time: i64,
    ) {
        let mut batch = build(&contents, codec).to_vec();
        batch::set_base_offset(&mut batch, Offset(offset));
        batch::set_partition_leader_epoch(&mut batch, LeaderEpoch(epoch));
        prop_assert!(batch::crc_matches(&batch));
        batch::set_append_time(&mut batch, Timestamp(time));
        prop_assert!(batch::crc_matches(&batch));
        prop_assert!(read(&batch.into()).unwrap().iter().all(|record| record.timestamp == Timestamp(time)));
    }

    #[test]
    fn one_flipped_bit_is_found(
        contents in contents(),
        codec in codec(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        is_fused: bool,
    ) {
        let good = build(&contents, codec);
        let mut bad = good.to_vec();
        let at = at.index(bad.len());
        bad[at] ^= 1_u8 << bit;
        let crc_check = if is_fused { CrcCheck::WithCopy } else { CrcCheck::Here };
        // Where the leader overwrites what came, nothing is lost.
        let is_overwritten = (12..16).contains(&at);
        let rules = BatchRules { crc_check, ..rules() };
        match validate_batch(&bad, &rules, Timestamp(0), &mut Scratch::default()) {
            Err(_) => prop_assert!(!is_overwritten),
            Ok(validated) if validated.is_crc_checked => prop_assert!(is_overwritten),
            Ok(validated) => {
                prop_assert_eq!(validated.header.crc == batch::compute_crc(&bad), is_overwritten);
            }
        }
        // Readers of a damaged batch get records or an error, never a panic.
        let _ = read(&bad.into());
    }

    #[test]
    fn garbage_behind_a_good_header_never_panics(
        garbage in vec(any::<u8>(), 0..300),
        codec in codec(),
        count in any::<i32>(),
    ) {
        let mut batch = build(&[(5, None, None, Vec::new())], codec)[..batch::HEADER_LEN].to_vec();
        batch.extend_from_slice(&garbage);
        let mut header = batch::BatchHeader::decode(&batch).unwrap();
        header.batch_length = (batch.len() - batch::LOG_OVERHEAD) as i32;
        (header.record_count, header.last_offset_delta) = (count, count.wrapping_sub(1));
        header.encode(batch.first_chunk_mut().unwrap());
        header.crc = batch::compute_crc(&batch);
        header.encode(batch.first_chunk_mut().unwrap());
        let walked = validate_batch(&batch, &rules(), Timestamp(0), &mut Scratch::default());
        let records = read(&batch.into());
        prop_assert!(walked.is_err() || records.is_ok(), "what is stored can be read");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), codec in codec()) {
        let _ = Batches::new(&bytes).map(|item| item.is_ok()).collect::<Vec<_>>();
        let _ = validate_batch(&bytes, &rules(), Timestamp(0), &mut Scratch::default());
        let mut out = Vec::new();
        let _ = compression::decompress(codec, &bytes, 1 << 20, &mut out);
        prop_assert!(out.len() <= (1 << 20) + (4 << 20), "the bound holds within one step of the buffer");
        let _ = read(&bytes.into());
    }

    #[test]
    fn batches_are_walked_one_by_one(
        contents in vec((contents(), codec()), 0..4), cut in any::<prop::sample::Index>(),
    ) {
        let batches: Vec<_> = contents.iter().map(|(contents, codec)| build(contents, *codec)).collect();
        let bytes = batches.concat();
        let walked: Vec<_> = Batches::new(&bytes).map(|item| item.unwrap().2.to_vec()).collect();
        prop_assert_eq!(&walked, &batches);
        let cut = cut.index(bytes.len() + 1);
        let mut left = Batches::new(&bytes[..cut]);
        let whole = left.by_ref().filter(Result::is_ok).count();
        prop_assert_eq!(left.position(), batches[..whole].concat().len());
    }
}
