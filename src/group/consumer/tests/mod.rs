//! Consumer groups in a coordinator: stories one by one, then random histories.

mod bench;
mod classic;
mod hashes;
mod patterns;
mod simulation;
mod story;
