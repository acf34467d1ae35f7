//! What a Produce request holds for one partition: validation under all kinds of rules, the record
//! iterator and the four codecs.
//!
//! The first byte chooses the rules and whether the rest is given a header that fits it, since a fuzzer
//! finds no CRC. Passes when no input panics, aborts or allocates beyond the bound, when what validates can
//! be read again, and when both ways of checking the CRC agree.

#![no_main]

use bytes::Bytes;
use corelog::record::batch::{self, BatchHeader, Batches, HEADER_LEN, LOG_OVERHEAD, TimestampType};
use corelog::record::compression::Codec;
use corelog::record::records::RecordIter;
use corelog::record::validate::{BatchRules, CrcCheck, Scratch, TargetCompression, validate_batch};
use corelog::types::{Offset, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fuzz_target!(|data: &[u8]| {
    let Some((&choice, records)) = data.split_first() else { return };
    let mut records = records.to_vec();
    if choice & 1 != 0 {
        fit_header(&mut records);
    }
    let rules = rules(choice);
    let mut scratch = Scratch::default();
    let here = validate_batch(&records, &rules, NOW, &mut scratch);
    let with_copy =
        validate_batch(&records, &BatchRules { crc_check: CrcCheck::WithCopy, ..rules }, NOW, &mut scratch);
    match (&here, &with_copy) {
        (Ok(here), Ok(with_copy)) => assert_eq!(here.bytes, with_copy.bytes),
        (Err(here), Err(with_copy)) => assert_eq!(here, with_copy),
        (Err(_), Ok(fused)) => assert!(!fused.is_crc_checked && !batch::crc_matches(&records)),
        (Ok(_), Err(error)) => panic!("only refused with the CRC left to the copy: {error}"),
    }
    if let Ok(validated) = here {
        let stored = Bytes::copy_from_slice(validated.batch(&records));
        let count = RecordIter::new(&stored).expect("what validates is a batch").map(|record| {
            record.expect("what validates can be read");
        });
        assert_eq!(count.count() as i32, validated.header.record_count);
        assert!(batch::crc_matches(&stored));
    }
    for item in Batches::new(&records) {
        let Ok((_, _, batch)) = item else { break };
        if let Ok(records) = RecordIter::new(&Bytes::copy_from_slice(batch)) {
            let _ = records.filter(Result::is_ok).count();
        }
    }
});

fn rules(choice: u8) -> BatchRules {
    let compression = match (choice >> 1) & 7 {
        target @ 0..5 => {
            let codec = Codec::from_id(target).expect("five codecs");
            TargetCompression::Codec { codec, level: codec.default_level() }
        }
        _ => TargetCompression::Producer,
    };
    let timestamp_type =
        if choice & 0x10 == 0 { TimestampType::CreateTime } else { TimestampType::LogAppendTime };
    BatchRules {
        requires_keys: choice & 0x20 != 0,
        allows_zstd: choice & 0x40 == 0,
        timestamp_after_max_ms: if choice & 0x80 == 0 { i64::MAX } else { 1_000 },
        compression,
        timestamp_type,
        ..BatchRules::default()
    }
}

/// Makes the fields true that the fuzzer would have to guess.
fn fit_header(records: &mut [u8]) {
    if records.len() < HEADER_LEN {
        return;
    }
    records[16] = 2;
    let batch_length = (records.len() - LOG_OVERHEAD) as i32;
    records[8..12].copy_from_slice(&batch_length.to_be_bytes());
    let mut header = BatchHeader::decode(records).expect("magic and length fit");
    header.base_offset = Offset::ZERO;
    header.last_offset_delta = header.record_count.wrapping_sub(1);
    header.encode(records.first_chunk_mut().expect("as long as a header"));
    header.crc = batch::compute_crc(records);
    header.encode(records.first_chunk_mut().expect("as long as a header"));
}
