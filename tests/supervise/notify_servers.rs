//! `ready: notify` as others speak it: systemd-notify, redis and PostgreSQL.

use crate::support;
use crate::support::puppet;

use std::fs;
use std::path::Path;
use std::process::Command;

use puppet::Service;
use servicedir::status::{End, State, Status};
use support::{eventually, output, peer};

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
            "exec {as_nobody} {bin}/initdb --no-locale -D {0}/data -U test -A trust -N >{0}/initdb.log 2>&1",
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
