//! Security: each line of svhttpd(8)'s section, tried from outside.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::process::Command;

use proptest::prelude::*;

use crate::support::scanning::{SLEEP, Scanning};
use crate::support::{Running, program, until};

use super::server::{Reply, SILENCE, Server, exchange, method_call, post, read_reply, string, tcp};

fn web(scanning: &Scanning) {
    scanning.service("web", SLEEP);
    scanning.option("web", "startsecs", "0");
    scanning.link("web");
}

fn served(args: &[&str]) -> Server {
    let mut server = Server::on(web);
    server.start(args);
    server.scanning.up("web");
    server
}

fn is_running(server: &Server) -> bool {
    server
        .call("supervisor.getProcessInfo", &string("web"))
        .contains("RUNNING")
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An order as the page's form sends it.
fn act(server: &Server, headers: &str, body: &str) -> Reply {
    server.post("/action", headers, body)
}

#[test]
fn it_is_read_only_by_default() {
    let server = served(&[]);
    let methods = [
        ("supervisor.stopProcess", string("web")),
        ("supervisor.stopAllProcesses", String::new()),
        ("supervisor.shutdown", String::new()),
        ("supervisor.restart", String::new()),
        ("supervisor.signalProcess", string("web") + &string("KILL")),
        ("supervisor.clearLog", String::new()),
        ("supervisor.clearAllProcessLogs", String::new()),
        ("supervisor.removeProcessGroup", string("web")),
        ("supervisor.addProcessGroup", string("web")),
        ("supervisor.sendProcessStdin", string("web") + &string("x")),
        ("supervisor.clearProcessLogs", string("web")),
    ];
    for (method, params) in methods {
        let answer = server.call(method, &params);
        assert!(
            answer.contains("<int>30</int>") && answer.contains("only shows services"),
            "{method}: {answer}"
        );
    }
    let multi = "<param><value><array><data><value><struct><member><name>methodName</name><value>supervisor.stopAllProcesses</value></member></struct></value></data></array></value></param>";
    assert!(
        server
            .call("system.multicall", multi)
            .contains("only shows services")
    );
    let form = format!("token={TOKEN}&do=stop+web");
    assert_eq!(
        act(
            &server,
            &format!("Cookie: svhttpd-token={TOKEN}\r\n"),
            &form
        )
        .status,
        403
    );
    assert!(is_running(&server));
}

#[test]
fn an_action_needs_a_post_with_the_cookie_s_token() {
    let server = served(&["--control"]);
    let page = server.get("/");
    let cookie = page.header("set-cookie").unwrap();
    assert!(
        cookie.contains("SameSite=Strict") && cookie.contains("HttpOnly"),
        "{cookie}"
    );
    let token = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    assert!(page.text().contains(&format!("value=\"{token}\"")));
    let other = server.get("/");
    assert_ne!(
        other.header("set-cookie"),
        page.header("set-cookie"),
        "each reader has its own"
    );
    let good = format!("Cookie: svhttpd-token={token}\r\n");
    for (headers, body) in [
        (String::new(), format!("token={token}&do=stop+web")),
        (good.clone(), "do=stop+web".to_owned()),
        (good.clone(), format!("token={TOKEN}&do=stop+web")),
        (good.clone(), "token=&do=stop+web".to_owned()),
        (
            "Cookie: svhttpd-token=\r\n".to_owned(),
            "token=&do=stop+web".to_owned(),
        ),
        (
            good.clone() + "X-Token: nonsense\r\n",
            "do=stop+web".to_owned(),
        ),
    ] {
        assert_eq!(
            act(&server, &headers, &body).status,
            403,
            "{headers} {body}"
        );
    }
    assert_eq!(
        server
            .exchange(format!(
                "GET /action?do=stop+web&token={token} HTTP/1.1\r\nHost: localhost\r\n{good}\r\n"
            ))
            .status,
        404
    );
    // As Supervisor's page does it.
    assert_eq!(
        server.get("/index.html?action=stop&processname=web").status,
        200
    );
    assert!(is_running(&server));
    assert_eq!(
        act(&server, &good, &format!("token={token}&do=destroy+web")).status,
        400
    );
    let done = act(&server, &good, &format!("token={token}&do=stop+web"));
    assert_eq!((done.status, done.header("location")), (303, Some("/")));
    assert!(!is_running(&server));
}

#[test]
fn a_page_of_another_site_can_neither_command_nor_call() {
    let server = served(&["--control", "--host", "https://status.example.org"]);
    let call = method_call("supervisor.stopProcess", &string("web"));
    let form = format!("token={TOKEN}&do=stop+web");
    let cookie = format!("Cookie: svhttpd-token={TOKEN}\r\n");
    for header in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:8080\r\n",
        "Origin: https://localhost.evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: \r\n",
    ] {
        assert_eq!(server.post("/RPC2", header, &call).status, 403, "{header}");
        assert_eq!(
            act(&server, &(header.to_owned() + &cookie), &form).status,
            403,
            "{header}"
        );
    }
    assert!(is_running(&server));
    for header in [
        "Origin: http://localhost\r\n",
        "Origin: https://status.example.org\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
    ] {
        assert_eq!(
            server
                .post("/RPC2", header, &method_call("supervisor.getState", ""))
                .status,
            200,
            "{header}"
        );
    }
}

