//! The log under simulated crashes: the production code on a disk that loses, tears and refuses writes.
//!
//! Each seed runs producers, a flusher, a reader and perhaps a cleaner over two logs that may share a
//! journal, stops the process or the machine at a random point, recovers, and compares the logs with a model
//! of what was acknowledged; several times over the same disk. A failure prints its seed;
//! `CORELOG_SIM_SEED=<seed> cargo test --test sim` replays it. `CORELOG_SIM_SEEDS=<count>` runs more seeds,
//! and `CORELOG_SIM_SALT=<number>` others.
//!
//! Five bugs put in by hand must be found: see [`Sabotage`].

#[path = "sim/cleaning.rs"]
mod cleaning;
#[path = "sim/compacted.rs"]
mod compacted;
#[path = "sim/harness.rs"]
mod harness;
#[path = "sim/model.rs"]
mod model;
#[path = "sim/producer.rs"]
mod producer;
#[path = "sim/sabotage.rs"]
mod sabotage;
#[path = "sim/tasks.rs"]
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};

use harness::run_seed;
use sabotage::Sabotage;

/// Seeds per test; the tests run side by side.
const SEEDS: u64 = 1_000;

/// Of these many seeds, one must find a torn batch that was left: most crashes tear one.
const SEEDS_TO_FIND_A_TORN_BATCH: u64 = 20;

/// Seeds within which a bug put in by hand must show.
const SEEDS_TO_FIND_A_BUG: u64 = 200;

/// Seeds that are tried until one finds a bug; the rarest of them shows in one of about a hundred.
const SEEDS_UNTIL_A_BUG: u64 = 1_000;

/// What went wrong with a seed, if anything: a broken promise or a failed assertion.
fn violation(seed: u64, sabotage: Sabotage) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| run_seed(seed, sabotage))) {
        Ok(Ok(_)) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(text.unwrap_or_else(|| "a panic".to_owned()))
        }
    }
}

fn check_seeds(seeds: impl Iterator<Item = u64>) {
    let replay = std::env::var("CORELOG_SIM_SEED").ok();
    let replay: Option<u64> = replay.map(|seed| seed.parse().expect("CORELOG_SIM_SEED is a number"));
    for seed in seeds.filter(|seed| replay.is_none_or(|replay| replay == *seed)) {
        if let Some(violation) = violation(seed, Sabotage::None) {
            panic!("seed {seed}: {violation}\nreplay: CORELOG_SIM_SEED={seed} cargo test --test sim");
        }
    }
}

/// The first seed that shows the bug, by a violation that says `what`.
fn seed_that_finds(sabotage: Sabotage, what: &str) -> u64 {
    let found = (0..SEEDS_UNTIL_A_BUG).find_map(|seed| {
        let violation = violation(seed, sabotage)?;
        violation.contains(what).then_some((seed, violation))
    });
    let (seed, violation) = found.unwrap_or_else(|| panic!("no seed found {sabotage:?}"));
    println!("{sabotage:?} is found by seed {seed}: {violation}");
    seed
}

fn seeds() -> u64 {
    let seeds = std::env::var("CORELOG_SIM_SEEDS").ok();
    seeds.map_or(SEEDS, |seeds| seeds.parse().expect("CORELOG_SIM_SEEDS is a number"))
}

#[test]
fn even_seeds_keep_every_promise() {
    check_seeds((0..seeds()).map(|seed| 2 * seed));
}

#[test]
fn odd_seeds_keep_every_promise() {
    check_seeds((0..seeds()).map(|seed| 2 * seed + 1));
}

#[test]
fn seeds_go_through_every_kind_of_trouble() {
    let mut total = harness::Coverage::default();
    for seed in 0..100 {
        total += run_seed(seed, Sabotage::None).expect("checked by the other tests");
    }
    println!("{total:?}");
    assert!(10_000 < total.acknowledged, "{total:?}");
    assert!(1_000 < total.duplicates, "{total:?}");
    assert!(500 < total.segments, "{total:?}");
    assert!(50 < total.process_crashes.min(total.machine_crashes), "{total:?}");
    assert!(10 < total.clean_stops.min(total.crashes_during_recovery), "{total:?}");
    assert!(10 < total.truncations.min(total.logs_offline), "{total:?}");
    assert!(1_000 < total.journaled, "{total:?}");
    assert!(30 < total.restored.min(total.created_anew), "{total:?}");
    assert!(50 < total.damaged_snapshots.min(total.damaged_indexes), "{total:?}");
    assert!(50 < total.partial_walks, "{total:?}");
    assert!(100 < total.cleanings && 1_000_000 < total.cleaned_bytes, "{total:?}");
    assert!(20 < total.cleanings_cut_short && 5 < total.swaps_cut_short, "{total:?}");
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    seed_that_finds(Sabotage::AcknowledgeBeforeSync, "");
}

#[test]
fn skipping_the_truncation_of_a_torn_batch_is_found() {
    let violations = (0..SEEDS_TO_FIND_A_BUG).filter_map(|seed| violation(seed, Sabotage::SkipTruncation));
    let found = violations.filter(|violation| violation.contains("a torn batch was left")).count() as u64;
    println!("found by {found} of {SEEDS_TO_FIND_A_BUG} seeds");
    assert!(SEEDS_TO_FIND_A_BUG / SEEDS_TO_FIND_A_TORN_BATCH <= found, "found by {found} seeds only");
}

#[test]
fn trusting_a_snapshot_of_what_is_not_durable_is_found() {
    seed_that_finds(Sabotage::SnapshotBeforeSync, "sound is called broken");
}

#[test]
fn forgetting_producers_at_recovery_is_found() {
    seed_that_finds(Sabotage::ForgetProducers, "");
}

#[test]
fn losing_a_segment_that_is_being_swapped_in_is_found() {
    seed_that_finds(Sabotage::LoseSwaps, "is lost");
}
