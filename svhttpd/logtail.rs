//! `/logtail` and `/mainlogtail`: a log that is followed, as Supervisor's clients read it.

use std::path::Path;
use std::rc::Rc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, LAST_MODIFIED};
use servicedir::supervisor::logs::{self, Channel};

use crate::http::reply::{self, Kind, Reply};
use crate::http::stream::{self, Left, Outlet};
use crate::logfile::{self, Following};
use crate::site::Site;

/// How much of what is there already comes first, in bytes, as in Supervisor.
const BEFORE: u64 = 1024;

/// What nginx is told: to hand the pieces on as they come.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `/logtail/NAME`, `/logtail/NAME/stdout`, `/logtail/NAME/stderr`: `rest` is what follows `/logtail/`,
/// decoded.
pub(crate) fn service(site: &Rc<Site>, rest: &str) -> Reply {
    let (name, channel) = match rest.rsplit_once('/') {
        None => (rest, Channel::Stdout),
        Some((name, "stdout")) => (name, Channel::Stdout),
        Some((name, "stderr")) => (name, Channel::Stderr),
        Some(_) => return none(),
    };
    match site
        .process(name)
        .map(|process| logs::file(&process.layout, channel))
    {
        Ok(Some(file)) => follow(site, &file),
        Ok(None) | Err(_) => none(),
    }
}

/// `/mainlogtail`.
pub(crate) fn main(site: &Rc<Site>) -> Reply {
    match logfile::main(&site.dir) {
        Some(file) => follow(site, &file),
        None => none(),
    }
}

fn none() -> Reply {
    reply::error(StatusCode::NOT_FOUND, "there is no such log")
}

fn follow(site: &Rc<Site>, file: &Path) -> Reply {
    let Ok(following) = Following::begin(file, BEFORE) else {
        return none();
    };
    let modified = httpdate::fmt_http_date(following.modified());
    let owned = Rc::clone(site);
    let mut reply = stream::reply(site, Kind::Text, |outlet| feed(owned, following, outlet));
    let headers = reply.headers_mut();
    if let Ok(modified) = HeaderValue::from_str(&modified) {
        headers.insert(LAST_MODIFIED, modified);
    }
    headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
    reply
}

/// Sends what is there and what comes, until the client leaves or the log cannot be read any more.
async fn feed(site: Rc<Site>, mut following: Following, outlet: Outlet) -> Result<(), Left> {
    let mut watch = site.watcher.watch(following.folder());
    loop {
        match following.next_piece() {
            Ok(piece) if piece.is_empty() => {
                outlet.unless_left(watch.changed()).await?;
            }
            Ok(piece) => outlet.send(piece).await?,
            Err(_) => return Ok(()),
        }
    }
}
