//! The parameters of a call, in the types that a method wants. **Pure.**
//!
//! Supervisor is Python, and takes what can be used in the place; a value that cannot is answered there
//! by an HTTP error 500, and here by INCORRECT_PARAMETERS.

use servicedir::supervisor::fault::{Code, Fault};

use crate::xml::Value;

/// The parameters of one call.
pub(super) type Params<'a> = &'a [Value];

fn wrong() -> Fault {
    Fault::new(Code::IncorrectParameters, "")
}

/// The parameter of that index as text.
pub(super) fn text(params: Params<'_>, index: usize) -> Result<&str, Fault> {
    match params.get(index) {
        Some(Value::Text(text)) => Ok(text),
        Some(_) | None => Err(wrong()),
    }
}

/// A number: an int, a double (cut), or the digits of one as text.
pub(super) fn number(params: Params<'_>, index: usize) -> Result<i64, Fault> {
    match params.get(index) {
        Some(Value::Int(number)) => Ok(*number),
        Some(Value::Bool(flag)) => Ok((*flag).into()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "cut, as Python's int() does"
        )]
        Some(Value::Double(number)) if number.is_finite() => Ok(number.trunc() as i64),
        Some(Value::Text(text)) => text.trim().parse().map_err(|_| wrong()),
        Some(_) | None => Err(wrong()),
    }
}

/// Whether to wait: as Python judges the value, and yes without one. Any text but the empty one means yes.
pub(super) fn wait(params: Params<'_>, index: usize) -> bool {
    match params.get(index) {
        None => true,
        Some(Value::Bool(flag)) => *flag,
        Some(Value::Int(number)) => *number != 0,
        Some(Value::Double(number)) => *number != 0.0,
        Some(Value::Text(text)) => !text.is_empty(),
        Some(Value::Nil) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Struct(members)) => !members.is_empty(),
    }
}

/// A signal: its name, or its number as int or text.
pub(super) fn signal(params: Params<'_>, index: usize) -> Result<String, Fault> {
    match params.get(index) {
        Some(Value::Int(number)) => Ok(number.to_string()),
        _ => text(params, index).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_all_of_python_s_forms() {
        let params = [
            Value::Int(-5),
            Value::Double(1.9),
            Value::text(" 7 "),
            Value::Bool(true),
            Value::text("x"),
            Value::Nil,
            Value::Double(f64::NAN),
        ];
        let read: Vec<Option<i64>> = (0..8).map(|index| number(&params, index).ok()).collect();
        assert_eq!(
            read,
            [Some(-5), Some(1), Some(7), Some(1), None, None, None, None]
        );
    }

    #[test]
    fn wait_is_yes_but_for_false_0_and_nothing_in_it() {
        let yes = [
            Value::Bool(true),
            Value::Int(2),
            Value::text("false"),
            Value::Double(0.5),
        ];
        let no = [
            Value::Bool(false),
            Value::Int(0),
            Value::text(""),
            Value::Nil,
            Value::Array(vec![]),
        ];
        for value in yes {
            assert!(wait(std::slice::from_ref(&value), 0), "{value:?}");
        }
        for value in no {
            assert!(!wait(std::slice::from_ref(&value), 0), "{value:?}");
        }
        assert!(wait(&[], 0));
    }

    #[test]
    fn a_name_is_text_and_a_signal_may_be_a_number() {
        let params = [Value::text("web"), Value::Int(15)];
        assert_eq!(text(&params, 0), Ok("web"));
        assert!(text(&params, 1).is_err());
        assert_eq!(signal(&params, 0).as_deref(), Ok("web"));
        assert_eq!(signal(&params, 1).as_deref(), Ok("15"));
        assert!(signal(&params, 2).is_err());
    }
}
