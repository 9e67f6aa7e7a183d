//! `ready: notify`: main processes, watchdogs, and both under the next supervise.
//!
//! Not tested: kernels before 6.15, which do not tell the end of a process that another has reaped.

use crate::support;
use crate::support::puppet;

use puppet::{PRELUDE, PUPPET, Service};
use servicedir::signal::Signal;
use servicedir::status::{End, State};
use support::{alive, eventually, until};

/// Starts a daemon that outlives its parent and tells `main` to be it, then ends the parent. The
/// daemon exits 7 at TERM.
const DAEMON: &str = r#"
def daemon(own_session=False):
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        if own_session:
            os.setsid()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.write(theirs, b"!")
        while True:
            exec(commands.readline())
    os.read(ours, 1)
    say("MAINPID=%d\nREADY=1" % child)
    if own_session:
        barrier()
    os._exit(0)
"#;

fn daemon(name: &str, call: &str) -> (Service, i32) {
    let mut service = Service::puppet(name);
    service.file("puppet.py", format!("{PRELUDE}{DAEMON}{PUPPET}"));
    service.start();
    service.record();
    eventually("a start", || service.status().unwrap().pid.ok_or("no pid"));
    let parent = service.pid();
    service.tell(call);
    service.until_state(State::Running);
    let main = service.pid();
    assert_ne!(main, parent);
    until("the parent's end", || !alive(parent));
    (service, main)
}

#[test]
fn the_main_process_is_the_service_once_its_parent_has_ended() {
    for call in ["daemon()", "daemon(own_session=True)"] {
        let (service, main) = daemon("web", call);
        service.tell_and_wait("say('STATUS=the main one speaks')");
        let record = service.record();
        assert_eq!(record.message, "the main one speaks");
        assert_eq!((record.total_starts, record.last_end), (1, None));

        assert!(service.svc(&["-d", "-w"]).status.success());
        assert!(!alive(main));
        assert_eq!(service.record().last_end, Some(End::Exited(7)), "{call}");
    }
}

#[test]
fn the_end_of_the_main_process_restarts_the_service() {
    let (service, _) = daemon("web", "daemon()");
    service.tell("os._exit(3)");
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_eq!(record.last_end, Some(End::Exited(3)));
}

#[test]
fn the_group_of_the_main_process_is_stopped_with_it() {
    for call in ["daemon()", "daemon(own_session=True)"] {
        let mut service = Service::puppet("web");
        service.option("stopasgroup", "yes");
        service.file("puppet.py", format!("{PRELUDE}{DAEMON}{PUPPET}"));
        service.start();
        service.tell(call);
        service.until_state(State::Running);
        service.tell("child = os.fork(); child or (signal.signal(signal.SIGTERM, signal.SIG_DFL), signal.pause()); open('child', 'w').write('%d\\n' % child)");
        let child: i32 = eventually("a child", || {
            let text = service.scratch.read("web/child");
            text.strip_suffix('\n').unwrap_or("-").parse()
        });
        assert!(alive(child));
        service.svc(&["-d", "-w"]);
        until("the end of the child", || !alive(child));
    }
}

#[test]
fn the_next_supervise_adopts_the_main_process_and_hears_it() {
    let (service, main) = daemon("web", "daemon()");
    service.replace_supervise();
    service.tell_and_wait("say('STATUS=still here')");
    let record = service.record();
    assert_eq!(record.message, "still here");
    assert_eq!((service.pid(), record.total_starts), (main, 1));
    service.svc(&["-d", "-w"]);
    assert_eq!(service.record().last_end, Some(End::Exited(7)));
}

#[test]
fn a_service_that_starts_while_its_supervise_is_replaced_becomes_ready() {
    let mut service = Service::puppet("web");
    service.start();
    service.tell("say('STATUS=starting')");
    service.until("a message", |record| record.message == "starting");
    let pid = service.pid();
    service.replace_supervise();
    assert_eq!(service.record().state, State::Starting);
    service.tell("say('READY=1')");
    assert!(service.until_state(State::Running).ready);
    assert_eq!(service.pid(), pid);
}

#[track_caller]
fn assert_aborted(end: Option<End>) {
    let aborted = matches!(
        end,
        Some(End::Killed {
            signal: Signal::ABRT,
            ..
        })
    );
    assert!(aborted, "{end:?}");
}

#[test]
fn a_watchdog_that_is_not_fed_restarts_the_service() {
    let service = Service::ready("web");
    service.tell("say('WATCHDOG_USEC=100000\\nWATCHDOG=1')");
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_aborted(record.last_end);
    assert_eq!(record.watchdog, None);
}

#[test]
fn a_watchdog_bites_at_once_when_the_service_asks_for_it() {
    let service = Service::ready("web");
    service.tell("say('WATCHDOG=trigger')");
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_aborted(record.last_end);
}

#[test]
fn a_watchdog_goes_on_when_the_supervise_is_replaced() {
    let service = Service::ready("web");
    service.tell_and_wait("say('WATCHDOG_USEC=20000000')");
    assert_eq!(service.record().watchdog.unwrap().as_secs(), 20);
    service.replace_supervise();
    assert_eq!(service.record().watchdog.unwrap().as_secs(), 20);
    service.tell_and_wait("say('WATCHDOG_USEC=3000000')");
    assert_eq!(service.record().total_starts, 1);
    service.replace_supervise();
    let record = service.until("a restart", |record| record.total_starts == 2);
    assert_aborted(record.last_end);
}
