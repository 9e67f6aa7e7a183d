//! The signals to supervise itself.

use servicedir::signal::{Signal, WakePipe};

use crate::child::inherited::{self, CAUGHT};

/// The signals to supervise itself, by what they mean.
#[derive(Debug)]
pub(crate) struct Signals {
    /// CHLD: some child has ended.
    pub(crate) children: WakePipe,
    /// TERM and INT: down and exit.
    pub(crate) terminate: WakePipe,
}

/// TERM and INT are commands, CHLD tells of ends. The others are to do nothing: they are blocked, and
/// stay pending; what is forked gets an empty mask. Those that tell of a fault of supervise's own
/// stay as they are.
#[inline(never)]
pub(crate) fn catch_signals() -> std::io::Result<Signals> {
    use nix::sys::signal::{SigSet, Signal as Nix};
    // First: what was ignored until now must not end supervise before it is blocked, and a TERM waits
    // for its handler.
    SigSet::all()
        .thread_set_mask()
        .map_err(std::io::Error::from)?;
    inherited::default_dispositions((1..=64).filter_map(Signal::from_number));
    let [child, terminate, interrupt] = CAUGHT;
    let signals = Signals {
        children: WakePipe::catching(&[child])?,
        terminate: WakePipe::catching(&[terminate, interrupt])?,
    };
    let open = [
        Nix::SIGCHLD,
        Nix::SIGTERM,
        Nix::SIGINT,
        Nix::SIGSEGV,
        Nix::SIGBUS,
        Nix::SIGILL,
        Nix::SIGFPE,
        Nix::SIGTRAP,
        Nix::SIGSYS,
        Nix::SIGABRT,
    ];
    let mut blocked = SigSet::all();
    open.into_iter().for_each(|signal| blocked.remove(signal));
    // The whole mask, because supervise may have been started with CHLD or TERM blocked.
    blocked.thread_set_mask().map_err(std::io::Error::from)?;
    Ok(signals)
}
