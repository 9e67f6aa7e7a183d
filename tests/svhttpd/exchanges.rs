//! Exchanges byte by byte: what real clients send, and what Supervisor 4.3.0 answers.

use std::io::Write;

use crate::support::scanning::{SLEEP, Scanning};
use crate::support::until;

use super::server::{Server, exchange, int, method_call, post, read_reply, string};

/// `web` and the group `grp` of `g1` and `g2`, running.
fn some(scanning: &Scanning) {
    scanning.service("web", SLEEP);
    for name in ["g1", "g2"] {
        scanning.service(name, SLEEP);
        scanning.option(name, "group", "grp");
    }
    for name in ["web", "g1", "g2"] {
        scanning.option(name, "startsecs", "0");
        scanning.link(name);
    }
}

fn served() -> Server {
    let server = Server::with_control(some);
    for name in ["web", "g1", "g2"] {
        server.scanning.up(name);
    }
    server
}

#[test]
fn supervisorctl_s_request_is_answered_in_two_segments_too() {
    let server = served();
    let mut stream = server.connect();
    for _ in 0..2 {
        let body = method_call("supervisor.getVersion", "");
        let head = format!(
            "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\nUser-Agent: Python-xmlrpc/3.11\r\nContent-Type: text/xml\r\nAccept: text/xml\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let reply = exchange(&mut stream, body);
        assert!(
            reply.head.starts_with("HTTP/1.1 200 OK\r\n"),
            "{}",
            reply.head
        );
        // The header is spelled so: a client cuts it up by hand.
        assert!(
            reply.head.contains("\r\nContent-Length: "),
            "{}",
            reply.head
        );
        assert_eq!(reply.header("content-type"), Some("text/xml"));
        assert_eq!(
            reply.text(),
            "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><string>3.0</string></value>\n</param>\n</params>\n</methodResponse>\n"
        );
    }
}

#[test]
fn a_group_is_stopped_with_supervisor_s_bytes() {
    let server = served();
    let answer = server.call("supervisor.stopProcessGroup", &string("grp"));
    for name in ["g1", "g2"] {
        let one = format!(
            "<value><struct>\n<member>\n<name>name</name>\n<value><string>{name}</string></value>\n</member>\n<member>\n<name>group</name>\n<value><string>grp</string></value>\n</member>\n<member>\n<name>status</name>\n<value><int>80</int></value>\n</member>\n<member>\n<name>description</name>\n<value><string>OK</string></value>\n</member>\n</struct></value>\n"
        );
        assert!(answer.contains(&one), "{answer}");
    }
    let again = server.call("supervisor.stopProcessGroup", &string("grp"));
    assert!(
        again.contains("<value><array><data>\n</data></array></value>"),
        "{again}"
    );
}

#[test]
fn faults_have_supervisor_s_numbers_and_names() {
    let server = served();
    for (method, params, code, name) in [
        ("supervisor.nope", String::new(), 1, "UNKNOWN_METHOD"),
        ("supervisor.getState.x", String::new(), 1, "UNKNOWN_METHOD"),
        ("getState", String::new(), 1, "UNKNOWN_METHOD"),
        (
            "supervisor.getState",
            string("x"),
            2,
            "INCORRECT_PARAMETERS",
        ),
        (
            "supervisor.getProcessInfo",
            int(5),
            2,
            "INCORRECT_PARAMETERS",
        ),
        (
            "supervisor.getProcessInfo",
            string("zz"),
            10,
            "BAD_NAME: zz",
        ),
        (
            "supervisor.getProcessInfo",
            string("grp:*"),
            10,
            "BAD_NAME: grp:*",
        ),
        (
            "supervisor.getProcessInfo",
            string("grp"),
            10,
            "BAD_NAME: grp",
        ),
        ("supervisor.getProcessInfo", string(""), 10, "BAD_NAME<"),
        (
            "supervisor.getProcessInfo",
            string("../web"),
            10,
            "BAD_NAME: ../web",
        ),
        (
            "supervisor.startProcess",
            string("web"),
            60,
            "ALREADY_STARTED: web",
        ),
        (
            "supervisor.startProcessGroup",
            string("grp:*"),
            10,
            "BAD_NAME: grp:*",
        ),
        (
            "supervisor.signalProcess",
            string("web") + &string("NOPE"),
            11,
            "BAD_SIGNAL: NOPE",
        ),
        (
            "supervisor.removeProcessGroup",
            string("web"),
            91,
            "STILL_RUNNING: web",
        ),
        (
            "supervisor.addProcessGroup",
            string("web"),
            90,
            "ALREADY_ADDED: web",
        ),
        (
            "supervisor.addProcessGroup",
            string("nope"),
            10,
            "BAD_NAME: nope",
        ),
        (
            "supervisor.readProcessStdoutLog",
            string("web") + &int(0) + &int(0),
            20,
            "NO_FILE",
        ),
        ("supervisor.readLog", int(0) + &int(0), 20, "NO_FILE"),
        (
            "system.methodHelp",
            string("nope"),
            4,
            "SIGNATURE_UNSUPPORTED",
        ),
    ] {
        let answer = server.call(method, &params);
        let code = format!("<name>faultCode</name>\n<value><int>{code}</int></value>");
        let name = format!("<name>faultString</name>\n<value><string>{name}");
        assert!(
            answer.contains(&code) && answer.contains(&name),
            "{method}: {answer}"
        );
    }
}

#[test]
fn a_multicall_answers_each_call_and_none_inside_it() {
    let server = served();
    let one = |method: &str| {
        format!(
            "<value><struct><member><name>methodName</name><value><string>{method}</string></value></member></struct></value>"
        )
    };
    let calls = [
        "supervisor.getVersion",
        "supervisor.nope",
        "system.multicall",
        "supervisor.getState",
    ];
    let calls: String = calls.into_iter().map(one).collect();
    let answer = server.call(
        "system.multicall",
        &format!("<param><value><array><data>{calls}<value><struct></struct></value></data></array></value></param>"),
    );
    assert!(answer.contains("<data>\n<value><string>3.0</string></value>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>1</int></value>\n</member>\n<member>\n<name>faultString</name>\n<value><string>UNKNOWN_METHOD</string>"), "{answer}");
    assert!(
        answer.contains("INCORRECT_PARAMETERS: Recursive system.multicall forbidden"),
        "{answer}"
    );
    assert!(
        answer.contains("INCORRECT_PARAMETERS: No methodName"),
        "{answer}"
    );
    assert!(answer.contains("<string>RUNNING</string>"), "{answer}");
}

#[test]
fn http_is_answered_as_medusa_does_or_better() {
    let server = served();
    let call = method_call("supervisor.getState", "");
    for path in ["/RPC2", "/RPC2/foo", "/RPC2xx", "/RPC2?x=1"] {
        assert_eq!(server.post(path, "", &call).status, 200, "{path}");
    }
    assert_eq!(server.post("/rpc2", "", &call).status, 404);
    assert_eq!(server.get("/RPC2").status, 400);
    for body in ["", "rubbish", "<methodCall/>", "<!DOCTYPE a><methodCall/>"] {
        assert_eq!(server.post("/RPC2", "", body).status, 400, "{body}");
    }
    assert_eq!(server.get("/nope").status, 404);
    let chunked = "POST /RPC2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(server.exchange(chunked).status, 411);
    assert_eq!(server.exchange("nonsense\r\n\r\n").status, 400);
    // A client in PHP sends no Host.
    let hostless = post("/RPC2", "", &call).replace("Host: localhost\r\n", "");
    assert_eq!(server.exchange(hostless).status, 200);
}

#[test]
fn connections_are_kept_as_the_client_asks() {
    let server = served();
    let call = method_call("supervisor.getState", "");
    let mut stream = server.connect();
    let two = post("/RPC2", "", &call).repeat(2);
    assert_eq!(exchange(&mut stream, two).status, 200);
    assert_eq!(
        read_reply(&mut stream).unwrap().status,
        200,
        "the second one of a pipeline"
    );
    let last = post("/RPC2", "Connection: close\r\n", &call);
    assert_eq!(exchange(&mut stream, last).status, 200);
    assert!(
        read_reply(&mut stream).is_err_and(|rest| rest.is_empty()),
        "it is closed"
    );
    let old = post("/RPC2", "", &call).replace("HTTP/1.1", "HTTP/1.0");
    let mut stream = server.connect();
    assert_eq!(exchange(&mut stream, &old).status, 200);
    assert!(read_reply(&mut stream).is_err());
    let kept = post("/RPC2", "Connection: Keep-Alive\r\n", &call).replace("HTTP/1.1", "HTTP/1.0");
    let mut stream = server.connect();
    let reply = exchange(&mut stream, &kept);
    assert!(
        reply.head.starts_with("HTTP/1.0") || reply.header("connection").is_some(),
        "{}",
        reply.head
    );
    assert_eq!(exchange(&mut stream, &kept).status, 200);
}

#[test]
fn a_client_that_leaves_does_not_take_its_command_back() {
    let server = Server::with_control(|scanning| {
        scanning.service(
            "slow",
            "trap 'sleep 0.5; exit' TERM; while :; do sleep 0.1; done",
        );
        scanning.option("slow", "startsecs", "0");
        scanning.link("slow");
    });
    let pid = server.scanning.up("slow");
    let mut stream = server.connect();
    stream
        .write_all(
            post(
                "/RPC2",
                "",
                &method_call("supervisor.stopProcess", &string("slow")),
            )
            .as_bytes(),
        )
        .unwrap();
    drop(stream);
    until("the service is down", || !crate::support::alive(pid));
    let answer = server.call("supervisor.getProcessInfo", &string("slow"));
    assert!(answer.contains("STOP"), "{answer}");
}

#[test]
fn svhttpd_can_be_killed_and_replaced() {
    let mut server = served();
    let pid = server.scanning.up("web");
    server.svhttpd.take().unwrap();
    // What it left of its socket is replaced.
    server.start(&["--control"]);
    let answer = server.call("supervisor.getProcessInfo", &string("web"));
    assert!(answer.contains(&format!("<int>{pid}</int>")), "{answer}");
}
