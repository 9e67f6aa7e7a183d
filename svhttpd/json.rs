//! The services as JSON. **Pure.**

use serde_json::{Map, Value, json};
use servicedir::status::Record;

use crate::snapshot::{Seen, Snapshot};

/// All services.
pub(crate) fn list(snapshot: &Snapshot) -> Value {
    snapshot.services.iter().map(service).collect()
}

/// One service. Times are Unix seconds; what is not there is null.
pub(crate) fn service(seen: &Seen) -> Value {
    let info = &seen.info;
    let present = |number: u64| (number != 0).then_some(number);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut object = json!({
        "name": info.namespec(),
        "group": info.group,
        "process": info.name,
        "state": info.state.name(),
        "pid": present(u64::try_from(info.pid).unwrap_or(0)),
        "ready": seen.is_ready(),
        "paused": seen.is_paused(),
        "started": present(info.start),
        "ended": present(info.stop),
        "exit_status": info.exitstatus,
        "memory_bytes": seen.memory,
        "problem": text(&seen.problem()),
        "stdout_log": text(&info.stdout_logfile),
        "stderr_log": text(&info.stderr_logfile),
    });
    if let (Some(object), Some(record)) = (object.as_object_mut(), seen.record()) {
        add_record(object, record);
    }
    object
}

/// What only this suite's supervise tells.
fn add_record(object: &mut Map<String, Value>, record: &Record) {
    let message = (!record.message.is_empty()).then(|| record.message.clone());
    let next = record.next_start.map(|stamp| stamp.unix_seconds());
    let end = record.last_end.map(|end| end.to_string());
    object.insert("starts".to_owned(), record.total_starts.into());
    object.insert("failed_starts".to_owned(), record.failed_starts.into());
    object.insert("next_start".to_owned(), next.into());
    object.insert("last_end".to_owned(), end.into());
    object.insert("message".to_owned(), message.into());
    object.insert("options_fault".to_owned(), record.options_fault.into());
}
