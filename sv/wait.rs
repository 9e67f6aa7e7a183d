//! Commands: they are sent to all services, and then all services are waited for together.
//!
//! runit's `sv` looks every 420 ms; this one sleeps until a status changes (inotify). Only a script
//! `check` that says no, and another suite's supervise, which does not announce that it has acted, are
//! asked again by the clock.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use servicedir::control::Control;
use servicedir::layout::{CONTROL, LOCK, Layout};
use servicedir::lock;
use servicedir::progress::{Before, Progress, progress};
use servicedir::report::{Failure, print};
use servicedir::signal::Signal;
use servicedir::tai64n::Tai64n;
use servicedir::wait::{Seen as Change, StatusWatch};

use crate::args::Args;
use crate::check;
use crate::line::Line;
use crate::outcome::{Outcome, judge};
use crate::request::Act;
use crate::service::{Seen, Service, Wrong, control_path};

/// How often to look where no change is announced: runit's step.
const LOOK_AGAIN: Duration = Duration::from_millis(420);

/// A service to which commands were sent.
#[derive(Debug)]
struct Waiting {
    service: Service,
    layout: Layout,
    /// Open, so that it can be seen whether the commands have been read.
    control: Option<OwnedFd>,
    before: Before,
    sent: u32,
    /// When to look again without a change.
    again: Option<Instant>,
    settled: bool,
}

/// Sends the commands to all services, and reports what becomes of them where that is asked for.
pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let end = Instant::now().checked_add(args.time);
    let mut failed = 0;
    let mut watch = StatusWatch::new();
    let mut waiting = Vec::new();
    for name in &args.services {
        let service = Service::named(name);
        match begin(service, args.request.act) {
            Ok(one) if args.waits => {
                watch.add(&one.layout.state, waiting.len());
                waiting.push(one);
            }
            Ok(_) => {}
            // It was to exit, and it has.
            Err(Wrong::NotRunning) if args.request.act == Act::Exit => {
                say("ok", &Wrong::NotRunning, name)?;
            }
            Err(wrong) => {
                print(format_args!("{}\n", wrong.line(name)))?;
                failed += 1;
            }
        }
    }
    let mut change = Change::Any;
    loop {
        failed += settle(&mut waiting, args, &change, end)?;
        if waiting.iter().all(|one| one.settled) {
            return Ok(args.code(failed));
        }
        if end.is_none_or(|end| Instant::now() >= end) {
            failed += late(&mut waiting, args)?;
            return Ok(args.code(failed));
        }
        let again = waiting.iter().filter_map(|one| one.again);
        change = watch
            .wait(again.chain(end).min())
            .map_err(|error| Failure::system("unable to wait", error))?;
    }
}

/// Sends the commands of an act.
fn begin(service: Service, act: Act) -> Result<Waiting, Wrong> {
    let (layout, state) = service.open()?;
    let before = service.read(&layout, &state)?;
    let commands = act.commands(&before.status);
    let mut waiting = Waiting {
        before: Before {
            status: Some(before.status),
            // A supervise locks before it opens its FIFOs.
            supervise: lock::holder(&layout.state_file(LOCK)),
            unread: 0,
        },
        sent: 0,
        control: None,
        again: None,
        settled: false,
        service,
        layout,
    };
    if !commands.is_empty() {
        let control = state
            .open_fifo(CONTROL)
            .map_err(|refused| match refused.errno() {
                Some(Errno::NXIO) => Wrong::NotRunning,
                Some(_) | None => Wrong::Open(control_path(&waiting.layout), refused),
            })?;
        waiting.before.unread = unread(&control);
        waiting.send(&control, &commands)?;
        waiting.control = Some(control);
    }
    Ok(waiting)
}

fn unread(control: &OwnedFd) -> u32 {
    let unread = rustix::io::ioctl_fionread(control).unwrap_or(0);
    u32::try_from(unread).unwrap_or(u32::MAX)
}

