//! Programs that real users point at a supervisord: superlance's, Prometheus' own parser, and Node's client.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::scanning::{SLEEP, Scanning};
use crate::support::{Running, output, peer, stderr, stdout, until};

use super::server::{Server, string};

fn web(scanning: &Scanning) {
    for name in ["web", "other"] {
        scanning.service(name, SLEEP);
        scanning.option(name, "startsecs", "0");
        scanning.link(name);
    }
}

fn served() -> Server {
    let server = Server::with_control(web);
    for name in ["web", "other"] {
        let info = || server.call("supervisor.getProcessInfo", &string(name));
        until(name, || info().contains("RUNNING"));
    }
    server
}

/// Gives one of superlance's listeners an event, as supervisord does, and waits for its OK.
fn tick(server: &Server, program: &str, args: &[&str]) -> Running {
    let mut command = Command::new(program);
    command.args(args);
    command.env("SUPERVISOR_SERVER_URL", server.url());
    command.env("PYTHONUNBUFFERED", "1");
    let stderr = std::fs::File::create(server.scanning.scratch.path().join("listener")).unwrap();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr);
    let mut listener = Running::start(&mut command);
    let mut said = BufReader::new(listener.child().stdout.take().unwrap());
    let mut asked = listener.child().stdin.take().unwrap();
    for serial in 0..2 {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let log = || server.scanning.scratch.read("listener");
        assert_eq!(line, "READY\n", "{program}: {}", log());
        let payload = "when:1795624775";
        let header = format!(
            "ver:3.0 server:supervisor serial:{serial} pool:listener poolserial:{serial} eventname:TICK_60 len:{}\n",
            payload.len()
        );
        asked.write_all((header + payload).as_bytes()).unwrap();
        let mut result = [0; 11];
        said.read_exact(&mut result).unwrap();
        assert_eq!(&result, b"RESULT 2\nOK", "{program}: {}", log());
    }
    listener
}

#[test]
fn memmon_restarts_what_uses_too_much() {
    let server = served();
    let (web, other) = (server.scanning.up("web"), server.scanning.up("other"));
    let listener = tick(&server, "memmon", &["-p", "web=1KB", "-p", "other=100GB"]);
    drop(listener);
    assert!(!crate::support::alive(web));
    assert_ne!(server.scanning.up("web"), web);
    assert_eq!(server.scanning.up("other"), other);
    let log = server.scanning.scratch.read("listener");
    assert!(log.contains("Restarting web:web"), "{log}");
}

#[test]
fn httpok_restarts_what_does_not_answer() {
    let server = served();
    let (web, other) = (server.scanning.up("web"), server.scanning.up("other"));
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mail = server.scanning.scratch.path().join("mail");
    let sendmail = format!("cat >>{}", mail.display());
    let listener = tick(
        &server,
        "httpok",
        &[
            "-p",
            "web",
            "-t",
            "1",
            "-m",
            "a@b",
            "-s",
            &sendmail,
            &format!("http://{free}/"),
        ],
    );
    drop(listener);
    assert!(!crate::support::alive(web));
    assert_ne!(server.scanning.up("web"), web);
    assert_eq!(server.scanning.up("other"), other);
    let mail = std::fs::read_to_string(mail).unwrap();
    assert!(mail.contains("web") && mail.contains("restart"), "{mail}");
}

#[test]
fn prometheus_parser_reads_the_metrics() {
    const READER: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {f.name: f for f in text_string_to_metric_families(sys.stdin.read())}
def value(name, service, **more):
    samples = [s for s in families[name].samples if s.labels["service"] == service and all(s.labels[k] == v for k, v in more.items())]
    assert len(samples) == 1, samples
    return samples[0].value
assert value("servicedir_service_up", "web") == 1
assert value("servicedir_service_up", "down") == 0
assert value("servicedir_service_ready", "web") == 1
assert value("servicedir_service_starts", "web") == 1
assert value("servicedir_service_memory_bytes", "web") > 100000
assert value("servicedir_service_start_time_seconds", "web") > 1e9
assert value("servicedir_service_state", "web", servicedir_service_state="RUNNING") == 1
assert value("servicedir_service_state", "web", servicedir_service_state="FATAL") == 0
assert value("servicedir_service_state", "down", servicedir_service_state="STOPPED") == 1
assert families["servicedir_service_state"].type == "stateset"
assert families["servicedir_service_starts"].type == "counter"
assert value("servicedir_service_up", 'a"b\\c') == 1
print("all right")
"#;
    let server = Server::with_control(|scanning| {
        web(scanning);
        scanning.service("down", SLEEP);
        scanning.option("down", "autostart", "no");
        scanning.link("down");
        scanning.service("a\"b\\c", SLEEP);
        scanning.option("a\"b\\c", "startsecs", "0");
        scanning.link("a\"b\\c");
    });
    for name in ["web", "a\"b\\c"] {
        let info = || server.call("supervisor.getProcessInfo", &string(name));
        until(name, || info().contains("RUNNING"));
    }
    let down = || server.call("supervisor.getProcessInfo", &string("down"));
    until("down is known", || down().contains("STOPPED"));
    let reply = server.get("/metrics");
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    let metrics = server.scanning.scratch.file("metrics", &reply.body);
    let mut python = Command::new("python3");
    python
        .args(["-c", READER])
        .stdin(std::fs::File::open(metrics).unwrap());
    let read = python.output().unwrap();
    assert_eq!(
        stdout(&read),
        "all right\n",
        "{}\n{}",
        stderr(&read),
        reply.text()
    );
}

