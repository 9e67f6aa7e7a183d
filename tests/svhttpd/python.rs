//! Python's own `xmlrpc.client` over a unix socket and TCP, with and without a password.

use crate::support::scanning::{SLEEP, Scanning};
use crate::support::{output, peer, stderr, stdout};

use super::server::{Server, exchange, tcp};

/// Calls most methods, and says what is not as it should be.
const CLIENT: &str = r#"
import http.client, socket, sys, xmlrpc.client
url, path = sys.argv[1], sys.argv[2]

class UnixTransport(xmlrpc.client.Transport):
    def make_connection(self, host):
        _, self._extra_headers, _ = self.get_host_info(host)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(path)
        return connection

transport = UnixTransport() if path else None
server = xmlrpc.client.ServerProxy(url, transport=transport)
s = server.supervisor
assert s.getAPIVersion() == s.getVersion() == "3.0"
assert s.getSupervisorVersion() == "4.3.0"
assert s.getIdentification() == "tested"
assert s.getState() == {"statecode": 1, "statename": "RUNNING"}
assert s.getPID() > 1
infos = s.getAllProcessInfo()
assert [i["name"] for i in infos] == ["w\u00e9b", "web"] or [i["name"] for i in infos] == ["web", "w\u00e9b"], infos
info = s.getProcessInfo("web:web")
assert list(info) == ["name", "group", "start", "stop", "now", "state", "statename", "spawnerr", "exitstatus",
    "logfile", "stdout_logfile", "stderr_logfile", "pid", "description"], list(info)
assert info["state"] == 20 and info["pid"] > 1 and info["start"] > 1e9 and info["now"] >= info["start"], info
assert info["description"].startswith("pid %d, uptime 0:" % info["pid"]), info
assert len(server.system.listMethods()) == 41
assert server.system.methodSignature("supervisor.startProcess") == ["boolean", "string", "boolean"]
assert "RUNNING" in server.system.methodHelp("supervisor.startProcess")
assert s.stopProcess("web") is True
info = s.getProcessInfo("web")
assert info["state"] == 0 and info["pid"] == 0 and info["stop"] > 1e9 and info["exitstatus"] == -1, info
assert s.startProcess("web", 1) is True
assert s.signalProcess("web", 18) is True
assert s.stopAllProcesses() and s.startAllProcesses(False)
assert s.reloadConfig() == [[[], [], []]]
config = s.getAllConfigInfo()
assert len(config) == 2 and config[0]["inuse"] is True and config[0]["stopsignal"] == 15, config
multicall = xmlrpc.client.MultiCall(server)
multicall.supervisor.getPID()
multicall.supervisor.getProcessInfo("nope")
first, second = xmlrpc.client.MultiCallIterator, None
answers = server.system.multicall([{"methodName": "supervisor.getPID"}, {"methodName": "supervisor.getProcessInfo", "params": ["nope"]}])
assert answers[0] > 1 and answers[1]["faultCode"] == 10, answers
try:
    s.startProcess("nope")
    raise AssertionError("no fault")
except xmlrpc.client.Fault as fault:
    assert (fault.faultCode, fault.faultString) == (10, "BAD_NAME: nope"), fault
print("all right")
"#;

fn two(scanning: &Scanning) {
    for name in ["web", "w\u{e9}b"] {
        scanning.service(name, SLEEP);
        scanning.option(name, "startsecs", "0");
        scanning.link(name);
    }
}

fn ready() -> Server {
    let server = Server::on(two);
    server.scanning.up("web");
    server.scanning.up("w\u{e9}b");
    server
}

#[track_caller]
fn check(server: &Server, url: &str, socket: &str) {
    let client = server.scanning.scratch.file("client.py", CLIENT);
    let python = output(&peer("python3"), [client.to_str().unwrap(), url, socket]);
    assert_eq!(stdout(&python), "all right\n", "{}", stderr(&python));
}

fn passwords(server: &Server) -> String {
    use std::os::unix::fs::PermissionsExt;
    let file = server.scanning.scratch.file("passwords", "ann:s:3cret\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn over_a_unix_socket() {
    let mut server = ready();
    server.start(&["--control", "--name", "tested"]);
    let socket = server.socket();
    check(&server, "http://localhost/RPC2", socket.to_str().unwrap());
}

#[test]
fn over_a_unix_socket_with_a_password() {
    let mut server = ready();
    let file = passwords(&server);
    server.start(&["--control", "--name", "tested", "--passwords", &file]);
    let socket = server.socket();
    check(
        &server,
        "http://ann:s%3A3cret@localhost/RPC2",
        socket.to_str().unwrap(),
    );
}

#[test]
fn over_tcp() {
    let mut server = ready();
    server.start_bare(&["--tcp", "127.0.0.1:0", "--control", "--name", "tested"]);
    let url = format!("http://127.0.0.1:{}/RPC2", server.port());
    check(&server, &url, "");
}

#[test]
fn over_tcp_with_a_password() {
    let mut server = ready();
    let file = passwords(&server);
    server.start_bare(&[
        "--passwords",
        &file,
        "--tcp",
        "127.0.0.1:0",
        "--control",
        "--name",
        "tested",
    ]);
    let port = server.port();
    check(
        &server,
        &format!("http://ann:s%3A3cret@127.0.0.1:{port}/RPC2"),
        "",
    );
    for authorization in [
        "",
        "Authorization: Basic YW5uOng=\r\n",
        "Authorization: Basic ###\r\n",
        "Authorization: Digest x\r\n",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n");
        let reply = exchange(&mut tcp(port), request);
        assert_eq!(
            (reply.status, reply.header("www-authenticate")),
            (401, Some("Basic realm=\"default\""))
        );
    }
}