impl Waiting {
    fn send(&mut self, control: &OwnedFd, commands: &[Control]) -> Result<(), Wrong> {
        let bytes: Vec<u8> = commands.iter().filter_map(|one| one.byte()).collect();
        loop {
            // So few bytes are written whole or not at all (pipe(7), PIPE_BUF).
            match rustix::io::write(control, &bytes) {
                Ok(_) => {
                    self.sent += u32::try_from(bytes.len()).unwrap_or(0);
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Err(Wrong::NotRunning),
                Err(errno) => return Err(Wrong::Write(control_path(&self.layout), errno)),
            }
        }
    }

    /// What is seen of it now, and what that means.
    fn look(&self, act: Act, end: Option<Instant>) -> Result<(Seen, Outcome), Wrong> {
        // First the FIFO, then the status: what has been read was acted on before it was announced.
        let drained = self
            .control
            .as_ref()
            .is_none_or(|control| unread(control) == 0);
        let seen = self.service.look()?;
        let outcome = match progress(self.sent, &self.before, drained, Some(&seen.status)) {
            Progress::Acted => judge(act, &self.before, &seen.status),
            Progress::Unread | Progress::Lost => Outcome::Pending,
        };
        let checked =
            outcome == Outcome::MetIfChecked && check::says_available(&self.service.dir, end);
        let outcome = if checked { Outcome::Met } else { outcome };
        Ok((seen, outcome))
    }

    /// Whether the supervise that got the commands has gone, though another one may have come.
    fn has_exited(&self, seen: &Seen) -> bool {
        let writer = |record: &servicedir::status::Record| record.supervise;
        let now = seen.status.record.as_ref().and_then(writer);
        now.is_some() && self.before.supervise.is_some() && now != self.before.supervise
    }

    fn line(&self, seen: &Seen) -> String {
        Line {
            name: &self.service.name,
            status: &seen.status,
            normally_up: seen.normally_up,
            now: Tai64n::now(),
        }
        .to_string()
    }
}

/// Looks at the services that may have changed, and prints the lines of those that are settled; how
/// many have failed.
fn settle(
    waiting: &mut [Waiting],
    args: &Args,
    change: &Change,
    end: Option<Instant>,
) -> Result<usize, Failure> {
    let now = Instant::now();
    let mut failed = 0;
    for (index, one) in waiting.iter_mut().enumerate() {
        let due = one.again.is_some_and(|again| again <= now);
        let changed = match change {
            Change::Any => true,
            Change::Changed(indices) => indices.binary_search(&index).is_ok(),
            Change::TimedOut => false,
        };
        if one.settled || !(due || changed) {
            continue;
        }
        failed += usize::from(!settle_one(one, args, now, end)?);
    }
    Ok(failed)
}

/// Looks at one service; false where it has failed.
fn settle_one(
    one: &mut Waiting,
    args: &Args,
    now: Instant,
    end: Option<Instant>,
) -> Result<bool, Failure> {
    let act = args.request.act;
    one.settled = true;
    match one.look(act, end) {
        Ok((seen, Outcome::Met)) => {
            print(format_args!("ok: {}\n", one.line(&seen)))?;
            return Ok(true);
        }
        Ok((seen, _)) if act == Act::Exit && one.has_exited(&seen) => {
            say("ok", &Wrong::NotRunning, &one.service.name)?;
            return Ok(true);
        }
        Ok((seen, Outcome::Failed)) => {
            print(format_args!("fail: {}\n", one.line(&seen)))?;
            return Ok(false);
        }
        Ok((seen, Outcome::MetIfChecked)) => {
            one.again = now.checked_add(LOOK_AGAIN);
            drop(seen);
        }
        Ok((seen, Outcome::Pending)) => {
            let announces = seen.status.record.is_some();
            one.again = (!announces).then(|| now + LOOK_AGAIN);
        }
        Err(Wrong::NotRunning) if act == Act::Exit => {
            say("ok", &Wrong::NotRunning, &one.service.name)?;
            return Ok(true);
        }
        Err(wrong) if wrong.is_passing() || wrong == Wrong::NotRunning => {
            // A supervise that was killed is replaced by svscan, and acts on what it finds.
            one.again = now.checked_add(LOOK_AGAIN);
        }
        Err(wrong) => {
            print(format_args!("{}\n", wrong.line(&one.service.name)))?;
            return Ok(false);
        }
    }
    one.settled = false;
    Ok(true)
}

/// The time is up: prints what the rest is, and kills it where that is asked for; how many there are.
fn late(waiting: &mut [Waiting], args: &Args) -> Result<usize, Failure> {
    let mut failed = 0;
    for one in waiting.iter_mut().filter(|one| !one.settled) {
        failed += 1;
        let seen = match one.service.look() {
            Ok(seen) => seen,
            Err(wrong) => {
                print(format_args!("{}\n", wrong.line(&one.service.name)))?;
                continue;
            }
        };
        if !args.request.kills {
            print(format_args!("timeout: {}\n", one.line(&seen)))?;
            continue;
        }
        print(format_args!("kill: {}\n", one.line(&seen)))?;
        if let Err(wrong) = kill(one) {
            print(format_args!("{}\n", wrong.line(&one.service.name)))?;
        }
    }
    Ok(failed)
}

fn kill(one: &mut Waiting) -> Result<(), Wrong> {
    let (layout, state) = one.service.open()?;
    let control = state
        .open_fifo(CONTROL)
        .map_err(|refused| Wrong::Open(control_path(&layout), refused))?;
    one.send(&control, &[Control::Signal(Signal::KILL)])
}

fn say(kind: &str, wrong: &Wrong, name: &OsStr) -> Result<(), Failure> {
    print(format_args!("{kind}: {}: {wrong}\n", name.display()))
}
