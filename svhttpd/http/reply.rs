//! Replies, with the headers that keep a browser from doing harm with them.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SERVER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use super::body::Content;

/// A reply, before it is given to a connection.
pub(crate) type Reply = Response<Content>;

/// Scripts, styles, images and connections from this server alone, no frames around it, forms to it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every reply says. `same-origin` and not `no-referrer`: with that, the origin of our own forms
/// would be `null`.
const ALWAYS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// The kinds of content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// XML-RPC.
    Xml,
    /// A page.
    Html,
    /// A log.
    Text,
    /// JSON.
    Json,
    /// The metrics.
    Metrics,
    /// The style sheet.
    Css,
    /// The page's script.
    Script,
    /// Server-sent events.
    Events,
    /// The icon.
    Svg,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            // Supervisor's own spelling: clients compare it.
            Self::Xml => "text/xml",
            Self::Html => "text/html;charset=utf-8",
            Self::Text => "text/plain;charset=utf-8",
            Self::Json => "application/json",
            Self::Metrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Css => "text/css;charset=utf-8",
            Self::Script => "text/javascript;charset=utf-8",
            Self::Events => "text/event-stream",
            Self::Svg => "image/svg+xml",
        }
    }
}

/// A reply with a status and a content.
pub(crate) fn with(status: StatusCode, kind: Kind, content: Content) -> Reply {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind.name()));
    headers.insert(
        SERVER,
        HeaderValue::from_static(concat!("svhttpd/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in ALWAYS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    reply
}

/// 200, with all of the content.
pub(crate) fn ok(kind: Kind, content: impl Into<Bytes>) -> Reply {
    with(StatusCode::OK, kind, Content::Whole(content.into()))
}

/// An error, as a line of text for people.
pub(crate) fn error(status: StatusCode, why: &str) -> Reply {
    let words = status.canonical_reason().unwrap_or("Error");
    let text = format!("{} {words}\n{why}\n", status.as_u16());
    with(status, Kind::Text, Content::Whole(text.into()))
}

/// To that page, by GET.
pub(crate) fn see(path: &str) -> Reply {
    let mut reply = error(StatusCode::SEE_OTHER, path);
    if let Ok(value) = HeaderValue::from_str(path) {
        reply.headers_mut().insert(LOCATION, value);
    }
    reply
}

/// The request needs a user and a password.
pub(crate) fn unauthorized() -> Reply {
    let mut reply = error(StatusCode::UNAUTHORIZED, "a user and a password are needed");
    let challenge = HeaderValue::from_static("Basic realm=\"default\"");
    reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    reply
}

/// Allows a reply to be kept for an hour: the style sheet and its like.
pub(crate) fn cached(mut reply: Reply) -> Reply {
    let value = HeaderValue::from_static("max-age=3600");
    reply.headers_mut().insert(CACHE_CONTROL, value);
    reply
}

/// 200, with JSON in one line.
pub(crate) fn json(value: &serde_json::Value) -> Reply {
    ok(Kind::Json, format!("{value}\n"))
}
