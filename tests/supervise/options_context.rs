//! What the options make of a service, seen from outside: its user, limits, directory, environment;
//! and what becomes of one whose options cannot be had.
//!
//! The tests run as root: they give rights up. The users are the test's own, in a mount namespace.
//!
//! Not tested: users that only a name service knows (LDAP, say); limits that a container forbids root.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use servicedir::control;
use servicedir::status::{End, State, Status};

use crate::support;
use support::{Running, Scratch, alive, eventually, kill, peer, program, until};

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nweb:x:54321:54322::/nonexistent:/bin/sh\n";
const GROUP: &str =
    "root:x:0:\nwebs:x:54322:\nlogs:x:54323:web\nadms:x:54324:root,web\nothers:x:54325:weber\n";

/// A `run` that leaves a mark and stays; what it is executed with can be read from /proc then.
const RUN: &str = "echo ran >>\"${MARK:-ran}\"\nexec sleep 1000";

/// A service directory, and a supervise on it in a mount namespace with this test's users.
struct Service {
    scratch: Scratch,
    supervise: Option<Running>,
}

impl Service {
    fn new(options: &[(&str, &str)]) -> Self {
        assert!(
            rustix::process::getuid().is_root(),
            "this test is to be run as root"
        );
        let scratch = Scratch::new();
        scratch.script("web/run", RUN);
        scratch.file("passwd", PASSWD);
        scratch.file("group", GROUP);
        scratch.file("supervise", "");
        let service = Self {
            scratch,
            supervise: None,
        };
        for (name, text) in options {
            service.option(name, text);
        }
        service
    }

    fn option(&self, name: &str, text: &str) {
        self.scratch.file(&format!("web/options/{name}"), text);
    }

    /// Starts supervise as root.
    fn start(self) -> Self {
        self.start_as("exec \"$@\"", &[])
    }

    /// Starts supervise as web, with these arguments of setpriv for its groups and the like, and
    /// able to write to its directory.
    fn start_as_web(self, rights: &str) -> Self {
        for path in ["", "web"] {
            chown(self.scratch.path().join(path), Some(54321), Some(54322)).unwrap();
        }
        let setpriv = peer("setpriv");
        let last = format!(
            "exec {} --reuid 54321 --regid 54322 {rights} \"$@\"",
            setpriv.display()
        );
        self.start_as(&last, &[])
    }

    fn start_as(mut self, last: &str, variables: &[(&str, &str)]) -> Self {
        // The program is bound to where any user may reach it.
        let script = format!(
            "mount --bind passwd /etc/passwd && mount --bind group /etc/group && \
             mount --bind {} supervise && {last}",
            program("supervise").display()
        );
        let mut command = Command::new(peer("unshare"));
        command.args(["-m", "sh", "-c", &script, "sh", "./supervise", "web"]);
        command
            .current_dir(self.scratch.path())
            .envs(variables.iter().copied());
        let file = |name| Stdio::from(fs::File::create(self.scratch.path().join(name)).unwrap());
        command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        self.supervise = Some(Running::start(&mut command));
        self
    }

    fn status(&self) -> Option<Status> {
        Status::unpack(&fs::read(self.scratch.path().join("web/supervise/status")).ok()?).ok()
    }

    fn told(&self) -> String {
        format!("{:?} {}", self.status(), self.scratch.read("stderr"))
    }

    /// The pid of the service, once it is what `run` has become.
    #[track_caller]
    fn pid(&self) -> i32 {
        eventually("the service", || {
            let pid = self
                .status()
                .and_then(|status| status.pid)
                .map(|pid| pid.as_raw_nonzero().get());
            pid.filter(|pid| proc(*pid, "cmdline").starts_with("sleep\0"))
                .ok_or_else(|| self.told())
        })
    }

    /// Waits for this state, and gives the reason that stands beside it.
    #[track_caller]
    fn reason_of(&self, state: State) -> String {
        eventually("a state", || {
            let record = self.status().and_then(|status| status.record);
            record
                .filter(|record| record.state == state)
                .map(|record| record.reason)
                .ok_or_else(|| self.told())
        })
    }

    fn has_run(&self) -> bool {
        self.scratch.path().join("web/ran").exists()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(mut supervise) = self.supervise.take() else {
            return;
        };
        if supervise
            .child()
            .try_wait()
            .is_ok_and(|ended| ended.is_none())
        {
            supervise.signal(libc::SIGTERM);
            supervise.ended();
        }
        if let Some(pid) = self.status().and_then(|status| status.pid) {
            kill(pid.as_raw_nonzero().get(), libc::SIGKILL);
        }
    }
}

