//! Real daemons that put themselves in the background, under pidproxy and fghack, as services: up
//! while the daemon is up, reloaded by `svc -h`, restarted when it is killed, stopped by `svc -d`.
//!
//! Not tested: that they serve anything. They listen on sockets in the test's own folder, nginx
//! and sshd on ports of the loopback interface.

use crate::support;
use crate::support::daemon as daemon_support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use daemon_support::{InFront, path, pid_in, until_gone};
use support::{Scratch, alive, eventually, kill, output, peer, program, stdout, until};

/// The supervise that runs the services here.
fn supervise() -> PathBuf {
    program("supervise").to_owned()
}

/// A service under supervise.
struct Service {
    scratch: Scratch,
    supervise: InFront,
}

impl Service {
    /// Starts the service of which `run` becomes COMMAND.
    #[track_caller]
    fn start(scratch: Scratch, command: &str) -> Self {
        scratch.script("service/run", &format!("exec 2>&1\ncd ..\nexec {command}"));
        let supervise = InFront::of(&scratch, Command::new(supervise()).arg("service"));
        Self { scratch, supervise }
    }

    #[track_caller]
    fn svc(&self, option: &str) {
        let service = path(&self.scratch, "service");
        // Debian's svc takes its commands one by one.
        assert!(output(&peer("svc"), [option, &service]).status.success());
    }

    fn svstat(&self) -> String {
        stdout(&output(&peer("svstat"), [path(&self.scratch, "service")]))
    }

    /// Stops it, and sees that nothing is left.
    #[track_caller]
    fn stops(&self) {
        self.svc("-d");
        eventually("down", || {
            let line = self.svstat();
            if line.contains(": down ") {
                Ok(())
            } else {
                Err((line, self.scratch.read("stderr")))
            }
        });
        assert_eq!(self.supervise.below(), Vec::<i32>::new());
    }

    /// Kills the daemon of that pid, and sees it come up again, once.
    #[track_caller]
    fn comes_up_again(&self, pid_file: &str, killed: i32) -> i32 {
        kill(killed, libc::SIGKILL);
        until_gone(killed);
        eventually("another run", || {
            match self.scratch.read(pid_file).trim().parse() {
                Ok(pid) if pid != killed && alive(pid) => Ok(pid),
                _ => Err(self.scratch.read("stderr")),
            }
        })
    }
}

/// What pidproxy is called with, before the daemon's own command line.
fn pidproxy(pid_file: &str) -> String {
    format!("{} {pid_file}", program("pidproxy").display())
}

/// The same for fghack.
fn fghack() -> String {
    program("fghack").display().to_string()
}

/// The processes below `top` of that name.
fn named(top: i32, name: &str) -> Vec<i32> {
    let is_named = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    daemon_support::below(top)
        .into_iter()
        .filter(is_named)
        .collect()
}

/// A port of the loopback interface that nobody has now.
fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// The name of the program that the parent of this process runs.
fn parents_name(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let parent = rest.split_ascii_whitespace().nth(1).unwrap();
    // It may have ended since: then there is another parent at the next look.
    fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default()
}

/// Waits until the daemon has that many children: before it has started its workers, nginx takes note of
/// a signal, and then waits for the next one before it acts.
#[track_caller]
fn until_it_has_workers(daemon: i32, count: usize) {
    until("workers", || daemon_support::below(daemon).len() >= count);
}

fn redis(scratch: &Scratch) -> String {
    let server = peer("redis-server");
    let dir = path(scratch, "");
    format!(
        "{} --daemonize yes --port 0 --unixsocket {dir}socket --pidfile {dir}pid --dir {dir} --save ''",
        server.display()
    )
}

fn memcached(scratch: &Scratch) -> String {
    let user = stdout(&output(&peer("id"), ["-un"]));
    let dir = path(scratch, "");
    let server = peer("memcached");
    format!(
        "{} -d -u {} -s {dir}socket -P {dir}pid",
        server.display(),
        user.trim()
    )
}

