//! Full disks, failed calls and files that are not what they should be: each is said, nothing else is
//! disturbed, and supervise goes on as soon as it can.
//!
//! Not tested: memory that has run out; the kernel ends some process then.

use crate::support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use servicedir::control::{is_supervised, open_for_writing};
use servicedir::status::{End, State, Status, Want};
use support::service::{Service, descriptors, pid_of};
use support::{Running, alive, eventually, kill, peer, program, stderr, until};

/// Starts a supervise of which system calls fail as strace(1) is told.
#[track_caller]
fn with_faults(service: &Service, inject: &[&str]) -> Running {
    let mut arguments = vec!["-q", "-o", "/dev/null"];
    for fault in inject {
        arguments.extend(["-e", fault]);
    }
    service.supervise_behind("strace", &arguments)
}

/// Ends a supervise behind strace in order.
#[track_caller]
fn leaves(service: &Service, mut supervise: Running) {
    service.send("dx");
    assert_eq!(supervise.ended().code(), Some(0));
    assert!(service.record().left);
}

/// Starts a supervise that cannot go on, and returns what it says.
#[track_caller]
fn fatal(service: &Service) -> String {
    let mut command = service.command(program("supervise"));
    let failed = command.arg("web").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(failed.status.code(), Some(111), "{}", stderr(&failed));
    stderr(&failed)
}

#[test]
fn a_fork_that_is_refused_is_said_and_tried_again() {
    let service = Service::sleeping("web").file("options/backoff", "constant 300ms");
    let calls = "inject=clone,clone3,fork,vfork:error=EAGAIN:when=1..3";
    let supervise = with_faults(&service, &[calls]);
    service.until("a refused fork", |_, record| {
        record.last_end == Some(End::NotStarted(libc::EAGAIN))
    });
    service.send("#");
    service.until("an answer meanwhile", |_, record| record.commands == 1);
    service.until_running();
    let said = service.messages();
    assert!(
        said.starts_with("supervise: warning: web: unable to fork: try again"),
        "{said}"
    );
    assert!(said.contains("next try in 300ms\n"), "{said}");
    leaves(&service, supervise);
}

#[test]
fn without_a_descriptor_for_its_start_time_a_run_is_not_started() {
    let service = Service::sleeping("web")
        .script("run", "echo >>starts; exec sleep 1000")
        .file("options/backoff", "constant 50ms");
    // The start time is what the first call after the fork reads.
    let trace = service.folder().join("trace");
    let path = trace.to_str().unwrap();
    drop_after_start(&service, &["-q", "-o", path]);
    let text = fs::read_to_string(&trace).unwrap();
    let call = text
        .lines()
        .find(|line| line.starts_with("open") && line.contains("/stat\""))
        .and_then(|line| line.split('(').next())
        .unwrap();
    let opens = text
        .lines()
        .filter(|line| line.starts_with(&format!("{call}(")));
    let nth = 1 + opens.take_while(|line| !line.contains("/stat\"")).count();
    fs::remove_file(service.dir().join("starts")).unwrap();
    fs::remove_dir_all(service.state_file("")).unwrap();

    let fault = format!("inject={call}:error=EMFILE:when={nth}");
    let supervise = with_faults(&service, &[&format!("trace={call}"), &fault]);
    service.until_running();
    assert_eq!(
        service.record().last_end,
        Some(End::NotStarted(libc::EMFILE))
    );
    until("one start", || service.lines("starts").len() == 1);
    leaves(&service, supervise);
}

/// Starts a supervise behind strace until its service runs, and ends it.
#[track_caller]
fn drop_after_start(service: &Service, arguments: &[&str]) {
    let supervise = service.supervise_behind("strace", arguments);
    service.until_running();
    until("its start", || !service.lines("starts").is_empty());
    leaves(service, supervise);
}

