//! Producer snapshots (`ProducerStateManager.writeSnapshot`, version 1).

use bytes::Buf;

use super::Dump;
use crate::cli::CliError;

/// The only version there is.
const VERSION: i16 = 1;

/// Version, CRC and count.
const HEADER_LEN: usize = 10;

/// Where the bytes begin that the CRC covers: behind version and CRC.
const CRC_COVERS_FROM: usize = 6;

/// Producer id 8, epoch 2, last sequence 4, last offset 8, offset delta 4, timestamp 8, coordinator epoch 4,
/// first offset of the transaction 8.
const ENTRY_LEN: usize = 46;

/// Prints a snapshot and checks its CRC and length.
pub(super) fn dump(bytes: &[u8], dump: &mut Dump<'_>) -> Result<(), CliError> {
    if bytes.len() < HEADER_LEN {
        dump.problem(format!("{} bytes, expected {HEADER_LEN} or more", bytes.len()));
        return Ok(());
    }
    let mut rest = bytes;
    let (version, crc) = (rest.get_i16(), rest.get_u32());
    if version != VERSION {
        dump.problem(format!("version {version}, expected {VERSION}"));
        return Ok(());
    }
    let found = crc32c::crc32c(&bytes[CRC_COVERS_FROM..]);
    if found != crc {
        dump.problem(format!("CRC {found:#010x}, the header says {crc:#010x}"));
    }
    let count = rest.get_i32();
    let expected = usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_LEN));
    if expected != Some(rest.len()) {
        dump.problem(format!("{count} entries of {ENTRY_LEN} bytes do not make {} bytes", rest.len()));
        return Ok(());
    }
    while rest.has_remaining() {
        dump_entry(&mut rest, dump)?;
    }
    Ok(())
}

fn dump_entry(entry: &mut &[u8], dump: &mut Dump<'_>) -> Result<(), CliError> {
    let (producer_id, epoch) = (entry.get_i64(), entry.get_i16());
    let (last_sequence, last_offset, offset_delta) = (entry.get_i32(), entry.get_i64(), entry.get_i32());
    let timestamp = entry.get_i64();
    let (coordinator_epoch, first_offset) = (entry.get_i32(), entry.get_i64());
    dump.line(format_args!(
        "producerId: {producer_id} producerEpoch: {epoch} coordinatorEpoch: {coordinator_epoch} \
         currentTxnFirstOffset: {first_offset} lastTimestamp: {timestamp} lastSequence: {last_sequence} \
         lastOffset: {last_offset} offsetDelta: {offset_delta}"
    ))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn snapshot() -> Vec<u8> {
        let mut covered = Vec::new();
        covered.put_i32(1);
        covered.put_i64(7);
        covered.put_i16(2);
        covered.put_i32(9);
        covered.put_i64(100);
        covered.put_i32(4);
        covered.put_i64(1_234);
        covered.put_i32(-1);
        covered.put_i64(-1);
        let mut bytes = Vec::new();
        bytes.put_i16(VERSION);
        bytes.put_u32(crc32c::crc32c(&covered));
        bytes.extend_from_slice(&covered);
        bytes
    }

    fn check(bytes: &[u8], lines: usize, problems: &[&str]) {
        let mut text = Vec::new();
        let mut findings = Dump { out: Box::new(&mut text), problems: Vec::new(), is_unread: false };
        dump(bytes, &mut findings).unwrap();
        assert_eq!(findings.problems, problems);
        drop(findings);
        assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), lines);
    }

    #[test]
    fn entries_are_printed_and_checked() {
        let sound = snapshot();
        check(&sound, 1, &[]);
        check(&sound[..9], 0, &["9 bytes, expected 10 or more"]);
        let mut newer = sound.clone();
        newer[1] = 2;
        check(&newer, 0, &["version 2, expected 1"]);
        let mut cut = sound.clone();
        cut.pop();
        let crc = crc32c::crc32c(&cut[CRC_COVERS_FROM..]).to_be_bytes();
        cut[2..6].copy_from_slice(&crc);
        check(&cut, 0, &["1 entries of 46 bytes do not make 45 bytes"]);
    }
}