fn nginx(scratch: &Scratch) -> String {
    let user = stdout(&output(&peer("id"), ["-un"]));
    let dir = path(scratch, "");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}{kind};\n"))
        .collect();
    let master = if user.trim() == "root" {
        "user root root;\n"
    } else {
        ""
    };
    let conf = format!(
        "{master}daemon on;\nworker_processes 2;\npid {dir}pid;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}server {{ listen 127.0.0.1:{}; }}\n}}\n",
        free_port()
    );
    scratch.file("nginx.conf", conf);
    format!(
        "{} -e {dir}error.log -p {dir} -c {dir}nginx.conf",
        peer("nginx").display()
    )
}

/// A daemon that is told to stop and one that is killed, under pidproxy.
#[track_caller]
fn is_controlled_by_pidproxy(command: fn(&Scratch) -> String, workers: usize) {
    let scratch = Scratch::new();
    let command = format!("{} {}", pidproxy("pid"), command(&scratch));
    let service = Service::start(scratch, &command);
    let first = pid_in(&service.scratch, "pid");
    assert!(
        service.svstat().contains(": up (pid "),
        "{}",
        service.svstat()
    );
    until_it_has_workers(first, workers);
    let second = service.comes_up_again("pid", first);
    until_it_has_workers(second, workers);
    service.stops();
}

/// The same under fghack.
#[track_caller]
fn is_controlled_by_fghack(command: fn(&Scratch) -> String, workers: usize) {
    let scratch = Scratch::new();
    let command = format!("{} {}", fghack(), command(&scratch));
    let service = Service::start(scratch, &command);
    let first = pid_in(&service.scratch, "pid");
    assert!(
        service.svstat().contains(": up (pid "),
        "{}",
        service.svstat()
    );
    until_it_has_workers(first, workers);
    let again = service.scratch.read("pid");
    kill(first, libc::SIGTERM);
    eventually("another run", || match service.scratch.read("pid") {
        text if text != again && !text.trim().is_empty() => Ok(()),
        text => Err((text, service.scratch.read("stderr"))),
    });
    until_it_has_workers(pid_in(&service.scratch, "pid"), workers);
    service.stops();
}

#[test]
fn redis_under_pidproxy() {
    is_controlled_by_pidproxy(redis, 0);
}

#[test]
fn redis_under_fghack() {
    is_controlled_by_fghack(redis, 0);
}

#[test]
fn memcached_under_pidproxy() {
    is_controlled_by_pidproxy(memcached, 0);
}

#[test]
fn memcached_under_fghack() {
    is_controlled_by_fghack(memcached, 0);
}

#[test]
fn nginx_under_pidproxy() {
    is_controlled_by_pidproxy(nginx, 2);
}

#[test]
fn nginx_under_fghack() {
    is_controlled_by_fghack(nginx, 2);
}

#[test]
fn nginx_reloads_at_svc_h_and_keeps_its_master() {
    for foreground in [pidproxy("pid"), fghack()] {
        let scratch = Scratch::new();
        let command = format!("{foreground} {}", nginx(&scratch));
        let service = Service::start(scratch, &command);
        let master = pid_in(&service.scratch, "pid");
        until_it_has_workers(master, 2);
        let workers = daemon_support::below(master);
        service.svc("-h");
        for worker in workers {
            until_gone(worker);
        }
        until_it_has_workers(master, 2);
        assert_eq!(pid_in(&service.scratch, "pid"), master);
        service.stops();
    }
}