/// A file of /proc of a process.
fn proc(pid: i32, file: &str) -> String {
    fs::read(format!("/proc/{pid}/{file}"))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// The words of a line of `/proc/PID/status` or `/proc/PID/limits` behind its name.
#[track_caller]
fn line(pid: i32, file: &str, name: &str) -> String {
    let text = proc(pid, file);
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    let words: Vec<&str> = found
        .unwrap_or_else(|| panic!("no {name}: {text}"))
        .split_whitespace()
        .collect();
    words.join(" ")
}

#[test]
fn a_user_has_its_groups_and_no_rights_beside() {
    for (user, uid, gid, groups) in [
        ("web", 54321, 54322, "54322 54323 54324"),
        ("web:others", 54321, 54325, "54323 54324 54325"),
        ("54321", 54321, 54322, "54322 54323 54324"),
        ("4242:4343", 4242, 4343, "4343"),
        ("web:7", 54321, 7, "7 54323 54324"),
    ] {
        let service = Service::new(&[("user", user), ("env/MARK", "/dev/null")]).start();
        let pid = service.pid();
        assert_eq!(
            line(pid, "status", "Uid:"),
            format!("{uid} {uid} {uid} {uid}"),
            "{user}"
        );
        assert_eq!(
            line(pid, "status", "Gid:"),
            format!("{gid} {gid} {gid} {gid}"),
            "{user}"
        );
        assert_eq!(line(pid, "status", "Groups:"), groups, "{user}");
        for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(pid, "status", set), "0000000000000000", "{user} {set}");
        }
    }
}

#[test]
fn limits_are_set_and_the_others_inherited() {
    let service = Service::new(&[
        ("limit-nofile", "512:1024"),
        ("limit-core", "0"),
        ("limit-fsize", "123456789"),
        ("limit-stack", "4194304:unlimited"),
        ("limit-rttime", "unlimited"),
        ("limit-msgqueue", "4096"),
    ])
    .start();
    let pid = service.pid();
    let ours = line(
        i32::try_from(std::process::id()).unwrap(),
        "limits",
        "Max file locks",
    );
    for (name, limit) in [
        ("Max open files", "512 1024 files"),
        ("Max core file size", "0 "),
        ("Max file size", "123456789 "),
        ("Max stack size", "4194304 unlimited bytes"),
        ("Max realtime timeout", "unlimited unlimited us"),
        ("Max msgqueue size", "4096 "),
        ("Max file locks", &ours),
    ] {
        let found = line(pid, "limits", name);
        assert!(
            found.starts_with(limit),
            "{name}: {found}, expected {limit}"
        );
    }
}

#[test]
fn nice_umask_and_directory_are_as_told() {
    let service = Service::new(&[
        ("nice", "7"),
        ("umask", "027"),
        ("directory", "/usr"),
        ("user", "web"),
        ("env/MARK", "/dev/null"),
    ])
    .start();
    let pid = service.pid();
    let ours = rustix::process::getpriority_process(None).unwrap();
    let theirs = rustix::process::getpriority_process(rustix::process::Pid::from_raw(pid)).unwrap();
    assert_eq!(theirs, (ours + 7).min(19));
    assert_eq!(line(pid, "status", "Umask:"), "0027");
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
        PathBuf::from("/usr")
    );
}

#[test]
fn a_relative_directory_is_found_from_the_service_directory() {
    let service = Service::new(&[("directory", "options/..//data")]);
    service.scratch.file("web/data/x", "");
    let service = service.start();
    let cwd = fs::read_link(format!("/proc/{}/cwd", service.pid())).unwrap();
    assert_eq!(
        cwd,
        fs::canonicalize(service.scratch.path())
            .unwrap()
            .join("web/data")
    );
    assert_eq!(service.scratch.read("web/data/ran"), "ran\n");
}

#[test]
fn without_options_nothing_is_changed() {
    let service = Service::new(&[]).start();
    let pid = service.pid();
    let ours = i32::try_from(std::process::id()).unwrap();
    assert_eq!(proc(pid, "limits"), proc(ours, "limits"));
    for name in ["Uid:", "Gid:", "Groups:", "Umask:"] {
        assert_eq!(
            line(pid, "status", name),
            line(ours, "status", name),
            "{name}"
        );
    }
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
    assert_eq!(
        cwd,
        fs::canonicalize(service.scratch.path())
            .unwrap()
            .join("web")
    );
}

