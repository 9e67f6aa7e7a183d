//! `ready: notify`: sd_notify's protocol, spoken by puppets, by systemd-notify and by real servers.
//!
//! A puppet is a service that does what the test writes to its FIFO: lines of Python. The services run
//! under svscan, which reaps what their supervises cannot.
//!
//! Needs root, to be another user. Not tested: kernels before 6.15, which do not tell the end of a
//! process that another has reaped.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use servicedir::signal::Signal;
use servicedir::status::{End, Record, State, Status};
use support::{Running, Scratch, alive, eventually, kill, output, peer, program, until};

/// What puppets and strangers know.
const PRELUDE: &str = r#"
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

const PUPPET: &str = r#"
commands = os.fdopen(os.open("commands", os.O_RDWR | os.O_CLOEXEC))
while True:
    exec(commands.readline())
"#;

/// Debian's, which every user may execute.
fn python() -> String {
    peer("python3").into_os_string().into_string().unwrap()
}

/// A scan directory with one service.
struct Service {
    scratch: Scratch,
    svscan: Option<Running>,
    name: String,
}

impl Service {
    /// A service that does nothing until it is started.
    fn new(name: &str) -> Self {
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
    fn puppet(name: &str) -> Self {
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

    fn path(&self, file: &str) -> PathBuf {
        self.scratch.path().join(&self.name).join(file)
    }

    fn file(&self, file: &str, text: impl AsRef<[u8]>) {
        self.scratch.file(&format!("{}/{file}", self.name), text);
    }

    fn script(&self, file: &str, text: &str) {
        self.scratch.script(&format!("{}/{file}", self.name), text);
    }

    fn option(&self, name: &str, value: &str) {
        self.file(&format!("options/{name}"), value);
    }

    fn start(&mut self) {
        self.start_by(&mut Command::new(program("svscan")));
    }

    fn start_by(&mut self, svscan: &mut Command) {
        self.svscan = Some(Running::start(svscan.arg(self.scratch.path())));
    }

    /// A started puppet that has said that it is ready.
    fn ready(name: &str) -> Self {
        let mut service = Self::puppet(name);
        service.start();
        service.tell("say('READY=1')");
        service.until("ready", |record| record.ready);
        service
    }

    /// Lets the puppet do something.
    fn tell(&self, line: &str) {
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
    fn tell_and_wait(&self, line: &str) {
        self.tell(&format!("{line}; barrier(); open('done', 'w').close()"));
        until("the puppet's barrier", || {
            fs::remove_file(self.path("done")).is_ok()
        });
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path("supervise/status")).unwrap_or_default()
    }

    fn status(&self) -> Option<Status> {
        Status::unpack(&self.bytes()).ok()
    }

    fn record(&self) -> Record {
        eventually("a record", || {
            self.status().and_then(|status| status.record).ok_or("none")
        })
    }

    fn pid(&self) -> i32 {
        let pid = self.status().unwrap().pid;
        pid.expect("a process").as_raw_nonzero().get()
    }

    fn supervise(&self) -> i32 {
        self.record().supervise.unwrap().as_raw_nonzero().get()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&Record) -> bool) -> Record {
        eventually(what, || {
            let record = self.record();
            if holds(&record) {
                Ok(record)
            } else {
                Err(record)
            }
        })
    }

    #[track_caller]
    fn until_state(&self, state: State) -> Record {
        self.until(state.name(), |record| record.state == state)
    }

    fn svc(&self, arguments: &[&str]) -> std::process::Output {
        let dir = self.path("").into_os_string().into_string().unwrap();
        output(
            program("svc"),
            arguments.iter().copied().chain([dir.as_str()]),
        )
    }

    /// Lets a stranger, who is in nobody's service, do something; waits for its end.
    #[track_caller]
    fn stranger(&self, script: &str) {
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
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.supervise()))
            .unwrap()
            .count()
    }

    /// How long the supervise has run, in nanoseconds.
    fn cpu(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.supervise())).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    }

    /// Kills the supervise, and waits for the next one.
    fn replace_supervise(&self) {
        let before = self.supervise();
        kill(before, libc::SIGKILL);
        until("another supervise", || self.supervise() != before);
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

#[test]
fn a_service_is_ready_when_it_says_so() {
    let mut service = Service::puppet("web");
    service.start();
    service.tell("say('STATUS=reading the configuration')");
    let record = service.until("a message", |record| !record.message.is_empty());
    assert_eq!(record.state, State::Starting);
    assert!(!record.ready && record.tells_ready);
    assert_eq!(record.message, "reading the configuration");

    service.tell("say('STATUS=serving\\nREADY=1')");
    let record = service.until_state(State::Running);
    assert!(record.ready);
    assert_eq!(record.message, "serving");

    service.tell_and_wait("say('RELOADING=1')");
    assert!(!service.record().ready);
    service.tell_and_wait("say('READY=1')");
    assert!(service.record().ready);
    service.tell_and_wait("say('ERRNO=28')");
    assert_eq!(service.record().message, "no space left on device");
    service.tell_and_wait("say('STOPPING=1')");
    assert!(!service.record().ready);
}

#[test]
fn svc_waits_until_a_service_is_ready() {
    let mut service = Service::puppet("web");
    service.file("down", "");
    service.start();
    service.record();
    let waiting = Command::new(program("svc"))
        .args(["-u", "--wait=ready"])
        .arg(service.path(""))
        .stdout(Stdio::null())
        .spawn();
    let mut waiting = waiting.unwrap();
    service.tell("say('STATUS=nearly')");
    service.until("a message", |record| record.message == "nearly");
    assert_eq!(waiting.try_wait().unwrap(), None);
    service.tell("say('READY=1')");
    assert!(waiting.wait().unwrap().success());
    assert!(service.record().ready);
}

#[test]
fn only_the_run_of_a_service_that_asks_has_the_socket() {
    let mut service = Service::puppet("web");
    service.script("finish", "env > finish.env");
    service.script("control/u", "env > up.env");
    let inherited = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
    service
        .start_by(Command::new(program("svscan")).envs(inherited.map(|name| (name, "/inherited"))));
    service.tell("say('READY=1')");
    service.until_state(State::Running);
    let process = format!("/proc/{}", service.pid());
    let environment = fs::read(format!("{process}/environ")).unwrap();
    let told: Vec<&[u8]> = environment
        .split(|byte| *byte == 0)
        .filter(|line| line.starts_with(b"NOTIFY_") || line.starts_with(b"WATCHDOG_"))
        .collect();
    let socket = service.path("supervise/notify");
    let expected = format!("NOTIFY_SOCKET={}", socket.display());
    assert_eq!(told, [expected.as_bytes()]);

    let meta = fs::metadata(&socket).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o622);
    // 0, 1, 2, and the puppet's own FIFO, once the socket is closed that it has spoken with.
    until("four descriptors", || {
        fs::read_dir(format!("{process}/fd")).unwrap().count() == 4
    });

    service.tell("sys.exit(0)");
    service.until("a restart", |record| record.total_starts == 2);
    for file in ["finish.env", "up.env"] {
        let text = fs::read_to_string(service.path(file)).unwrap();
        assert!(text.contains("PATH=") && !text.contains("NOTIFY_") && !text.contains("WATCHDOG_"));
    }
}

