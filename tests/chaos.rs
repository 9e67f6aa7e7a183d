//! Nothing dies with its supervisor: a short storm of SIGKILLs over the whole suite.
//!
//! `CHAOS_SEED` repeats a storm's choices, though not the machine's timing. For an hour of it:
//! `cargo bench --bench chaos -- 3600 30`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "what a test does not expect ends it"
)]

#[path = "support/chaos.rs"]
mod chaos;

use std::path::Path;
use std::time::{Duration, SystemTime};

#[test]
fn no_service_dies_doubles_or_loses_its_log_while_its_supervisors_are_killed() {
    let folder = Path::new(env!("CARGO_BIN_EXE_svscan"))
        .parent()
        .unwrap()
        .to_path_buf();
    let seed = std::env::var("CHAOS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(fresh_seed);
    println!("CHAOS_SEED={seed}");
    let mut storm = chaos::Storm::new(chaos::Programs { folder }, 8, seed);
    let mut account = storm.rage(Duration::from_secs(8));
    storm.settle(&mut account);
    println!("{account:?}");
    assert!(account.kills > 20, "that was no storm: {account:?}");
    storm.end();
}

#[expect(clippy::disallowed_methods, reason = "any number will do")]
fn fresh_seed() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |time| u64::from(time.subsec_nanos()))
}
