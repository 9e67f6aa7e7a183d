//! Groups put to use and taken out of use: links to the definitions in `.available/`.

use std::io;

use servicedir::report::Why;
use servicedir::supervisor::catalog;
use servicedir::supervisor::fault::{Code, Fault};

use super::Caller;
use super::params::{Params, text};
use crate::xml::Value;

/// `reloadConfig`: one array that holds three arrays of groups.
pub(super) fn reload(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    let changes = catalog::changes(&caller.site.dir)
        .map_err(|error| Fault::new(Code::CantReread, Why::from(error)))?;
    let names = |groups: Vec<String>| Value::Array(groups.into_iter().map(Value::Text).collect());
    let three = [changes.added, changes.changed, changes.removed].map(names);
    Ok(Value::Array(vec![Value::Array(three.into())]))
}

/// `addProcessGroup`: svscan starts what has a new link.
pub(super) fn add(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let group = text(params, 0)?;
    let definitions =
        catalog::definitions(&caller.site.dir).map_err(|error| failed(group, &error))?;
    let mut members = definitions
        .iter()
        .filter(|definition| definition.process.group == group)
        .peekable();
    if members.peek().is_none() {
        return Err(Fault::new(Code::BadName, group));
    }
    if members.all(|definition| definition.in_use) {
        return Err(Fault::new(Code::AlreadyAdded, group));
    }
    catalog::activate(&caller.site.dir, group).map_err(|error| failed(group, &error))?;
    Ok(Value::Bool(true))
}

/// `removeProcessGroup`: none of its services may run.
pub(super) fn remove(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let group = text(params, 0)?;
    let members = caller.site.group(group)?;
    if !members
        .iter()
        .all(|process| process.look().state.is_stopped())
    {
        return Err(Fault::new(Code::StillRunning, group));
    }
    for process in &members {
        catalog::deactivate(&caller.site.dir, process).map_err(|error| failed(group, &error))?;
    }
    Ok(Value::Bool(true))
}

fn failed(group: &str, error: &io::Error) -> Fault {
    Fault::new(Code::Failed, format_args!("{group}: {}", Why::from(error)))
}
