//! A supervise can be killed at any moment: the next one goes on where it was.
//!
//! Not tested: a reboot (the record of another boot is forged instead), and kernels before 6.15,
//! where nobody tells how an adopted service ended.

use crate::support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use servicedir::process::Identity;
use servicedir::signal::Signal;
use servicedir::status::{End, Phase, Record, State, Want};
use support::adoption::{alone, be_the_subreaper, reap, replace, taken_over};
use support::service::{Service, pid_of};
use support::{Running, alive, kill, peer, until};

fn killed(signal: Signal) -> Option<End> {
    Some(End::Killed {
        signal,
        core: false,
    })
}

#[test]
fn a_killed_supervise_leaves_its_service_to_the_next_one() {
    be_the_subreaper();
    let service = alone("web");
    let supervise = service.supervise();
    let pid = service.until_running();
    let before = service.status().unwrap();
    until("its start", || !service.lines("starts").is_empty());
    let (mut supervise, after) = replace(&service, supervise);
    assert_eq!(pid_of(&after), pid);
    let (old, new) = (before.record.unwrap(), after.record.unwrap());
    assert_eq!((new.state, new.total_starts), (State::Running, 1));
    assert_eq!((after.stamp, after.want), (before.stamp, Want::Up));
    assert_eq!(
        (new.ready_stamp, new.state_stamp),
        (old.ready_stamp, old.state_stamp)
    );
    service.send("d");
    reap(pid);
    let stopped = service.until_state(State::Stopped);
    assert_eq!(stopped.record.unwrap().last_end, killed(Signal::TERM));
    service.send("x");
    assert_eq!(supervise.ended().code(), Some(0));
    assert_eq!(service.lines("starts").len(), 1);
    assert_eq!(service.messages(), "");
    assert_eq!(service.processes(), Vec::<i32>::new());
}

#[test]
fn an_adopted_service_is_started_again_with_its_exact_exit_code_known() {
    be_the_subreaper();
    let service = Service::new("web")
        .script(
            "run",
            "trap 'exit 7' USR1; echo $$ >>starts; while :; do sleep 0.01; done",
        )
        .script("finish", "echo $1 $2 >>ends")
        .file("options/startsecs", "0");
    let supervise = service.supervise();
    let pid = service.until_running();
    until("its trap", || !service.read("starts").is_empty());
    let (_supervise, _) = replace(&service, supervise);
    service.send("1");
    reap(pid);
    service.until_replaced(pid);
    assert_eq!(service.record().last_end, Some(End::Exited(7)));
    assert_eq!(service.read("ends"), "7 0\n");
}

#[test]
fn a_parent_that_never_reaps_does_not_hold_up_the_next_start() {
    be_the_subreaper();
    let service = Service::new("web")
        .script(
            "run",
            "echo $$ >>starts; while [ ! -e end ]; do sleep 0.01; done; rm end",
        )
        .file("options/startsecs", "0");
    let supervise = service.supervise();
    let pid = service.until_running();
    let (_supervise, _) = replace(&service, supervise);
    fs::write(service.dir().join("end"), "").unwrap();
    service.until_replaced(pid);
    // Exit code 0 cannot be told from one that may not be known.
    assert_eq!(service.record().last_end, Some(End::Unknown));
    reap(pid);
}

/// Kills supervise and service, and starts the next supervise.
#[track_caller]
fn ended_meanwhile(autorestart: &str) -> (Service, Running, i32) {
    be_the_subreaper();
    let service = alone("web").file("options/autorestart", autorestart);
    let mut supervise = service.supervise();
    let pid = service.until_running();
    until("its start", || !service.lines("starts").is_empty());
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    kill(pid, libc::SIGTERM);
    reap(pid);
    (service.file("options/exitcodes", "0 TERM"), supervise, pid)
}

#[test]
fn an_end_while_no_supervise_was_there_is_one_that_nobody_expected() {
    for autorestart in ["always", "unexpected"] {
        let (service, _, pid) = ended_meanwhile(autorestart);
        let _supervise = service.supervise();
        service.until_replaced(pid);
        assert_eq!(service.record().last_end, Some(End::Unknown));
        let said =
            format!("supervise: info: web: process {pid} ended while no supervise was running\n");
        assert_eq!(service.messages(), said);
    }
    let (service, _, _) = ended_meanwhile("never");
    let _supervise = service.supervise();
    service.until_state(State::Exited);
    assert_eq!(service.lines("starts").len(), 1);
}

