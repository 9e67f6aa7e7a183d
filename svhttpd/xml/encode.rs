//! Values to the bytes of an answer.

use std::fmt::Write;

use super::Value;

/// The answer of a method that returned `value`.
pub(crate) fn answer(value: &Value) -> String {
    let mut xml = String::from("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n");
    element(&mut xml, value);
    xml.push_str("\n</param>\n</params>\n</methodResponse>\n");
    xml
}

/// The answer of a method that failed.
pub(crate) fn fault(code: i32, text: &str) -> String {
    let value = Value::members([
        ("faultCode", Value::Int(code.into())),
        ("faultString", Value::text(text)),
    ]);
    let mut xml = String::from("<?xml version='1.0'?>\n<methodResponse>\n<fault>\n");
    element(&mut xml, &value);
    xml.push_str("\n</fault>\n</methodResponse>\n");
    xml
}

fn element(xml: &mut String, value: &Value) {
    xml.push_str("<value>");
    match value {
        Value::Int(number) => number_element(xml, *number),
        Value::Bool(true) => xml.push_str("<boolean>1</boolean>"),
        Value::Bool(false) => xml.push_str("<boolean>0</boolean>"),
        // Writing to a string cannot fail.
        Value::Double(number) => write!(xml, "<double>{number}</double>").unwrap_or_default(),
        Value::Text(text) => {
            xml.push_str("<string>");
            escape(xml, text);
            xml.push_str("</string>");
        }
        Value::Nil => xml.push_str("<nil/>"),
        Value::Array(items) => {
            xml.push_str("<array><data>\n");
            for item in items {
                element(xml, item);
                xml.push('\n');
            }
            xml.push_str("</data></array>");
        }
        Value::Struct(members) => {
            xml.push_str("<struct>\n");
            for (name, value) in members {
                xml.push_str("<member>\n<name>");
                escape(xml, name);
                xml.push_str("</name>\n");
                element(xml, value);
                xml.push_str("\n</member>\n");
            }
            xml.push_str("</struct>");
        }
    }
    xml.push_str("</value>");
}

/// XML-RPC's `int` has 32 bits; Supervisor caps time stamps there, and a client of Go or C refuses more.
fn number_element(xml: &mut String, number: i64) {
    let number = number.clamp(i32::MIN.into(), i32::MAX.into());
    write!(xml, "<int>{number}</int>").unwrap_or_default();
}

/// Escapes `&`, `<` and `>` only, as Supervisor does. A character that XML 1.0 forbids (a control
/// character from a log) becomes U+FFFD: Supervisor sends it raw, and the client cannot parse the answer.
fn escape(xml: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            allowed if is_allowed(allowed) => xml.push(allowed),
            _ => xml.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Whether XML 1.0 (section 2.2, `Char`) allows the character.
pub(super) fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