#[test]
fn the_socket_is_there_exactly_while_there_is_a_run() {
    let mut service = Service::puppet("web");
    service.file("down", "");
    service.file("supervise/notify", "left by something else");
    service.start();
    let without = eventually("an idle supervise", || {
        service.record();
        Ok::<_, ()>(service.descriptors())
    });
    service.svc(&["-u"]);
    service.tell("say('READY=1')");
    service.until_state(State::Running);
    assert_eq!(service.descriptors(), without + 1);
    service.svc(&["-d", "-w"]);
    assert_eq!(service.descriptors(), without);

    service.option("ready", "startsecs");
    service.svc(&["-u", "-w"]);
    assert_eq!(service.descriptors(), without);
}

#[test]
fn a_socket_that_cannot_be_bound_is_a_failed_start() {
    let mut service = Service::puppet("web");
    service.option("backoff", "constant 100ms");
    service.file("supervise/notify/in-the-way", "");
    service.start_by(Command::new(program("svscan")).stderr(Stdio::piped()));
    service.until("a second try", |record| record.failed_starts > 1);
    let record = service.record();
    assert_eq!(record.last_end, Some(End::NotStarted(libc::EISDIR)));
    fs::remove_dir_all(service.path("supervise/notify")).unwrap();
    service.tell("say('READY=1')");
    service.until_state(State::Running);
    service.svscan.as_ref().unwrap().signal(libc::SIGTERM);
    let mut said = String::new();
    let mut errors = service.svscan.as_mut().unwrap().child().stderr.take();
    std::io::Read::read_to_string(errors.as_mut().unwrap(), &mut said).unwrap();
    let line = "supervise: warning: web: unable to bind the notify socket: is a directory";
    assert!(said.lines().any(|said| said == line), "{said}");
}

