//! XML-RPC on the wire: method calls to values, values to answers. **Pure.**
//!
//! What is accepted is what Supervisor 4.3.0 accepts; what is answered is byte for byte what it
//! answers, as Python's `xmlrpc.client` marshals it, because some clients cut it up by hand.

mod decode;
mod encode;

pub(crate) use decode::{Call, decode};
pub(crate) use encode::{answer, fault};

/// An XML-RPC value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// `int`, `i4` or `i8`.
    Int(i64),
    /// `boolean`.
    Bool(bool),
    /// `double`.
    Double(f64),
    /// `string`, `dateTime.iso8601`, decoded `base64`, or a value without a type.
    Text(String),
    /// `nil`.
    Nil,
    /// `array`.
    Array(Vec<Self>),
    /// `struct`, in the order of its members.
    Struct(Vec<(String, Self)>),
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A struct of these members, in this order.
    pub(crate) fn members<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Struct(members.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests;
