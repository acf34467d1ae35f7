//! What does a batch cost between the socket and the log's buffer?
//!
//! `cargo bench --bench record`. Per iteration one batch; the fixed contents make runs comparable.
//! `validate/*` is the walk over the records (with the CRC left to the copy where the bytes are not
//! compressed), `copy/*` what follows it.

use corelog::record::batch::{self, HEADER_LEN};
use corelog::record::builder::{BatchBuilder, BatchFields};
use corelog::record::compression::Codec;
use corelog::record::validate::{BatchRules, CrcCheck, Scratch, validate_batch};
use corelog::types::{Prng, Timestamp};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn main() {
    divan::main();
}

/// Records whose bytes halve under a codec, as log lines do.
fn contents(record_bytes: usize, records: usize, codec: Codec) -> Vec<u8> {
    let mut prng = Prng::new(7);
    let mut builder = BatchBuilder::new(BatchFields { codec, ..BatchFields::default() });
    let mut value = vec![b'x'; record_bytes];
    for _ in 0..records {
        prng.fill(&mut value[..record_bytes / 2]);
        builder.append(NOW, None, Some(&value), &[]);
    }
    builder.build().to_vec()
}

fn validate(bencher: Bencher<'_, '_>, batch: &[u8]) {
    let rules = BatchRules { crc_check: CrcCheck::WithCopy, ..BatchRules::default() };
    let mut scratch = Scratch::default();
    bencher.counter(BytesCount::new(batch.len())).bench_local(|| {
        validate_batch(black_box(batch), &rules, NOW, &mut scratch).expect("the batch is good")
    });
}

#[divan::bench(args = [(1_000, 64), (100, 5), (100, 640), (10, 1)])]
fn validate_uncompressed(bencher: Bencher<'_, '_>, (record_bytes, records): (usize, usize)) {
    validate(bencher, &contents(record_bytes, records, Codec::None));
}

#[divan::bench(args = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd])]
fn validate_compressed(bencher: Bencher<'_, '_>, codec: Codec) {
    validate(bencher, &contents(1_000, 64, codec));
}

/// Bytes of all source batches together: beyond the second-level cache, as what a socket delivered is.
const COLD_BYTES: usize = 64 << 20;

#[divan::bench(sample_count = 3_000, args = [64, 1_024])]
fn copy_after_crc(bencher: Bencher<'_, '_>, records: usize) {
    copy(bencher, records, |from, to| {
        let crc = crc32c::crc32c(from);
        to.copy_from_slice(from);
        crc
    });
}

#[divan::bench(sample_count = 3_000, args = [64, 1_024])]
fn copy_with_crc(bencher: Bencher<'_, '_>, records: usize) {
    copy(bencher, records, batch::copy_with_crc);
}

fn copy(bencher: Bencher<'_, '_>, records: usize, copy: impl Fn(&[u8], &mut [u8]) -> u32) {
    let batch = contents(1_000, records, Codec::None);
    let sources = vec![batch.clone(); COLD_BYTES / batch.len()];
    let mut target = vec![0; batch.len() - HEADER_LEN];
    let mut next = 0;
    bencher.counter(BytesCount::new(target.len())).bench_local(|| {
        next = (next + 1) % sources.len();
        copy(&sources[next][HEADER_LEN..], &mut target)
    });
}
