//! Storms of SIGKILLs for as long as wanted, and what the other suites make of one such kill.
//!
//! `cargo bench --bench chaos -- SECONDS [SERVICES [SEED]]` kills svscan, supervises and svlogds at
//! random, in storms of up to five minutes: services with logs that each write a numbered line every
//! 5 ms. What must hold and does not ends it; else it prints the toll.
//!
//! `cargo bench --bench chaos -- --peers` kills the supervisor of a running service in each suite, and
//! prints what became of the service as a table in Markdown. Needs Debian's `daemontools`, `runit` and
//! `s6`, and `supervisord` on PATH.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for a person who measures: what fails ends it"
)]

#[path = "chaos/peers.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the storms use a part of the tests' harness"
)]
mod support;

use std::time::{Duration, Instant, SystemTime};

use support::chaos::{Weather, storm};

/// How long one storm lasts at most: its logs are all kept until it is over.
const ONE_STORM: Duration = Duration::from_secs(300);

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments.iter().any(|argument| argument == "--peers") {
        return peers::table();
    }
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<u64>().unwrap());
    let end = Instant::now() + Duration::from_secs(number(0).unwrap_or(60));
    let services = usize::try_from(number(1).unwrap_or(24)).unwrap();
    let first = number(2).unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let (mut kills, mut written, mut lost) = (0, 0, 0);
    for seed in first.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        println!("seed {seed}");
        let toll = storm(Weather {
            time: left.min(ONE_STORM),
            services,
            gap: Duration::from_millis(20),
            seed,
            pace: 5,
            early: false,
        });
        println!("{toll:?}");
        kills += toll.kills();
        written += toll.written;
        lost += toll.lost;
    }
    println!(
        "{kills} kills; {written} lines written, {lost} lost, none doubled; no service noticed"
    );
}