#[test]
fn what_does_not_count_changes_nothing() {
    let service = Service::ready("web");
    service.tell_and_wait("say('STATUS=mine')");
    let before = service.bytes();
    for line in [
        "say('STATUS=' + 'x' * 5000)",
        "say('READY=1\\nSTATUS=no text\\0STATUS=x')",
        "say(bytes(range(256)))",
        "say('')",
        "say('FDSTORE=1\\nX_MINE=2', fds=[0] * 200)",
        "say('MAINPID=1')",
        "say('MAINPID=%d' % os.getppid())",
        "say('MAINPID=999999999')",
        "say('MAINPID=%d' % os.getpid())",
    ] {
        service.tell_and_wait(line);
        assert!(service.bytes() == before, "{line}: {:?}", service.status());
    }
}

/// What one who is no part of the service tries.
const HOSTILE: &str = r#"
for text in ("STATUS=hacked", "MAINPID=%d" % os.getpid(), "STOPPING=1", "RELOADING=1",
             "WATCHDOG=trigger", "WATCHDOG_USEC=1", "READY=1", "STATUS=" + "x" * 100000):
    say(text, address)
    say(text, address, [0] * 253)
barrier(address, "BARRIER=1\nSTATUS=hacked", 253)
barrier(address)
"#;

#[test]
fn a_stranger_changes_nothing() {
    let service = Service::ready("web");
    let (before, descriptors) = (service.bytes(), service.descriptors());
    service.stranger(HOSTILE);
    assert!(service.bytes() == before, "{:?}", service.status());
    assert_eq!(service.descriptors(), descriptors);

    // And it does not keep supervise busy afterwards.
    let cpu = service.cpu();
    for _ in 0..5 {
        service.stranger("");
    }
    assert!(service.cpu() - cpu < 5_000_000, "supervise is not idle");
}

#[test]
fn a_flood_of_strangers_does_not_keep_supervise_from_its_work() {
    let service = Service::ready("web");
    let descriptors = service.descriptors();
    let flood = format!(
        "{PRELUDE}\nline = connect(sys.argv[1])\nline.setblocking(False)\nprint(flush=True)\nwhile True:\n  try: socket.send_fds(line, [b'READY=1'], [0] * 10)\n  except OSError: time.sleep(0)"
    );
    let mut flooder = Running::start(
        Command::new(python())
            .arg("-c")
            .arg(flood)
            .arg(service.path("supervise/notify"))
            .stdout(Stdio::piped()),
    );
    let mut begun = [0];
    let mut told = flooder.child().stdout.take().unwrap();
    std::io::Read::read_exact(&mut told, &mut begun).unwrap();

    service.tell("say('STATUS=heard')");
    service.until("the service's own words", |record| {
        record.message == "heard"
    });
    assert!(service.svc(&["-d", "-w", "-T", "25s"]).status.success());
    flooder.signal(libc::SIGKILL);
    flooder.ended();
    // Down, it has closed the socket as well.
    assert_eq!(service.descriptors(), descriptors - 1);
}

#[test]
fn a_process_of_another_service_cannot_be_made_the_main_one() {
    let service = Service::ready("web");
    let other = Service::ready("other");
    let (before, pid) = (service.bytes(), other.pid());
    service.tell_and_wait(&format!("say('MAINPID={pid}')"));
    assert!(service.bytes() == before);
    let socket = service.path("supervise/notify");
    other.tell_and_wait(&format!("say('MAINPID={pid}', '{}')", socket.display()));
    assert!(service.bytes() == before);
    service.svc(&["-d", "-w"]);
    assert!(alive(pid));
}

#[test]
fn a_sender_that_is_gone_counts_by_its_user() {
    let mut service = Service::puppet("web");
    service.script(
        "run",
        &format!(
            "exec setpriv --reuid 65534 --clear-groups {} puppet.py",
            python()
        ),
    );
    service.scratch_is_for_everybody();
    service.start();
    service.tell("say('READY=1')");
    service.until_state(State::Running);
    // What is sent while supervise is stopped comes from processes that are gone when it goes on.
    let heard = |user: u32| {
        let supervise = service.supervise();
        kill(supervise, libc::SIGSTOP);
        service.stranger(&format!(
            "os.setuid({user})\nsay('STATUS=from {user}', address)"
        ));
        kill(supervise, libc::SIGCONT);
        service.tell_and_wait("pass");
        service.record().message
    };
    assert_eq!(heard(65534), "from 65534");
    assert_eq!(heard(65533), "from 65534");
    assert_eq!(heard(0), "from 65534");
}

