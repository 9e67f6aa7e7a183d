//! Every system call fails once: of supervise, svscan and svlogd, with every error that Linux gives there.
//!
//! `cargo bench --bench faults -- [WORD [EVERY]]` runs the scenarios whose names hold WORD (all without it),
//! and of their injections every EVERYth (all without it). It prints a line for each one after which an
//! invariant does not hold, and ends with 1 where there was one. It takes about a second an injection
//! and processor. Needs strace. The invariants are listed in `tests/support/injection.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for a person who measures: a failure ends it"
)]

#[path = "../tests/support/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the injections use a part of the tests' harness"
)]
mod support;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::injection::scenario::SCENARIOS;
use support::injection::{Injection, Scenario, inject, injections};

/// Trials at a time: they mostly wait.
const AT_ONCE: usize = 6;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let word = arguments.first().map_or("", String::as_str);
    let every = arguments.get(1).map_or(1, |text| text.parse().unwrap());
    let chosen = SCENARIOS
        .iter()
        .filter(|scenario| scenario.name.contains(word));
    let failures: usize = chosen.map(|scenario| all(scenario, every)).sum();
    println!("{failures} failures");
    ExitCode::from(u8::from(failures > 0))
}

/// Makes every call of a scenario fail; returns how often an invariant did not hold.
fn all(scenario: &Scenario, every: usize) -> usize {
    let todo: Vec<Injection> = match injections(scenario) {
        Ok(found) => found.into_iter().step_by(every).collect(),
        Err(fault) => {
            println!("{fault}");
            return 1;
        }
    };
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(injection) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(fault) = inject(scenario, injection) {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("{fault}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner();
    println!(
        "{}: {} injections, {failed} failed",
        scenario.name,
        todo.len()
    );
    failed
}