#[test]
fn where_no_new_file_can_be_made_the_status_is_written_over() {
    for (fault, error) in [
        ("rename,renameat,renameat2", "ENOSPC"),
        ("rename,renameat,renameat2", "EIO"),
    ] {
        let service = Service::sleeping("web");
        let mut first = service.supervise();
        let old = service.until_running();
        service.send("dx");
        first.ended();
        let supervise = with_faults(&service, &[&format!("inject={fault}:error={error}")]);
        let pid = service.until_replaced(old);
        assert!(alive(pid));
        service.send("d");
        service.until_state(State::Stopped);
        assert_eq!(
            fs::read_to_string(service.state_file("stat")).unwrap(),
            "down\n"
        );
        assert_eq!(fs::read_to_string(service.state_file("pid")).unwrap(), "");
        assert_eq!(service.messages(), "");
        assert!(!service.state_file("status.new").exists());
        leaves(&service, supervise);
    }
}

#[test]
fn a_status_that_cannot_be_written_stops_no_service_and_is_written_as_soon_as_it_can() {
    let service = Service::sleeping("web").script("run", "echo $$ >>starts; exec sleep 1000");
    let supervise = with_faults(
        &service,
        &["inject=rename,renameat,renameat2:error=ENOSPC:when=1..3"],
    );
    until("the start", || !service.lines("starts").is_empty());
    let pid = service.until_running();
    assert_eq!(service.lines("starts"), [pid.to_string()]);
    assert_eq!(
        service.messages(),
        "supervise: warning: web: unable to write the status: no space left on device; retrying every second\n"
    );
    leaves(&service, supervise);
}

#[test]
fn interrupted_calls_are_no_faults() {
    let service = Service::sleeping("web");
    let calls = [
        "inject=poll,ppoll:error=EINTR:when=1+2",
        "inject=read:error=EINTR:when=40+2",
        "inject=write:error=EINTR:when=1+2",
        "inject=rename,renameat,renameat2:error=EINTR:when=1+2",
        "inject=waitid:error=EINTR:when=1+3",
    ];
    let supervise = with_faults(&service, &calls);
    let mut pid = service.until_running();
    for _ in 0..5 {
        service.send("r");
        pid = service.until_replaced(pid);
    }
    service.send("d");
    service.until_state(State::Stopped);
    assert_eq!(service.messages(), "");
    leaves(&service, supervise);
}

#[test]
fn a_poll_that_fails_ends_supervise_and_not_its_service() {
    let service = Service::sleeping("web");
    let mut supervise = with_faults(&service, &["inject=poll,ppoll:error=ENOMEM:when=8"]);
    let pid = service.until_running();
    while supervise.child().try_wait().unwrap().is_none() {
        if let Ok(fifo) = open_for_writing(&service.state_file("control")) {
            rustix::io::write(fifo, b"#").ok();
        }
    }
    assert_eq!(supervise.ended().code(), Some(111));
    assert!(
        service
            .messages()
            .starts_with("supervise: fatal: unable to poll: ")
    );
    assert!(alive(pid));
    let _next = service.supervise();
    service.send("#");
    assert_eq!(service.until_running(), pid);
}

#[test]
fn what_cannot_be_made_at_the_start_is_said() {
    for (call, error, message) in [
        (
            "mkdir,mkdirat",
            "EACCES",
            "unable to create web/supervise: permission denied",
        ),
        (
            "mknod,mknodat",
            "ENOSPC",
            "unable to open the FIFO web/supervise/ok: no space left on device",
        ),
        (
            "flock",
            "ENOLCK",
            "unable to lock web/supervise/lock: no record locks available",
        ),
        ("chdir", "EIO", "unable to chdir to web: I/O error"),
        (
            "signalfd,signalfd4",
            "ENFILE",
            "unable to catch signals: file table overflow",
        ),
    ] {
        let service = Service::sleeping("web");
        let mut supervise = with_faults(&service, &[&format!("inject={call}:error={error}")]);
        assert_eq!(supervise.ended().code(), Some(111), "{call}");
        assert_eq!(
            service.messages(),
            format!("supervise: fatal: {message}\n"),
            "{call}"
        );
        let _next = service.supervise();
        service.until_running();
    }
}

