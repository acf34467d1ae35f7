//! Changing names, without pulling them away under a file that is being opened.
//!
//! glommio opens a file and then asks for its file system by path, and panics when the name is gone by
//! then. A directory belongs to one executor, so it is enough to order the opens and the changes of
//! this thread: an open waits for changes above or at its path, a change for opens at or below its own.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::rt::sync::Notify;

#[derive(Default)]
struct Names {
    opening: Vec<PathBuf>,
    changing: Vec<PathBuf>,
}

thread_local! {
    static NAMES: RefCell<Names> = RefCell::default();
    static DONE: &'static Notify = Box::leak(Box::default());
}

/// A name in use until this is dropped.
pub(super) struct NameGuard {
    path: PathBuf,
    list: fn(&mut Names) -> &mut Vec<PathBuf>,
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        NAMES.with_borrow_mut(|names| {
            let list = (self.list)(names);
            if let Some(position) = list.iter().position(|path| *path == self.path) {
                list.swap_remove(position);
            }
        });
        DONE.with(|done| done.notify_all());
    }
}

/// Waits until `path` may be opened.
pub(super) async fn opening(path: &Path) -> NameGuard {
    while NAMES.with_borrow(|names| names.changing.iter().any(|changing| path.starts_with(changing))) {
        DONE.with(|done| done.wait()).await;
    }
    enter(path, |names| &mut names.opening)
}

/// Keeps new opens away from `path`, and waits for those under way.
pub(super) async fn changing(path: &Path) -> NameGuard {
    let guard = enter(path, |names| &mut names.changing);
    while NAMES.with_borrow(|names| names.opening.iter().any(|opening| opening.starts_with(path))) {
        DONE.with(|done| done.wait()).await;
    }
    guard
}

fn enter(path: &Path, list: fn(&mut Names) -> &mut Vec<PathBuf>) -> NameGuard {
    NAMES.with_borrow_mut(|names| list(names).push(path.to_owned()));
    NameGuard { path: path.to_owned(), list }
}