/// Starts a daemon that outlives its parent and tells `main` to be it, then ends the parent. The
/// daemon exits 7 at TERM.
const DAEMON: &str = r#"
def daemon(own_session=False):
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        if own_session:
            os.setsid()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.write(theirs, b"!")
        while True:
            exec(commands.readline())
    os.read(ours, 1)
    say("MAINPID=%d\nREADY=1" % child)
    if own_session:
        barrier()
    os._exit(0)
"#;

fn daemon(name: &str, call: &str) -> (Service, i32) {
    let mut service = Service::puppet(name);
    service.file("puppet.py", format!("{PRELUDE}{DAEMON}{PUPPET}"));
    service.start();
    service.record();
    eventually("a start", || service.status().unwrap().pid.ok_or("no pid"));
    let parent = service.pid();
    service.tell(call);
    service.until_state(State::Running);
    let main = service.pid();
    assert_ne!(main, parent);
    until("the parent's end", || !alive(parent));
    (service, main)
}

#[test]
fn the_main_process_is_the_service_once_its_parent_has_ended() {
    for call in ["daemon()", "daemon(own_session=True)"] {
        let (service, main) = daemon("web", call);
        service.tell_and_wait("say('STATUS=the main one speaks')");
        let record = service.record();
        assert_eq!(record.message, "the main one speaks");
        assert_eq!((record.total_starts, record.last_end), (1, None));

        assert!(service.svc(&["-d", "-w"]).status.success());
        assert!(!alive(main));
        assert_eq!(service.record().last_end, Some(End::Exited(7)), "{call}");
    }
}

#[test]
fn the_end_of_the_main_process_restarts_the_service() {
    let (service, _) = daemon("web", "daemon()");
    service.tell("os._exit(3)");
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_eq!(record.last_end, Some(End::Exited(3)));
}

#[test]
fn the_group_of_the_main_process_is_stopped_with_it() {
    for call in ["daemon()", "daemon(own_session=True)"] {
        let mut service = Service::puppet("web");
        service.option("stopasgroup", "yes");
        service.file("puppet.py", format!("{PRELUDE}{DAEMON}{PUPPET}"));
        service.start();
        service.tell(call);
        service.until_state(State::Running);
        service.tell("child = os.fork(); child or (signal.signal(signal.SIGTERM, signal.SIG_DFL), signal.pause()); open('child', 'w').write('%d\\n' % child)");
        let child: i32 = eventually("a child", || {
            let text = service.scratch.read("web/child");
            text.strip_suffix('\n').unwrap_or("-").parse()
        });
        assert!(alive(child));
        service.svc(&["-d", "-w"]);
        until("the end of the child", || !alive(child));
    }
}

#[test]
fn the_next_supervise_adopts_the_main_process_and_hears_it() {
    let (service, main) = daemon("web", "daemon()");
    service.replace_supervise();
    service.tell_and_wait("say('STATUS=still here')");
    let record = service.record();
    assert_eq!(record.message, "still here");
    assert_eq!((service.pid(), record.total_starts), (main, 1));
    service.svc(&["-d", "-w"]);
    assert_eq!(service.record().last_end, Some(End::Exited(7)));
}

