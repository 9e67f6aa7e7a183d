//! Supervisor's XML-RPC: a method call to its answer.

mod clear;
mod config;
mod control;
mod groups;
mod info;
mod logs;
mod methods;
mod params;
mod system;

use std::rc::Rc;

use hyper::StatusCode;
use servicedir::supervisor::fault::{Code, Fault};

use crate::door::Door;
use crate::http::reply::{self, Kind, Reply};
use crate::site::Site;
use crate::xml::{self, Call, Value};

pub(crate) use clear::clear;
pub(crate) use control::{Command, Outcome, Target, outcomes};
use methods::Run;

/// Where a call comes from, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// What is served.
    pub(crate) site: Rc<Site>,
    /// The door that the call came through.
    pub(crate) door: Rc<Door>,
}

/// Answers the body of a POST to `/RPC2`.
pub(crate) async fn answer(caller: &Caller, body: &[u8]) -> Reply {
    let call = match xml::decode(body) {
        Ok(call) => call,
        Err(bad) => return reply::error(StatusCode::BAD_REQUEST, &bad.to_string()),
    };
    let answer = match call.method.as_str() {
        system::MULTICALL => system::multicall(caller, &call.params).await,
        _ => dispatch(caller, &call).await,
    };
    let xml = match answer {
        Ok(value) => xml::answer(&value),
        Err(fault) => xml::fault(fault.code.number(), &fault.to_string()),
    };
    reply::ok(Kind::Xml, xml)
}

/// Calls one method, and waits for its end.
async fn dispatch(caller: &Caller, call: &Call) -> Result<Value, Fault> {
    let method = methods::find(&call.method).ok_or_else(|| Fault::new(Code::UnknownMethod, ""))?;
    let count = call.params.len();
    if count < method.params.len() - method.optional || count > method.params.len() {
        return Err(Fault::new(Code::IncorrectParameters, ""));
    }
    if method.changes && !caller.door.rights.control {
        let why = format!(
            "{} is not allowed here: this socket only shows services (--control)",
            method.name
        );
        return Err(Fault::new(Code::Failed, why));
    }
    match method.run {
        Run::AtOnce(run) => run(caller, &call.params),
        Run::Command(begin) => {
            let command = begin(caller, &call.params)?;
            control::run_to_end(&caller.site, command).await
        }
        Run::Clear(begin) => {
            let clearing = begin(caller, &call.params)?;
            clear::run_to_end(&caller.site, clearing).await
        }
    }
}