#[test]
fn a_name_that_is_made_to_lead_here_is_not_served_over_tcp() {
    let mut server = Server::on(web);
    server.start(&["--tcp", "127.0.0.1:0", "--host", "status.example.org"]);
    let port = server.port();
    let get = |host: &str| {
        exchange(
            &mut tcp(port),
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
        .status
    };
    for host in [
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1.evil.example",
    ] {
        assert_eq!(get(host), 403, "{host}");
    }
    for host in [
        "localhost",
        &format!("localhost:{port}"),
        "127.0.0.1",
        "[::1]:9001",
        "status.example.org",
    ] {
        assert_eq!(get(host), 200, "{host}");
    }
}

#[test]
fn every_page_has_the_headers_that_bind_a_browser() {
    let server = served(&["--control"]);
    for path in [
        "/",
        "/services/web",
        "/api/services",
        "/metrics",
        "/style.css",
        "/nope",
        "/page.js",
        "/services/nope",
    ] {
        let reply = server.get(path);
        let policy = reply.header("content-security-policy").unwrap_or_default();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
    let text = server.get("/").text();
    assert!(
        !text.contains("onclick") && !text.contains("style=") && !text.contains("<script>"),
        "{text}"
    );
    assert!(
        !text.contains("//cdn") && !text.contains("https:"),
        "nothing foreign"
    );
}

#[test]
fn what_a_service_is_called_or_says_is_escaped() {
    let name = "<img src=x onerror=alert(1)>&'\"";
    let mut server = Server::on(|scanning| {
        scanning.service(name, "exit 1");
        scanning.option(name, "startsec", "<script>alert(2)</script>");
        scanning.link(name);
    });
    server.start(&["--control"]);
    let page = |server: &Server| server.get("/").text();
    until("it is shown", || page(&server).contains("fatal"));
    let all = page(&server);
    assert!(
        !all.contains("<img") && !all.contains("<script>alert"),
        "{all}"
    );
    assert!(
        all.contains("&lt;img src=x onerror=alert(1)&gt;&amp;&#x27;&quot;"),
        "{all}"
    );
    let metrics = server.get("/metrics").text();
    assert!(
        metrics.contains("service=\"<img src=x onerror=alert(1)>&'\\\"\""),
        "{metrics}"
    );
    let json = server.get("/api/services").text();
    assert!(
        json.contains(r#""name":"<img src=x onerror=alert(1)>&'\"""#),
        "{json}"
    );
}

#[test]
fn no_path_of_a_request_leads_into_the_file_system() {
    let server = served(&["--control"]);
    fs::write(server.scanning.scratch.path().join("secret"), "secret").unwrap();
    let escapes = [
        "../secret",
        "..%2fsecret",
        "%2e%2e/secret",
        "web/../../secret",
        "web%2f..%2f..%2fsecret",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "web%00",
        ".",
        "..",
        "web/supervise",
        "web%2Frun",
        "./web",
        "web/",
        "%ff",
        "",
    ];
    for escape in escapes {
        for prefix in [
            "/services/",
            "/logtail/",
            "/api/services/",
            "/events/",
            "/",
            "/stylesheets/",
            "/images/",
        ] {
            let reply = server.get(&format!("{prefix}{escape}"));
            let listed = prefix == "/" && escape.trim_matches('.').is_empty();
            assert!(
                reply.status == 404 || listed && reply.status < 400,
                "{prefix}{escape}: {}",
                reply.head
            );
            assert!(
                !reply.text().contains("secret") || reply.status == 404,
                "{prefix}{escape}"
            );
        }
    }
    for name in ["../secret", "/etc/passwd", "web/../web", "./web", "web/"] {
        for method in [
            "supervisor.getProcessInfo",
            "supervisor.startProcess",
            "supervisor.stopProcessGroup",
            "supervisor.addProcessGroup",
            "supervisor.removeProcessGroup",
        ] {
            let answer = server.call(method, &string(name));
            assert!(answer.contains("BAD_NAME"), "{method} {name}: {answer}");
        }
    }
}

#[test]
fn a_log_that_is_a_link_is_not_followed() {
    let server = served(&["--control"]);
    let main = server.scanning.dir("web").join("log/main");
    fs::create_dir_all(&main).unwrap();
    fs::write(server.scanning.scratch.path().join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(
        server.scanning.scratch.path().join("secret"),
        main.join("current"),
    )
    .unwrap();
    assert_eq!(server.get("/logtail/web").status, 404);
    assert!(!server.get("/services/web").text().contains("secret\n"));
    let answer = server.call("supervisor.readProcessStdoutLog", &format!("{}<param><value><int>0</int></value></param><param><value><int>0</int></value></param>", string("web")));
    assert!(
        answer.contains("fault") && !answer.contains(">secret<"),
        "{answer}"
    );
}

#[test]
fn heads_and_bodies_are_bounded() {
    let server = served(&[]);
    let long = "x".repeat(20_000);
    let status = |request: String| {
        let mut stream = server.connect();
        // The server may have closed before it was all taken.
        stream.write_all(request.as_bytes()).ok();
        read_reply(&mut stream).map_or(0, |reply| reply.status)
    };
    assert!([0, 431].contains(&status(format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"
    ))));
    assert!([0, 414, 431].contains(&status(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"))));
    let many: String = (0..200)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    assert_eq!(
        status(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")),
        431
    );
    assert_eq!(
        status(
            "POST /RPC2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n".to_owned()
                + &"x".repeat(1_100_000)
        ),
        413
    );
    for length in ["-1", "1e3", "99999999999999999999999", "5, 6"] {
        assert_eq!(
            status(format!(
                "POST /RPC2 HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
            )),
            400,
            "{length}"
        );
    }
    assert_eq!(server.get("/ok.html").text(), "OK");
}

#[test]
fn clients_that_say_nothing_do_not_hold_others() {
    let mut server = Server::on(web);
    server.start(&["--connections", "8"]);
    let slow: Vec<_> = (0..40)
        .map(|number| {
            let mut stream = server.connect();
            let start = [
                "",
                "GET / HT",
                "POST /RPC2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n<",
            ][number % 3];
            stream.write_all(start.as_bytes()).ok();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(server.get("/ok.html").text(), "OK");
    }
    drop(slow);
}

#[test]
fn streams_do_not_take_all_connections() {
    let mut server = Server::on(web);
    server.start(&["--connections", "8"]);
    let mut streams = Vec::new();
    let mut refused = 0;
    for _ in 0..8 {
        let mut stream = server.connect();
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        refused += usize::from(read_reply(&mut stream).unwrap().status == 503);
        streams.push(stream);
    }
    assert_eq!(refused, 4);
    assert_eq!(server.get("/ok.html").text(), "OK");
    drop(streams);
    until("streams are free again", || {
        let mut stream = server.connect();
        stream
            .write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        read_reply(&mut stream).unwrap().status == 200
    });
}

#[test]
fn an_idle_connection_is_kept_and_a_slow_head_is_cut_off() {
    let server = served(&[]);
    let mut idle = server.connect();
    let state = post("/RPC2", "", &method_call("supervisor.getState", ""));
    assert_eq!(exchange(&mut idle, &state).status, 200);
    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    // Ends when the server has had enough of it: ten seconds, within the harness' patience.
    assert_eq!(slow.read(&mut [0; 1]).unwrap(), 0);
    // superlance's programs keep a connection from tick to tick.
    assert_eq!(exchange(&mut idle, &state).status, 200);
}

#[test]
fn a_password_file_that_anyone_may_read_is_refused() {
    let server = Server::on(web);
    let file = server.scanning.scratch.file("passwords", "ann:secret\n");
    let run = |mode: u32, text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let output = Command::new(program("svhttpd"))
            .args([
                "--unix",
                server.socket().to_str().unwrap(),
                "--passwords",
                file.to_str().unwrap(),
            ])
            .arg(server.scanning.scan_dir())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = run(0o644, "ann:secret\n");
    assert_eq!(code, Some(111));
    assert!(said.contains("anyone may read it"), "{said}");
    let (code, said) = run(0o600, "secret\n");
    assert_eq!(code, Some(111));
    assert!(
        said.contains("line 1: expected user:password") && !said.contains("secret"),
        "{said}"
    );
}

#[test]
fn sockets_have_the_mode_and_owner_that_were_asked_for() {
    let mut server = Server::on(web);
    server.start(&["--mode", "0620", "--owner", "daemon:daemon"]);
    let meta = fs::metadata(server.socket()).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!((meta.mode() & 0o777, meta.uid(), meta.gid()), (0o620, 1, 1));
    // A second one does not take it away.
    let second = Command::new(program("svhttpd"))
        .args(["--unix", server.socket().to_str().unwrap()])
        .arg(server.scanning.scan_dir())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(111));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another program listens on it"));
    server.svhttpd.as_mut().unwrap().signal(libc::SIGTERM);
    assert!(server.svhttpd.as_mut().unwrap().ended().success());
    assert!(!server.socket().exists(), "it is removed at the end");
    // A file that is no socket is left alone.
    fs::write(server.socket(), "mine").unwrap();
    let third = Command::new(program("svhttpd"))
        .args(["--unix", server.socket().to_str().unwrap()])
        .arg(server.scanning.scan_dir())
        .output()
        .unwrap();
    assert_eq!(third.status.code(), Some(111));
    assert_eq!(fs::read(server.socket()).unwrap(), b"mine");
}

#[test]
fn nobody_can_serve_read_only() {
    use std::os::unix::process::CommandExt;
    let mut server = Server::on(web);
    let pid = server.scanning.up("web");
    for folder in [
        server.scanning.scratch.path().to_owned(),
        server.scanning.scan_dir(),
    ] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let copy = server.scanning.scratch.path().join("svhttpd");
    crate::support::copy_of("svhttpd", &copy);
    let mut command = Command::new(copy);
    command
        .args(["--tcp", "127.0.0.1:0", "--control"])
        .arg(server.scanning.scan_dir());
    server.scanning.prepare(&mut command);
    command.uid(65534).gid(65534);
    server.svhttpd = Some(Running::start(&mut command));
    let port = server.port();
    let call = |method: &str, params: &str| {
        exchange(
            &mut tcp(port),
            post("/RPC2", "", &method_call(method, params)),
        )
        .text()
    };
    assert!(
        call("supervisor.getProcessInfo", &string("web")).contains(&format!("<int>{pid}</int>"))
    );
    // Control needs the rights on the control FIFO, whatever the option says.
    let refused = call("supervisor.stopProcess", &string("web"));
    assert!(
        refused.contains("FAILED: ") && refused.contains("denied"),
        "{refused}"
    );
    assert!(crate::support::alive(pid));
}

/// Bytes that look like a request, or not.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof!["GET", "POST", "HEAD", "PUT", "[A-Z]{1,9}", "\\PC{0,5}"];
    let path = prop_oneof![
        "/[ -~]{0,30}",
        "/services/[%0-9a-f./]{0,20}",
        "/RPC2",
        "/logtail/\\PC{0,10}",
        "/events/web",
        "/action",
        "\\PC{0,20}"
    ];
    let header = prop_oneof![
        "[A-Za-z-]{1,12}: [ -~]{0,30}",
        "Content-Length: [0-9-]{0,4}",
        "Host: \\PC{0,9}",
        "Cookie: svhttpd-token=[0-9a-z]{0,40}",
        "Origin: [ -~]{0,20}",
        "Authorization: Basic [A-Za-z0-9=]{0,20}",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "\\PC{0,20}",
    ];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "<methodCall><methodName>[a-z.A-Z]{0,20}</methodName><params>(<param><value>[<>/a-z0-9 &;]{0,20}</value></param>){0,3}</params></methodCall>".prop_map(String::into_bytes),
        "(do|token)=[ -~]{0,20}(&(do|token)=[ -~]{0,40}){0,2}".prop_map(String::into_bytes),
    ];
    (
        method,
        path,
        prop::collection::vec(header, 0..6),
        body,
        any::<bool>(),
    )
        .prop_map(|(method, path, headers, body, measured)| {
            let mut request = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
            for header in headers {
                request.extend(header.as_bytes());
                request.extend(b"\r\n");
            }
            if measured {
                request.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
            }
            request.extend(b"\r\n");
            request.extend(body);
            request
        })
}

#[test]
fn no_request_ends_the_server_or_stops_a_service() {
    let server = served(&[]);
    let pid = server.svhttpd.as_ref().unwrap().pid();
    let service = server.scanning.up("web");
    let config = proptest::test_runner::Config {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&requests(), |request| {
            let mut stream = server.connect();
            stream.write_all(&request).ok();
            stream.shutdown(std::net::Shutdown::Write).ok();
            stream.set_read_timeout(Some(SILENCE)).unwrap();
            // A stream goes on; an answer comes, or the end.
            drop(stream.read(&mut [0; 512]));
            prop_assert!(crate::support::alive(pid));
            Ok(())
        })
        .unwrap();
    assert_eq!(server.get("/ok.html").text(), "OK");
    assert_eq!(server.scanning.up("web"), service);
}
