//! A svhttpd on a scan directory of a test's own, and a client that sends exactly what a test says.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::support::scanning::Scanning;
use crate::support::{PATIENCE, Running, eventually, program, until};

/// A scan directory with svscan and svhttpd.
pub struct Server {
    pub scanning: Scanning,
    pub svhttpd: Option<Running>,
}

/// What came back: status, head, body.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Server {
    /// Services that are made and linked by `services`, under svscan, without svhttpd yet.
    pub fn on(services: impl FnOnce(&Scanning)) -> Self {
        let mut scanning = Scanning::new();
        services(&scanning);
        scanning.start();
        Self {
            scanning,
            svhttpd: None,
        }
    }

    /// With a svhttpd on the unix socket that allows control.
    pub fn with_control(services: impl FnOnce(&Scanning)) -> Self {
        let mut server = Self::on(services);
        server.start(&["--control"]);
        server
    }

    /// Starts svhttpd on the unix socket `socket`; the arguments come first.
    pub fn start(&mut self, args: &[&str]) {
        let socket = self.socket();
        let mut all = args.to_vec();
        all.extend(["--unix", socket.to_str().unwrap()]);
        self.start_bare(&all);
        until("svhttpd listens", || UnixStream::connect(&socket).is_ok());
    }

    /// Starts svhttpd with these arguments and the scan directory.
    pub fn start_bare(&mut self, args: &[&str]) {
        let mut command = Command::new(program("svhttpd"));
        command.args(args).arg(self.scanning.scan_dir());
        command.env("TZ", "UTC0");
        self.scanning.prepare(&mut command);
        self.svhttpd = Some(Running::start(&mut command));
    }

    pub fn socket(&self) -> PathBuf {
        self.scanning.scratch.path().join("socket")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The TCP port of 127.0.0.1 that svhttpd says it serves.
    #[track_caller]
    pub fn port(&self) -> u16 {
        eventually("svhttpd serves a port", || {
            let said = self.scanning.stderr();
            let port = said
                .lines()
                .find_map(|line| line.strip_prefix("svhttpd: info: serving http://127.0.0.1:"));
            port.and_then(|port| port.parse().ok()).ok_or(said)
        })
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request on a connection of its own, and reads the whole reply.
    pub fn exchange(&self, request: impl AsRef<[u8]>) -> Reply {
        exchange(&mut self.connect(), request)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    pub fn post(&self, path: &str, headers: &str, body: &str) -> Reply {
        self.exchange(post(path, headers, body))
    }

    /// Calls a method whose parameters are XML, and returns the answer's body.
    pub fn call(&self, method: &str, params: &str) -> String {
        let reply = self.post("/RPC2", "", &method_call(method, params));
        assert_eq!(reply.status, 200, "{method}: {}", reply.text());
        reply.text()
    }
}

/// A request as bytes.
pub fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

/// The body of a call; each parameter is what is in a `value` element.
pub fn method_call(method: &str, params: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>\n{params}</params>\n</methodCall>\n"
    )
}

/// A parameter that is a string.
pub fn string(text: &str) -> String {
    format!("<param>\n<value><string>{text}</string></value>\n</param>\n")
}

/// A parameter that is an int.
pub fn int(number: i64) -> String {
    format!("<param>\n<value><int>{number}</int></value>\n</param>\n")
}

/// A connection to a port of this machine.
pub fn tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request and reads the reply: as long as its Content-Length says.
#[track_caller]
pub fn exchange(stream: &mut (impl Read + Write), request: impl AsRef<[u8]>) -> Reply {
    stream.write_all(request.as_ref()).unwrap();
    read_reply(stream).unwrap_or_else(|seen| panic!("no whole reply: {seen:?}"))
}

/// Reads one reply; what was read where it is not whole.
pub fn read_reply(stream: &mut impl Read) -> Result<Reply, String> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return Err(String::from_utf8_lossy(&seen).into_owned()),
        }
    }
    let head = String::from_utf8(seen).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply {
        status,
        head,
        body: Vec::new(),
    };
    let length = reply
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    reply.body.resize(length, 0);
    match stream.read_exact(&mut reply.body) {
        Ok(()) => Ok(reply),
        Err(error) => Err(format!("{}: {error}", reply.head)),
    }
}

/// How long a connection is read that is not to say anything.
pub const SILENCE: Duration = Duration::from_millis(300);
