//! From stdin to the command's stdin, through the cutter.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::Pid;
use servicedir::exec;
use servicedir::report::{Failure, exit};
use servicedir::signal::{SelfPipe, Signal};
use servicedir::spool::Kind;
use servicedir::status::End;

use crate::args::Args;
use crate::cutter::{Cutter, Sink};
use crate::message::Message;
use crate::offer::Offer;
use crate::rest;

/// How much is read at once, in bytes: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// The size of the pipe to the command, in bytes: so that neither side waits for each chunk.
const PIPE: usize = 1024 * 1024;

/// The signals that are meant for the command. TERM is svcapture's own: the command ends when its stdin
/// does, and has written everything then.
const PASSED_ON: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALRM,
    Signal::CONT,
    Signal::WINCH,
];

/// svcapture at work.
struct Relay<'a> {
    args: &'a Args,
    cutter: Cutter,
    out: Out,
    child: Child,
    signals: SelfPipe,
    /// The end that is written; none once all is written.
    write: Option<OwnedFd>,
    /// The command's end. Kept, so that what the pipe holds outlives the command.
    read: OwnedFd,
    /// stdin has ended, or TERM came: nothing more is read.
    closing: Option<Closing>,
    /// What another svcapture left is still to be written.
    rest_left: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Closing {
    EndOfInput,
    Terminated,
}

/// What comes out of the cutter.
struct Out {
    plain: Vec<u8>,
    offer: Offer,
    log: bool,
    max: usize,
}

impl Sink for Out {
    fn plain(&mut self, bytes: &[u8]) {
        self.plain.extend_from_slice(bytes);
    }

    fn captured(&mut self, bytes: &[u8]) {
        if self.log {
            // As Supervisor: the text of a capture is output too, and comes first.
            self.offer.put(Kind::Log, bytes);
        }
        self.offer.put(Kind::Capture, bytes);
    }

    fn too_long(&mut self) {
        Message::TooLong { max: self.max }.warn();
    }
}

/// Runs until the input has ended or the command has; the command's exit code.
///
/// # Errors
/// The command cannot be started, or a system call fails.
pub(crate) fn run(args: &Args) -> Result<u8, Failure> {
    let mut relay = Relay::start(args)?;
    let left = rest::take(&args.spool);
    relay.rest_left = !left.is_empty();
    relay.push(&left);
    let mut buffer = vec![0; CHUNK];
    loop {
        relay
            .turn(&mut buffer)
            .map_err(|errno| Message::NoPoll(errno.into()).fatal())?;
        if let Ok(Some(status)) = relay.child.try_wait() {
            relay.keep_rest();
            let end = End::from_wait_status(status.into_raw());
            return Ok(end.map_or(exit::SYSTEM, End::shell_code));
        }
    }
}

impl<'a> Relay<'a> {
    fn start(args: &'a Args) -> Result<Self, Failure> {
        let setup = |what: &'static str| move |why| Message::NoSetup { what, why }.fatal();
        let mut caught = PASSED_ON.to_vec();
        caught.extend([Signal::CHLD, Signal::TERM]);
        let signals =
            SelfPipe::catching(&caught).map_err(|error| setup("catch signals")(error.into()))?;
        let (read, write) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| setup("make a pipe")(errno.into()))?;
        // A smaller pipe does as well.
        fcntl_setpipe_size(&write, PIPE).ok();
        let input = read
            .try_clone()
            .map_err(|error| setup("make a pipe")(error.into()))?;
        rustix::io::ioctl_fionbio(&write, true)
            .map_err(|errno| setup("make a pipe")(errno.into()))?;
        let mut words = args.command.iter();
        let program = words.next().map_or("".as_ref(), |word| word.as_os_str());
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::from(input));
        let child = exec::spawn(&mut command).map_err(|error| {
            let (command, why) = (program.to_string_lossy().into_owned(), error.into());
            Message::NotStarted { command, why }.fatal()
        })?;
        Ok(Self {
            args,
            cutter: Cutter::new(args.max),
            out: Out {
                plain: Vec::with_capacity(CHUNK),
                offer: Offer::new(&args.spool),
                log: args.log,
                max: args.max,
            },
            child,
            signals,
            write: Some(write),
            read,
            closing: None,
            rest_left: false,
        })
    }

    fn push(&mut self, bytes: &[u8]) {
        let before = self.out.plain.len();
        self.cutter.push(bytes, &mut self.out);
        if self.args.log
            && let Some(new) = self.out.plain.get(before..).filter(|new| !new.is_empty())
        {
            let new = new.to_vec();
            self.out.offer.put(Kind::Log, &new);
        }
    }

    /// Waits until there is something to do, and does it.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<(), Errno> {
        let (readable, writable) = self.poll()?;
        self.take_signals();
        if readable && self.closing.is_none() {
            match rustix::io::read(rustix::stdio::stdin(), &mut *buffer) {
                Ok(0) => {
                    self.closing = Some(Closing::EndOfInput);
                    let rest = self.cutter.rest();
                    self.out.plain(&rest);
                }
                Ok(length) => self.push(buffer.get(..length).unwrap_or_default()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => self.closing = Some(Closing::EndOfInput),
            }
        }
        if readable || writable || self.closing.is_some() {
            self.flush();
        }
        Ok(())
    }

    /// Whether stdin can be read, and whether the pipe can be written.
    fn poll(&mut self) -> Result<(bool, bool), Errno> {
        let reads = self.out.plain.is_empty() && self.closing.is_none();
        let writes = !self.out.plain.is_empty();
        let idle = self.signals.as_fd();
        let stdin = if reads {
            PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)
        } else {
            PollFd::from_borrowed_fd(idle, PollFlags::empty())
        };
        let write = match self.write.as_ref().filter(|_| writes) {
            Some(write) => PollFd::new(write, PollFlags::OUT),
            None => PollFd::from_borrowed_fd(idle, PollFlags::empty()),
        };
        let mut fds = [PollFd::from_borrowed_fd(idle, PollFlags::IN), stdin, write];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let [_, stdin, write] = fds.map(|fd| !fd.revents().is_empty());
        Ok((stdin, write))
    }

    fn take_signals(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let mut terminated = false;
        self.signals.take(|signal| match signal {
            Signal::TERM => terminated = true,
            Signal::CHLD => {}
            passed_on => {
                if let Some(pid) = pid {
                    let pid = nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
                    let signal = nix::sys::signal::Signal::try_from(passed_on.number());
                    // It is not reaped yet, so that the pid is its own.
                    nix::sys::signal::kill(pid, signal.ok()).ok();
                }
            }
        });
        if terminated && self.closing.is_none() {
            self.closing = Some(Closing::Terminated);
        }
    }

    /// Writes what the pipe takes; once all is written and nothing follows, the command's input ends.
    fn flush(&mut self) {
        while let Some(write) = self.write.as_ref().filter(|_| !self.out.plain.is_empty()) {
            match rustix::io::write(write, &self.out.plain) {
                Ok(written) => drop(self.out.plain.drain(..written)),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
        if self.rest_left {
            self.rest_left = false;
            rest::forget(&self.args.spool);
        }
        if self.closing.is_some() {
            self.write = None;
        }
    }

    /// The command has ended: what it has not read, and what is not a whole capture, is for the next one.
    fn keep_rest(&mut self) {
        self.write = None;
        let mut left = Vec::new();
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = rustix::io::read(&self.read, &mut buffer[..]) {
            left.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        left.append(&mut self.out.plain);
        left.extend(self.cutter.rest());
        rest::keep(&self.args.spool, &left);
    }
}
