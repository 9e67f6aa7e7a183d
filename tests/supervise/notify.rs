//! `ready: notify`: who is heard, what follows from it, and what strangers cannot do.
//!
//! Needs root, to be another user.

use crate::support;
use crate::support::puppet;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::process::{Command, Stdio};

use puppet::{PRELUDE, Service, python};
use servicedir::status::{End, State};
use support::{Running, alive, kill, program, until};

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
    service.record();
    // `ok` is opened after the first status: one that has obeyed has opened everything.
    assert!(service.svc(&["-d", "-w"]).status.success());
    let without = service.descriptors();
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

/// Sends connections whose close(2) waits a minute for data that nobody reads, and stays.
const LINGERING: &str = "
import struct
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
server.bind(('127.0.0.1', 0))
server.listen(64)
line = connect(sys.argv[1])
peers = []
for _ in range(3):
    client = socket.create_connection(server.getsockname())
    peers.append(server.accept()[0])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 60))
    client.setblocking(False)
    try:
        while True: client.send(b'x' * 65536)
    except BlockingIOError: pass
    client.setblocking(True)
    socket.send_fds(line, [b'x'], [client.fileno()])
    client.close()
print('sent', flush=True)
time.sleep(1000)
";

#[test]
fn a_descriptor_that_is_slow_to_close_does_not_keep_supervise_from_obeying() {
    let service = Service::ready("web");
    let mut stranger = Running::start(
        Command::new(python())
            .arg("-c")
            .arg(format!("{PRELUDE}{LINGERING}"))
            .arg(service.path("supervise/notify"))
            .stdout(Stdio::piped()),
    );
    let mut sent = [0; 5];
    let mut told = stranger.child().stdout.take().unwrap();
    std::io::Read::read_exact(&mut told, &mut sent).unwrap();
    service.tell_and_wait("say('STATUS=heard')");
    assert_eq!(service.record().message, "heard");
    assert!(service.svc(&["-d", "-w", "-T", "30s"]).status.success());
    stranger.signal(libc::SIGKILL);
    stranger.ended();
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
