//! Which request is answered by what.

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::http::reply::{self, Reply};
use crate::server::Visit;

/// Whether a request of that method is read with its body.
pub(crate) fn takes_body(method: &Method) -> bool {
    method == Method::POST
}

/// Answers a request.
pub(crate) async fn answer(visit: &Visit, head: &Parts, body: Option<Bytes>) -> Reply {
    drop((visit, head, body));
    reply::error(StatusCode::NOT_FOUND, "there is no such page")
}
