//! The loop around the supervisor: descriptors to events.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use servicedir::control::Control;
use servicedir::report::Failure;
use servicedir::status::Phase;

use crate::child::go_ahead::Outcome;
use crate::event::{Event, Notice};
use crate::message::Message;
use crate::processes::adopted::Adopted;
use crate::processes::children;
use crate::processes::group::Group;
use crate::signals::Signals;
use crate::supervisor::Supervisor;

/// Notices read per turn; bounds a service that floods its socket.
const NOTICES_PER_TURN: usize = 32;

/// Notices read once the service has ended: all that were sent before that, since no socket's queue
/// is configured to be longer.
const LAST_NOTICES: usize = 1024;

/// When a call is tried again that the system refused for a reason that passes.
const REFUSED_AGAIN: Duration = Duration::from_secs(1);

/// Runs until the machine leaves.
///
/// # Errors
/// poll(2) fails, which it does only without memory.
pub(crate) fn run(supervisor: &mut Supervisor, signals: &Signals) -> Result<(), Failure> {
    supervisor.publish();
    // A program that finds `ok` open is to find a status too.
    if let Err(failure) = supervisor.files.open_ok() {
        // The service runs by now, and goes on being supervised.
        crate::message::REPORTER.warning(failure);
    }
    let mut again = None;
    while !supervisor.leaving {
        let seen = wait(supervisor, signals, again)
            .map_err(|errno| Message::NoPoll(errno.into()).fatal())?;
        again = turn(supervisor, signals, seen);
    }
    supervisor.readiness.close(&mut supervisor.closers);
    Ok(())
}

/// One turn, always in this order. Signals are drained before children are reaped: the reverse
/// order loses a child that ends in between. All events are handled before the status is written once.
///
/// Returns when a call is due again that the system refused.
fn turn(supervisor: &mut Supervisor, signals: &Signals, seen: Seen) -> Option<Instant> {
    // Who sent a barrier waits until its descriptor is closed, which is after the status was written.
    let mut barriers = Vec::new();
    let watched = supervisor.adopted.as_ref().map(Adopted::pid);
    let _ended = signals.children.drain();
    let reaped = reap(supervisor, &mut barriers);
    read_outcome(supervisor);
    watch_group(supervisor, seen.group);
    supervisor.send_unsent();
    // What was seen is not of a process that has been named since.
    let same = watched == supervisor.adopted.as_ref().map(Adopted::pid);
    let seen_adopted = if same {
        seen.adopted
    } else {
        PollFlags::empty()
    };
    watch_adopted(supervisor, seen_adopted, &mut barriers);
    if !seen.readiness.is_empty() {
        read_notices(supervisor, NOTICES_PER_TURN, &mut barriers);
    }
    if signals.terminate.drain() {
        supervisor.handle(Event::Terminate);
    }
    if !seen.control.is_empty() {
        read_control(supervisor);
    }
    let deadline = supervisor.machine.deadline();
    if deadline.is_some_and(|at| at <= Instant::now()) {
        supervisor.handle(Event::Passed);
    }
    if supervisor.machine.process().0 != Phase::Run {
        supervisor.readiness.close(&mut supervisor.closers);
    }
    supervisor.publish();
    drop(barriers);
    let is_open = supervisor.files.is_ok_open() || supervisor.files.open_ok().is_ok();
    let done = reaped.is_ok() && is_open && supervisor.unsent.is_empty();
    (!done).then(|| Instant::now() + REFUSED_AGAIN)
}

/// Reaps all children that have ended, each after its end has been acted on, since a pid and a
/// group are a process's own only as long as it is there.
fn reap(supervisor: &mut Supervisor, barriers: &mut Vec<OwnedFd>) -> rustix::io::Result<()> {
    while let Some((pid, end)) = children::next_ended()? {
        let process = supervisor.machine.process().1;
        if process.is_some_and(|process| process.pid == pid) {
            // What it reported comes before its end: a run that could not become `./run` has not
            // exited 111, and it may have named another main process.
            read_outcome(supervisor);
            read_notices(supervisor, LAST_NOTICES, barriers);
        }
        supervisor.closers.ended(pid);
        supervisor.handle(Event::Ended(pid, end));
        children::reap(pid);
    }
    Ok(())
}

/// Looks whether the group of a run that ended while it was stopped is empty.
fn watch_group(supervisor: &mut Supervisor, seen: PollFlags) {
    let Some(rest) = &mut supervisor.group else {
        return;
    };
    if rest.group.is_empty(!seen.is_empty(), Instant::now()) {
        supervisor.group = None;
        supervisor.handle(Event::GroupEmpty);
    }
}

