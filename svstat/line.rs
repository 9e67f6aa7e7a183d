//! The line a service that daemontools' `svstat` prints, and scripts read.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use servicedir::tai64n::Tai64n;
use servicedir::words::Words;

use crate::look::{Seen, Service};

/// Adds the line of a service to `out`: its name as it was typed, and what was seen.
pub(crate) fn push(out: &mut Vec<u8>, service: &Service, seen: &Seen, now: Tai64n) {
    out.extend(service.typed.as_bytes());
    out.extend(b": ");
    // Writing to memory cannot fail.
    drop(match (&seen.problem, &seen.reading) {
        (Some(problem), _) => write!(out, "{problem}"),
        (None, Some(reading)) => {
            let words = Words {
                status: &reading.status,
                normally_up: seen.normally_up,
                now,
            };
            write!(out, "{words}")
        }
        (None, None) => Ok(()),
    });
    out.push(b'\n');
}
