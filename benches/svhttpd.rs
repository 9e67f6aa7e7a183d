//! svhttpd beside supervisord: how many answers to `getAllProcessInfo` a second, over a unix socket that is
//! kept open, with the same services under both; and what svhttpd costs when nobody asks.
//!
//! `cargo bench --bench svhttpd -- [SERVICES [SECONDS]]` (1000 and 5). The two take turns, three times; the
//! table shows medians and the ratio. Needs PyPI's `supervisor`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for a person who measures: what fails ends it"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CALL: &str = "<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.getAllProcessInfo</methodName>\n<params>\n</params>\n</methodCall>\n";

/// How long svhttpd is watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    // `cargo bench` adds `--bench`.
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok());
    let services = numbers.next().unwrap_or(1000);
    let seconds = numbers.next().unwrap_or(5);
    let folder = tempfile::tempdir().unwrap();
    let (svscan, svhttpd) = ours(folder.path(), services);
    let supervisord = theirs(folder.path(), services);
    let sockets = [folder.path().join("ours"), folder.path().join("theirs")];
    for socket in &sockets {
        wait_for(socket, services);
    }
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (socket, rates) in std::iter::zip(&sockets, &mut rates) {
            rates.push(rate(socket, Duration::from_secs(seconds as u64)));
        }
    }
    let [ours, theirs] = rates.map(median);
    println!(
        "{services} services, getAllProcessInfo: svhttpd {ours:.1}/s, supervisord {theirs:.1}/s, ratio {:.2}",
        ours / theirs
    );
    idle(svhttpd.id());
    for mut child in [svhttpd, svscan, supervisord] {
        // TERM: each stops what it has started.
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
    }
}

/// svscan on that many services, and svhttpd.
fn ours(folder: &Path, services: usize) -> (Child, Child) {
    let scan = folder.join("scan");
    for number in 0..services {
        let dir = scan.join(format!("service-{number:04}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("run"), "#!/bin/sh\nexec sleep 100000\n").unwrap();
        fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let svscan = quiet(Command::new(env!("CARGO_BIN_EXE_svscan")).arg(&scan));
    let mut svhttpd = Command::new(env!("CARGO_BIN_EXE_svhttpd"));
    svhttpd.arg("--unix").arg(folder.join("ours")).arg(&scan);
    (svscan, quiet(&mut svhttpd))
}

/// supervisord with as many programs.
fn theirs(folder: &Path, services: usize) -> Child {
    let at = folder.display();
    let mut config = format!(
        "[supervisord]\nnodaemon=true\nminfds=65536\nlogfile={at}/log\npidfile={at}/pid\n[unix_http_server]\nfile={at}/theirs\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
    );
    for number in 0..services {
        write!(config, "[program:service-{number:04}]\ncommand=sleep 100000\nstdout_logfile=NONE\nstderr_logfile=NONE\n").unwrap();
    }
    fs::write(folder.join("conf"), config).unwrap();
    quiet(
        Command::new("supervisord")
            .arg("-c")
            .arg(folder.join("conf")),
    )
}

fn quiet(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until all services are RUNNING.
fn wait_for(socket: &Path, services: usize) {
    loop {
        if let Ok(mut stream) = UnixStream::connect(socket)
            && answer(&mut stream)
                .matches("<string>RUNNING</string>")
                .count()
                == services
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Answers a second.
fn rate(socket: &Path, time: Duration) -> f64 {
    let mut stream = UnixStream::connect(socket).unwrap();
    let begin = Instant::now();
    let mut answers = 0;
    while begin.elapsed() < time {
        answer(&mut stream);
        answers += 1;
    }
    f64::from(answers) / begin.elapsed().as_secs_f64()
}

fn answer(stream: &mut UnixStream) -> String {
    let length = CALL.len();
    let request = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{CALL}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Private memory, and wake-ups while nobody asks.
fn idle(pid: u32) {
    let wakes = || {
        number(
            &fs::read_to_string(format!("/proc/{pid}/status")).unwrap(),
            "voluntary_ctxt_switches:",
        )
    };
    // What the last connection's end has left to do.
    std::thread::sleep(Duration::from_secs(1));
    let before = wakes();
    std::thread::sleep(IDLE);
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let private = number(&smaps, "Private_Clean:") + number(&smaps, "Private_Dirty:");
    let dirty = number(&smaps, "Private_Dirty:");
    println!(
        "svhttpd idle: {} wake-ups in {IDLE:?}, {private} KiB private memory, {dirty} KiB of it written to",
        wakes() - before
    );
}

fn number(text: &str, name: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_ascii_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
