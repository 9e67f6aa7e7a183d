//! The connections that are served: bounded, and none that holds the others.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::activity::{Activity, Phase};
use super::body::ReplyBody;
use super::guarded::Guarded;
use super::reply::Reply;

/// The longest head of a request, in bytes; hyper's smallest bound.
const HEAD_BYTES: usize = 8192;

/// The most headers of a request; a browser behind two proxies sends about thirty.
const HEADERS: usize = 64;

/// A connection that is served.
#[derive(Debug)]
struct Seat {
    activity: Rc<Activity>,
    task: Option<AbortHandle>,
}

/// The connections that are served, by number.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    seats: RefCell<(u64, BTreeMap<u64, Seat>)>,
}

impl Connections {
    /// None yet, and never more than `most`.
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most,
            seats: RefCell::default(),
        })
    }

    /// Serves a connection, each of its requests by `answer`.
    ///
    /// Where all seats are taken, the one that has waited longest for its client is given away, so that
    /// clients that say nothing hold no others; where all of them are answered right now, the new
    /// connection is closed.
    pub(crate) fn serve<S, F, A>(self: &Rc<Self>, stream: S, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        A: Fn(Request<Incoming>, Rc<Activity>) -> F + 'static,
        F: Future<Output = Reply> + 'static,
    {
        let activity = Activity::new();
        let Some(number) = self.take_seat(&activity) else {
            return;
        };
        let connections = Rc::clone(self);
        let seated = Rc::clone(&activity);
        let task = tokio::task::spawn_local(async move {
            converse(stream, activity, answer).await;
            connections.leave(number);
        });
        if let Some(seat) = self.seats.borrow_mut().1.get_mut(&number) {
            seat.task = Some(task.abort_handle());
        }
        drop(seated);
    }

    /// A number for a new connection.
    fn take_seat(&self, activity: &Rc<Activity>) -> Option<u64> {
        let mut seats = self.seats.borrow_mut();
        let (last, taken) = &mut *seats;
        if taken.len() >= self.most {
            let longest = longest_waiting(taken)?;
            if let Some(task) = taken.remove(&longest).and_then(|seat| seat.task) {
                task.abort();
            }
        }
        *last += 1;
        taken.insert(
            *last,
            Seat {
                activity: Rc::clone(activity),
                task: None,
            },
        );
        Some(*last)
    }

    fn leave(&self, number: u64) {
        self.seats.borrow_mut().1.remove(&number);
    }
}

/// The connection that has waited longest for its client.
fn longest_waiting(seats: &BTreeMap<u64, Seat>) -> Option<u64> {
    let since = |seat: &Seat| -> Option<Instant> {
        (seat.activity.phase() != Phase::Busy).then(|| seat.activity.since())
    };
    seats
        .iter()
        .filter_map(|(number, seat)| since(seat).map(|since| (since, *number)))
        .min()
        .map(|(_, number)| number)
}

/// Answers the requests of one connection, one after the other. What goes wrong on it concerns its client
/// alone, which notices.
async fn converse<S, F, A>(stream: S, activity: Rc<Activity>, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Fn(Request<Incoming>, Rc<Activity>) -> F + 'static,
    F: Future<Output = Reply> + 'static,
{
    let io = TokioIo::new(Guarded::new(stream, Rc::clone(&activity)));
    let service = service_fn(|request| {
        activity.enter(Phase::Body);
        let reply = answer(request, Rc::clone(&activity));
        let activity = Rc::clone(&activity);
        async move {
            let (head, content) = reply.await.into_parts();
            let body = ReplyBody::new(content, activity);
            Ok::<_, std::convert::Infallible>(Response::from_parts(head, body))
        }
    });
    let served = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .title_case_headers(true)
        .keep_alive(true)
        .serve_connection(io, service)
        .await;
    drop(served);
}
