//! The storm of tests/chaos.rs for as long as one likes:
//! `cargo bench --bench chaos -- [SECONDS [SERVICES [SEED]]]` (60, 20 and a seed of its own).
//!
//! It ends with an account of the kills, the lines written, and those that were lost with a killed
//! svlogd's memory; whatever may not happen ends it with a message at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program for a person who measures: what fails ends it"
)]

#[path = "../tests/support/chaos.rs"]
mod chaos;

use std::path::Path;
use std::time::Duration;

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<u64>().ok());
    let (seconds, services) = (numbers.next().unwrap_or(60), numbers.next().unwrap_or(20));
    let seed = numbers
        .next()
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("{seconds} s, {services} services, seed {seed}");
    let folder = Path::new(env!("CARGO_BIN_EXE_svscan"))
        .parent()
        .unwrap()
        .to_path_buf();
    let services = usize::try_from(services).unwrap();
    let mut storm = chaos::Storm::new(chaos::Programs { folder }, services, seed);
    let mut account = storm.rage(Duration::from_secs(seconds));
    storm.settle(&mut account);
    storm.end();
    println!("{account:#?}");
}
