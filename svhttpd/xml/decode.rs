//! A method call's bytes to its name and parameters.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

use super::Value;
use super::encode::is_allowed;

/// How deep values may be nested. Supervisor's deepest is `system.multicall` with lists as parameters,
/// five; without a bound, a small body of many open tags would use up the stack.
const DEEPEST: usize = 32;

/// A method call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Call {
    /// As it was written: `supervisor.getState`.
    pub(crate) method: String,
    /// The parameters, in order.
    pub(crate) params: Vec<Value>,
}

/// Why a body is not a method call: in words for the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BadCall(String);

impl fmt::Display for BadCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Reads the body of a request.
///
/// # Errors
/// It is not well-formed XML, declares a document type, or is not a `methodCall` of XML-RPC.
pub(crate) fn decode(body: &[u8]) -> Result<Call, BadCall> {
    let text = characters(body)?;
    if let Some(forbidden) = text.chars().find(|character| !is_allowed(*character)) {
        let code = u32::from(forbidden);
        return Err(bad(format_args!("U+{code:04X} is not allowed in XML")));
    }
    let mut parser = Parser {
        reader: Reader::from_str(&text),
        ahead: Vec::new(),
    };
    parser.method_call()
}

fn bad(why: impl fmt::Display) -> BadCall {
    BadCall(why.to_string())
}

/// The body as text: UTF-8, or ISO 8859-1 where the XML declaration names it.
fn characters(body: &[u8]) -> Result<Cow<'_, str>, BadCall> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let head = body.get(..body.len().min(100)).unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let declaration = head
        .split("?>")
        .next()
        .filter(|start| start.starts_with("<?xml"));
    if declaration.is_some_and(|text| text.contains("iso-8859-1")) {
        return Ok(body.iter().map(|byte| char::from(*byte)).collect());
    }
    std::str::from_utf8(body)
        .map(Cow::Borrowed)
        .map_err(|_| bad("the body is not UTF-8"))
}

/// What the parser sees of the document: comments, declarations and blanks between elements are gone.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Open(String),
    Close(String),
    Text(String),
    End,
}

/// A parser of recursive descent over the tokens of one document.
struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    /// Tokens that were looked at and not taken, the next one last.
    ahead: Vec<Token>,
}