#[test]
fn what_was_down_stays_down() {
    let service = alone("web");
    let supervise = service.supervise();
    service.until_running();
    service.send("d");
    let before = service.until_state(State::Stopped);
    let (supervise, after) = replace(&service, supervise);
    assert_eq!(after.record.as_ref().unwrap().state, State::Stopped);
    assert_eq!(
        (after.stamp, after.want, pid_of(&after)),
        (before.stamp, Want::Down, 0)
    );
    let (_supervise, _) = replace(&service, supervise);
    service.send("u");
    service.until_running();
    assert_eq!(service.record().total_starts, 2);
}

#[test]
fn what_was_given_up_stays_given_up_with_its_reason() {
    let service = Service::new("web")
        .script("run", "exit 3")
        .file("options/startretries", "0");
    let supervise = service.supervise();
    let before = service.until_state(State::Fatal).record.unwrap();
    let (_supervise, after) = replace(&service, supervise);
    let after = after.record.unwrap();
    assert_eq!(after.state, State::Fatal);
    assert_eq!(
        (after.reason, after.last_end),
        (before.reason, before.last_end)
    );
    assert_eq!(after.total_starts, 1);
}

#[test]
fn a_wait_before_a_retry_goes_on() {
    let service = Service::new("web")
        .script("run", "exit 3")
        .file("options/backoff", "linear 3s max 1h");
    let supervise = service.supervise();
    let before = service.until_state(State::Backoff).record.unwrap();
    let (_supervise, after) = replace(&service, supervise);
    let after = after.record.unwrap();
    assert_eq!((after.state, after.failed_starts), (State::Backoff, 1));
    assert_eq!(after.next_start, before.next_start);
    let second = service.until("the retry", |_, record| record.failed_starts == 2);
    let due = before.next_start.unwrap();
    assert!(
        due <= second.record.unwrap().state_stamp,
        "not before it was due"
    );
}

/// Whether a process has this file open.
fn has_open(pid: i32, file: &Path) -> bool {
    let place = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let file = place(fs::metadata(file).unwrap());
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        // One that was closed meanwhile is not open.
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|meta| place(meta) == file)
}

/// A service that has made its descriptor 3 one for its own FIFO, after what it `says` there; its
/// supervise is killed, and the next one must not open the FIFO. Returns our end of that, too.
#[track_caller]
fn with_its_own_descriptor(says: &str, then: &str, state: State) -> (Service, Running, fs::File) {
    be_the_subreaper();
    let service = Service::new("web")
        .script("run", &format!("{says}; exec 3>&-; {then}"))
        .file("options/startsecs", "0")
        .file("options/ready", "fd 3");
    let path = service.dir().join("fifo");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, 0o600.into(), 0).unwrap();
    // For both, so that neither this end nor the service's waits for the other.
    let mut both = fs::OpenOptions::new();
    let end = both.read(true).write(true).open(&path).unwrap();
    let supervise = service.supervise();
    until("its own descriptor", || !service.read("opened").is_empty());
    let pid = pid_of(&service.until_state(state));
    assert!(has_open(pid, &path));

    let (supervise, after) = replace(&service, supervise);
    assert_eq!(pid_of(&after), pid);
    // It has taken up all that it will when it obeys.
    let commands = after.record.unwrap().commands;
    service.send("#");
    service.until("a command that was read", |_, record| {
        record.commands > commands
    });
    assert!(!has_open(supervise.pid(), &path), "as {}", state.name());
    (service, supervise, end)
}

#[test]
fn a_readiness_descriptor_that_a_service_reads_from_is_not_read_by_the_next_supervise() {
    // Such a service has said that it is ready, or never will.
    for (says, state) in [("echo >&3", State::Running), (":", State::Starting)] {
        let then = "exec 3<fifo; echo >>opened; exec cat <&3 >>got";
        let (service, _supervise, mut fifo) = with_its_own_descriptor(says, then, state);
        for number in 1..=20 {
            writeln!(fifo, "{number}").unwrap();
            let lines: Vec<String> = (1..=number).map(|number| number.to_string()).collect();
            until("the line has arrived", || service.lines("got") == lines);
        }
        assert_eq!(service.record().state, state);
    }
}

