//! Memory of one executor that other cores read.
//!
//! The memory of direct I/O belongs to its executor: only there may it be dropped. A loan is a
//! [`Bytes`] that any core may hold; the memory itself waits in a table of its executor. The last drop
//! of the loan clears the table's entry at once if it happens on the executor, and otherwise sends the
//! entry's number back, which the executor looks at when it lends or allocates the next time.
//!
//! An executor that ends with loans out forgets the memory instead of freeing it under its reader.

#![expect(unsafe_code, reason = "a loan is a view of memory that its owner's table keeps")]

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use bytes::Bytes;

/// What is lent, by number. Used by the thread that made it only.
#[derive(Debug)]
pub(super) struct LentTable<T> {
    entries: Vec<Option<T>>,
    vacant: Vec<u32>,
    home: Arc<Home>,
}

#[derive(Debug)]
struct Home {
    thread: ThreadId,
    returned: Mutex<Vec<u32>>,
}

impl<T: AsRef<[u8]> + 'static> LentTable<T> {
    pub(super) fn new() -> Self {
        let home = Home { thread: thread::current().id(), returned: Mutex::default() };
        Self { entries: Vec::new(), vacant: Vec::new(), home: Arc::new(home) }
    }

    /// Keeps `memory` and returns a view of it. Nobody may change the bytes from now on, and they may
    /// not move when `memory` does. `release` finds this table on its own thread.
    pub(super) fn lend(&mut self, memory: T, release: fn(u32)) -> Bytes {
        let bytes = memory.as_ref();
        if bytes.is_empty() {
            return Bytes::new();
        }
        let (start, len) = (bytes.as_ptr(), bytes.len());
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("an executor lends less than 2^32 buffers")
        });
        self.entries[number as usize] = Some(memory);
        Bytes::from_owner(Loan { start, len, number, release, home: Arc::clone(&self.home) })
    }

    /// Takes an entry out, to be dropped by the caller once the table is not borrowed any more.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        self.vacant.push(number);
        self.entries[number as usize].take()
    }

    /// Takes out what other threads have returned.
    pub(super) fn take_returned(&mut self) -> Vec<T> {
        let returned = mem::take(&mut *self.home.returned.lock().unwrap_or_else(PoisonError::into_inner));
        returned.into_iter().filter_map(|number| self.take(number)).collect()
    }

    /// How many loans are out.
    #[cfg(test)]
    pub(super) fn lent(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }
}

impl<T> Drop for LentTable<T> {
    fn drop(&mut self) {
        // Somebody may still read these.
        self.entries.drain(..).for_each(mem::forget);
    }
}

/// A view of an entry's memory.
struct Loan {
    start: *const u8,
    len: usize,
    number: u32,
    release: fn(u32),
    home: Arc<Home>,
}

// SAFETY: the memory behind `start` does not move and does not change while it is lent, and its table
// keeps it, or forgets it, until this loan is dropped; so any thread may read it. The table itself is
// only touched on its own thread, see `drop`.
unsafe impl Send for Loan {}
// SAFETY: as above; a shared loan only reads.
unsafe impl Sync for Loan {}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `lend` took both from one slice, which lives and stays as it is until this is dropped.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if thread::current().id() == self.home.thread {
            (self.release)(self.number);
        } else {
            self.home.returned.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::LentTable;

    struct Memory(Vec<u8>, #[expect(dead_code, reason = "counts who is alive")] Rc<()>);

    impl AsRef<[u8]> for Memory {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    thread_local! {
        static TABLE: RefCell<LentTable<Memory>> = RefCell::new(LentTable::new());
    }

    fn lend(memory: Memory) -> bytes::Bytes {
        TABLE.with_borrow_mut(|table| {
            table.lend(memory, |number| drop(TABLE.with_borrow_mut(|table| table.take(number))))
        })
    }

    #[test]
    fn memory_goes_when_the_last_view_does() {
        let alive = Rc::new(());
        let view = lend(Memory(vec![7; 100], Rc::clone(&alive)));
        let part = view.slice(10..20);
        drop(view);
        assert_eq!(Rc::strong_count(&alive), 2);
        assert_eq!(part, [7; 10][..]);
        drop(part);
        assert_eq!(Rc::strong_count(&alive), 1);
        assert_eq!(TABLE.with_borrow(LentTable::lent), 0);
    }

    #[test]
    fn memory_comes_home_from_other_threads() {
        let alive = Rc::new(());
        let view = lend(Memory(vec![7; 100], Rc::clone(&alive)));
        std::thread::spawn(move || assert_eq!(view, [7; 100][..])).join().unwrap();
        assert_eq!(Rc::strong_count(&alive), 2, "the other thread must not drop it");
        drop(TABLE.with_borrow_mut(LentTable::take_returned));
        assert_eq!(Rc::strong_count(&alive), 1);
    }

    #[test]
    fn a_view_outlives_its_executor() {
        let view = std::thread::spawn(|| lend(Memory(vec![7; 100], Rc::new(())))).join().unwrap();
        assert_eq!(view, [7; 100][..]);
    }
}
