//! The loop: events to processes, answers to the cursor.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal as Kill;
use servicedir::report::{Failure, exit};
use servicedir::signal::{Signal, WakePipe};
use servicedir::tai64n::Tai64n;

use crate::args::Args;
use crate::feed::Feed;
use crate::message::Message;
use crate::worker::{Outcome, Worker};

/// How long a process may take for the event that it has when svevent is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// How long a process may take to end by TERM before it is killed.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// A svevent at work.
struct Loop<'a> {
    args: &'a Args,
    feed: Feed,
    workers: Vec<Worker>,
    children: WakePipe,
    terminate: WakePipe,
    stop: Option<Stop>,
}

/// svevent was told to stop: the processes are stopped one after the other, the last one first.
struct Stop {
    /// Events of svevent's own are still given until then.
    last_event: Option<Instant>,
    /// TERM is sent to the process that is next then, whatever it does.
    term_at: Instant,
    /// KILL is sent to it then.
    kill_at: Option<Instant>,
}

/// Runs until it is told to stop.
///
/// # Errors
/// Signals cannot be caught, or poll(2) fails.
pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let catch = |signals: &[Signal]| {
        WakePipe::catching(signals).map_err(|error| Message::NoSignals(error.into()).fatal())
    };
    let mut this = Loop {
        args,
        children: catch(&[Signal::CHLD])?,
        terminate: catch(&[Signal::TERM, Signal::INT])?,
        feed: Feed::open(args),
        workers: (0..args.pool).map(|_| Worker::new()).collect(),
        stop: None,
    };
    while !this.is_over() {
        this.keep_going();
        this.wait()
            .map_err(|errno| Message::NoPoll(errno.into()).fatal())?;
    }
    Ok(exit::DONE)
}