/// Reads whether the released run has become `./run`.
fn read_outcome(supervisor: &mut Supervisor) {
    let Some(held) = &mut supervisor.held else {
        return;
    };
    let event = match held.outcome() {
        Outcome::Undecided => return,
        Outcome::Executed => Event::Executed,
        Outcome::Refused(why, errno) => Event::Refused { why, errno },
    };
    supervisor.held = None;
    supervisor.handle(event);
}

fn watch_adopted(supervisor: &mut Supervisor, seen: PollFlags, barriers: &mut Vec<OwnedFd>) {
    let Some(adopted) = &mut supervisor.adopted else {
        return;
    };
    let Some(end) = adopted.end(seen, Instant::now()) else {
        return;
    };
    let pid = adopted.pid();
    read_notices(supervisor, LAST_NOTICES, barriers);
    supervisor.handle(Event::Ended(pid, end));
    // Kept until here: the stop of its group goes through its descriptor.
    let adopted = supervisor.adopted.as_ref();
    if adopted.is_some_and(|adopted| adopted.pid() == pid) {
        supervisor.adopted = None;
    }
}

/// Reads up to so many messages of the service.
fn read_notices(supervisor: &mut Supervisor, limit: usize, barriers: &mut Vec<OwnedFd>) {
    for _ in 0..limit {
        let (Phase::Run, Some(process)) = supervisor.machine.process() else {
            return;
        };
        let Some(received) = supervisor.readiness.read(process, &mut supervisor.closers) else {
            return;
        };
        if let Some(main) = received.main.filter(|main| *main != process)
            && let Ok(adopted) = Adopted::new(main)
        {
            supervisor.adopted = Some(adopted);
            supervisor.handle(Event::Notice(Notice::MainPid(main)));
        }
        for notice in received.notices {
            supervisor.handle(Event::Notice(notice));
        }
        barriers.extend(received.barrier);
    }
}

fn read_control(supervisor: &mut Supervisor) {
    let mut bytes = [0; 256];
    let Ok(count) = rustix::io::read(&supervisor.files.control, &mut bytes) else {
        return;
    };
    for byte in bytes.iter().take(count) {
        let command = Control::from_byte(*byte);
        if supervisor.is_runsv && command == Some(Control::Exit) {
            supervisor.handle(Event::Terminate);
        }
        supervisor.handle(Event::Command(command));
    }
}

/// Sleeps until a descriptor is ready or a deadline has come.
fn wait(
    supervisor: &Supervisor,
    signals: &Signals,
    again: Option<Instant>,
) -> rustix::io::Result<Seen> {
    let group = supervisor.group.as_ref().map(|rest| &rest.group);
    let deadlines = [
        again,
        group.and_then(Group::deadline),
        supervisor.machine.deadline(),
        supervisor.published.deadline(),
        supervisor.adopted.as_ref().and_then(Adopted::deadline),
    ];
    let timeout = deadlines.into_iter().flatten().min().map(|at| {
        let left = at.saturating_duration_since(Instant::now());
        Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: i64::from(i32::MAX),
            tv_nsec: 0,
        })
    });
    let idle = signals.children.as_fd();
    let adopted = supervisor.adopted.as_ref();
    let held = supervisor.held.as_ref().map(AsFd::as_fd);
    let mut fds = [
        PollFd::from_borrowed_fd(idle, PollFlags::IN),
        PollFd::new(&signals.terminate, PollFlags::IN),
        PollFd::new(&supervisor.files.control, PollFlags::IN),
        optional(held, PollFlags::IN, idle),
        optional(
            supervisor.readiness.descriptor(&supervisor.closers),
            PollFlags::IN,
            idle,
        ),
        optional(
            adopted.map(AsFd::as_fd),
            adopted.map_or(PollFlags::empty(), Adopted::interest),
            idle,
        ),
        optional(group.and_then(Group::member), PollFlags::IN, idle),
    ];
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {}
        // A turn like any other: a handler has run.
        Err(Errno::INTR) => return Ok(Seen::default()),
        Err(errno) => return Err(errno),
    }
    let [_, _, control, _, readiness, adopted, group] = fds.map(|fd| fd.revents());
    Ok(Seen {
        group,
        control,
        readiness,
        adopted,
    })
}

/// A descriptor that may be missing: then `idle`, polled for nothing, keeps its place.
fn optional<'a>(fd: Option<BorrowedFd<'a>>, flags: PollFlags, idle: BorrowedFd<'a>) -> PollFd<'a> {
    match fd {
        Some(fd) => PollFd::from_borrowed_fd(fd, flags),
        None => PollFd::from_borrowed_fd(idle, PollFlags::empty()),
    }
}

/// What poll has seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    control: PollFlags,
    readiness: PollFlags,
    adopted: PollFlags,
    group: PollFlags,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            control: PollFlags::empty(),
            readiness: PollFlags::empty(),
            adopted: PollFlags::empty(),
            group: PollFlags::empty(),
        }
    }
}