#[test]
fn nginx_upgrades_to_another_master_and_is_followed() {
    let scratch = Scratch::new();
    let command = format!("{} {}", pidproxy("pid"), nginx(&scratch));
    let service = Service::start(scratch, &command);
    let old = pid_in(&service.scratch, "pid");
    let run = service.svstat();
    until_it_has_workers(old, 2);
    // While its launcher is its parent, nginx takes itself for the new binary of another upgrade.
    until("the launcher's end", || parents_name(old) == "pidproxy\n");
    // nginx's own procedure: USR2 starts the new master, QUIT to the old one ends that.
    kill(old, libc::SIGUSR2);
    let new = eventually("a new master", || {
        match service.scratch.read("pid").trim().parse() {
            Ok(pid) if pid != old && alive(pid) => Ok(pid),
            _ => Err(service.scratch.read("error.log")),
        }
    });
    kill(old, libc::SIGQUIT);
    until_gone(old);
    until_it_has_workers(new, 2);
    let workers = daemon_support::below(new);
    service.svc("-h");
    for worker in workers {
        until_gone(worker);
    }
    let pid_of = |line: &str| line.split(')').next().map(str::to_owned);
    assert_eq!(pid_of(&service.svstat()), pid_of(&run), "the same run");
    service.stops();
    assert!(!alive(new));
}

#[test]
fn sshd_without_d_restarts_itself_at_svc_h() {
    let scratch = Scratch::new();
    let dir = path(&scratch, "");
    let key = format!("{dir}key");
    let made = output(
        &peer("ssh-keygen"),
        ["-q", "-t", "ed25519", "-N", "", "-f", &key],
    );
    assert!(made.status.success());
    // As root it wants its directory, which its packages make at boot.
    let separation = PathBuf::from("/run/sshd");
    if !separation.exists() && stdout(&output(&peer("id"), ["-u"])).trim() == "0" {
        fs::create_dir(&separation).unwrap();
    }
    let port = free_port();
    scratch.file(
        "sshd_config",
        format!("ListenAddress 127.0.0.1:{port}\nHostKey {key}\nPidFile {dir}pid\nUsePAM no\n"),
    );
    let sshd = peer("sshd");
    let command = format!(
        "{} {} -f {dir}sshd_config -E {dir}log",
        pidproxy(&format!("{dir}pid")),
        sshd.display()
    );
    let service = Service::start(scratch, &command);
    let first = pid_in(&service.scratch, "pid");
    let run = service.svstat();
    // It executes itself, which forks again: another process, and another pid file.
    service.svc("-h");
    until_gone(first);
    let second = pid_in(&service.scratch, "pid");
    let pid_of = |line: &str| line.split(')').next().map(str::to_owned);
    assert_eq!(pid_of(&service.svstat()), pid_of(&run), "the same run");
    let third = service.comes_up_again("pid", second);
    service.stops();
    assert!(!alive(third));
}

#[test]
fn mariadb_under_mysqld_safe_and_pidproxy() {
    let scratch = Scratch::new();
    let user = stdout(&output(&peer("id"), ["-un"]));
    let user = user.trim();
    let dir = path(&scratch, "");
    let installed = output(
        &peer("mariadb-install-db"),
        [
            "--no-defaults".to_owned(),
            format!("--user={user}"),
            format!("--datadir={dir}data"),
            "--auth-root-authentication-method=normal".to_owned(),
            "--skip-test-db".to_owned(),
        ],
    );
    assert!(installed.status.success(), "{installed:?}");
    let command = format!(
        "{} {} --no-defaults --user={user} --datadir={dir}data --socket={dir}socket \
         --pid-file={dir}pid --log-error={dir}error.log --skip-networking --skip-syslog \
         --innodb-buffer-pool-size=8M",
        pidproxy("pid"),
        peer("mysqld_safe").display()
    );
    let service = Service::start(scratch, &command);
    // It writes its pid file some time before it minds a TERM.
    let is_ready = |times: usize| {
        until("ready", || {
            let log = service.scratch.read("error.log");
            log.matches("ready for connections").count() == times
        });
    };
    let first = pid_in(&service.scratch, "pid");
    assert_eq!(named(service.supervise.pid(), "mariadbd"), [first]);
    is_ready(1);
    // mysqld_safe starts it again by itself, or supervise does: one of them, not both.
    let second = service.comes_up_again("pid", first);
    assert_eq!(named(service.supervise.pid(), "mariadbd"), [second]);
    is_ready(2);
    service.stops();
    let log = service.scratch.read("error.log");
    assert!(log.contains("Shutdown complete"), "{log}");
}
