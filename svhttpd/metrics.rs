//! `/metrics`: the services in OpenMetrics 1.0, for Prometheus. **Pure.**

use std::fmt::{self, Write};

use servicedir::supervisor::process::ProcessState;

use crate::snapshot::{Seen, Snapshot};

/// The states, each a member of the state set.
const STATES: [&str; 8] = [
    "STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN",
];

/// A value of one service; `None`: it has none now.
type Get = fn(&Seen) -> Option<u64>;

/// A metric with one value a service.
struct Metric {
    name: &'static str,
    kind: &'static str,
    /// What comes behind the name in a sample.
    suffix: &'static str,
    unit: &'static str,
    help: &'static str,
    get: Get,
}

/// All but the state set.
#[rustfmt::skip]
const METRICS: &[Metric] = &[
    Metric { name: "servicedir_service_up", kind: "gauge", suffix: "", unit: "", help: "Whether its process runs.", get: |seen| Some((seen.info.pid != 0).into()) },
    Metric { name: "servicedir_service_ready", kind: "gauge", suffix: "", unit: "", help: "Whether it is RUNNING and ready.", get: |seen| Some(seen.is_ready().into()) },
    Metric { name: "servicedir_service_paused", kind: "gauge", suffix: "", unit: "", help: "Whether it was stopped by SIGSTOP.", get: |seen| Some(seen.is_paused().into()) },
    Metric { name: "servicedir_service_supervised", kind: "gauge", suffix: "", unit: "", help: "Whether a supervise is there.", get: |seen| Some((seen.info.state != ProcessState::Unknown).into()) },
    Metric { name: "servicedir_service_starts", kind: "counter", suffix: "_total", unit: "", help: "How often it was started since its supervise was first started.", get: |seen| seen.record().map(|record| record.total_starts) },
    Metric { name: "servicedir_service_failed_starts", kind: "gauge", suffix: "", unit: "", help: "How many starts in a row have failed.", get: |seen| seen.record().map(|record| record.failed_starts.into()) },
    Metric { name: "servicedir_service_options_fault", kind: "gauge", suffix: "", unit: "", help: "Whether its options are at fault, and older ones are in use.", get: |seen| seen.record().map(|record| record.options_fault.into()) },
    Metric { name: "servicedir_service_start_time_seconds", kind: "gauge", suffix: "", unit: "seconds", help: "When its process was started, in Unix time.", get: |seen| Some(seen.info.start).filter(|_| seen.info.pid != 0) },
    Metric { name: "servicedir_service_memory_bytes", kind: "gauge", suffix: "", unit: "bytes", help: "The resident memory of its processes.", get: |seen| seen.memory },
];

/// The whole answer.
pub(crate) fn write(snapshot: &Snapshot) -> String {
    let mut text = String::with_capacity(1024 * snapshot.services.len());
    for metric in METRICS {
        family(&mut text, metric, snapshot);
    }
    states(&mut text, snapshot);
    text.push_str("# EOF\n");
    text
}

fn family(text: &mut String, metric: &Metric, snapshot: &Snapshot) {
    let Metric {
        name,
        kind,
        suffix,
        unit,
        help,
        get,
    } = metric;
    line(text, format_args!("# TYPE {name} {kind}"));
    if !unit.is_empty() {
        line(text, format_args!("# UNIT {name} {unit}"));
    }
    line(text, format_args!("# HELP {name} {help}"));
    for seen in &snapshot.services {
        if let Some(value) = get(seen) {
            line(
                text,
                format_args!("{name}{suffix}{{{}}} {value}", Labels(seen)),
            );
        }
    }
}

fn states(text: &mut String, snapshot: &Snapshot) {
    let name = "servicedir_service_state";
    line(text, format_args!("# TYPE {name} stateset"));
    line(
        text,
        format_args!("# HELP {name} Its state, as in Supervisor."),
    );
    for seen in &snapshot.services {
        let current = seen.info.state.name();
        for state in STATES {
            let on = u8::from(state == current);
            line(
                text,
                format_args!("{name}{{{},{name}=\"{state}\"}} {on}", Labels(seen)),
            );
        }
    }
}

fn line(text: &mut String, content: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    writeln!(text, "{content}").unwrap_or_default();
}

/// The labels of a service.
struct Labels<'a>(&'a Seen);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = &self.0.info;
        write!(
            out,
            "service=\"{}\",group=\"{}\"",
            Label(&info.name),
            Label(&info.group)
        )
    }
}

/// A label's value: backslash, quote and newline are escaped.
struct Label<'a>(&'a str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => out.write_str("\\\\")?,
                '"' => out.write_str("\\\"")?,
                '\n' => out.write_str("\\n")?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped() {
        assert_eq!(Label("a\"b\\c\nd").to_string(), "a\\\"b\\\\c\\nd");
    }

    #[test]
    fn every_metric_is_in_the_manual() {
        let manual = include_str!("../man/svhttpd.8");
        for metric in METRICS {
            let name = format!("{}{}", metric.name, metric.suffix);
            assert!(manual.contains(&name), "{name}");
        }
        assert!(manual.contains("servicedir_service_state"));
    }
}
