//! Every command byte. What daemontools knows too is also run with its own supervise, so that each of
//! these is first a fact about the original.
//!
//! Not tested: what a command means in every state; the machine's own tests have that.

use crate::support;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use servicedir::status::{State, Status, Want};
use support::service::{Service, pid_of, proc_status};
use support::{alive, eventually, kill, peer, program, stderr, until};

/// Runs a test with our supervise, and with daemontools'.
fn each(test: impl Fn(&Path, &str)) {
    test(program("supervise"), "servicedir");
    test(&peer("supervise"), "daemontools");
}

/// Waits for the first 18 bytes, which both write.
#[track_caller]
fn status(service: &Service, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Status {
    eventually(what, || match service.status() {
        Some(status) if holds(&status) => Ok(status),
        seen => Err(Box::new((seen, service.messages()))),
    })
}

/// Waits for a process other than this one.
#[track_caller]
fn up(service: &Service, not: i32) -> i32 {
    pid_of(&status(service, "a process", |status| {
        ![0, not].contains(&pid_of(status))
    }))
}

/// Waits for no process.
#[track_caller]
fn down(service: &Service, what: &str) -> Status {
    status(service, what, |status| status.pid.is_none())
}

/// A service that writes down each signal that it gets, and ends by KILL only.
fn recording() -> Service {
    Service::new("web")
        .script(
            "run",
            "for s in HUP ALRM INT TERM QUIT USR1 USR2 WINCH CONT; do trap \"echo $s >>signals\" $s; done
             echo $$ >>starts; while :; do sleep 0.01; done",
        )
        .file("options/startsecs", "0")
}

/// Waits until the recording service has set its traps, and returns its pid.
#[track_caller]
fn recorded(service: &Service, starts: usize) -> i32 {
    until("its traps", || service.lines("starts").len() >= starts);
    service.lines("starts")[starts - 1].parse().unwrap()
}

#[test]
fn each_signal_letter_sends_its_signal() {
    each(|supervise, whose| {
        let service = recording();
        let _supervise = service.supervise_by(supervise);
        recorded(&service, 1);
        let mut letters = vec![
            ("h", "HUP"),
            ("a", "ALRM"),
            ("i", "INT"),
            ("t", "TERM"),
            ("c", "CONT"),
        ];
        if whose == "servicedir" {
            letters.extend([("q", "QUIT"), ("1", "USR1"), ("2", "USR2"), ("w", "WINCH")]);
        }
        for (number, (letter, signal)) in letters.iter().enumerate() {
            service.send(letter);
            until(&format!("{whose}: {letter}"), || {
                service.lines("signals").len() > number
            });
            assert_eq!(service.lines("signals")[number], *signal, "{whose}");
        }
        assert_eq!(service.lines("starts").len(), 1, "{whose}");
    });
}

#[test]
fn k_kills_and_the_service_is_started_again() {
    each(|supervise, whose| {
        let service = recording();
        let _supervise = service.supervise_by(supervise);
        let pid = recorded(&service, 1);
        service.send("k");
        let next = up(&service, pid);
        assert!(!alive(pid), "{whose}");
        assert_eq!(recorded(&service, 2), next, "{whose}");
    });
}

#[test]
fn p_stops_the_process_and_c_continues_it() {
    each(|supervise, whose| {
        let service = Service::sleeping("web");
        let _supervise = service.supervise_by(supervise);
        let pid = up(&service, 0);
        service.send("p");
        status(&service, "a pause", |status| status.paused);
        until(whose, || proc_status(pid, "State").starts_with('T'));
        service.send("c");
        status(&service, "it goes on", |status| !status.paused);
        until(whose, || proc_status(pid, "State").starts_with('S'));
        assert_eq!(up(&service, 0), pid);
    });
}

#[test]
fn d_sends_term_and_cont_and_u_starts_again() {
    each(|supervise, whose| {
        let service = recording();
        let _supervise = service.supervise_by(supervise);
        let pid = recorded(&service, 1);
        assert_eq!(service.status().unwrap().want, Want::Up);
        service.send("d");
        until(whose, || {
            let mut signals = service.lines("signals");
            signals.sort();
            signals == ["CONT", "TERM"]
        });
        assert_eq!(
            status(&service, "want down", |status| status.want == Want::Down)
                .pid
                .map(|_| pid),
            Some(pid)
        );
        service.send("k");
        down(&service, whose);
        service.send("u");
        let next = up(&service, pid);
        assert_eq!(recorded(&service, 2), next);
        assert_eq!(service.status().unwrap().want, Want::Up);
    });
}

#[test]
fn d_ends_a_paused_service() {
    each(|supervise, whose| {
        let service = Service::sleeping("web");
        let _supervise = service.supervise_by(supervise);
        up(&service, 0);
        service.send("p");
        status(&service, "a pause", |status| status.paused);
        service.send("d");
        assert!(!down(&service, whose).paused);
    });
}

#[test]
fn o_starts_once_and_not_again() {
    each(|supervise, whose| {
        let service = Service::sleeping("web").file("down", "");
        let _supervise = service.supervise_by(supervise);
        service.send("o");
        let pid = up(&service, 0);
        assert_eq!(
            status(&service, whose, |status| status.want == Want::Once)
                .pid
                .map(|_| pid),
            Some(pid)
        );
        kill(pid, libc::SIGKILL);
        down(&service, whose);
        service.send("ox");
        // It was down, so o starts it, once more; then x waits for its end.
        let next = up(&service, pid);
        assert!(alive(next), "{whose}");
    });
}

#[test]
fn o_to_a_service_that_is_up_takes_the_wish_to_be_up_from_it() {
    each(|supervise, whose| {
        let service = Service::sleeping("web");
        let _supervise = service.supervise_by(supervise);
        let pid = up(&service, 0);
        service.send("o");
        status(&service, whose, |status| status.want == Want::Once);
        kill(pid, libc::SIGTERM);
        down(&service, whose);
    });
}

#[test]
fn x_alone_does_not_stop_the_service() {
    each(|supervise, whose| {
        let service = recording();
        let mut supervise = service.supervise_by(supervise);
        let pid = recorded(&service, 1);
        service.send("xh");
        until(whose, || service.lines("signals") == ["HUP"]);
        assert!(alive(pid), "{whose}");
        service.send("k");
        assert_eq!(supervise.ended().code(), Some(0), "{whose}");
        assert_eq!(service.lines("starts").len(), 1, "{whose}");
    });
}

#[test]
fn dx_stops_the_service_and_leaves() {
    each(|supervise, whose| {
        let service = Service::sleeping("web");
        let mut supervise = service.supervise_by(supervise);
        let pid = up(&service, 0);
        service.send("dx");
        assert_eq!(supervise.ended().code(), Some(0), "{whose}");
        assert!(!alive(pid), "{whose}");
        let last = service.status().unwrap();
        assert_eq!((last.pid, last.want), (None, Want::Down), "{whose}");
        assert_eq!(service.processes(), Vec::<i32>::new(), "{whose}");
    });
}

#[test]
fn bytes_of_one_write_are_obeyed_in_their_order() {
    each(|supervise, whose| {
        let service = Service::sleeping("web");
        let _supervise = service.supervise_by(supervise);
        let pid = up(&service, 0);
        service.send("du");
        let next = up(&service, pid);
        service.send("pcpcp");
        status(&service, whose, |status| status.paused);
        assert_eq!(up(&service, 0), next, "{whose}");
        service.send("ud");
        assert_eq!(down(&service, whose).want, Want::Down, "{whose}");
    });
}

#[test]
fn bytes_that_are_unknown_are_ignored() {
    each(|supervise, whose| {
        let service = recording();
        let _supervise = service.supervise_by(supervise);
        let pid = recorded(&service, 1);
        service.send("\0\n\x7f \u{ff}XDUO?!");
        service.send("h");
        until(whose, || service.lines("signals") == ["HUP"]);
        assert_eq!(up(&service, 0), pid, "{whose}");
        assert_eq!(service.messages(), "", "{whose}");
    });
}

/// Bytes without an order, always the same ones.
fn random(count: usize, mut allowed: impl FnMut(u8) -> bool) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    })
    .filter(|byte| allowed(*byte))
    .take(count)
    .collect()
}

