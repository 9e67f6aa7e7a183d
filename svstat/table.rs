//! Services as a table for people.

use servicedir::report::Escaped;
use servicedir::status::{Phase, State, Status};
use servicedir::tai64n::Tai64n;
use servicedir::words::{Words, seconds};

use crate::look::{Seen, Service};

const HEAD: [&str; 7] = [
    "SERVICE", "STATE", "PID", "FOR", "STARTS", "LAST END", "NOTE",
];

/// The columns of numbers, which are aligned to the right.
const RIGHT: [usize; 3] = [2, 3, 4];

/// One row: its cells, and the colour of the state.
struct Row {
    cells: [String; 7],
    colour: &'static str,
}

/// The table, a line a service. With `colours`, for a terminal.
pub(crate) fn render(seen: &[(Service, Seen)], now: Tai64n, colours: bool) -> String {
    let head = Row {
        cells: HEAD.map(str::to_owned),
        colour: "",
    };
    let rows: Vec<Row> = std::iter::once(head)
        .chain(seen.iter().map(|(service, seen)| row(service, seen, now)))
        .collect();
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in &rows {
        push(&mut out, row, &widths, colours);
    }
    out
}

fn push(out: &mut String, row: &Row, widths: &[usize; 7], colours: bool) {
    let mut line = String::new();
    for (column, (cell, width)) in row.cells.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        let coloured = colours && column == 1 && !row.colour.is_empty();
        let (on, off) = if coloured {
            (row.colour, "\x1b[m")
        } else {
            ("", "")
        };
        let parts = if RIGHT.contains(&column) {
            [&gap, on, cell, off]
        } else {
            [on, cell, off, &gap]
        };
        for part in parts {
            line.push_str(part);
        }
        line.push_str("  ");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

fn row(service: &Service, seen: &Seen, now: Tai64n) -> Row {
    let name = Escaped(&service.typed.to_string_lossy()).to_string();
    match (&seen.problem, &seen.reading) {
        (None, Some(reading)) => status_row(name, &reading.status, seen.normally_up, now),
        (problem, _) => Row {
            cells: [
                name,
                none(),
                none(),
                none(),
                none(),
                none(),
                problem
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ],
            colour: RED,
        },
    }
}

fn status_row(name: String, status: &Status, normally_up: Option<bool>, now: Tai64n) -> Row {
    let record = status.record.as_ref();
    let (state, colour) = state(status);
    let words = Words {
        status,
        normally_up,
        now,
    };
    // Behind the first comma stands what has no column of its own.
    let words = words.to_string();
    let note = words.split_once(", ").map_or("", |(_, note)| note);
    Row {
        cells: [
            name,
            state.to_owned(),
            status
                .pid
                .map_or_else(none, |pid| pid.as_raw_nonzero().to_string()),
            duration(seconds(status, now)),
            record.map_or_else(none, |record| record.total_starts.to_string()),
            record
                .and_then(|record| record.last_end)
                .map_or_else(none, |end| end.to_string()),
            note.to_owned(),
        ],
        colour,
    }
}

/// What stands in a cell without content.
fn none() -> String {
    "-".to_owned()
}

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const FAINT: &str = "\x1b[2m";

/// The state in a word, and its colour. Of another suite's service only up and down are known.
fn state(status: &Status) -> (&'static str, &'static str) {
    match (&status.record, status.phase) {
        (Some(record), _) => match record.state {
            State::Running => ("RUNNING", GREEN),
            State::Stopped => ("STOPPED", FAINT),
            State::Fatal => ("FATAL", RED),
            state @ (State::Starting | State::Backoff | State::Stopping | State::Exited) => {
                (state.name(), YELLOW)
            }
        },
        (None, Phase::Run) => ("up", GREEN),
        (None, Phase::Finish) => ("finish", YELLOW),
        (None, Phase::Down) => ("down", FAINT),
    }
}

/// Seconds as the two largest units: `7s`, `3m 12s`, `2h 5m`, `40d 3h`.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        (_, _, _) => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_their_two_largest_units() {
        let shown = [0, 59, 60, 7199, 7200, 86399, 86400, 3_466_800].map(duration);
        assert_eq!(
            shown,
            [
                "0s", "59s", "1m 0s", "1h 59m", "2h 0m", "23h 59m", "1d 0h", "40d 3h"
            ]
        );
    }

    #[test]
    fn columns_are_aligned_and_colours_do_not_count() {
        let rows = [
            Row {
                cells: ["a", "RUNNING", "7", "1s", "1", "-", ""].map(str::to_owned),
                colour: GREEN,
            },
            Row {
                cells: ["long", "up", "12345", "1m 2s", "10", "-", "x"].map(str::to_owned),
                colour: "",
            },
        ];
        let widths = [4, 7, 5, 5, 2, 1, 1];
        let mut plain = String::new();
        let mut coloured = String::new();
        for row in &rows {
            push(&mut plain, row, &widths, false);
            push(&mut coloured, row, &widths, true);
        }
        assert_eq!(
            plain,
            "a     RUNNING      7     1s   1  -\nlong  up       12345  1m 2s  10  -  x\n"
        );
        assert_eq!(coloured.replace(GREEN, "").replace("\x1b[m", ""), plain);
    }
}
