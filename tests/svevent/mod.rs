//! svevent: events of services under a real svscan, given to real listeners.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Running, Scratch, eventually, output, program, stdout, until};

/// A scan directory, and a listener that writes each event to `events`.
struct World {
    scratch: Scratch,
}

/// A listener in Python, as Supervisor's documentation shows one. It answers FAIL once for what
/// `fail-once` has a word of.
const LISTENER: &str = r#"
import os, sys
def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()
while True:
    say('READY\n')
    header = dict(token.split(':') for token in sys.stdin.readline().split())
    payload = sys.stdin.read(int(header['len']))
    with open('events', 'a') as events:
        events.write('%s %s %s\n' % (header['serial'], header['eventname'], payload.replace('\n', '|')))
    word = open('fail-once').read() if os.path.exists('fail-once') else None
    if word and word in payload:
        os.remove('fail-once')
        say('RESULT 4\nFAIL')
    else:
        say('RESULT 2\nOK')
"#;

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("scan")).unwrap();
        scratch.file("listener.py", LISTENER);
        Self { scratch }
    }

    fn service(&self, name: &str, run: &str) -> &Self {
        self.scratch.script(&format!("scan/{name}/run"), run);
        self
    }

    fn option(&self, name: &str, option: &str, value: &str) -> &Self {
        self.scratch
            .file(&format!("scan/{name}/options/{option}"), value);
        self
    }

    fn scan(&self) -> PathBuf {
        self.scratch.path().join("scan")
    }

    fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.scratch.path())
            .env_remove("SUPERVISEDIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.stderr());
        command
    }

    fn stderr(&self) -> fs::File {
        let path = self.scratch.path().join("stderr");
        fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap()
    }

    fn svscan(&self) -> Scan {
        Scan(Running::start(
            self.command(program("svscan")).arg(self.scan()),
        ))
    }

    /// A svevent that is no service, so that a test can kill it.
    fn svevent(&self, options: &[&str], events: &str, command: &[&str]) -> Running {
        let mut svevent = self.command(program("svevent"));
        svevent
            .args(options)
            .arg("-d")
            .arg(self.scan())
            .arg(events)
            .args(command);
        Running::start(&mut svevent)
    }

    fn listen(&self, events: &str) -> Running {
        self.svevent(&["--from-start"], events, &["python3", "listener.py"])
    }

    fn events(&self) -> Vec<String> {
        self.scratch
            .read("events")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The events without their serials and pids.
    fn texts(&self) -> Vec<String> {
        let text = |line: &String| {
            let words = line
                .split(' ')
                .skip(1)
                .filter(|word| !word.starts_with("pid:"));
            words.collect::<Vec<_>>().join(" ")
        };
        self.events().iter().map(text).collect()
    }

    #[track_caller]
    fn until_event(&self, end: &str) {
        eventually(end, || {
            let events = self.events();
            if events.iter().any(|event| event.contains(end)) {
                Ok(())
            } else {
                Err((events, self.scratch.read("stderr")))
            }
        });
    }
}

/// A svscan that stops all it has started at its end.
struct Scan(Running);

impl Drop for Scan {
    fn drop(&mut self) {
        self.0.signal(libc::SIGTERM);
        self.0.ended();
    }
}

const FATAL: &str = "PROCESS_STATE_FATAL processname:bad groupname:bad from_state:BACKOFF";

#[test]
fn a_listener_gets_what_supervisord_would_give_it() {
    let world = World::new();
    world
        .service("bad", "exit 3")
        .option("bad", "startretries", "1")
        .option("bad", "backoff", "constant 10ms");
    let _svscan = world.svscan();
    let mut svevent = world.listen("PROCESS_STATE");
    world.until_event("FATAL");
    assert_eq!(
        world.texts(),
        [
            "PROCESS_STATE_STARTING processname:bad groupname:bad from_state:STOPPED tries:0",
            "PROCESS_STATE_BACKOFF processname:bad groupname:bad from_state:STARTING tries:1",
            "PROCESS_STATE_STARTING processname:bad groupname:bad from_state:BACKOFF tries:1",
            "PROCESS_STATE_BACKOFF processname:bad groupname:bad from_state:STARTING tries:2",
            FATAL,
        ]
    );
    svevent.signal(libc::SIGTERM);
    assert!(svevent.ended().success());
}