#[test]
fn a_readiness_descriptor_that_a_ready_service_writes_to_is_not_read_by_the_next_supervise() {
    let then = "exec 3>fifo; echo >>opened; exec sleep 1000";
    with_its_own_descriptor("echo >&3", then, State::Running);
}

#[test]
fn a_paused_service_stays_paused_and_can_be_stopped() {
    be_the_subreaper();
    let service = Service::sleeping("web");
    let supervise = service.supervise();
    let pid = service.until_running();
    service.send("p");
    service.until("a pause", |status, _| status.paused);
    let (_supervise, after) = replace(&service, supervise);
    assert!(after.paused);
    service.send("c");
    service.until("it goes on", |status, _| !status.paused);
    service.send("p");
    service.until("a pause", |status, _| status.paused);
    service.send("d");
    reap(pid);
    service.until_state(State::Stopped);
}

#[test]
fn a_service_that_is_up_once_is_not_started_again() {
    be_the_subreaper();
    let service = alone("web").file("down", "");
    let supervise = service.supervise();
    service.send("o");
    let pid = service.until_running();
    until("its start", || !service.lines("starts").is_empty());
    let (_supervise, after) = replace(&service, supervise);
    assert_eq!(after.want, Want::Once);
    kill(pid, libc::SIGTERM);
    reap(pid);
    service.until_state(State::Exited);
    assert_eq!(service.record().last_end, killed(Signal::TERM));
    assert_eq!(service.lines("starts").len(), 1);
}

#[test]
fn a_stop_goes_on_and_ends_in_a_kill() {
    be_the_subreaper();
    let service = Service::new("web")
        .script("run", "trap '' TERM; echo >>starts; exec sleep 1000")
        .file("options/startsecs", "0");
    let supervise = service.supervise();
    let pid = service.until_running();
    until("its trap", || !service.read("starts").is_empty());
    service.send("d");
    service.until_state(State::Stopping);
    // The next supervise reads it; this one has no limit, however slow the machine is.
    fs::write(service.dir().join("options/stopwaitsecs"), "2s").unwrap();
    let (_supervise, after) = replace(&service, supervise);
    assert_eq!(after.record.unwrap().state, State::Stopping);
    reap(pid);
    let stopped = service.until_state(State::Stopped);
    assert_eq!(stopped.record.unwrap().last_end, killed(Signal::KILL));
}

#[test]
fn a_finish_that_runs_is_waited_for_and_not_run_twice() {
    be_the_subreaper();
    let service = Service::sleeping("web").script(
        "finish",
        "echo $$ >>finishes; while [ ! -e go ]; do sleep 0.01; done",
    );
    let supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGTERM);
    let finishing = service.until("finish", |status, _| status.phase == Phase::Finish);
    let (_supervise, after) = replace(&service, supervise);
    assert_eq!((after.phase, after.pid), (Phase::Finish, finishing.pid));
    fs::write(service.dir().join("go"), "").unwrap();
    reap(pid_of(&finishing));
    service.until_replaced(pid);
    assert_eq!(service.lines("finishes"), [pid_of(&finishing).to_string()]);
}

/// Starts a supervise on a status that names a live process of somebody else's, changed by `forge`.
#[track_caller]
fn forged(forge: impl FnOnce(&mut Record)) {
    let service = alone("web");
    let mut supervise = service.supervise();
    let first = service.until_running();
    let mut status = service.status().unwrap();
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    kill(first, libc::SIGKILL);
    until("its end", || !alive(first));

    let mut foreign = Running::start(Command::new(peer("sleep")).arg("1000"));
    let pid = rustix::process::Pid::from_raw(foreign.pid()).unwrap();
    let record = status.record.as_mut().unwrap();
    record.pid_start = Identity::of(pid).start;
    record.group = Some(pid);
    forge(record);
    status.pid = Some(pid);
    fs::write(service.state_file("status"), status.pack()).unwrap();

    let mut supervise = service.supervise();
    taken_over(&service, &supervise);
    let own = service.until_running();
    assert_ne!(own, foreign.pid());
    service.send("tk");
    service.until_replaced(own);
    service.send("dx");
    supervise.ended();
    assert!(
        foreign.child().try_wait().unwrap().is_none(),
        "it was signalled"
    );
}