#[test]
fn with_any_number_of_descriptors_supervise_runs_or_says_why_not() {
    let mut ran = 0;
    for limit in 3..=20 {
        let service = Service::sleeping("web").file("options/backoff", "constant 50ms");
        let limits = format!("--nofile={limit}:{limit}");
        let mut supervise = service.supervise_behind("prlimit", &[&limits]);
        let ended = eventually("an answer", || {
            if let Some(ended) = supervise.child().try_wait().unwrap() {
                return Ok(Some(ended));
            }
            match service.status().and_then(|status| status.record) {
                Some(record)
                    if matches!(record.state, State::Running | State::Fatal)
                        || record.failed_starts > 1 =>
                {
                    Ok(None)
                }
                // No descriptor is left for it.
                _ if service.messages().contains("unable to write the status") => Ok(None),
                seen => Err(Box::new((limit, seen, service.messages()))),
            }
        });
        let said = service.messages();
        match ended {
            Some(ended) => {
                assert_ne!(ended.code(), Some(0), "{limit}");
                assert!(
                    said.contains("fatal: ") || said.contains("error while") || limit < 5,
                    "{limit}: {said}"
                );
            }
            None => {
                service.send("dx");
                assert_eq!(supervise.ended().code(), Some(0), "{limit}: {said}");
                ran += usize::from(said.is_empty());
            }
        }
    }
    assert!(ran > 0, "20 are enough");
}

/// A supervise of which the state directory is a file system of 16 KiB, made before it starts.
struct Tiny {
    service: Service,
    supervise: Running,
}

impl Tiny {
    fn start() -> Self {
        let service = Service::sleeping("web").script("run", "echo >>starts; exec sleep 1000");
        fs::create_dir(service.dir().join("supervise")).unwrap();
        let line = "mount -t tmpfs -o size=20k,mode=755 none web/supervise && exec \"$0\" \"$@\"";
        let supervise = service.supervise_behind("unshare", &["-m", "sh", "-c", line]);
        Self { service, supervise }
    }

    /// A file of the state directory, as it is seen from inside.
    fn file(&self, name: &str) -> PathBuf {
        let path = self.service.state_file(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.supervise.pid()));
        root.join(path.strip_prefix("/").unwrap())
    }

    #[track_caller]
    fn status(&self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
        eventually(what, || {
            let bytes = fs::read(self.file("status")).unwrap_or_default();
            match Status::unpack(&bytes) {
                Ok(status) if holds(&status) => Ok(status),
                seen => Err(Box::new((seen, self.service.messages()))),
            }
        })
    }

    #[track_caller]
    fn send(&self, bytes: &[u8]) {
        let fifo = eventually("control", || open_for_writing(&self.file("control")));
        rustix::io::write(fifo, bytes).unwrap();
    }

    fn fill(&self) {
        let full = fs::write(self.file("filler"), vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
    }
}

#[test]
fn on_a_full_disk_commands_are_obeyed_and_the_status_is_right() {
    let tiny = Tiny::start();
    let state = |wanted| move |status: &Status| status.record.as_ref().unwrap().state == wanted;
    let pid = pid_of(&tiny.status("up", state(State::Running)));
    tiny.fill();
    tiny.send(b"d");
    let down = tiny.status("down", state(State::Stopped));
    assert_eq!((down.pid, down.want), (None, Want::Down));
    assert!(!alive(pid));
    tiny.send(b"u");
    let up = pid_of(&tiny.status("up again", state(State::Running)));
    assert!(alive(up) && up != pid);
    fs::remove_file(tiny.file("filler")).unwrap();
    tiny.send(b"r");
    tiny.status("restarted", |status| ![0, up].contains(&pid_of(status)));
    assert_eq!(tiny.service.messages(), "");
}

