//! The runtime face against the real kernel: each trap that it hides is taken once.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod rt {
    mod file;
    mod host;
    mod mesh;
    mod net;
    mod support;
    mod task;
}
