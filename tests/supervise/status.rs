//! What supervise writes to its state directory, where that is, and what its own signals mean.
//!
//! Not tested: the bytes of the record after the twentieth, which have unit tests.

use crate::support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Stdio;

use servicedir::control::is_supervised;
use servicedir::status::{State, Want};
use support::service::{Service, pid_of, proc_status};
use support::{Running, alive, eventually, kill, peer, program, stderr, until};

fn mode(service: &Service, name: &str) -> u32 {
    let meta = fs::metadata(service.state_file(name)).unwrap();
    meta.permissions().mode() & 0o7777
}

#[test]
fn the_files_have_their_modes_whatever_the_umask_is() {
    for umask in ["022", "077", "000"] {
        let service = Service::sleeping("web");
        let line = format!("umask {umask}; exec \"$0\" \"$@\"");
        let supervise = service.supervise_behind("sh", &["-c", &line]);
        service.until_running();
        until("ok", || is_supervised(&service.state_file("ok")).unwrap());
        for (name, wanted) in [
            ("", 0o755),
            ("lock", 0o600),
            ("control", 0o600),
            ("ok", 0o622),
            ("status", 0o644),
            ("pid", 0o644),
            ("stat", 0o644),
            ("journal", 0o644),
        ] {
            assert_eq!(mode(&service, name), wanted, "{umask}: {name}");
        }
        for fifo in ["control", "ok"] {
            let meta = fs::metadata(service.state_file(fifo)).unwrap();
            assert!(meta.file_type().is_fifo());
        }
        let mut names: Vec<_> = fs::read_dir(service.state_file(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["control", "journal", "lock", "ok", "pid", "stat", "status"]
        );
        let holder = fs::read_to_string(service.state_file("lock")).unwrap();
        assert_eq!(holder, format!("{}\n", supervise.pid()));
    }
}

/// What the three files say, with the pid as `PID`.
fn files(service: &Service) -> (String, String, Vec<u8>) {
    let read = |name| fs::read(service.state_file(name)).unwrap_or_default();
    let text = |name| String::from_utf8(read(name)).unwrap();
    let status = read("status");
    let pid = service.status().map_or(0, |status| pid_of(&status));
    let shown = text("pid").replace(&pid.to_string(), "PID");
    (
        shown,
        text("stat"),
        status.get(16..20).unwrap_or_default().to_vec(),
    )
}

/// Takes ours and runit's through the same commands, and compares their files after each.
#[test]
fn pid_stat_and_the_first_twenty_bytes_are_as_runit_writes_them() {
    let services = [program("supervise").to_path_buf(), peer("runsv")].map(|supervise| {
        let service = Service::new("web")
            .script(
                "run",
                "trap : TERM; echo >>up; while :; do sleep 0.01; done",
            )
            .script("finish", "while [ -e hold ]; do sleep 0.01; done")
            .file("options/startsecs", "0");
        let running = service.supervise_by(&supervise);
        (service, running)
    });
    for (service, _) in &services {
        until("it is up", || !service.read("up").is_empty());
    }
    let up = ("PID\n", "run\n", [0, b'u', 0, 1]);
    for (command, (pid, stat, bytes)) in [
        ("", up),
        ("p", ("PID\n", "run, paused\n", [1, b'u', 0, 1])),
        ("c", up),
        ("t", ("PID\n", "run, got TERM\n", [0, b'u', 1, 1])),
        (
            "d",
            ("PID\n", "run, got TERM, want down\n", [0, b'd', 1, 1]),
        ),
        ("hold", ("PID\n", "finish, want down\n", [0, b'd', 0, 2])),
        ("release", ("", "down\n", [0, b'd', 0, 0])),
        ("u", up),
        (
            "dx",
            ("PID\n", "run, got TERM, want exit\n", [0, b'd', 1, 1]),
        ),
        ("kill", ("", "down\n", [0, b'd', 0, 0])),
    ] {
        for (service, running) in &services {
            match command {
                "hold" => {
                    fs::write(service.dir().join("hold"), "").unwrap();
                    kill(pid_of(&service.status().unwrap()), libc::SIGKILL);
                }
                "release" => fs::remove_file(service.dir().join("hold")).unwrap(),
                "kill" => kill(pid_of(&service.status().unwrap()), libc::SIGKILL),
                bytes => service.send(bytes),
            }
            let wanted = (pid.to_owned(), stat.to_owned(), bytes.to_vec());
            let whose = running.pid();
            eventually(&format!("{whose}: {command}"), || {
                let seen = files(service);
                if seen == wanted { Ok(()) } else { Err(seen) }
            });
        }
    }
}

#[test]
fn a_reader_never_meets_a_missing_or_a_torn_status() {
    let service = Service::sleeping("web").script("finish", "exit 0");
    let _supervise = service.supervise();
    let mut pid = service.until_running();
    let mut reads = 0;
    for _ in 0..30 {
        service.send("r");
        // `status` fails the test on one that is damaged; here, on one that is missing.
        loop {
            let status = service.status().unwrap();
            reads += 1;
            if status.record.as_ref().unwrap().state == State::Running && pid_of(&status) != pid {
                pid = pid_of(&status);
                break;
            }
        }
    }
    assert!(reads > 1000, "{reads}");
}

#[test]
fn a_status_is_there_before_ok_says_that_a_supervise_is() {
    let service = Service::sleeping("web").file("down", "");
    let trace = service.folder().join("trace");
    let arguments = [
        "-q",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        "trace=openat,rename,renameat,renameat2",
    ];
    let _supervise = service.supervise_behind("strace", &arguments);
    until("ok", || {
        is_supervised(&service.state_file("ok")).unwrap_or(false)
    });
    // strace writes a call down when it has returned: a little after all others see what it did.
    let text = eventually("the open of ok in the trace", || {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        if text.contains("\"ok\", O_RDONLY") {
            Ok(text)
        } else {
            Err(text)
        }
    });
    let at = |what: &str| text.lines().position(|line| line.contains(what)).unwrap();
    assert!(at("\"status\")") < at("\"ok\", O_RDONLY"), "{text}");
}

/// Starts a supervise with SUPERVISEDIR, and checks that the state is in `place` of the folder.
#[track_caller]
fn kept_in(value: impl Fn(&Service) -> String, place: &'static str) {
    let service = Service::sleeping("web").state_in(place);
    let mut command = service.command(program("supervise"));
    let value = value(&service);
    let mut supervise = Running::start(command.arg("web").env("SUPERVISEDIR", value));
    service.until_running();
    assert!(!service.dir().join("supervise").exists());
    service.send("dx");
    assert_eq!(supervise.ended().code(), Some(0));
}

#[test]
fn a_relative_supervisedir_is_another_name_in_the_service_directory() {
    kept_in(|_| ".state".to_owned(), "web/.state");
    kept_in(|_| "../states/web".to_owned(), "states/web");
}

#[test]
fn an_absolute_supervisedir_keeps_the_state_of_all_services() {
    let service = Service::sleeping("web");
    let states = service.folder().join("states");
    let mut command = service.command(program("supervise"));
    let _supervise = Running::start(command.arg("web").env("SUPERVISEDIR", &states));
    let path = fs::canonicalize(service.dir()).unwrap();
    let name = path.to_str().unwrap()[1..].replace('/', ":");
    until("a status", || states.join(&name).join("status").exists());
    assert!(!service.dir().join("supervise").exists());
}

#[test]
fn a_supervise_that_is_a_link_is_followed_and_its_target_made() {
    for (target, exists) in [
        ("elsewhere", true),
        ("elsewhere", false),
        ("deep/er/still", false),
    ] {
        let service = Service::sleeping("web");
        let path = service.folder().join(target);
        if exists {
            fs::create_dir(&path).unwrap();
        }
        symlink(&path, service.dir().join("supervise")).unwrap();
        let _supervise = service.supervise();
        service.until_running();
        assert!(path.join("status").exists(), "{target}");
    }
    let service = Service::sleeping("web");
    symlink("../relative", service.dir().join("supervise")).unwrap();
    let _supervise = service.supervise();
    service.until_running();
    assert!(service.folder().join("relative/status").exists());
}

#[test]
fn an_instance_has_a_state_and_names_of_its_own() {
    let service =
        Service::new("worker@").script("run", "env >env.$SUPERVISOR_PROCESS_NAME; exec sleep 1000");
    let supervises: Vec<Running> = ["worker@1", "worker@2"]
        .map(|name| {
            symlink("worker@", service.folder().join(name)).unwrap();
            let mut command = service.command(program("supervise"));
            Running::start(command.arg(name))
        })
        .into();
    for number in ["1", "2"] {
        let status = service.dir().join(format!("supervise@{number}/status"));
        until("its state", || status.exists());
        let file = format!("env.worker@{number}");
        until("its names", || {
            service
                .read(&file)
                .contains("SUPERVISOR_GROUP_NAME=worker\n")
        });
    }
    assert_eq!(supervises.len(), 2);
}

#[test]
fn term_and_int_to_supervise_stop_the_service_and_leave() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let service = Service::sleeping("web");
        let mut supervise = service.supervise();
        let pid = service.until_running();
        supervise.signal(signal);
        assert_eq!(supervise.ended().code(), Some(0));
        assert!(!alive(pid));
        let status = service.status().unwrap();
        assert_eq!((pid_of(&status), status.want), (0, Want::Down));
        assert_eq!(service.processes(), Vec::<i32>::new());
    }
}

