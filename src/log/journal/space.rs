//! Which journal file is written, which wait for their segments, which are free.
//!
//! ```text
//!   free --(the active one is full)--> active --> sealed --(everything in it is stored: retired)--> free
//! ```
//!
//! Files are retired in the order in which they were sealed: an entry that voids earlier ones must outlive
//! them.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::LogKey;
use super::file_header::FRAMES_AT;
use super::frame::FrameId;
use crate::disk::{BLOCK, align_up};

/// Room at the end of a file that only entries that void others may use.
const VOID_RESERVE: u64 = 2 * BLOCK as u64;

/// What keeps a file from being used again.
pub(super) trait Pin {
    /// The entries are durable in segments, or nobody wants them any more.
    fn is_released(&self) -> bool;
}

/// A journal file, open for writing.
#[derive(Debug)]
pub(super) struct SpaceFile<F, P> {
    pub(super) number: u32,
    pub(super) file: Rc<F>,
    pub(super) generation: u64,
    /// Where the next frame goes.
    end: u64,
    next_sequence: u32,
    /// The logs with entries in the file, and what has to be stored of each.
    pins: HashMap<LogKey, P>,
}

/// Where a frame goes.
#[derive(Debug, Clone)]
pub(super) struct FramePlace<F> {
    pub(super) file: Rc<F>,
    pub(super) position: u64,
    pub(super) id: FrameId,
}

/// What a frame is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Batches,
    Void,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Space<F, P> {
    file_bytes: u64,
    active: Option<SpaceFile<F, P>>,
    /// Oldest first.
    sealed: VecDeque<SpaceFile<F, P>>,
    /// In the order of their generations.
    free: VecDeque<SpaceFile<F, P>>,
}

impl<F, P> SpaceFile<F, P> {
    /// A file whose header has `generation` and that has no frame of it.
    pub(super) fn new(number: u32, file: Rc<F>, generation: u64) -> Self {
        Self { number, file, generation, end: FRAMES_AT, next_sequence: 0, pins: HashMap::new() }
    }

    fn is_used(&self) -> bool {
        FRAMES_AT < self.end
    }
}

impl<F, P: Pin> Space<F, P> {
    pub(super) fn new(file_bytes: u64) -> Self {
        Self { file_bytes, active: None, sealed: VecDeque::new(), free: VecDeque::new() }
    }

    /// Files of all states.
    pub(super) fn file_count(&self) -> usize {
        usize::from(self.active.is_some()) + self.sealed.len() + self.free.len()
    }

    /// Whether the last free file is in use and half full.
    pub(super) fn is_short(&self) -> bool {
        let half_used = |active: &SpaceFile<F, P>| self.file_bytes / 2 <= active.end;
        self.free.is_empty() && self.active.as_ref().is_none_or(half_used)
    }

    /// How many bytes the next frame may have if it wants `wanted`; takes the next free file where the
    /// active one has not enough room. Zero: there is no room at all.
    pub(super) fn make_room(&mut self, wanted: u64, purpose: Purpose) -> u64 {
        if self.room(purpose) < wanted
            && let Some(next) = self.free.pop_front()
        {
            let full = self.active.replace(next);
            self.sealed.extend(full);
        }
        self.room(purpose)
    }

    fn room(&self, purpose: Purpose) -> u64 {
        let reserve = if purpose == Purpose::Void { 0 } else { VOID_RESERVE };
        let end = self.active.as_ref().map_or(self.file_bytes, |active| active.end);
        self.file_bytes.saturating_sub(end + reserve)
    }

    /// The place of a frame of `len` bytes, for which there is room.
    pub(super) fn place(&mut self, len: usize) -> FramePlace<F> {
        let file_bytes = self.file_bytes;
        let active = self.active.as_mut().expect("room was made");
        let id = FrameId { generation: active.generation, sequence: active.next_sequence };
        let position = active.end;
        active.end += align_up(len as u64);
        active.next_sequence += 1;
        assert!(active.end <= file_bytes, "a frame ends at {} of {file_bytes}", active.end);
        FramePlace { file: Rc::clone(&active.file), position, id }
    }

    /// The active file holds entries of a log.
    pub(super) fn pin(&mut self, key: LogKey, pin: P) {
        self.active.as_mut().expect("a frame was placed").pins.insert(key, pin);
    }

    /// Whether a file that was not retired has entries of this log.
    pub(super) fn holds(&self, key: &LogKey) -> bool {
        self.active.iter().chain(&self.sealed).any(|file| file.pins.contains_key(key))
    }