#[test]
fn a_reused_pid_is_neither_adopted_nor_signalled() {
    be_the_subreaper();
    forged(|record| record.pid_start += 1);
    forged(|record| record.pid_start = 0);
}

#[test]
fn a_pid_of_another_boot_is_neither_adopted_nor_signalled() {
    be_the_subreaper();
    forged(|record| record.world.boot[3] ^= 1);
}

#[test]
fn a_pid_of_another_pid_namespace_is_neither_adopted_nor_signalled() {
    be_the_subreaper();
    forged(|record| record.world.pid_namespace += 1);
}

#[test]
fn a_process_that_leads_no_session_is_neither_adopted_nor_signalled() {
    be_the_subreaper();
    // Its pid and its start time are true.
    forged(|_| {});
}

/// Kills a supervise, lets `change` do something to its status, and expects the next one to start the
/// service anew.
#[track_caller]
fn not_believed(reason: &str, change: impl FnOnce(&Path)) {
    let service = alone("web");
    let mut supervise = service.supervise();
    let first = service.until_running();
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    change(&service.state_file("status"));
    let mut supervise = service.supervise();
    let own = service.until_replaced(first);
    assert_ne!(own, first);
    assert!(alive(first), "the recorded process was signalled");
    let message = format!("supervise: warning: web: ignoring web/supervise/status: {reason}\n");
    assert_eq!(service.messages(), message);
    service.send("dx");
    supervise.ended();
    kill(first, libc::SIGKILL);
    reap(first);
}

#[test]
fn a_status_that_another_user_can_have_written_is_not_believed() {
    be_the_subreaper();
    not_believed(
        "owned by user 65534, who is not the owner of the service directory",
        |status| std::os::unix::fs::chown(status, Some(65_534), None).unwrap(),
    );
    not_believed("a symbolic link, which is not followed here", |status| {
        let other = status.with_file_name("other");
        fs::rename(status, &other).unwrap();
        std::os::unix::fs::symlink("other", status).unwrap();
    });
    not_believed("it has another hard link", |status| {
        fs::hard_link(status, status.with_file_name("other")).unwrap();
    });
}

#[test]
fn a_supervise_that_cannot_tell_its_boot_or_its_namespaces_starts_nothing() {
    be_the_subreaper();
    let service = Service::new("web").script("run", "echo $$ >>starts; exec sleep 1000");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    until("its start", || service.lines("starts").len() == 1);
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    let all = "stat,newfstatat,open,openat,read,readlink";
    for (file, errno) in [
        ("/proc/sys/kernel/random/boot_id", "EMFILE"),
        ("/proc/sys/kernel/random/boot_id", "EIO"),
        ("/proc/self/ns/pid", "ENOMEM"),
        ("/proc/self/ns/time", "EIO"),
    ] {
        let fault = format!("inject={all}:error={errno}");
        let arguments = ["-q", "-o", "/dev/null", "-P", file, "-e", &fault];
        let mut failing = service.supervise_behind("strace", &arguments);
        assert_eq!(failing.ended().code(), Some(111), "{file} {errno}");
        assert!(
            service
                .messages()
                .contains("unable to identify this boot and pid namespace: "),
            "{file} {errno}: {}",
            service.messages()
        );
        assert!(alive(pid));
    }
    let (supervise, after) = {
        let supervise = service.supervise();
        let after = taken_over(&service, &supervise);
        (supervise, after)
    };
    assert_eq!(pid_of(&after), pid);
    assert_eq!(service.lines("starts").len(), 1);
    drop(supervise);
    kill(pid, libc::SIGKILL);
    reap(pid);
}

