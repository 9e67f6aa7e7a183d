//! A line of the journal in words, for people.

use std::fmt;

use super::Entry;

/// An entry as `BACKOFF after STARTING, pid 812, exited 3, failed start 1`.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a>(pub &'a Entry);

impl fmt::Display for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        out.write_str(entry.state.name())?;
        if let Some(from) = entry.from {
            write!(out, " after {}", from.name())?;
        }
        if let Some(pid) = entry.pid {
            write!(out, ", pid {}", pid.as_raw_nonzero())?;
        }
        if let Some(failures) = entry.failed_checks {
            write!(out, ", check failed {failures} in a row")?;
        }
        if let Some(end) = entry.end {
            write!(out, ", {end}")?;
        }
        if entry.expected == Some(false) {
            out.write_str(", not expected")?;
        }
        if let Some(tries) = entry.tries.filter(|tries| *tries > 0) {
            write!(out, ", failed start {tries}")?;
        }
        self.cause(out)?;
        if entry.reason.is_empty() {
            return Ok(());
        }
        write!(out, ": {}", crate::report::Escaped(&entry.reason))
    }
}

impl Words<'_> {
    fn cause(self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        match entry.ready {
            Some(true) => out.write_str(", ready")?,
            Some(false) if entry.from.is_none() => out.write_str(", not ready")?,
            Some(false) | None => {}
        }
        match entry.paused {
            Some(true) => out.write_str(", paused")?,
            Some(false) => out.write_str(", continued")?,
            None => {}
        }
        match entry.command {
            Some(letter) if letter.is_ascii_alphanumeric() => {
                write!(out, ", command {}", char::from(letter))?;
            }
            Some(byte) => write!(out, ", command {byte:#04x}")?,
            None => {}
        }
        if entry.terminated {
            out.write_str(", supervise was told to stop it and to exit")?;
        }
        if let Some(signal) = entry.sent {
            write!(out, ", {signal} sent")?;
        }
        if let Some(pid) = entry.supervise {
            let verb = if entry.adopted { "adopts" } else { "begins" };
            write!(out, ", supervise {} {verb}", pid.as_raw_nonzero())?;
        }
        if entry.left {
            out.write_str(", supervise exits")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_a_sentence() {
        for (line, words) in [
            (
                "17 BACKOFF from=STARTING pid=812 exit=3 tries=1",
                "BACKOFF after STARTING, pid 812, exited 3, failed start 1",
            ),
            (
                "18 EXITED from=RUNNING pid=8 signal=SIGSEGV expected=no ready=no",
                "EXITED after RUNNING, pid 8, killed by SIGSEGV, not expected",
            ),
            ("19 RUNNING command=d", "RUNNING, command d"),
            (
                "20 RUNNING pid=8 supervise=9 adopted=yes",
                "RUNNING, pid 8, supervise 9 adopts",
            ),
            (
                "21 FATAL from=BACKOFF tries=2 reason=\"2 failed starts\"",
                "FATAL after BACKOFF, failed start 2: 2 failed starts",
            ),
        ] {
            let line = format!("@400000000000000a00000000 {line}");
            let entry = Entry::from_line(line.as_bytes()).unwrap();
            assert_eq!(Words(&entry).to_string(), words);
        }
    }
}