    /// Whether [`Self::take_retirable`] would return a file.
    pub(super) fn has_retirable(&self) -> bool {
        self.sealed.front().is_some_and(|file| file.pins.values().all(Pin::is_released))
    }

    /// The oldest sealed file, if everything in it is stored.
    pub(super) fn take_retirable(&mut self) -> Option<SpaceFile<F, P>> {
        if self.has_retirable() { self.sealed.pop_front() } else { None }
    }

    /// Adds a file without live frames.
    pub(super) fn add_free(&mut self, file: SpaceFile<F, P>) {
        let last = self.free.back().map(|last| last.generation);
        assert!(last < Some(file.generation), "generation {} after {last:?}", file.generation);
        assert!(file.pins.is_empty() && !file.is_used(), "file {} is free", file.number);
        self.free.push_back(file);
    }

    /// No frame goes into the active file any more.
    pub(super) fn seal_active(&mut self) {
        if self.active.as_ref().is_some_and(SpaceFile::is_used) {
            self.sealed.extend(self.active.take());
        }
    }

    /// What keeps the oldest sealed file from being retired.
    pub(super) fn pins_of_oldest(&self) -> impl Iterator<Item = &P> {
        let pins = self.sealed.front().map(|file| file.pins.values());
        pins.into_iter().flatten().filter(|pin| !pin.is_released())
    }

    /// Files that wait for their segments.
    pub(super) fn sealed_count(&self) -> usize {
        self.sealed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;
    use std::cell::Cell;

    const FILE_BYTES: u64 = 16 * BLOCK as u64;

    #[derive(Debug, Clone, Default)]
    struct Flag(Rc<Cell<bool>>);

    impl Pin for Flag {
        fn is_released(&self) -> bool {
            self.0.get()
        }
    }

    fn key(partition: i32) -> LogKey {
        LogKey { topic_id: Uuid(1), partition }
    }

    fn space(files: u32) -> Space<(), Flag> {
        let mut space = Space::new(FILE_BYTES);
        for number in 0..files {
            space.add_free(SpaceFile::new(number, Rc::new(()), u64::from(number) + 1));
        }
        space
    }

    #[test]
    fn frames_follow_each_other_and_files_too() {
        let mut space = space(2);
        assert!(space.make_room(BLOCK as u64, Purpose::Batches) > 0);
        let places: Vec<_> = [100, BLOCK, BLOCK + 1].map(|len| space.place(len)).into();
        let found: Vec<_> = places.iter().map(|place| (place.position / BLOCK as u64, place.id)).collect();
        let id = |sequence| FrameId { generation: 1, sequence };
        assert_eq!(found, [(1, id(0)), (2, id(1)), (3, id(2))]);
        assert_eq!(space.make_room(FILE_BYTES / 2, Purpose::Batches), FILE_BYTES - 7 * BLOCK as u64);
        assert_eq!(space.make_room(10 * BLOCK as u64, Purpose::Batches), FILE_BYTES - 3 * BLOCK as u64);
        assert_eq!(space.place(1).id, FrameId { generation: 2, sequence: 0 });
        // Without a free file, what is left of the active one is offered.
        assert_eq!(space.make_room(FILE_BYTES, Purpose::Batches), FILE_BYTES - 4 * BLOCK as u64);
        assert_eq!(space.make_room(FILE_BYTES, Purpose::Void), FILE_BYTES - 2 * BLOCK as u64);
    }

    #[test]
    fn a_space_without_files_has_no_room() {
        assert_eq!(space(0).make_room(1, Purpose::Batches), 0);
        assert_eq!(space(0).make_room(1, Purpose::Void), 0);
        assert!(space(0).is_short() && !space(1).is_short());
    }

    #[test]
    fn a_file_is_retired_after_those_before_it_and_when_nothing_pins_it() {
        let mut space = space(2);
        let (first, second) = (Flag::default(), Flag::default());
        for (partition, flag) in [(0, &first), (1, &second)] {
            space.make_room(BLOCK as u64, Purpose::Batches);
            space.place(1);
            space.pin(key(partition), flag.clone());
            space.seal_active();
        }
        second.0.set(true);
        assert!(space.take_retirable().is_none(), "the first one is pinned");
        assert_eq!(space.pins_of_oldest().count(), 1);
        assert!(space.holds(&key(0)) && space.holds(&key(1)) && !space.holds(&key(2)));
        first.0.set(true);
        let retired: Vec<_> = std::iter::from_fn(|| space.take_retirable()).map(|file| file.number).collect();
        assert_eq!(retired, [0, 1]);
        assert_eq!((space.file_count(), space.sealed_count()), (0, 0));
        assert!(!space.holds(&key(0)));
    }
}