#[test]
fn a_full_disk_at_the_first_start_stops_no_service() {
    let service = Service::sleeping("web").script("run", "echo >>starts; exec sleep 1000");
    fs::create_dir(service.dir().join("supervise")).unwrap();
    let line = "mount -t tmpfs -o size=20k,mode=755 none web/supervise; printf %20480s >web/supervise/filler; exec \"$0\" \"$@\"";
    let supervise = service.supervise_behind("unshare", &["-m", "sh", "-c", line]);
    let tiny = Tiny { service, supervise };
    until("a start", || tiny.service.lines("starts").len() == 1);
    let said = tiny.service.messages();
    assert!(
        said.contains("unable to write the status: no space left on device"),
        "{said}"
    );
    // One line for the status, one for the journal, and none a second later.
    for file in ["status", "journal"] {
        let line = format!("unable to write the {file}: no space left on device");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
    }
    assert_eq!(said.lines().count(), 2, "{said}");
    fs::remove_file(tiny.file("filler")).unwrap();
    tiny.status("a status", |status| status.pid.is_some());
    assert_eq!(tiny.service.lines("starts").len(), 1);
}

#[test]
fn a_read_only_file_system_is_said_and_a_state_elsewhere_helps() {
    let service = Service::sleeping("web");
    let line = "mount --bind web web && mount -o remount,ro,bind web && exec \"$0\" \"$@\"";
    let mut supervise = service.supervise_behind("unshare", &["-m", "sh", "-c", line]);
    assert_eq!(supervise.ended().code(), Some(111));
    assert_eq!(
        service.messages(),
        "supervise: fatal: unable to create web/supervise: read-only file system\n"
    );
    let service = service.state_in("states/web");
    let mut command = service.command(&peer("unshare"));
    let arguments = [
        "-m",
        "sh",
        "-c",
        line,
        program("supervise").to_str().unwrap(),
        "web",
    ];
    let _supervise = Running::start(command.args(arguments).env("SUPERVISEDIR", "../states/web"));
    service.until_running();
}

#[test]
fn a_directory_that_may_not_be_written_is_said() {
    let service = Service::sleeping("web");
    fs::set_permissions(service.folder(), fs::Permissions::from_mode(0o777)).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut supervise = service.supervise_behind("setpriv", &nobody);
    assert_eq!(supervise.ended().code(), Some(111));
    assert_eq!(
        service.messages(),
        "supervise: fatal: unable to create web/supervise: permission denied\n"
    );
}

#[test]
fn a_state_directory_that_is_a_file_is_said() {
    let service = Service::sleeping("web").file("supervise", "");
    assert_eq!(
        fatal(&service),
        "supervise: fatal: unable to create web/supervise: not a directory\n"
    );
}

#[test]
fn a_lock_that_is_a_directory_is_said() {
    let service = Service::sleeping("web").file("supervise/lock/x", "");
    assert_eq!(
        fatal(&service),
        "supervise: fatal: unable to lock web/supervise/lock: is a directory\n"
    );
}

#[test]
fn an_ok_or_a_control_that_is_no_fifo_is_said_before_anything_is_started() {
    for name in ["ok", "control"] {
        let service = Service::sleeping("web")
            .script("run", "echo >>starts; exec sleep 1000")
            .file(&format!("supervise/{name}"), "");
        let message =
            format!("supervise: fatal: unable to open the FIFO web/supervise/{name}: not a FIFO\n");
        assert_eq!(fatal(&service), message);
        assert_eq!(service.read("starts"), "");
    }
}

