//! Bodies: those of requests read whole and bounded, those of replies whole or as a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_LENGTH;
use tokio::sync::mpsc::Receiver;

use super::activity::{Activity, Phase};

/// The longest body of a request, in bytes. A call of `system.multicall` with a thousand calls has a
/// quarter of it.
pub(crate) const LONGEST: usize = 1 << 20;

/// Why a body was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unread {
    /// It has no length: chunked, or none at all. Supervisor refuses that too.
    NoLength,
    /// It is longer than [`LONGEST`].
    TooLong,
    /// The client left, or was too slow.
    Broken,
}

impl Unread {
    /// The status to answer with.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoLength => StatusCode::LENGTH_REQUIRED,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the body of a request.
pub(crate) async fn read(request: hyper::Request<Incoming>) -> Result<Bytes, Unread> {
    if !request.headers().contains_key(CONTENT_LENGTH) {
        return Err(Unread::NoLength);
    }
    match Limited::new(request.into_body(), LONGEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
        Err(_) => Err(Unread::Broken),
    }
}

/// What a reply's body is made of.
#[derive(Debug)]
pub(crate) enum Content {
    /// All of it; empty once it was handed out.
    Whole(Bytes),
    /// Piece by piece, until the sender is gone.
    Stream {
        /// The pieces.
        pieces: Receiver<Bytes>,
        /// It counts as a stream as long as this exists.
        _count: Rc<()>,
    },
}

/// The body of a reply. When it is done with, sent or not, the connection waits for its next request.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    content: Content,
    activity: Rc<Activity>,
}

impl ReplyBody {
    /// The body with this content, on a connection that is at `activity`.
    pub(crate) fn new(content: Content, activity: Rc<Activity>) -> Self {
        Self { content, activity }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream { pieces, .. } => pieces
                .poll_recv(context)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream { .. } => SizeHint::default(),
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.activity.enter(Phase::Idle);
    }
}
