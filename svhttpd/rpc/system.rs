//! The methods about methods: `system.`.

use servicedir::supervisor::fault::{Code, Fault};

use super::methods::{METHODS, find};
use super::params::{Params, text};
use super::{Caller, dispatch};
use crate::xml::{Call, Value};

/// The method that calls others.
pub(super) const MULTICALL: &str = "system.multicall";

/// `system.listMethods`.
pub(super) fn list_methods(_: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    let names = METHODS.iter().map(|method| Value::text(method.name));
    Ok(Value::Array(names.collect()))
}

/// `system.methodHelp`.
pub(super) fn method_help(_: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let method = find(text(params, 0)?).ok_or_else(unknown_signature)?;
    Ok(Value::text(method.help))
}

/// `system.methodSignature`: the result's type, then those of the parameters.
pub(super) fn method_signature(_: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let method = find(text(params, 0)?).ok_or_else(unknown_signature)?;
    let types = std::iter::once(&method.returns).chain(method.params);
    Ok(Value::Array(types.map(|name| Value::text(*name)).collect()))
}

fn unknown_signature() -> Fault {
    Fault::new(Code::SignatureUnsupported, "")
}

/// `system.multicall`: the calls one after another, each awaited before the next; a fault of one is its
/// item in the answer.
pub(super) async fn multicall(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let [Value::Array(calls)] = params else {
        return Err(Fault::new(Code::IncorrectParameters, ""));
    };
    let mut answers = Vec::new();
    for call in calls {
        let answer = match as_call(call) {
            Ok(call) => Box::pin(dispatch(caller, &call)).await,
            Err(fault) => Err(fault),
        };
        answers.push(answer.unwrap_or_else(|fault| {
            Value::members([
                ("faultCode", Value::Int(fault.code.number().into())),
                ("faultString", Value::text(fault.to_string())),
            ])
        }));
    }
    Ok(Value::Array(answers))
}

/// A call inside a call; it cannot be another [`MULTICALL`].
fn as_call(value: &Value) -> Result<Call, Fault> {
    let wrong = |why: &str| Fault::new(Code::IncorrectParameters, why);
    let Value::Struct(members) = value else {
        return Err(wrong("No methodName"));
    };
    let member = |wanted: &str| {
        let mut found = members.iter().filter(|(name, _)| name == wanted);
        found.next_back().map(|(_, value)| value)
    };
    let method = match member("methodName") {
        Some(Value::Text(name)) if name == MULTICALL => {
            return Err(wrong("Recursive system.multicall forbidden"));
        }
        Some(Value::Text(name)) => name.clone(),
        Some(_) | None => return Err(wrong("No methodName")),
    };
    let params = match member("params") {
        None => Vec::new(),
        Some(Value::Array(params)) => params.clone(),
        Some(_) => return Err(wrong("")),
    };
    Ok(Call { method, params })
}

/// It is run by [`multicall`] before the list of methods is asked; a call of it from there is nested.
pub(super) fn nested_multicall(_: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    Err(Fault::new(
        Code::IncorrectParameters,
        "Recursive system.multicall forbidden",
    ))
}
