//! `getAllConfigInfo`: the options of the services by Supervisor's names.

use std::path::PathBuf;

use servicedir::options::{self, Account, Autorestart, ExitCodes, Options};
use servicedir::report::Why;
use servicedir::status::End;
use servicedir::supervisor::catalog::{self, Definition};
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::logs::{self, Channel};

use super::Caller;
use super::params::Params;
use crate::xml::Value;

/// Supervisor's word for what is not set.
const UNSET: &str = "none";

/// `getAllConfigInfo`.
pub(super) fn all(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    let definitions = catalog::definitions(&caller.site.dir)
        .map_err(|error| Fault::new(Code::Failed, Why::from(error)))?;
    Ok(Value::Array(definitions.iter().map(describe).collect()))
}

/// The struct of one service. What has no counterpart here has Supervisor's value for "not used".
fn describe(definition: &Definition) -> Value {
    let process = &definition.process;
    let options = options::read(&process.layout.dir).unwrap_or_default();
    let text = |path: Option<PathBuf>| {
        Value::text(path.map_or(UNSET.to_owned(), |path| path.to_string_lossy().into_owned()))
    };
    let seconds =
        |time: std::time::Duration| Value::Int(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let priority = Value::Int(options.priority.into());
    let run = process.layout.dir.join(servicedir::layout::RUN);
    Value::members([
        ("autostart", Value::Bool(autostarts(definition, &options))),
        ("autorestart", autorestart(options.autorestart)),
        ("directory", text(options.directory.clone())),
        ("uid", uid(&options)),
        ("command", Value::text(run.to_string_lossy())),
        ("exitcodes", exit_codes(&options.exitcodes)),
        ("group", Value::text(&process.group)),
        ("group_prio", priority.clone()),
        ("inuse", Value::Bool(definition.in_use)),
        ("killasgroup", Value::Bool(options.killasgroup)),
        ("name", Value::text(&process.name)),
        ("process_prio", priority),
        ("redirect_stderr", Value::Bool(options.redirect_stderr)),
        (
            "startretries",
            Value::Int(options.startretries.map_or(i64::from(i32::MAX), i64::from)),
        ),
        ("startsecs", seconds(options.startsecs)),
        ("stdout_capture_maxbytes", Value::Int(0)),
        ("stdout_events_enabled", Value::Bool(false)),
        (
            "stdout_logfile",
            text(logs::file(&process.layout, Channel::Stdout)),
        ),
        ("stdout_logfile_backups", Value::Int(0)),
        ("stdout_logfile_maxbytes", Value::Int(0)),
        ("stdout_syslog", Value::Bool(false)),
        ("stopsignal", Value::Int(options.stopsignal.number().into())),
        (
            "stopwaitsecs",
            options
                .stopwaitsecs
                .map_or(Value::Int(i32::MAX.into()), seconds),
        ),
        ("stderr_capture_maxbytes", Value::Int(0)),
        ("stderr_events_enabled", Value::Bool(false)),
        (
            "stderr_logfile",
            text(logs::file(&process.layout, Channel::Stderr)),
        ),
        ("stderr_logfile_backups", Value::Int(0)),
        ("stderr_logfile_maxbytes", Value::Int(0)),
        ("stderr_syslog", Value::Bool(false)),
        ("serverurl", Value::text(UNSET)),
    ])
}

fn autostarts(definition: &Definition, options: &Options) -> bool {
    options.autostart
        && !definition
            .process
            .layout
            .dir
            .join(servicedir::layout::DOWN)
            .exists()
}

/// As Supervisor 4.4 tells it, and `true` where that cannot.
fn autorestart(autorestart: Autorestart) -> Value {
    match autorestart {
        Autorestart::Always => Value::Bool(true),
        Autorestart::Never => Value::Bool(false),
        Autorestart::Unexpected => Value::text("unexpected"),
    }
}

fn uid(options: &Options) -> Value {
    match options.user.as_ref().map(|user| &user.user) {
        Some(Account::Number(uid)) => Value::Int((*uid).into()),
        Some(Account::Name(name)) => Value::text(name),
        None => Value::text(UNSET),
    }
}

fn exit_codes(codes: &ExitCodes) -> Value {
    let expected = (0..=u8::MAX).filter(|code| codes.contains(End::Exited(*code)));
    Value::Array(expected.map(|code| Value::Int(code.into())).collect())
}