impl Loop<'_> {
    fn is_over(&self) -> bool {
        self.stop.is_some() && !self.workers.iter().any(Worker::is_alive)
    }

    /// Starts processes, and gives them events.
    fn keep_going(&mut self) {
        let now = Instant::now();
        if let Some(stop) = &self.stop {
            if stop.last_event.is_some_and(|until| now < until) {
                self.give(now);
            }
            return self.stop_next(now);
        }
        self.feed.tick();
        for worker in &mut self.workers {
            worker.keep_running(self.args, now);
        }
        self.give(now);
    }

    fn give(&mut self, now: Instant) {
        for at in 0..self.workers.len() {
            let mode = self.args.mode;
            while self
                .workers
                .get(at)
                .is_some_and(|worker| worker.is_free(mode))
            {
                let Some(given) = self.feed.next(now) else {
                    return;
                };
                let Some(worker) = self.workers.get_mut(at) else {
                    return;
                };
                let outcome = worker.give(given, self.args, now);
                self.settle(outcome);
            }
        }
    }

    fn settle(&mut self, outcomes: impl IntoIterator<Item = Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Done(given) => self.feed.done(&given),
                Outcome::Again(given) => {
                    if self.stop.is_none() {
                        let (event, serial) = (given.event.kind.name(), given.serial);
                        Message::Again { event, serial }.warn();
                    }
                    self.feed.again(&given, Instant::now());
                }
            }
        }
    }

    /// Stops the last process that is left: TERM once it has no event, or takes too long, then KILL.
    fn stop_next(&mut self, now: Instant) {
        let Some(stop) = &mut self.stop else { return };
        let Some(worker) = self
            .workers
            .iter_mut()
            .rev()
            .find(|worker| worker.is_alive())
        else {
            return;
        };
        match stop.kill_at {
            None if worker.is_busy() && now < stop.term_at => {}
            None => {
                worker.close();
                worker.signal(Kill::TERM);
                worker.signal(Kill::CONT);
                stop.kill_at = Some(now + LAST_WAIT);
            }
            Some(at) if at <= now => {
                worker.signal(Kill::KILL);
                stop.kill_at = Some(now + LAST_WAIT);
            }
            Some(_) => {}
        }
    }

    /// Begins the stop.
    fn begin_stop(&mut self) {
        if self.stop.is_some() {
            return;
        }
        let now = Instant::now();
        let last = self.feed.note_stopping();
        self.stop = Some(Stop {
            last_event: last.then_some(now + GRACE),
            term_at: now + GRACE,
            kill_at: None,
        });
    }

    /// Sleeps until something happens, and takes it in.
    fn wait(&mut self) -> Result<(), Errno> {
        let now = Instant::now();
        let timeout = self.deadline(now).map(|at| {
            Timespec::try_from(at.saturating_duration_since(now)).unwrap_or(Timespec {
                tv_sec: 3600,
                tv_nsec: 0,
            })
        });
        let seen = {
            let mut fds = self.descriptors();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            fds.iter().map(PollFd::revents).collect::<Vec<_>>()
        };
        self.take_in(&seen);
        Ok(())
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let mode = self.args.mode;
        let workers = self
            .workers
            .iter()
            .filter_map(|worker| worker.deadline(mode));
        match &self.stop {
            Some(stop) => {
                let next = stop.kill_at.unwrap_or(stop.term_at);
                Some(next)
            }
            None => workers.chain(self.feed.deadline(now)).min(),
        }
    }

    /// What is polled, always in this order: signals, journals, folders, then two of each process.
    fn descriptors(&self) -> Vec<PollFd<'_>> {
        let idle = self.children.as_fd();
        let mut fds = vec![
            PollFd::new(&self.children, PollFlags::IN),
            PollFd::new(&self.terminate, PollFlags::IN),
            or_idle(self.feed.watch.descriptor().map(readable), idle),
            or_idle(self.feed.folders.descriptor().map(readable), idle),
        ];
        for worker in &self.workers {
            fds.push(or_idle(worker.stdin(), idle));
            fds.push(or_idle(worker.stdout(), idle));
        }
        fds
    }

    fn take_in(&mut self, seen: &[PollFlags]) {
        let now = Instant::now();
        let ready = |at: usize| seen.get(at).is_some_and(|flags| !flags.is_empty());
        let _ended = self.children.drain();
        if self.terminate.drain() {
            self.begin_stop();
        }
        if ready(2) || self.feed.watch.look_again().is_some() {
            self.feed.watch.retry();
            let changed = self.feed.watch.changed();
            self.feed.journals_changed(&changed);
        }
        if ready(3) {
            let changed = self.feed.folders.changed();
            if changed.scan {
                self.feed.rescan(Tai64n::now());
            }
            if changed.spools || changed.scan {
                self.feed.spools_changed();
            }
        }
        for at in 0..self.workers.len() {
            let (stdin, stdout) = (ready(4 + 2 * at), ready(5 + 2 * at));
            let stopping = self.stop.is_some();
            let Some(worker) = self.workers.get_mut(at) else {
                return;
            };
            let was_alive = worker.is_alive();
            let mut outcomes = Vec::new();
            if stdout {
                outcomes.extend(worker.read(self.args));
            }
            if stdin {
                outcomes.extend(worker.write(self.args));
            }
            outcomes.extend(worker.reap(self.args, stopping));
            worker.check_time(self.args, now);
            let ended = was_alive && !worker.is_alive();
            self.settle(outcomes);
            if ended && let Some(stop) = &mut self.stop {
                // The next one in the order has its time from now on.
                stop.kill_at = None;
            }
        }
    }
}

fn readable(fd: BorrowedFd<'_>) -> (BorrowedFd<'_>, PollFlags) {
    (fd, PollFlags::IN)
}

/// A descriptor that may be missing: then `idle`, polled for nothing, keeps its place.
fn or_idle<'a>(fd: Option<(BorrowedFd<'a>, PollFlags)>, idle: BorrowedFd<'a>) -> PollFd<'a> {
    match fd {
        Some((fd, flags)) => PollFd::from_borrowed_fd(fd, flags),
        None => PollFd::from_borrowed_fd(idle, PollFlags::empty()),
    }
}
