//! Which request is answered by what.

use bytes::Bytes;
use hyper::header::{ACCEPT, REFERER};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::logs::Channel;
use servicedir::tai64n::Tai64n;

use crate::action;
use crate::cookie;
use crate::events;
use crate::http::reply::{self, Kind, Reply};
use crate::json;
use crate::logtail;
use crate::metrics;
use crate::page::Reader;
use crate::rpc::{self, Caller};
use crate::snapshot::{Seen, Snapshot};

/// Supervisor takes every path that begins so for its XML-RPC.
const RPC: &str = "/RPC2";

/// Whether a request of that method is read with its body.
pub(crate) fn takes_body(method: &Method) -> bool {
    method == Method::POST
}

/// Answers a request.
pub(crate) async fn answer(caller: &Caller, head: &Parts, body: Option<Bytes>) -> Reply {
    match (&head.method, body) {
        (&Method::GET | &Method::HEAD, None) => show(caller, head),
        (_, Some(body)) => change(caller, head, &body).await,
        (_, None) => reply::error(StatusCode::METHOD_NOT_ALLOWED, "expected GET or POST"),
    }
}

/// Answers a request that changes nothing.
fn show(caller: &Caller, head: &Parts) -> Reply {
    let path = head.uri.path();
    if path.starts_with(RPC) {
        return reply::error(StatusCode::BAD_REQUEST, "XML-RPC is called by POST");
    }
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        return no_page();
    };
    match fixed(&path).or_else(|| listed(caller, head, &path)) {
        Some(reply) => reply,
        None => named(caller, head, &path).unwrap_or_else(|fault| failed(&fault)),
    }
}

/// What is the same for everybody.
fn fixed(path: &str) -> Option<Reply> {
    let file = |kind, text: &'static str| Some(reply::cached(reply::ok(kind, text)));
    match path {
        "/style.css" | "/stylesheets/supervisor.css" => {
            file(Kind::Css, include_str!("page/style.css"))
        }
        "/page.js" => file(Kind::Script, include_str!("page/page.js")),
        "/icon.svg" => file(Kind::Svg, include_str!("page/icon.svg")),
        // Supervisor's probe of health.
        "/ok.html" => Some(reply::ok(Kind::Text, "OK")),
        _ => None,
    }
}

/// What shows all services, or none.
fn listed(caller: &Caller, head: &Parts, path: &str) -> Option<Reply> {
    let site = &caller.site;
    let snapshot = |show: fn(&Snapshot) -> Reply| match Snapshot::take(site) {
        Ok(snapshot) => show(&snapshot),
        Err(fault) => failed(&fault),
    };
    Some(match path {
        "/" | "/index.html" => services(caller, head),
        "/events" => events::list(caller),
        "/metrics" => snapshot(|snapshot| reply::ok(Kind::Metrics, metrics::write(snapshot))),
        "/api/services" => snapshot(|snapshot| reply::json(&json::list(snapshot))),
        "/mainlogtail" => logtail::main(site),
        _ => return None,
    })
}

/// What shows one service, whose name is in the path. It is looked up among the services that are there,
/// and never becomes part of a path in the file system.
fn named(caller: &Caller, head: &Parts, path: &str) -> Result<Reply, Fault> {
    let site = &caller.site;
    if let Some(name) = path.strip_prefix("/logtail/") {
        return Ok(logtail::service(site, name));
    }
    if let Some(name) = path.strip_prefix("/api/services/") {
        let seen = Seen::with_memory(site.process(name)?);
        return Ok(reply::json(&json::service(&seen)));
    }
    if let Some(name) = path.strip_prefix("/events/") {
        return Ok(events::one(
            caller,
            site.process(name)?,
            channel(head),
            after(head),
        ));
    }
    if let Some(name) = path.strip_prefix("/services/") {
        return service(caller, head, name);
    }
    Ok(no_page())
}