#[test]
fn ten_thousand_random_bytes_disturb_nothing() {
    let service = Service::sleeping("web");
    let _supervise = service.supervise();
    service.until_running();
    service.send(random(10_000, |byte| !b"xz".contains(&byte)));
    service.until("all of them were read", |_, record| {
        record.commands == 10_000
    });
    service.send("cdu");
    service.until("up", |status, record| {
        record.commands == 10_003 && record.state == State::Running && !status.paused
    });
    until("one process beside supervise", || {
        service.processes().len() == 2
    });
    assert_eq!(service.messages(), "");
}

#[test]
fn ten_thousand_random_bytes_of_all_kinds_end_supervise_in_order_at_most() {
    let service = Service::sleeping("web");
    let mut supervise = service.supervise();
    service.until_running();
    service.send(random(10_000, |_| true));
    // Among them are x and z.
    assert_eq!(supervise.ended().code(), Some(0));
    // The x goes on to hold for a service that was left behind by the z.
    let mut supervise = service.supervise();
    until("a supervise that stays", || {
        if supervise.child().try_wait().unwrap().is_some() {
            supervise = service.supervise();
        }
        !service.record().exiting && service.record().state == State::Running
    });
    until("one process beside supervise", || {
        service.processes().len() == 2
    });
    // The service that the z left behind may have had its KILL or TERM from a byte before it.
    let told = service.messages();
    let ended = |line: &str| line.ends_with(" ended while no supervise was running");
    assert!(told.lines().all(ended), "{told}");
}