#[test]
fn variables_are_added_overridden_and_removed() {
    let service = Service::new(&[
        ("env/ADDED", "one \t\ntwo"),
        ("env/LINES", "a\0b\n"),
        ("env/OVERRIDDEN", "new"),
        ("env/REMOVED", ""),
        ("env/EMPTY", "\n"),
        ("env/.hidden", "x"),
    ]);
    let inherited = [
        ("OVERRIDDEN", "old"),
        ("REMOVED", "old"),
        ("KEPT", "kept"),
        ("NOTIFY_SOCKET", "/nonexistent"),
        ("WATCHDOG_USEC", "1"),
        ("WATCHDOG_PID", "1"),
    ];
    let service = service.start_as("exec \"$@\"", &inherited);
    let environment = proc(service.pid(), "environ");
    let variables: Vec<&str> = environment.split('\0').collect();
    for expected in [
        "ADDED=one",
        "LINES=a\nb",
        "OVERRIDDEN=new",
        "EMPTY=",
        "KEPT=kept",
        "SUPERVISOR_ENABLED=1",
        "SUPERVISOR_PROCESS_NAME=web",
        "SUPERVISOR_GROUP_NAME=web",
    ] {
        assert!(variables.contains(&expected), "{expected}: {variables:?}");
    }
    for name in [
        "REMOVED=",
        ".hidden=",
        "NOTIFY_SOCKET=",
        "WATCHDOG_USEC=",
        "WATCHDOG_PID=",
        "INSTANCE=",
    ] {
        assert!(
            !variables.iter().any(|variable| variable.starts_with(name)),
            "{name}: {variables:?}"
        );
    }
}

#[test]
fn variables_are_those_that_envdir_of_daemontools_reads() {
    let files = [
        ("PLAIN", "plain"),
        ("BLANKS", "  a b \t \n c"),
        ("CARRIAGE", "a \r\nb"),
        ("NULS", "\0a\0\0b \0 \n"),
        ("LINE", "\n"),
        ("ONLY_BLANKS", " \t "),
        ("GONE", ""),
        ("EQUALS", "x=y"),
        (".dot", "x"),
    ];
    let options = files.map(|(name, text)| (format!("env/{name}"), text));
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let service =
        Service::new(&options).start_as("exec \"$@\"", &[("GONE", "old"), ("LINE", "old")]);
    let ours = proc(service.pid(), "environ");
    let theirs = Command::new(peer("envdir"))
        .arg(service.scratch.path().join("web/options/env"))
        .args(["env", "-0"])
        .envs([("GONE", "old"), ("LINE", "old")])
        .output()
        .unwrap();
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    let of_files = |environment: &str| -> Vec<String> {
        let named = |variable: &&str| {
            files
                .iter()
                .any(|(name, _)| variable.starts_with(&format!("{name}=")))
        };
        let mut found: Vec<String> = environment
            .split('\0')
            .filter(named)
            .map(String::from)
            .collect();
        found.sort();
        found
    };
    assert_eq!(of_files(&ours), of_files(&theirs));
    assert_eq!(of_files(&ours).len(), 7);
}

#[test]
fn stderr_goes_to_where_stdout_goes_only_when_told() {
    for (told, stdout) in [("yes", "out\nerr\n"), ("no", "out\n")] {
        let service = Service::new(&[("redirect-stderr", told)]);
        service
            .scratch
            .script("web/run", "echo out\necho err >&2\nexec sleep 1000");
        let service = service.start();
        service.pid();
        assert_eq!(service.scratch.read("stdout"), stdout, "{told}");
        assert_eq!(
            service.scratch.read("stderr").contains("err\n"),
            told == "no"
        );
    }
}

#[test]
fn options_are_read_again_at_every_start() {
    let service = Service::new(&[("umask", "027")]).start();
    let first = service.pid();
    service.option("umask", "077");
    kill(first, libc::SIGKILL);
    until("the next run", || {
        service
            .status()
            .and_then(|status| status.pid)
            .is_some_and(|pid| pid.as_raw_nonzero().get() != first)
    });
    assert_eq!(line(service.pid(), "status", "Umask:"), "0077");
    assert!(!alive(first));
}

/// Starts a service, and expects the start to fail for this reason without anything having run.
#[track_caller]
fn check_refused(start: impl Fn(Service) -> Service, options: &[(&str, &str)], reason: &str) {
    let service = start(Service::new(
        &[options, &[("backoff", "constant 1h")]].concat(),
    ));
    let told = service.reason_of(State::Backoff);
    assert!(told.contains(reason), "{told:?}, expected {reason:?}");
    assert!(!service.has_run(), "{reason}");
    assert!(
        service.scratch.read("stderr").contains(reason),
        "{}",
        service.told()
    );
    let status = service.status().unwrap();
    assert_eq!(status.pid, None);
    let end = status.record.and_then(|record| record.last_end);
    assert!(matches!(end, Some(End::NotStarted(1..))), "{end:?}");
}