#[test]
fn an_event_that_fails_comes_again_with_its_serial_before_the_next() {
    let world = World::new();
    world
        .service("bad", "exit 3")
        .option("bad", "startretries", "0");
    world.scratch.file("fail-once", "BACKOFF");
    fs::write(world.scratch.path().join("fail-once"), "tries:1").unwrap();
    let _svscan = world.svscan();
    let _svevent = world.listen("PROCESS_STATE");
    world.until_event("FATAL");
    let serials: Vec<String> = world
        .events()
        .iter()
        .map(|event| event.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(serials, ["0", "1", "1", "2"]);
}

#[test]
fn each_event_comes_at_least_once_and_in_order_although_svevent_and_its_listener_are_killed() {
    let world = World::new();
    for name in ["one", "two"] {
        world
            .service(name, "exit 3")
            .option(name, "startretries", "40")
            .option(name, "backoff", "constant 20ms");
    }
    let _svscan = world.svscan();
    let mut svevent = world.listen("PROCESS_STATE_BACKOFF,PROCESS_STATE_FATAL");
    let mut killed = 0;
    while world
        .events()
        .iter()
        .filter(|event| event.contains("FATAL"))
        .count()
        < 2
    {
        let seen = world.events().len();
        until("more events", || {
            world.events().len() > seen + 3
                || world
                    .events()
                    .iter()
                    .filter(|event| event.contains("FATAL"))
                    .count()
                    == 2
        });
        killed += 1;
        if killed < 12 {
            svevent.signal(libc::SIGKILL);
            svevent.ended();
            svevent = world.listen("PROCESS_STATE_BACKOFF,PROCESS_STATE_FATAL");
        }
    }
    let mut tries: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let texts = world.texts();
    for text in texts.iter().filter(|text| text.contains("tries:")) {
        let name = if text.contains("processname:one") {
            "one"
        } else {
            "two"
        };
        let number = text.rsplit(':').next().unwrap().parse().unwrap();
        tries.entry(name).or_default().push(number);
    }
    for (name, mut numbers) in tries {
        assert!(numbers.is_sorted(), "{name}: {numbers:?}");
        numbers.dedup();
        assert_eq!(numbers, (1..=41).collect::<Vec<_>>(), "{name}");
    }
    assert!(killed > 3, "{killed}");
}

#[test]
fn a_script_has_one_run_or_one_line_an_event() {
    let world = World::new();
    world
        .service("bad", "exit 3")
        .option("bad", "startretries", "0");
    let _svscan = world.svscan();
    let each = "echo \"$EVENT $EVENT_PROCESSNAME $EVENT_REASON\" >>each; [ -e again ] || { >again; exit 1; }";
    let _each = world.svevent(
        &["--from-start", "--each", "-c", "cursor-each"],
        "PROCESS_STATE_FATAL",
        &["sh", "-c", each],
    );
    let _lines = world.svevent(
        &["--from-start", "--lines", "-c", "cursor-lines"],
        "PROCESS_STATE_FATAL",
        &[
            "sh",
            "-c",
            "while read -r line; do echo \"$line\" >>lines; done",
        ],
    );
    let fatal = "PROCESS_STATE_FATAL bad 1 failed start, the last: exited 3\n";
    until("two runs", || world.scratch.read("each") == fatal.repeat(2));
    until("a line", || {
        world.scratch.read("lines").starts_with("PROCESS_STATE_FATAL serial:0 processname:bad groupname:bad from_state:BACKOFF reason:1\\x20failed")
    });
}

#[test]
fn a_listener_that_hangs_holds_up_no_service() {
    let world = World::new();
    world
        .service("web", "echo x >>starts; exit 1")
        .option("web", "backoff", "constant 10ms");
    let _svscan = world.svscan();
    let _svevent = world.svevent(
        &["--from-start"],
        "EVENT",
        &["sh", "-c", "echo READY; exec sleep 1000"],
    );
    let starts = || world.scratch.read("scan/web/starts").lines().count();
    until("many starts", || starts() > 100);
}

#[test]
fn what_is_written_between_the_tokens_is_an_event_of_its_service() {
    let world = World::new();
    world.service(
        "web",
        "echo 'a<!--XSUPERVISOR:BEGIN-->hi<!--XSUPERVISOR:END-->'; exec sleep 1000",
    );
    let capture = format!("exec {} cat >log", program("svcapture").display());
    world.service("web/log", &capture);
    let _svscan = world.svscan();
    let _svevent = world.listen("PROCESS_COMMUNICATION");
    world.until_event("hi");
    assert_eq!(
        world.texts(),
        ["PROCESS_COMMUNICATION_STDOUT processname:web groupname:web"]
    );
    assert!(world.events()[0].ends_with("|hi"), "{:?}", world.events());
}

#[test]
fn every_option_stands_in_the_help_and_the_manual() {
    let help = stdout(&output(program("svevent"), ["--help"]));
    let page = include_str!("../../man/svevent.8");
    let options = [
        "lines",
        "each",
        "pool",
        "name",
        "server",
        "dir",
        "cursor",
        "from-start",
        "timeout",
        "help",
        "version",
    ];
    for option in options {
        assert!(help.contains(&format!("--{option}")), "{option}");
        assert!(page.contains(&format!("Fl -{option}")), "{option}");
    }
    assert!(help.lines().all(|line| line.len() < 80));
}