#[test]
fn r_restarts_what_is_up_and_starts_what_is_down() {
    let service = Service::sleeping("web").file("down", "");
    let _supervise = service.supervise();
    service.send("r");
    let pid = service.until_running();
    service.send("r");
    let next = service.until_replaced(pid);
    assert!(!alive(pid));
    service.send("d");
    service.until_state(State::Stopped);
    service.send("r");
    service.until_replaced(next);
    assert_eq!(service.status().unwrap().want, Want::Up);
}

#[test]
fn a_control_that_someone_replaced_by_a_file_is_said_at_the_next_start_and_disturbs_nothing_before()
{
    let service = Service::sleeping("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    let control = service.state_file("control");
    fs::remove_file(&control).unwrap();
    fs::write(&control, "dx").unwrap();
    kill(pid, libc::SIGKILL);
    service.until_replaced(pid);
    supervise.signal(libc::SIGTERM);
    assert_eq!(supervise.ended().code(), Some(0));
    let mut command = service.command(program("supervise"));
    let failed = command.arg("web").stderr(Stdio::piped()).output().unwrap();
    assert_eq!(failed.status.code(), Some(111));
    assert_eq!(
        stderr(&failed),
        "supervise: fatal: unable to open the FIFO web/supervise/control: not a FIFO\n"
    );
}

#[test]
fn a_control_script_that_exits_0_stands_in_for_its_signal() {
    for (body, sent) in [("exit 0", false), ("exit 1", true), ("kill -9 $$", true)] {
        let service =
            recording().script("control/h", &format!("echo $0 $# $PWD >>scripts; {body}"));
        let _supervise = service.supervise();
        recorded(&service, 1);
        service.send("h");
        until("the script", || service.lines("scripts").len() == 1);
        let here = fs::canonicalize(service.dir()).unwrap();
        assert_eq!(
            service.lines("scripts")[0],
            format!("./control/h 0 {}", here.display())
        );
        if sent {
            until(body, || service.lines("signals") == ["HUP"]);
        } else {
            // What comes after it has been decided.
            service.send("a");
            until(body, || service.lines("signals") == ["ALRM"]);
        }
    }
}

#[test]
fn control_scripts_run_in_runits_order_around_a_start_and_a_stop() {
    let service = Service::new("web")
        .script("run", "echo run >>order; exec sleep 1000")
        .script("control/u", "echo u >>order; exit 1")
        .script("control/t", "echo t >>order; exit 1")
        .script("control/d", "echo d >>order")
        .script("control/x", "echo x >>order")
        .file("options/startsecs", "0");
    let mut supervise = service.supervise();
    service.until_running();
    until("its start", || service.lines("order") == ["u", "run"]);
    service.send("d");
    service.until_state(State::Stopped);
    until("d", || service.lines("order") == ["u", "run", "t", "d"]);
    service.send("u");
    service.until_running();
    until("its start", || service.lines("order").len() == 6);
    service.send("xd");
    assert_eq!(supervise.ended().code(), Some(0));
    until("x", || service.lines("order")[6..] == ["t", "x"]);
}

#[test]
fn a_control_script_that_hangs_holds_up_nothing_else() {
    let service = recording().script("control/h", "echo $$ >>scripts; exec sleep 1000");
    let _supervise = service.supervise();
    recorded(&service, 1);
    service.send("h");
    until("the script", || service.lines("scripts").len() == 1);
    service.send("a");
    until("another signal", || service.lines("signals") == ["ALRM"]);
    service.send("dk");
    service.until_state(State::Stopped);
}