#[test]
fn what_cannot_be_had_is_a_failed_start_with_its_reason() {
    for (options, reason) in [
        (
            [("user", "nobody-of-that-name")],
            "unable to run as user nobody-of-that-name: no such user",
        ),
        (
            [("user", "web:none-of-that-name")],
            "unable to run as group none-of-that-name: no such group",
        ),
        (
            [("directory", "/nonexistent")],
            "unable to change to directory /nonexistent: no such file or directory",
        ),
        (
            [("directory", "run")],
            "unable to change to directory run: not a directory",
        ),
        (
            [("limit-nofile", "1073741824:1073741824")],
            "unable to set limit-nofile to 1073741824:1073741824: operation not permitted",
        ),
    ] {
        check_refused(Service::start, &options, reason);
    }
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .maximum
        .unwrap();
    let above = (hard + 1).to_string();
    let reason = format!("unable to set limit-nofile to {above}: the hard limit is {hard}");
    check_refused(Service::start, &[("limit-nofile", &above)], &reason);
}

#[test]
fn who_is_not_root_gives_nobody_more_rights() {
    let plain = |service: Service| service.start_as_web("--clear-groups");
    let groups = "unable to set the supplementary groups: operation not permitted";
    let group = "unable to set the group: operation not permitted";
    for (options, reason) in [
        ([("user", "root")], group),
        ([("user", "0:0")], group),
        ([("user", "54321:0")], group),
        (
            [("user", "4242:54322")],
            "unable to set the user: operation not permitted",
        ),
        (
            [("limit-nofile", "100:999999999")],
            "unable to set limit-nofile to 100:999999999: operation not permitted",
        ),
        (
            [("nice", "-5")],
            "unable to change nice by -5: permission denied",
        ),
    ] {
        check_refused(plain, &options, reason);
    }
    let keeping = |service: Service| service.start_as_web("--groups 0");
    check_refused(keeping, &[("user", "web")], groups);
}

#[test]
fn who_is_not_root_may_run_a_service_as_itself() {
    for user in ["web", "54321:54322"] {
        let service = Service::new(&[("user", user)]).start_as_web("--clear-groups");
        assert_eq!(
            line(service.pid(), "status", "Uid:"),
            "54321 54321 54321 54321"
        );
    }
}

#[test]
fn a_capability_that_outlives_the_change_of_user_is_not_handed_on() {
    let rights = "--clear-groups --inh-caps +setuid,+setgid --ambient-caps +setuid,+setgid";
    let capable = |service: Service| service.start_as_web(rights);
    check_refused(
        capable,
        &[("user", "4242:4343")],
        "unable to run as 4242:4343: unable to give up rights",
    );
}

#[test]
fn a_failed_start_is_tried_again_and_comes_up_when_the_reason_is_gone() {
    let service = Service::new(&[("directory", "missing"), ("backoff", "constant 100ms")]).start();
    let reason = service.reason_of(State::Backoff);
    assert_eq!(
        reason,
        "unable to change to directory missing: no such file or directory"
    );
    service.scratch.file("web/missing/x", "");
    service.pid();
    assert_eq!(service.scratch.read("web/missing/ran"), "ran\n");
    assert_eq!(
        service
            .scratch
            .read("stderr")
            .matches("unable to change")
            .count(),
        1
    );
}

#[test]
fn a_fault_in_the_options_starts_nothing_until_it_is_mended() {
    let service = Service::new(&[("startsec", "5")]).start();
    let reason = service.reason_of(State::Fatal);
    assert_eq!(
        reason,
        "options/startsec: unknown option (did you mean startsecs?)"
    );
    assert!(!service.has_run());
    fs::remove_file(service.scratch.path().join("web/options/startsec")).unwrap();
    let fifo =
        control::open_for_writing(&service.scratch.path().join("web/supervise/control")).unwrap();
    rustix::io::write(&fifo, b"u").unwrap();
    service.pid();
}

#[test]
fn a_fault_that_comes_later_leaves_the_last_good_options() {
    let service = Service::new(&[("umask", "027")]).start();
    let first = service.pid();
    service.option("umask", "9");
    kill(first, libc::SIGKILL);
    let next = eventually("the next run", || {
        Some(service.pid())
            .filter(|pid| *pid != first)
            .ok_or("the first")
    });
    assert_eq!(line(next, "status", "Umask:"), "0027");
    let record = service.status().and_then(|status| status.record).unwrap();
    assert!(record.options_fault);
    assert_eq!(
        record.reason,
        "options/umask: line 1: \"9\": expected octal digits from 000 to 777 such as 022"
    );
    assert!(service.scratch.read("stderr").contains(&record.reason));
}
