//! The two cookies: the token of forms, and what the last action came to.

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::door::Door;
use crate::http::reply::Reply;
use crate::origin;

/// The cookie of the message.
const MESSAGE: &str = "svhttpd-message";

/// The longest message that is kept in a cookie, in bytes: browsers keep 4096 with the name.
const LONGEST: usize = 600;

/// The token for the forms of a page, and whether it is new: then it goes along as a cookie.
pub(crate) fn token(headers: &HeaderMap) -> (String, bool) {
    match Door::token(headers) {
        Some(token) => (token.to_owned(), false),
        None => (new_token(), true),
    }
}

/// 16 random bytes in hexadecimal digits.
fn new_token() -> String {
    let mut bytes = [0_u8; 16];
    // With 16 bytes and no flags it never gives less; a kernel without it would make tokens that do not
    // fit the cookie's rules, and so nothing could be changed.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(16) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Ok(_) | Err(_) => String::new(),
    }
}

/// Sends the token along. `Strict`: no request from another site has it.
pub(crate) fn give_token(reply: &mut Reply, token: &str) {
    set(
        reply,
        &format!(
            "{}={token}; Path=/; HttpOnly; SameSite=Strict",
            origin::COOKIE
        ),
    );
}

/// The message that the last action left.
pub(crate) fn message(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(COOKIE)?.to_str().ok()?;
    let (_, value) = cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == MESSAGE)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Leaves a message for the page that is shown next.
pub(crate) fn leave_message(reply: &mut Reply, message: &str) {
    let cut = message
        .get(..message.floor_char_boundary(LONGEST))
        .unwrap_or_default();
    let value = utf8_percent_encode(cut, NON_ALPHANUMERIC);
    set(
        reply,
        &format!("{MESSAGE}={value}; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"),
    );
}

/// Takes the message away: it was shown.
pub(crate) fn take_message(reply: &mut Reply) {
    set(
        reply,
        &format!("{MESSAGE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"),
    );
}

fn set(reply: &mut Reply, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        reply.headers_mut().append(SET_COOKIE, value);
    }
}