#[test]
fn a_status_that_is_none_is_replaced() {
    for content in [
        "",
        "abc",
        "not a status at all, and longer than twenty bytes",
    ] {
        let service = Service::sleeping("web").file("supervise/status", content);
        let _supervise = service.supervise();
        eventually("a status", || {
            let bytes = fs::read(service.state_file("status")).unwrap();
            Status::unpack(&bytes).map(drop)
        });
        service.until_running();
        assert_eq!(service.messages(), "");
    }
    let service = Service::sleeping("web");
    fs::create_dir(service.dir().join("supervise")).unwrap();
    let fifo = service.state_file("status");
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
    let _supervise = service.supervise();
    until("a status", || fs::metadata(&fifo).unwrap().is_file());
    service.until_running();
}

#[test]
fn a_status_that_is_a_directory_is_said_and_stops_no_service() {
    let service = Service::sleeping("web")
        .script("run", "echo >>starts; exec sleep 1000")
        .file("supervise/status/x", "");
    let mut supervise = service.supervise();
    until("a start", || service.lines("starts").len() == 1);
    let said = service.messages();
    assert!(
        said.contains("supervise: warning: web: unable to write the status: "),
        "{said}"
    );
    // Its other files are right all the same.
    until("stat", || {
        fs::read_to_string(service.state_file("stat")).is_ok_and(|text| text == "run\n")
    });
    fs::remove_dir_all(service.state_file("status")).unwrap();
    service.until_running();
    service.send("dx");
    supervise.ended();
}

#[test]
fn a_status_that_cannot_be_read_is_fatal_because_a_service_may_run() {
    let service = Service::sleeping("web").script("run", "echo >>starts; exec sleep 1000");
    let mut first = service.supervise();
    let pid = service.until_running();
    first.signal(libc::SIGKILL);
    first.ended();
    // It is opened by that name, from the state directory.
    let fault = "inject=openat,open:error=EIO";
    let arguments = ["-q", "-o", "/dev/null", "-e", fault, "-P", "status"];
    let mut second = service.supervise_behind("strace", &arguments);
    assert_eq!(second.ended().code(), Some(111));
    assert_eq!(
        service.messages(),
        "supervise: fatal: unable to read web/supervise/status: I/O error\n"
    );
    let _third = service.supervise();
    service.send("#");
    assert_eq!(service.until_running(), pid);
    assert_eq!(service.lines("starts").len(), 1);
}

#[test]
fn a_state_directory_that_was_removed_is_made_again() {
    let service = Service::sleeping("web");
    let supervise = service.supervise();
    let pid = service.until_running();
    fs::remove_dir_all(service.state_file("")).unwrap();
    // It is noticed when there is something to write.
    kill(pid, libc::SIGTERM);
    let next = service.until_running();
    assert_ne!(next, pid);
    assert_eq!(
        service.messages(),
        "supervise: warning: web: the state directory was removed; it is created again\n"
    );
    assert!(is_supervised(&service.state_file("ok")).unwrap());
    assert!(fatal(&service).contains("held by process"));
    service.send("r");
    service.until_replaced(next);
    drop(supervise);
}

#[test]
fn without_proc_a_service_runs_and_is_obeyed() {
    let service = Service::sleeping("web");
    let line = "umount -l /proc; exec \"$0\" \"$@\"";
    let mut supervise = service.supervise_behind("unshare", &["-m", "sh", "-c", line]);
    let pid = service.until_running();
    assert_eq!(service.record().pid_start, 0);
    service.send("r");
    service.until_replaced(pid);
    service.send("dx");
    assert_eq!(supervise.ended().code(), Some(0));
}

#[test]
fn without_close_range_the_service_has_three_descriptors_still() {
    let service = Service::sleeping("web");
    let arguments = [
        // They are closed one by one up to the limit, each under the eyes of strace.
        "--nofile=256:256",
        "strace",
        "-q",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "inject=close_range:error=ENOSYS",
    ];
    let supervise = service.supervise_behind("prlimit", &arguments);
    let pid = service.until_running();
    // A shell has its script open for a moment.
    until("three descriptors", || descriptors(pid) == [0, 1, 2]);
    leaves(&service, supervise);
}
