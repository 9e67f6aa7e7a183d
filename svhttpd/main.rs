//! svhttpd: serves a scan directory to Supervisor's clients, browsers and Prometheus.
//!
//! One thread, one process, and nothing in memory that is not on disk: each request looks at the service
//! directories anew, so it can be killed and replaced at any time.
#![forbid(unsafe_code)]

mod accounts;
mod action;
mod args;
mod cookie;
mod door;
mod events;
mod history;
mod http;
mod json;
mod listen;
mod logfile;
mod logtail;
mod memory;
mod message;
mod metrics;
mod origin;
mod page;
mod passwords;
mod route;
mod rpc;
mod server;
mod site;
mod snapshot;
mod watcher;
mod xml;

use std::process::ExitCode;

use args::{Args, Job};
use message::Unable;
use servicedir::layout::SVDIR;
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};

/// The voice of this program.
pub(crate) const REPORT: Reporter = Reporter::new("svhttpd");

const HELP: &str = "\
usage: svhttpd [OPTION]... [SOCKET [OPTION]...]... [DIR]

Serves the scan directory DIR ($SVDIR, else /service): a web page at /,
Supervisor's XML-RPC at /RPC2, logs at /logtail, JSON at /api/services, and
OpenMetrics at /metrics. Without a socket it serves localhost:9001.

  --unix PATH            serve a unix socket
  --tcp [HOST:]PORT      serve a TCP port, of localhost where no HOST is given;
                         HOST is an address, or * for all of them
Of the socket before them, or of all where they come before the first one:
  --control              services may be started, stopped and signalled;
                         without it, they are only shown
  --passwords FILE       admit the users of FILE: a line each, user:password
                         or user:{SHA} and the SHA-1 in hexadecimal digits
  --host NAME            browsers reach it as NAME (behind a proxy, say)
  --mode MODE            the unix socket's mode (0700)
  --owner USER[:GROUP]   the unix socket's owner
Of the whole:
  --name NAME            what getIdentification answers (supervisor)
  --connections N        serve up to N connections at a time (256)
  -h, --help             show this text
      --version          show the version

Only localhost is served without passwords.
";

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(lexopt::Parser::from_env(), std::env::var_os(SVDIR))? {
        Job::Help => print_help(HELP),
        Job::Version => print_version("svhttpd"),
        Job::Serve(args) => serve(args),
    }
}

/// Serves until it is told to stop.
fn serve(args: Args) -> Result<u8, Failure> {
    std::fs::read_dir(&args.dir)
        .map_err(|error| Failure::system(Unable::Serve(args.dir.clone()), error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::system(Unable::Start, error))?;
    tokio::task::LocalSet::new().block_on(&runtime, server::run(args))?;
    Ok(exit::DONE)
}
