//! Services that do what a test writes to their FIFO: lines of Python. They run under svscan, which
//! reaps what their supervises cannot.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use servicedir::status::{Record, State, Status};

use crate::support::{Running, Scratch, eventually, kill, output, peer, program, until};

/// What puppets and strangers know.
pub const PRELUDE: &str = r#"
import array, os, select, signal, socket, struct, sys, time

def connect(address=None):
    address = address or os.environ["NOTIFY_SOCKET"]
    if address[0] == "@":
        address = "\0" + address[1:]
    line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    line.connect(address)
    return line

def say(text, address=None, fds=()):
    data = text if isinstance(text, bytes) else text.encode()
    socket.send_fds(connect(address), [data], fds)

def barrier(address=None, text="BARRIER=1", many=1):
    """Returns when supervise has closed the descriptor that was sent."""
    ours, theirs = os.pipe()
    say(text, address, [theirs] * many)
    os.close(theirs)
    wait = select.poll()
    wait.register(ours, 0)
    assert wait.poll(25000), "the barrier was never closed"
    os.close(ours)
"#;

pub const PUPPET: &str = r#"
commands = os.fdopen(os.open("commands", os.O_RDWR | os.O_CLOEXEC))
while True:
    exec(commands.readline())
"#;

/// Debian's, which every user may execute.
pub fn python() -> String {
    peer("python3").into_os_string().into_string().unwrap()
}

/// A scan directory with one service.
pub struct Service {
    pub scratch: Scratch,
    pub svscan: Option<Running>,
    name: String,
}

impl Service {
    /// A service that does nothing until it is started.
    pub fn new(name: &str) -> Self {
        let service = Self {
            scratch: Scratch::new(),
            svscan: None,
            name: name.to_owned(),
        };
        service.file("prelude.py", PRELUDE);
        service.option("ready", "notify");
        service.option("startsecs", "0");
        service
    }

    /// One that is a puppet.
    pub fn puppet(name: &str) -> Self {
        let service = Self::new(name);
        service.file("puppet.py", format!("{PRELUDE}{PUPPET}"));
        service.script("run", &format!("exec {} puppet.py", python()));
        let fifo = service.path("commands");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        service
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.scratch.path().join(&self.name).join(file)
    }

    pub fn file(&self, file: &str, text: impl AsRef<[u8]>) {
        self.scratch.file(&format!("{}/{file}", self.name), text);
    }

    pub fn script(&self, file: &str, text: &str) {
        self.scratch.script(&format!("{}/{file}", self.name), text);
    }

    pub fn option(&self, name: &str, value: &str) {
        self.file(&format!("options/{name}"), value);
    }

    pub fn start(&mut self) {
        self.start_by(&mut Command::new(program("svscan")));
    }

    pub fn start_by(&mut self, svscan: &mut Command) {
        self.svscan = Some(Running::start(svscan.arg(self.scratch.path())));
    }

    /// A started puppet that has said that it is ready.
    pub fn ready(name: &str) -> Self {
        let mut service = Self::puppet(name);
        service.start();
        service.tell("say('READY=1')");
        service.until("ready", |record| record.ready);
        service
    }

    /// Lets the puppet do something.
    pub fn tell(&self, line: &str) {
        let mut fifo = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path("commands"))
            .unwrap();
        fifo.write_all(format!("{line}\n").as_bytes()).unwrap();
        // Kept in the pipe until the puppet, which has it open as well, has read it.
        eventually(
            "a puppet that listens",
            || match rustix::io::ioctl_fionread(&fifo).unwrap() {
                0 => Ok(()),
                rest => Err(rest),
            },
        );
    }

    /// Lets the puppet do something, and waits until all that it has said before is done.
    pub fn tell_and_wait(&self, line: &str) {
        self.tell(&format!("{line}; barrier(); open('done', 'w').close()"));
        until("the puppet's barrier", || {
            fs::remove_file(self.path("done")).is_ok()
        });
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.path("supervise/status")).unwrap_or_default()
    }

    pub fn status(&self) -> Option<Status> {
        Status::unpack(&self.bytes()).ok()
    }

    pub fn record(&self) -> Record {
        eventually("a record", || {
            self.status().and_then(|status| status.record).ok_or("none")
        })
    }

    pub fn pid(&self) -> i32 {
        let pid = self.status().unwrap().pid;
        pid.expect("a process").as_raw_nonzero().get()
    }

    pub fn supervise(&self) -> i32 {
        self.record().supervise.unwrap().as_raw_nonzero().get()
    }

    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&Record) -> bool) -> Record {
        eventually(what, || {
            let record = self.record();
            if holds(&record) {
                Ok(record)
            } else {
                Err(Box::new(record))
            }
        })
    }

    #[track_caller]
    pub fn until_state(&self, state: State) -> Record {
        self.until(state.name(), |record| record.state == state)
    }

    pub fn svc(&self, arguments: &[&str]) -> std::process::Output {
        let dir = self.path("").into_os_string().into_string().unwrap();
        output(
            program("svc"),
            arguments.iter().copied().chain([dir.as_str()]),
        )
    }

    /// Lets a stranger, who is in nobody's service, do something; waits for its end.
    #[track_caller]
    pub fn stranger(&self, script: &str) {
        let address = self.path("supervise/notify");
        let script = format!("{PRELUDE}\naddress = sys.argv[1]\n{script}");
        let output = Command::new(python())
            .arg("-c")
            .arg(script)
            .arg(address)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// The descriptors of the supervise.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.supervise()))
            .unwrap()
            .count()
    }

    /// How long the supervise has run, in nanoseconds.
    pub fn cpu(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.supervise())).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// Kills the supervise, and waits for the next one.
    pub fn replace_supervise(&self) {
        let before = self.supervise();
        kill(before, libc::SIGKILL);
        until("another supervise", || self.supervise() != before);
    }

    /// Lets every user into the directories of the test.
    pub fn scratch_is_for_everybody(&self) {
        for dir in [self.scratch.path(), &self.path("")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        }
        if let Ok(meta) = fs::metadata(self.path("commands")) {
            let mut mode = meta.permissions();
            mode.set_mode(0o666);
            fs::set_permissions(self.path("commands"), mode).unwrap();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(mut svscan) = self.svscan.take() else {
            return;
        };
        if !std::thread::panicking() {
            svscan.signal(libc::SIGTERM);
            svscan.ended();
            return;
        }
        // What the test found may be what keeps the service from stopping. Who starts others goes first.
        drop(svscan);
        let supervise = |status: &Status| status.record.as_ref()?.supervise;
        for pid in [supervise, |status: &Status| status.pid] {
            if let Some(pid) = self.status().as_ref().and_then(pid) {
                kill(pid.as_raw_nonzero().get(), libc::SIGKILL);
            }
        }
    }
}
