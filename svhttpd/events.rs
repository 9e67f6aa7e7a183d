//! `/events`: server-sent events that keep a page as the services are.
//!
//! A page's stream watches the state directories; what changes there is looked at and sent as the page's
//! own HTML. Nothing is asked for in intervals but the memory, which changes without telling.

mod list;
mod one;

use serde_json::Value;

use crate::http::stream::{Left, Outlet};

pub(crate) use list::list;
pub(crate) use one::one;

/// How often the memory of services is looked at while a page shows it.
const MEMORY: std::time::Duration = std::time::Duration::from_secs(10);

/// Sends an event.
async fn send(outlet: &Outlet, name: &str, data: &Value) -> Result<(), Left> {
    // JSON in one line: a newline in it is escaped.
    outlet
        .send(format!("event: {name}\ndata: {data}\n\n"))
        .await
}

/// A template that cannot be rendered ends the stream; the tests render them all.
fn unless_broken(html: Result<String, minijinja::Error>) -> Result<String, Left> {
    html.map_err(|_| Left)
}
