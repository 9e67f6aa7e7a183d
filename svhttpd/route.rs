//! Which request is answered by what.

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::http::reply::{self, Reply};
use crate::rpc::{self, Caller};

/// Supervisor takes every path that begins so for its XML-RPC.
const RPC: &str = "/RPC2";

/// Whether a request of that method is read with its body.
pub(crate) fn takes_body(method: &Method) -> bool {
    method == Method::POST
}

/// Answers a request.
pub(crate) async fn answer(caller: &Caller, head: &Parts, body: Option<Bytes>) -> Reply {
    let path = head.uri.path();
    let Some(body) = body else {
        return match head.method {
            Method::GET | Method::HEAD if path.starts_with(RPC) => {
                reply::error(StatusCode::BAD_REQUEST, "XML-RPC is called by POST")
            }
            Method::GET | Method::HEAD => {
                reply::error(StatusCode::NOT_FOUND, "there is no such page")
            }
            _ => reply::error(StatusCode::METHOD_NOT_ALLOWED, "expected GET or POST"),
        };
    };
    if !caller.door.is_own_page(&head.headers) {
        return reply::error(
            StatusCode::FORBIDDEN,
            "the request comes from a page of another site",
        );
    }
    if path.starts_with(RPC) {
        return rpc::answer(caller, &body).await;
    }
    reply::error(StatusCode::NOT_FOUND, "there is no such page")
}
