//! What each program of a service is started with: its arguments, its environment, its descriptors.

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use servicedir::layout::{CHECK, CONTROL_SCRIPTS, ERRLOG, FINISH, LOG, Layout, RUN};
use servicedir::options::{Options, Ready};
use servicedir::process::Identity;

use crate::child::fork::{self, Program, RunContext, c_string};
use crate::child::go_ahead::Held;
use crate::event::Job;
use crate::files::state_dir::StateDir;
use crate::message::{Message, warn};
use crate::readiness::socket::NotifySocket;
use crate::readiness::source::Readiness;

/// Starts the programs of one service, from its directory.
#[derive(Debug)]
pub(crate) struct Launcher {
    /// The service directory as the user gave it, for messages.
    pub(crate) shown: PathBuf,
    pub(crate) layout: Layout,
    /// The umask that supervise was started with.
    pub(crate) umask: Mode,
}

impl Launcher {
    /// Forks the held `./run`, and gives what tells of its readiness.
    ///
    /// # Errors
    /// No process or no descriptor is left.
    pub(crate) fn run(
        &self,
        options: &Options,
        state: &StateDir,
    ) -> io::Result<(Pid, Held, Readiness)> {
        let mut program = self.program(RUN, Vec::new(), options);
        let (ready, mut readiness) = match options.ready {
            Ready::Startsecs | Ready::Check => (None, Readiness::None),
            Ready::Notify => {
                let (socket, address) = NotifySocket::bind(state).inspect_err(|error| {
                    warn(&self.shown, &Message::NoNotifySocket(error.into()));
                })?;
                program.granted.push(("NOTIFY_SOCKET", address));
                (None, Readiness::Socket(socket))
            }
            Ready::Fd(number) => {
                let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                rustix::fs::fcntl_setfl(&write, OFlags::empty())?;
                (Some((write, number)), Readiness::Descriptor(read))
            }
        };
        let context = RunContext {
            ready,
            logged: logged(),
        };
        let (pid, held) = fork::run(&program, context)?;
        if let Readiness::Socket(socket) = &mut readiness {
            socket.run = Some(Identity::of(pid));
        }
        Ok((pid, held, readiness))
    }

    /// Starts one of the others; `None` if its file is not there or not executable.
    ///
    /// # Errors
    /// No process is left.
    pub(crate) fn beside(&self, job: Job, options: &Options) -> io::Result<Option<Pid>> {
        let file = match job {
            Job::Run => RUN.to_owned(),
            Job::Finish { .. } => FINISH.to_owned(),
            Job::Check => CHECK.to_owned(),
            Job::Script { letter, .. } => format!("{CONTROL_SCRIPTS}/{}", char::from(letter)),
        };
        if !fork::is_executable(&file)? {
            return Ok(None);
        }
        let arguments = match job {
            Job::Finish { end, group } => {
                let (code, low) = end.finish_arguments();
                let group = group.map_or(0, |group| group.as_raw_nonzero().get());
                let texts = [code.to_string(), low.to_string()];
                let name = c_string(&self.layout.name);
                let [code, low] = texts.map(|text| c_string(text.as_ref()));
                vec![code, low, name, c_string(group.to_string().as_ref())]
            }
            Job::Run | Job::Check | Job::Script { .. } => Vec::new(),
        };
        let program = Program {
            silent: job == Job::Check,
            ..self.program(&file, arguments, options)
        };
        let shown = self.shown.join(&file);
        fork::beside(&program, &shown).map(Some)
    }

    fn program<'a>(
        &'a self,
        file: &'a str,
        mut arguments: Vec<CString>,
        options: &'a Options,
    ) -> Program<'a> {
        arguments.insert(0, c_string(format!("./{file}").as_ref()));
        Program {
            file,
            arguments,
            options,
            layout: &self.layout,
            granted: Vec::new(),
            umask: self.umask,
            silent: false,
        }
    }
}

/// Whether stdout and stderr are pipes to a log service of this directory.
fn logged() -> [bool; 2] {
    let pipe = |fd: std::os::fd::BorrowedFd<'_>| {
        rustix::fs::fstat(fd)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
    };
    let is_dir = |name: &str| std::fs::metadata(name).is_ok_and(|meta| meta.is_dir());
    [
        is_dir(LOG) && pipe(rustix::stdio::stdout()),
        is_dir(ERRLOG) && pipe(rustix::stdio::stderr()),
    ]
}