#[test]
fn node_s_client_calls_over_tcp() {
    const CLIENT: &str = r#"
const client = require("xmlrpc").createClient({ host: "127.0.0.1", port: Number(process.argv[2]), path: "/RPC2" });
const call = (method, ...params) => new Promise((done, failed) => client.methodCall(method, params, (error, value) => error ? failed(error) : done(value)));
(async () => {
  const info = await call("supervisor.getProcessInfo", "web");
  if (info.statename !== "RUNNING" || !(info.pid > 1)) throw new Error(JSON.stringify(info));
  if (await call("supervisor.stopProcess", "web", true) !== true) throw new Error("stop");
  if (await call("supervisor.startProcess", "web") !== true) throw new Error("start");
  const all = await call("supervisor.getAllProcessInfo");
  if (all.map((one) => one.name).join() !== "other,web") throw new Error(JSON.stringify(all));
  const fault = await call("supervisor.stopProcess", "nope").catch((error) => error);
  if (fault.code !== 10) throw new Error(String(fault));
  console.log("all right");
})().catch((error) => { console.log(error); process.exit(1); });
"#;
    let mut server = Server::on(web);
    server.start(&["--control", "--tcp", "127.0.0.1:0"]);
    let info = || server.call("supervisor.getProcessInfo", &string("web"));
    until("web", || info().contains("RUNNING"));
    let script = server.scanning.scratch.file("client.js", CLIENT);
    // Installed by tests/run.
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("npm/node_modules");
    assert!(
        modules.join("xmlrpc").is_dir(),
        "no xmlrpc in {}: see tests/run",
        modules.display()
    );
    let port = server.port().to_string();
    let mut node = Command::new(peer("node"));
    node.arg(script).arg(port).env("NODE_PATH", modules);
    let ran = node.output().unwrap();
    assert_eq!(stdout(&ran), "all right\n", "{}", stderr(&ran));
}

#[test]
fn json_is_what_python_reads() {
    let server = served();
    let pid = server.scanning.up("web").to_string();
    let file = server
        .scanning
        .scratch
        .file("all.json", server.get("/api/services").body);
    let one = server
        .scanning
        .scratch
        .file("one.json", server.get("/api/services/web").body);
    let script = "import json, sys\na = json.load(open(sys.argv[1])); o = json.load(open(sys.argv[2]))\nassert [x['name'] for x in a] == ['other', 'web'], a\nassert o['pid'] == int(sys.argv[3]) and o['state'] == 'RUNNING' and o['ready'] is True and o['starts'] == 1 and o['memory_bytes'] > 0, o\nassert o['ended'] is None and o['problem'] is None, o\nprint('all right')";
    let read = output(
        &peer("python3"),
        [
            "-c",
            script,
            file.to_str().unwrap(),
            one.to_str().unwrap(),
            &pid,
        ],
    );
    assert_eq!(stdout(&read), "all right\n", "{}", stderr(&read));
}

#[test]
fn the_history_is_the_journal_s() {
    use servicedir::journal::Entry;
    use servicedir::status::{End, State};
    use servicedir::tai64n::Tai64n;
    let scratch = crate::support::Scratch::new();
    scratch.script("scan/old/run", SLEEP);
    let line = |number: u64, state, change: &dyn Fn(&mut Entry)| {
        let mut entry = Entry::new(Tai64n::from_unix(1_795_262_400 + number, 0), number, state);
        change(&mut entry);
        entry.to_line()
    };
    let failed = line(1, State::Backoff, &|entry| {
        entry.from = Some(State::Starting);
        entry.end = Some(End::Exited(3));
    });
    let journal = scratch.file("scan/old/supervise/journal", failed);
    let socket = scratch.path().join("socket");
    let mut command = Command::new(crate::support::program("svhttpd"));
    command
        .args(["--unix", socket.to_str().unwrap()])
        .arg(scratch.path().join("scan"));
    let _svhttpd = Running::start(command.stderr(Stdio::null()));
    let connect = || std::os::unix::net::UnixStream::connect(&socket);
    until("svhttpd listens", || connect().is_ok());
    let page = super::server::exchange(
        &mut connect().unwrap(),
        "GET /services/old HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .text();
    assert!(page.contains("<td>after starting, exited 3</td>"), "{page}");
    assert!(page.contains("after=1\""), "{page}");
    let mut events = connect().unwrap();
    events
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    events
        .write_all(b"GET /events/old?after=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut lines = BufReader::new(events).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "event: facts"));
    let given_up = line(2, State::Fatal, &|entry| {
        entry.reason = "2 failed starts".to_owned()
    });
    std::fs::File::options()
        .append(true)
        .open(journal)
        .unwrap()
        .write_all(&given_up)
        .unwrap();
    assert!(lines.any(|line| line == "event: history"));
    assert!(lines.any(|line| line.contains("2 failed starts") && line.contains("fatal")));
}
