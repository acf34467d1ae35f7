//! The runtime face against the real kernel: each trap that it hides is taken once.

mod rt {
    mod mesh;
    mod net;
    mod support;
    mod task;
}