#[test]
fn other_signals_to_supervise_do_nothing() {
    let service = Service::sleeping("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    for signal in [
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGPIPE,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGXCPU,
        libc::SIGXFSZ,
        libc::SIGWINCH,
        libc::SIGCONT,
        libc::SIGCHLD,
    ] {
        supervise.signal(signal);
    }
    service.send("#");
    service.until("an answer", |_, record| record.commands == 1);
    assert!(supervise.child().try_wait().unwrap().is_none());
    assert_eq!(service.until_running(), pid);
    assert_eq!(service.record().total_starts, 1);
}

#[test]
fn a_second_supervise_says_who_holds_the_lock() {
    let service = Service::sleeping("web");
    let supervise = service.supervise();
    let pid = service.until_running();
    for second in [program("supervise").to_path_buf(), peer("supervise")] {
        let mut command = service.command(&second);
        let failed = command.arg("web").stderr(Stdio::piped()).output().unwrap();
        assert_eq!(failed.status.code(), Some(111));
        if second == program("supervise") {
            let holder = supervise.pid();
            assert_eq!(
                stderr(&failed),
                format!(
                    "supervise: fatal: unable to lock web/supervise/lock: held by process {holder}\n"
                )
            );
        }
    }
    assert_eq!(service.until_running(), pid);
    // And the other way around.
    let service = Service::sleeping("web");
    let _theirs = service.supervise_by(&peer("supervise"));
    until("their ok", || {
        is_supervised(&service.state_file("ok")).unwrap_or(false)
    });
    let mut command = service.command(program("supervise"));
    let failed = command.arg("web").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(failed.status.code(), Some(111));
    assert!(stderr(&failed).contains("unable to lock web/supervise/lock: held by"));
}

