//! A connection's stream that gives up on a client that is too slow.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Phase};

/// How long a client may take nothing of an answer that is ready for it.
const STALL: Duration = Duration::from_secs(30);

/// A timer that exists only while it is waited for, so that an idle connection wakes nobody.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when the deadline has passed.
    fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(context)
    }
}

/// The stream of a connection.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    activity: Rc<Activity>,
    reading: Timer,
    writing: Timer,
    /// Since when the client takes nothing.
    stalled: Option<Instant>,
}

impl<S> Guarded<S> {
    /// The stream of a connection that is at `activity`.
    pub(crate) fn new(stream: S, activity: Rc<Activity>) -> Self {
        Self {
            stream,
            activity,
            reading: Timer::default(),
            writing: Timer::default(),
            stalled: None,
        }
    }

    fn too_slow<T>() -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Judges a write or a flush: as long as the client takes nothing, time runs.
    fn written<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            self.writing.0 = None;
            return outcome;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        match self.writing.poll(since + STALL, context) {
            Poll::Ready(()) => Self::too_slow(),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && this.activity.phase() == Phase::Idle {
            this.activity.enter(Phase::Head);
        }
        match (this.activity.deadline(), read.is_ready()) {
            (Some(deadline), false) => match this.reading.poll(deadline, context) {
                Poll::Ready(()) => Self::too_slow(),
                Poll::Pending => Poll::Pending,
            },
            (_, _) => {
                this.reading.0 = None;
                read
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(outcome, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(context);
        this.written(outcome, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