impl Parser<'_> {
    fn method_call(&mut self) -> Result<Call, BadCall> {
        self.open("methodCall")?;
        self.open("methodName")?;
        let method = self.text()?.trim().to_owned();
        self.close("methodName")?;
        let mut params = Vec::new();
        if self.opens("params")? {
            while self.opens("param")? {
                self.open("value")?;
                params.push(self.value(0)?);
                self.close("param")?;
            }
            self.close("params")?;
        }
        self.close("methodCall")?;
        let end = self.next_element()?;
        if end != Token::End {
            return Err(unexpected(&end, "the end"));
        }
        if method.is_empty() {
            return Err(bad("methodName is empty"));
        }
        Ok(Call { method, params })
    }

    /// The value whose start tag was just taken, with its end tag.
    fn value(&mut self, depth: usize) -> Result<Value, BadCall> {
        if depth > DEEPEST {
            return Err(bad(format_args!("values are nested deeper than {DEEPEST}")));
        }
        // Without a type element the value is a string, and its blanks are kept.
        let text = self.text()?;
        let value = match self.next()? {
            Token::Close(name) if name == "value" => return Ok(Value::Text(text)),
            Token::Open(_) if !text.trim().is_empty() => {
                return Err(bad("text and a type element in one value"));
            }
            Token::Open(kind) => {
                let value = self.typed(&kind, depth)?;
                self.close(&kind)?;
                value
            }
            other @ (Token::Close(_) | Token::Text(_) | Token::End) => {
                return Err(unexpected(&other, "a value"));
            }
        };
        self.close("value")?;
        Ok(value)
    }

    /// What is in an element of that type, without its end tag.
    fn typed(&mut self, kind: &str, depth: usize) -> Result<Value, BadCall> {
        let wrong = |text: &str| bad(format_args!("not a {kind}: {text:?}"));
        Ok(match kind {
            "array" => self.array(depth)?,
            "struct" => self.members(depth)?,
            "nil" => Value::Nil,
            "string" | "dateTime.iso8601" => Value::Text(self.text()?),
            "int" | "i4" | "i8" => {
                let text = self.text()?;
                Value::Int(text.trim().parse().map_err(|_| wrong(&text))?)
            }
            // Supervisor takes `1` for true and any other text for false.
            "boolean" => Value::Bool(self.text()?.trim() == "1"),
            "double" => {
                let text = self.text()?;
                Value::Double(text.trim().parse().map_err(|_| wrong(&text))?)
            }
            "base64" => {
                let text: String = self.text()?.split_whitespace().collect();
                let bytes = BASE64_STANDARD.decode(&text).map_err(|_| wrong(&text))?;
                Value::Text(String::from_utf8(bytes).map_err(|_| wrong(&text))?)
            }
            other => return Err(bad(format_args!("unknown type {other:?}"))),
        })
    }

    fn array(&mut self, depth: usize) -> Result<Value, BadCall> {
        let mut items = Vec::new();
        self.open("data")?;
        while self.opens("value")? {
            items.push(self.value(depth + 1)?);
        }
        self.close("data")?;
        Ok(Value::Array(items))
    }

    fn members(&mut self, depth: usize) -> Result<Value, BadCall> {
        let mut members = Vec::new();
        while self.opens("member")? {
            self.open("name")?;
            let name = self.text()?;
            self.close("name")?;
            self.open("value")?;
            members.push((name, self.value(depth + 1)?));
            self.close("member")?;
        }
        Ok(Value::Struct(members))
    }

    /// Takes the start tag of that element.
    fn open(&mut self, name: &str) -> Result<(), BadCall> {
        let token = self.next_element()?;
        if matches!(&token, Token::Open(opened) if opened == name) {
            return Ok(());
        }
        Err(unexpected(&token, &format!("<{name}>")))
    }

    /// Takes the end tag of that element.
    fn close(&mut self, name: &str) -> Result<(), BadCall> {
        let token = self.next_element()?;
        if matches!(&token, Token::Close(closed) if closed == name) {
            return Ok(());
        }
        Err(unexpected(&token, &format!("</{name}>")))
    }

    /// Takes the start tag of that element, if it is the next one.
    fn opens(&mut self, name: &str) -> Result<bool, BadCall> {
        let token = self.next_element()?;
        if matches!(&token, Token::Open(opened) if opened == name) {
            return Ok(true);
        }
        self.ahead.push(token);
        Ok(false)
    }

    /// The text up to the next tag, with its references resolved.
    fn text(&mut self) -> Result<String, BadCall> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Token::Text(more) => text.push_str(&more),
                tag @ (Token::Open(_) | Token::Close(_) | Token::End) => {
                    self.ahead.push(tag);
                    return Ok(text);
                }
            }
        }
    }

    /// The next token that is not blank text.
    fn next_element(&mut self) -> Result<Token, BadCall> {
        loop {
            let token = self.next()?;
            if !matches!(&token, Token::Text(text) if text.trim().is_empty()) {
                return Ok(token);
            }
        }
    }

    fn next(&mut self) -> Result<Token, BadCall> {
        if let Some(token) = self.ahead.pop() {
            return Ok(token);
        }
        loop {
            let event = self.reader.read_event().map_err(bad)?;
            match event {
                Event::Start(tag) => return Ok(Token::Open(name(&tag.name())?)),
                Event::End(tag) => return Ok(Token::Close(name(&tag.name())?)),
                Event::Empty(tag) => return self.empty(&tag),
                Event::Text(text) => return Ok(Token::Text(text.xml10_content().into_owned())),
                Event::CData(text) => return Ok(Token::Text(text.xml10_content().into_owned())),
                Event::GeneralRef(reference) => return resolve(&reference).map(Token::Text),
                Event::DocType(_) => return Err(bad("a document type is not accepted")),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof => return Ok(Token::End),
            }
        }
    }

    /// `<nil/>` is a start tag and an end tag.
    fn empty(&mut self, tag: &BytesStart<'_>) -> Result<Token, BadCall> {
        let name = name(&tag.name())?;
        self.ahead.push(Token::Close(name.clone()));
        Ok(Token::Open(name))
    }
}

/// The name of an element. One with a prefix (`ex:nil`) would need a namespace that XML-RPC has not.
fn name(name: &QName<'_>) -> Result<String, BadCall> {
    let text = name.as_ref().to_owned();
    match text.contains(':') {
        true => Err(bad(format_args!("unbound prefix in {text:?}"))),
        false => Ok(text),
    }
}

/// A character reference, or one of the five entities that XML itself defines.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, BadCall> {
    if let Some(character) = reference.resolve_char_ref().map_err(bad)? {
        return match is_allowed(character) {
            true => Ok(character.to_string()),
            false => Err(bad("a character reference to what XML forbids")),
        };
    }
    let name: &str = reference;
    quick_xml::escape::resolve_xml_entity(name)
        .map(str::to_owned)
        .ok_or_else(|| bad(format_args!("unknown entity &{name};")))
}

fn unexpected(found: &Token, wanted: &str) -> BadCall {
    let found = match found {
        Token::Open(name) => format!("<{name}>"),
        Token::Close(name) => format!("</{name}>"),
        Token::Text(_) => "text".to_owned(),
        Token::End => "the end".to_owned(),
    };
    bad(format_args!("expected {wanted}, found {found}"))
}
