//! Replies that go on until the client leaves: logs that are followed, and events.

use std::rc::Rc;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::mpsc;

use super::body::Content;
use super::reply::{self, Kind, Reply};
use crate::site::Site;

/// Pieces that wait for a client. One that takes nothing holds up its own stream alone.
const PIECES: usize = 8;

/// Where a stream's pieces go.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(mpsc::Sender<Bytes>);

/// The client has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Left;

impl Outlet {
    /// Hands a piece on as soon as there is room for it.
    ///
    /// # Errors
    /// See [`Left`].
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Left> {
        self.0.send(piece.into()).await.map_err(|_| Left)
    }

    /// Waits for a future, or for the client to leave.
    ///
    /// # Errors
    /// See [`Left`].
    pub(crate) async fn unless_left<T>(&self, future: impl Future<Output = T>) -> Result<T, Left> {
        let mut future = std::pin::pin!(future);
        let mut closed = std::pin::pin!(self.0.closed());
        std::future::poll_fn(|context| {
            if closed.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(Err(Left));
            }
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

/// A reply whose pieces `feed` sends, in a task of its own, until it ends or the client leaves. Half of the
/// connections are kept for those who only ask something.
pub(crate) fn reply<F>(site: &Rc<Site>, kind: Kind, feed: impl FnOnce(Outlet) -> F) -> Reply
where
    F: Future<Output = Result<(), Left>> + 'static,
{
    if Rc::strong_count(&site.streams) > site.most_streams {
        return reply::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many streams; see --connections",
        );
    }
    let (sender, receiver) = mpsc::channel(PIECES);
    let feeding = feed(Outlet(sender));
    tokio::task::spawn_local(async move {
        match feeding.await {
            // Nothing is left to do in either case.
            Ok(()) | Err(Left) => {}
        }
    });
    reply::with(
        StatusCode::OK,
        kind,
        Content::Stream {
            pieces: receiver,
            _count: Rc::clone(&site.streams),
        },
    )
}
