//! A storm of SIGKILLs on svscan, supervises and svlogds: no service notices, and no log loses more
//! than what a killed svlogd had in memory.
//!
//! One test alone: it is the subreaper of all that it starts. `CHAOS_SEED` repeats a storm, as far as
//! the machine's timing does; `cargo bench --bench chaos` raises longer ones.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what a test does not expect ends it; the toll is told"
)]

#[path = "support/chaos.rs"]
mod chaos;
mod support;

use std::time::{Duration, SystemTime};

use chaos::{Weather, storm};

#[test]
fn nothing_dies_with_its_supervisor() {
    let seed = std::env::var("CHAOS_SEED").map_or_else(
        |_| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        |seed| seed.parse().unwrap(),
    );
    println!("CHAOS_SEED={seed}");
    let long = Weather {
        time: Duration::from_secs(10),
        services: 24,
        gap: Duration::from_millis(80),
        seed,
        pace: 10,
        early: false,
    };
    let early = Weather {
        time: Duration::from_secs(2),
        gap: Duration::from_millis(20),
        early: true,
        ..long
    };
    for weather in [early, long] {
        let toll = storm(weather);
        println!("{weather:?}: {} kills: {toll:?}", toll.kills());
        assert!(toll.kills() > 10, "{toll:?}");
        assert!(toll.written > 100, "{toll:?}");
    }
}
