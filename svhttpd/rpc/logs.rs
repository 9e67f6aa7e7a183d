//! Reading, following by size, and clearing logs.

use std::io;
use std::path::Path;

use servicedir::report::Why;
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::logs::{self, BadRange, Channel};

use super::Caller;
use super::params::{Params, number, text};
use crate::logfile;
use crate::xml::Value;

/// The longest piece of a log in one answer, in bytes. Supervisor has no bound, and a log of gigabytes in
/// one answer ends it.
const LONGEST: u64 = 16 << 20;

/// `readProcessStdoutLog`.
pub(super) fn read_stdout(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    read_process(caller, params, Channel::Stdout)
}

/// `readProcessStderrLog`.
pub(super) fn read_stderr(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    read_process(caller, params, Channel::Stderr)
}

fn read_process(caller: &Caller, params: Params<'_>, channel: Channel) -> Result<Value, Fault> {
    let process = caller.site.process(text(params, 0)?)?;
    let file = logs::file(&process.layout, channel);
    let file = file.ok_or_else(|| Fault::new(Code::NoFile, ""))?;
    read(&file, number(params, 1)?, number(params, 2)?)
}

/// `readLog`: what svscan and the supervises say, where the scan directory has a log for it.
pub(super) fn read_main(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let file = logfile::main(&caller.site.dir).ok_or_else(|| Fault::new(Code::NoFile, ""))?;
    read(&file, number(params, 0)?, number(params, 1)?)
}

fn read(file: &Path, offset: i64, length: i64) -> Result<Value, Fault> {
    let bytes = logs::read(file, |size| match logs::read_piece(size, offset, length) {
        Ok((start, length)) => ((start, length.min(LONGEST)), Ok(())),
        Err(BadRange) => ((0, 0), Err(BadRange)),
    });
    let (bytes, range) = bytes.map_err(|error| unreadable(file, &error))?;
    range.map_err(|BadRange| Fault::new(Code::BadArguments, ""))?;
    Ok(Value::text(String::from_utf8_lossy(&bytes)))
}

fn unreadable(file: &Path, error: &io::Error) -> Fault {
    let file = file.display();
    if error.kind() == io::ErrorKind::NotFound {
        return Fault::new(Code::NoFile, file);
    }
    Fault::new(Code::Failed, format_args!("{file}: {}", Why::from(error)))
}

/// `tailProcessStdoutLog`.
pub(super) fn tail_stdout(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    tail(caller, params, Channel::Stdout)
}

/// `tailProcessStderrLog`.
pub(super) fn tail_stderr(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    tail(caller, params, Channel::Stderr)
}

fn tail(caller: &Caller, params: Params<'_>, channel: Channel) -> Result<Value, Fault> {
    let process = caller.site.process(text(params, 0)?)?;
    let (offset, length) = (number(params, 1)?, number(params, 2)?);
    let answer = |text: String, size: u64, overflow| {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Value::Array(vec![
            Value::Text(text),
            Value::Int(size),
            Value::Bool(overflow),
        ])
    };
    let Some(file) = logs::file(&process.layout, channel) else {
        return Ok(answer(String::new(), 0, false));
    };
    let read = logs::read(&file, |size| {
        let ((start, piece), overflow) = logs::tail_piece(size, offset, length);
        let kept = piece.min(LONGEST);
        ((start + (piece - kept), kept), (size, overflow))
    });
    match read {
        Ok((bytes, (size, overflow))) => Ok(answer(
            String::from_utf8_lossy(&bytes).into_owned(),
            size,
            overflow,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(answer(String::new(), 0, false))
        }
        Err(error) => Err(unreadable(&file, &error)),
    }
}