#[test]
fn a_supervise_of_another_time_namespace_adopts_the_service() {
    be_the_subreaper();
    let service = alone("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    let arguments = ["--time", "--boottime", "1000000", "--fork", "--kill-child"];
    let mut shifted = service.supervise_behind("unshare", &arguments);
    let after = service.until("an adoption", |_, record| {
        record
            .supervise
            .is_some_and(|by| alive(by.as_raw_nonzero().get()))
    });
    assert_eq!(pid_of(&after), pid);
    service.send("d");
    reap(pid);
    let stopped = service.until_state(State::Stopped);
    assert_eq!(stopped.record.unwrap().last_end, killed(Signal::TERM));
    shifted.signal(libc::SIGKILL);
    shifted.ended();
}

#[test]
fn a_new_pid_namespace_starts_the_service_anew() {
    be_the_subreaper();
    let service = Service::new("web").script("run", "echo $$ >>starts; exec sleep 1000");
    let mut supervise = service.supervise();
    let pid = pid_of(&service.until("a start", |status, _| status.pid.is_some()));
    // Before its go-ahead it would end with its supervise.
    until("its start", || service.lines("starts").len() == 1);
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    let mut contained = service.supervise_behind(
        "unshare",
        &["--pid", "--fork", "--mount-proc", "--kill-child"],
    );
    until("a second start", || service.lines("starts").len() == 2);
    assert!(alive(pid), "the process outside was left alone");
    contained.signal(libc::SIGKILL);
    contained.ended();
    kill(pid, libc::SIGKILL);
    reap(pid);
}

#[test]
fn adoption_works_without_root() {
    be_the_subreaper();
    let service = alone("web");
    for path in [service.folder().to_path_buf(), service.dir()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut supervise = service.supervise_behind("setpriv", &nobody);
    let pid = service.until_running();
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    let supervise = service.supervise_behind("setpriv", &nobody);
    assert_eq!(pid_of(&taken_over(&service, &supervise)), pid);
    service.send("d");
    reap(pid);
    let stopped = service.until_state(State::Stopped);
    assert_eq!(stopped.record.unwrap().last_end, killed(Signal::TERM));
}

#[test]
fn a_service_of_another_user_is_adopted() {
    be_the_subreaper();
    let service = Service::sleeping("web").file("options/user", "65534:65534");
    fs::set_permissions(service.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let supervise = service.supervise();
    let pid = service.until_running();
    assert!(support::service::proc_status(pid, "Uid").starts_with("65534"));
    let (_supervise, after) = replace(&service, supervise);
    assert_eq!(pid_of(&after), pid);
    service.send("d");
    reap(pid);
    let stopped = service.until_state(State::Stopped);
    assert_eq!(stopped.record.unwrap().last_end, killed(Signal::TERM));
}

#[test]
fn a_detached_service_goes_on_and_is_adopted_by_the_next_supervise() {
    be_the_subreaper();
    let service = alone("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    service.send("z");
    assert_eq!(supervise.ended().code(), Some(0));
    assert!(alive(pid));
    assert_eq!(pid_of(&service.status().unwrap()), pid);
    let supervise = service.supervise();
    assert_eq!(pid_of(&taken_over(&service, &supervise)), pid);
    service.send("t");
    reap(pid);
    service.until_replaced(pid);
}

#[test]
fn a_supervise_that_was_told_to_exit_leaves_nothing_to_go_on_with() {
    let service = alone("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    service.send("dx");
    assert_eq!(supervise.ended().code(), Some(0));
    assert!(service.record().left);
    let _supervise = service.supervise();
    service.until_replaced(pid);
}

#[test]
fn where_it_cannot_be_known_whether_the_service_runs_none_is_started() {
    be_the_subreaper();
    for (calls, error, why) in [
        ("pidfd_open", "EMFILE", "too many open files"),
        ("pidfd_open", "ENOSYS", "function not implemented"),
    ] {
        let service = alone("web");
        let mut first = service.supervise();
        let pid = service.until_running();
        until("its start", || !service.lines("starts").is_empty());
        first.signal(libc::SIGKILL);
        first.ended();
        let fault = format!("inject={calls}:error={error}");
        let mut second =
            service.supervise_behind("strace", &["-q", "-o", "/dev/null", "-e", &fault]);
        assert_eq!(second.ended().code(), Some(111));
        let message = format!("supervise: fatal: unable to adopt process {pid}: {why}\n");
        assert_eq!(service.messages(), message);
        let third = service.supervise();
        assert_eq!(pid_of(&taken_over(&service, &third)), pid);
        assert_eq!(service.lines("starts").len(), 1);
    }
}