#[test]
fn a_service_that_starts_while_its_supervise_is_replaced_becomes_ready() {
    let mut service = Service::puppet("web");
    service.start();
    service.tell("say('STATUS=starting')");
    service.until("a message", |record| record.message == "starting");
    let pid = service.pid();
    service.replace_supervise();
    assert_eq!(service.record().state, State::Starting);
    service.tell("say('READY=1')");
    assert!(service.until_state(State::Running).ready);
    assert_eq!(service.pid(), pid);
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_an_abstract_name() {
    let name = "n".repeat(120);
    let service = Service::ready(&name);
    let file = service.path("supervise/notify");
    let address = fs::read_to_string(&file).unwrap();
    assert!(address.starts_with("@servicedir-"), "{address}");
    let environment = fs::read(format!("/proc/{}/environ", service.pid())).unwrap();
    let expected = format!("NOTIFY_SOCKET={address}");
    assert!(
        environment
            .split(|byte| *byte == 0)
            .any(|line| line == expected.as_bytes())
    );

    let before = service.bytes();
    service.stranger(&format!("address = '{address}'\n{HOSTILE}"));
    assert!(service.bytes() == before);

    service.replace_supervise();
    service.tell_and_wait("say('STATUS=still here')");
    assert_eq!(service.record().message, "still here");
    assert_eq!(service.record().total_starts, 1);
}

#[track_caller]
fn assert_aborted(end: Option<End>) {
    let aborted = matches!(
        end,
        Some(End::Killed {
            signal: Signal::ABRT,
            ..
        })
    );
    assert!(aborted, "{end:?}");
}

#[test]
fn a_watchdog_that_is_not_fed_restarts_the_service() {
    let service = Service::ready("web");
    service.tell("say('WATCHDOG_USEC=100000\\nWATCHDOG=1')");
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_aborted(record.last_end);
    assert_eq!(record.watchdog, None);
}

#[test]
fn a_watchdog_bites_at_once_when_the_service_asks_for_it() {
    let service = Service::ready("web");
    service.tell("say('WATCHDOG=trigger')");
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_aborted(record.last_end);
}

#[test]
fn a_watchdog_goes_on_when_the_supervise_is_replaced() {
    let service = Service::ready("web");
    service.tell_and_wait("say('WATCHDOG_USEC=20000000')");
    assert_eq!(service.record().watchdog.unwrap().as_secs(), 20);
    service.replace_supervise();
    assert_eq!(service.record().watchdog.unwrap().as_secs(), 20);
    service.tell_and_wait("say('WATCHDOG_USEC=3000000')");
    assert_eq!(service.record().total_starts, 1);
    service.replace_supervise();
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_aborted(record.last_end);
}

#[test]
fn systemd_notify_speaks_for_a_script_and_returns_when_it_was_heard() {
    let mut service = Service::new("script");
    service.script(
        "run",
        "systemd-notify --status='half way' --ready || exit 1\ncp supervise/status heard.new && mv heard.new heard\nexec sleep 1000",
    );
    service.start();
    let heard = eventually("the script's copy", || {
        fs::read(service.path("heard")).map_err(|error| error.kind())
    });
    // Its barrier was closed when the status said what it had told.
    let record = Status::unpack(&heard).unwrap().record.unwrap();
    assert!(record.ready);
    assert_eq!(record.message, "half way");
    assert_eq!(record.state, State::Running);
}

#[test]
fn redis_is_ready_when_it_answers() {
    let mut service = Service::new("redis");
    peer("redis-server");
    service.script(
        "run",
        "exec redis-server --supervised systemd --daemonize no --port 0 --unixsocket $PWD/socket --save '' --appendonly no 2>&1 >log",
    );
    service.file("down", "");
    service.start();
    service.record();
    let up = service.svc(&["-u", "--wait=ready", "-T", "30s"]);
    assert!(
        up.status.success(),
        "{up:?}: {}",
        service.scratch.read("redis/log")
    );
    let socket = service.path("socket");
    let answer = output(
        &peer("redis-cli"),
        [Path::new("-s"), &socket, Path::new("ping")],
    );
    assert_eq!(support::stdout(&answer), "PONG\n");
    assert!(
        service
            .record()
            .message
            .starts_with("Ready to accept connections")
    );
    assert!(service.svc(&["-d", "-w", "-T", "30s"]).status.success());
    assert_eq!(service.record().last_end, Some(End::Exited(0)));
}

#[test]
fn postgres_is_ready_when_it_answers() {
    let mut service = Service::new("postgres");
    let bin = postgres();
    service.scratch_is_for_everybody();
    let home = service.path("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let as_nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --";
    let made = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "exec {as_nobody} {bin}/initdb -D {0}/data -U test -A trust -N >{0}/initdb.log 2>&1",
            home.display()
        ))
        .current_dir("/")
        .status();
    let log = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
    assert!(made.unwrap().success(), "{}", log("initdb.log"));
    service.script(
        "run",
        &format!(
            "cd home && exec {as_nobody} {bin}/postgres -D data -h '' -k {} -F >server.log 2>&1",
            home.display()
        ),
    );
    service.option("stopsignal", "INT");
    service.file("down", "");
    service.start();
    service.record();
    let up = service.svc(&["-u", "--wait=ready", "-T", "30s"]);
    assert!(up.status.success(), "{up:?}: {}", log("server.log"));
    let asked = Command::new(format!("{bin}/psql"))
        .arg("-h")
        .arg(&home)
        .args(["-U", "test", "-Atc", "select 6 * 7", "postgres"])
        .output()
        .unwrap();
    assert_eq!(support::stdout(&asked), "42\n", "{asked:?}");
    assert!(service.svc(&["-d", "-w", "-T", "30s"]).status.success());
    assert_eq!(service.record().last_end, Some(End::Exited(0)));
}

/// The folder of Debian's PostgreSQL programs.
fn postgres() -> String {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("postgresql is not installed: see tests/run");
    let bin = versions
        .map(|version| version.unwrap().path().join("bin"))
        .max()
        .unwrap();
    bin.into_os_string().into_string().unwrap()
}

impl Service {
    /// Lets every user into the directories of the test.
    fn scratch_is_for_everybody(&self) {
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