/// The page of all services.
fn services(caller: &Caller, head: &Parts) -> Reply {
    match Snapshot::take(&caller.site) {
        Ok(snapshot) => with_reader(caller, head, |reader| {
            caller.site.pages.services(reader, &snapshot)
        }),
        Err(fault) => failed(&fault),
    }
}

/// The page of one service.
fn service(caller: &Caller, head: &Parts, name: &str) -> Result<Reply, Fault> {
    let seen = Seen::with_memory(caller.site.process(name)?);
    let now = Tai64n::now().unix_seconds();
    Ok(with_reader(caller, head, |reader| {
        caller.site.pages.service(reader, &seen, channel(head), now)
    }))
}

/// A page with the reader's token and message.
fn with_reader(
    caller: &Caller,
    head: &Parts,
    render: impl FnOnce(Reader<'_>) -> Result<String, minijinja::Error>,
) -> Reply {
    let (token, is_new) = cookie::token(&head.headers);
    let message = cookie::message(&head.headers);
    let reader = Reader {
        site: &caller.site,
        door: &caller.door,
        token: &token,
        message: message.as_deref().unwrap_or_default(),
    };
    let mut reply = match render(reader) {
        Ok(html) => reply::ok(Kind::Html, html),
        Err(error) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    if is_new {
        cookie::give_token(&mut reply, &token);
    }
    if message.is_some() {
        cookie::take_message(&mut reply);
    }
    reply
}

/// Answers a request that may change something.
async fn change(caller: &Caller, head: &Parts, body: &Bytes) -> Reply {
    if !caller.door.is_own_page(&head.headers) {
        let why = "the request comes from a page of another site; see --host";
        return reply::error(StatusCode::FORBIDDEN, why);
    }
    match head.uri.path() {
        path if path.starts_with(RPC) => rpc::answer(caller, body).await,
        "/action" => act(caller, head, body).await,
        _ => no_page(),
    }
}

/// A button of a page.
async fn act(caller: &Caller, head: &Parts, body: &Bytes) -> Reply {
    let field = |wanted: &str| {
        form_urlencoded::parse(body)
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    if !caller.door.rights.control {
        return reply::error(StatusCode::FORBIDDEN, "this socket only shows services");
    }
    if !caller
        .door
        .has_token(&head.headers, field("token").as_deref())
    {
        return reply::error(
            StatusCode::FORBIDDEN,
            "the token is missing or wrong; load the page again",
        );
    }
    let Some((action, target)) = field("do").as_deref().and_then(action::parse) else {
        return reply::error(
            StatusCode::BAD_REQUEST,
            "expected do=start, stop, restart or clear, and a name",
        );
    };
    let report = action::perform(&caller.site, action, target).await;
    let accepts = head
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|kinds| kinds.starts_with("application/json")) {
        return reply::json(&serde_json::json!({ "ok": report.ok, "message": report.message }));
    }
    let mut reply = reply::see(&back(head));
    cookie::leave_message(&mut reply, &report.message);
    reply
}

/// The page that the button is on: a path of ours, whatever else the header says.
fn back(head: &Parts) -> String {
    let referer = head
        .headers
        .get(REFERER)
        .and_then(|value| value.to_str().ok());
    let path = referer
        .and_then(|referer| referer.parse::<hyper::Uri>().ok())
        .map(|uri| uri.path().to_owned());
    path.filter(|path| path.starts_with("/services/"))
        .unwrap_or_else(|| "/".to_owned())
}

/// Which output a page shows.
fn channel(head: &Parts) -> Channel {
    let query = head.uri.query().unwrap_or_default();
    let is_stderr = form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "log" && value == "stderr");
    if is_stderr {
        Channel::Stderr
    } else {
        Channel::Stdout
    }
}

/// Up to which line of the journal a page has the history.
fn after(head: &Parts) -> u64 {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "after")
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

fn failed(fault: &Fault) -> Reply {
    let status = if fault.code == Code::BadName {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    reply::error(status, &fault.to_string())
}

fn no_page() -> Reply {
    reply::error(StatusCode::NOT_FOUND, "there is no such page")
}
