//! The live view: services are shown again whenever they change.
//!
//! On a terminal the picture is drawn over itself, and once a second, since it shows times. The
//! terminal is put in no mode that it would have to be brought back from: Ctrl-C simply ends it.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use servicedir::reading::Reading;
use servicedir::report::{Failure, exit};
use servicedir::tai64n::Tai64n;
use servicedir::wait::{Seen as Change, StatusWatch};

use crate::args::{Args, View};
use crate::look::{Seen, Service, look};
use crate::{render, scan};

/// How often the times on a terminal are drawn again, and a scan directory is read again.
const TICK: Duration = Duration::from_secs(1);

/// Shows the services until it is ended, or nobody reads on.
pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let on_terminal = io::stdout().is_terminal() && args.view != View::Json;
    let mut shown = Shown::default();
    loop {
        shown.name(named(args)?);
        let now = Tai64n::now();
        let next = Instant::now() + TICK;
        let output = if on_terminal {
            shown.look();
            picture(&render(args.view, &shown.services, now, true))
        } else {
            shown.changes(args.view, now)
        };
        if !output.is_empty() && !wrote(&output)? {
            return Ok(exit::DONE);
        }
        let ticks = on_terminal || args.means_all() || shown.incomplete;
        let deadline = if ticks { Some(next) } else { None };
        match shown.watch.wait(deadline) {
            Ok(Change::Any | Change::Changed(_) | Change::TimedOut) => {}
            Err(error) => return Err(Failure::system("unable to wait", error)),
        }
    }
}

fn named(args: &Args) -> Result<Vec<OsString>, Failure> {
    if args.means_all() {
        scan::all_services()
    } else {
        Ok(args.dirs.clone())
    }
}

/// What is shown now.
#[derive(Default)]
struct Shown {
    names: Vec<OsString>,
    services: Vec<(Service, Seen)>,
    watch: StatusWatch,
    /// Some have no state directory yet that could be watched.
    incomplete: bool,
}

impl Shown {
    /// Takes up these services, and drops others.
    fn name(&mut self, names: Vec<OsString>) {
        if self.names == names && !self.incomplete && !self.watch.is_blind() {
            return;
        }
        self.watch = StatusWatch::new();
        self.incomplete = false;
        let mut old: Vec<(Service, Seen)> = std::mem::take(&mut self.services);
        for (index, name) in names.iter().enumerate() {
            let service = Service::named(name.clone());
            match &service.layout {
                Ok(layout) if layout.state.is_dir() => self.watch.add(&layout.state, index),
                Ok(_) | Err(_) => self.incomplete = true,
            }
            let seen = old
                .iter_mut()
                .find(|(old, _)| old.typed == *name)
                .map(|(_, seen)| std::mem::take(seen))
                .unwrap_or_default();
            self.services.push((service, seen));
        }
        self.names = names;
    }

    fn look(&mut self) {
        for (service, seen) in &mut self.services {
            *seen = look(service, false);
        }
    }

    /// The view of the services that are not as they were shown last.
    fn changes(&mut self, view: View, now: Tai64n) -> Vec<u8> {
        let mut changed = Vec::new();
        for (service, seen) in &mut self.services {
            let new = look(service, view == View::Json);
            if !is_same(seen, &new) {
                changed.push((Service::named(service.typed.clone()), new.clone()));
            }
            *seen = new;
        }
        if changed.is_empty() {
            return Vec::new();
        }
        render(view, &changed, now, false)
    }
}

fn is_same(old: &Seen, new: &Seen) -> bool {
    let status = |seen: &Seen| {
        seen.reading
            .as_ref()
            .map(|reading: &Reading| reading.status.clone())
    };
    old.problem == new.problem && old.normally_up == new.normally_up && status(old) == status(new)
}

/// What draws these lines over the last picture: from the top left, each line and the rest of the
/// screen cleared behind it, cut to the size of the window.
fn picture(lines: &[u8]) -> Vec<u8> {
    let (rows, columns) = window();
    let mut out = b"\x1b[H".to_vec();
    for (row, line) in String::from_utf8_lossy(lines)
        .lines()
        .take(rows)
        .enumerate()
    {
        if row > 0 {
            out.extend(b"\r\n");
        }
        out.extend(cut(line, columns).as_bytes());
        out.extend(b"\x1b[m\x1b[K");
    }
    out.extend(b"\x1b[J");
    out
}

/// The rows and columns of the terminal.
fn window() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            (usize::from(size.ws_row), usize::from(size.ws_col))
        }
        Ok(_) | Err(_) => (24, 80),
    }
}

/// The line's first `columns` characters; escape sequences take no room.
fn cut(line: &str, columns: usize) -> &str {
    let mut left = columns;
    let mut escaped = false;
    for (at, letter) in line.char_indices() {
        match letter {
            '\x1b' => escaped = true,
            'm' if escaped => escaped = false,
            _ if escaped => {}
            _ if left == 0 => return line.get(..at).unwrap_or(line),
            _ => left -= 1,
        }
    }
    line
}

/// Writes to stdout; false where nobody reads any more.
fn wrote(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::system("unable to write to stdout", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_what_is_seen_of_it() {
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("ab", 4), "ab");
        assert_eq!(cut("\x1b[32mab\x1b[mcdef", 3), "\x1b[32mab\x1b[mc");
        assert_eq!(cut("ééé", 2), "éé");
    }
}
