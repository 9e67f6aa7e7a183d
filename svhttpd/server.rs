//! The sockets in service, and the way of a request through a door.

use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use servicedir::report::{Failure, Why, exit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use crate::REPORT;
use crate::args::{Args, Place};
use crate::door::{self, Door, Refused};
use crate::http::activity::{Activity, Phase};
use crate::http::connections::Connections;
use crate::http::reply::{self, Reply};
use crate::listen::{self, Listener};
use crate::message::{Note, Unable};
use crate::page::Pages;
use crate::route;
use crate::rpc::Caller;
use crate::site::Site;
use crate::watcher::Watcher;

/// How long no connection is accepted after one could not be: descriptors are used up, say.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves until TERM or INT.
///
/// # Errors
/// A socket cannot be made, or a file of passwords cannot be used.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let connections = Connections::new(args.connections);
    let site = Rc::new(Site {
        // The same from everywhere, and shown as it is.
        dir: std::path::absolute(&args.dir).unwrap_or(args.dir),
        name: args.name,
        pages: Pages::new().map_err(|error| Failure::new(exit::SYSTEM, error))?,
        watcher: Watcher::new(),
        streams: Rc::new(()),
        // The others are for those who only ask something.
        most_streams: args.connections.div_ceil(2),
    });
    let unable = |error: std::io::Error| Failure::system(Unable::Start, error);
    let mut term = signal(SignalKind::terminate()).map_err(unable)?;
    let mut int = signal(SignalKind::interrupt()).map_err(unable)?;
    // There is nothing to read again on HUP; caught, it does not end the program.
    let _hup = signal(SignalKind::hangup()).map_err(unable)?;
    let mut files = Vec::new();
    for socket in &args.sockets {
        if let Some(passwords) = &socket.rights.passwords {
            door::read_passwords(passwords)?;
        }
        let door = Rc::new(Door {
            rights: socket.rights.clone(),
            unix: matches!(socket.place, Place::Unix(_)),
        });
        for listener in listen::listen(socket)? {
            REPORT.info(Note::Serving(listener.to_string()));
            let caller = Caller {
                site: Rc::clone(&site),
                door: Rc::clone(&door),
            };
            files.extend(attend(listener, caller, &connections).map_err(unable)?);
        }
    }
    std::future::poll_fn(
        |context| match (term.poll_recv(context), int.poll_recv(context)) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (_, _) => Poll::Ready(()),
        },
    )
    .await;
    drop(files);
    Ok(())
}

/// Serves a socket from now on; returns its file, which is removed when it is dropped.
fn attend(
    listener: Listener,
    caller: Caller,
    connections: &Rc<Connections>,
) -> std::io::Result<Option<listen::SocketFile>> {
    let connections = Rc::clone(connections);
    match listener {
        Listener::Unix(listener, file) => {
            let listener = UnixListener::from_std(listener)?;
            tokio::task::spawn_local(async move {
                loop {
                    let accepted = listener.accept().await.map(|(stream, _)| stream);
                    welcome(accepted, &caller, &connections).await;
                }
            });
            Ok(Some(file))
        }
        Listener::Tcp(listener) => {
            let listener = TcpListener::from_std(listener)?;
            tokio::task::spawn_local(async move {
                loop {
                    let accepted = listener.accept().await.map(|(stream, _)| {
                        // Without it a short answer may wait for an acknowledgement; it can do no harm.
                        stream.set_nodelay(true).unwrap_or_default();
                        stream
                    });
                    welcome(accepted, &caller, &connections).await;
                }
            });
            Ok(None)
        }
    }
}

/// Serves a connection that was accepted, or waits until that may be possible again.
async fn welcome<S>(accepted: std::io::Result<S>, caller: &Caller, connections: &Rc<Connections>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match accepted {
        Ok(stream) => {
            let (site, door) = (Rc::clone(&caller.site), Rc::clone(&caller.door));
            connections.serve(stream, move |request, activity| {
                let caller = Caller {
                    site: Rc::clone(&site),
                    door: Rc::clone(&door),
                };
                enter(caller, request, activity)
            });
        }
        // The client left before it was let in.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
        Err(error) => {
            REPORT.warning(Note::Accept(Why::from(error).to_string()));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Lets a request in, reads it whole, and answers it.
async fn enter(caller: Caller, request: Request<Incoming>, activity: Rc<Activity>) -> Reply {
    match caller.door.admit(request.headers()) {
        Ok(()) => {}
        Err(Refused::Unknown) => return reply::unauthorized(),
        Err(Refused::Host) => {
            return reply::error(
                StatusCode::FORBIDDEN,
                "this server does not know that host; see --host",
            );
        }
    }
    let (head, body) = request.into_parts();
    let reads = route::takes_body(&head.method);
    let head_copy = head.clone();
    let body = match reads {
        false => None,
        true => match crate::http::body::read(Request::from_parts(head, body)).await {
            Ok(bytes) => Some(bytes),
            Err(unread) => return reply::error(unread.status(), "the body was not read"),
        },
    };
    activity.enter(Phase::Busy);
    route::answer(&caller, &head_copy, body).await
}