#[test]
fn a_lock_that_a_dead_supervise_left_to_its_child_is_waited_for() {
    let service = Service::sleeping("web").file("supervise/lock", "");
    let lock = service.state_file("lock");
    let mut dead = Running::start(std::process::Command::new(peer("true")).arg(""));
    dead.ended();
    let held = servicedir::lock::Lock::take(&lock).unwrap();
    fs::write(&lock, format!("{}\n", dead.pid())).unwrap();
    let mut supervise = service.supervise();
    let waits = || proc_status(supervise.pid(), "State").starts_with('S');
    until("it waits", waits);
    drop(held);
    service.until_running();
    assert!(supervise.child().try_wait().unwrap().is_none());
    assert_eq!(service.messages(), "");
}

#[test]
fn ok_opens_exactly_while_a_supervise_lives() {
    let service = Service::sleeping("web");
    let ok = service.state_file("ok");
    assert!(!is_supervised(&ok).unwrap());
    let mut supervise = service.supervise();
    until("ok", || is_supervised(&ok).unwrap());
    service.send("z");
    supervise.ended();
    assert!(!is_supervised(&ok).unwrap());
}

#[test]
fn files_that_an_older_suite_left_are_taken_over() {
    for older in ["supervise", "runsv"] {
        let service = Service::sleeping("web");
        let mut theirs = service.supervise_by(&peer(older));
        eventually("their status", || {
            let status = service.status();
            status.filter(|status| status.pid.is_some()).ok_or("none")
        });
        service.send("dx");
        theirs.ended();
        let _ours = service.supervise();
        service.until("ours", |status, record| {
            status.pid.is_some() && record.state == State::Running
        });
        assert_eq!(service.messages(), "");
    }
}
