//! Checking every CRC of a log that is in use: what recovery does not read, a verification does.

use crate::disk::Disk;
use crate::types::Offset;

use super::error::{LogError, ReadError};
use super::log::Core;
use super::recovery::scanner::{CrcFrom, Scanner, Step};
use super::recovery::{BrokenRange, skip_broken};
use super::segment::{FileKind, SegmentView, file_path};

/// Bytes between two pauses of a verification; one batch may exceed it.
const PACE_BYTES: u64 = 1 << 20;

/// What a verification did and found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Bytes whose CRCs were checked.
    pub scanned_bytes: u64,
    /// What is broken and was not known to be.
    pub broken: Vec<BrokenRange>,
}

/// See [`super::Log::verify`].
pub(super) async fn verify<D: Disk>(
    core: &Core<D>,
    mut pace: impl AsyncFnMut(u64),
) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::default();
    let mut next = Some(Offset::ZERO);
    while let Some(from) = next {
        let Some((view, end)) = segment_from(core, from) else { break };
        match verify_segment(core, &view, end, &mut report, &mut pace).await {
            // Retention or compaction was faster.
            Err(ReadError::Replaced) => continue,
            other => other.map_err(ReadError::into_log_error)?,
        }
        next = (view.base_offset < end).then_some(end);
    }
    Ok(report)
}

/// The first segment that begins at or behind `from`, and the offset at which it ends.
fn segment_from<D: Disk>(core: &Core<D>, from: Offset) -> Option<(SegmentView, Offset)> {
    let state = core.state.borrow();
    let front = state.open.front().expect("there is always an open segment");
    let index = state.closed.partition_point(|segment| segment.view.base_offset < from);
    match state.closed.get(index) {
        Some(segment) => {
            let next = state.closed.get(index + 1).map_or(front.base_offset, |next| next.view.base_offset);
            Some((segment.view, next))
        }
        None => (from <= front.base_offset).then(|| (front.file_view(), state.written_end_offset)),
    }
}

async fn verify_segment<D: Disk>(
    core: &Core<D>,
    view: &SegmentView,
    end: Offset,
    report: &mut VerifyReport,
    pace: &mut impl AsyncFnMut(u64),
) -> Result<(), ReadError> {
    if view.len == 0 {
        return Ok(());
    }
    let path = file_path(&core.dir(), FileKind::Log, view.base_offset);
    let file = core.reading_file(view).await?;
    let mut scanner = Scanner::new(&*file, view.len, view.base_offset, 0);
    let mut paced = 0;
    loop {
        let step = scanner.next(CrcFrom::Offset(view.base_offset)).await?;
        if paced + PACE_BYTES <= scanner.position() || matches!(step, Step::End) {
            pace(scanner.position() - paced).await;
            paced = scanner.position();
        }
        let cause = match step {
            Step::Batch { .. } => continue,
            Step::End => break,
            Step::Padding | Step::Zeros => "expected a batch, found zeros".to_owned(),
            Step::Half { cause } | Step::Broken { cause } => cause,
        };
        let range = skip_broken(&mut scanner, path.clone(), end, cause).await?;
        if !core.is_current(view) {
            // Other files are in its place by now.
            return Err(ReadError::Replaced);
        }
        let mut state = core.state.borrow_mut();
        let is_known = state
            .broken
            .iter()
            .any(|(base, known)| *base == view.base_offset && known.position == range.position);
        if !is_known {
            state.broken.push((view.base_offset, range.clone()));
            report.broken.push(range);
        }
    }
    report.scanned_bytes += scanner.checked_bytes;
    Ok(())
}
