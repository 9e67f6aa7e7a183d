//! The same programs with the same options under a real supervisord and under supervise: the number
//! of starts, the order of the states and the last state are the same, and the times between starts
//! agree to a quarter of a second.
//!
//! All scenarios run at once, under one supervisord and a supervise each. Three things are done for
//! supervisord, which looks around only when something wakes it, at least once a second:
//!
//! - a program that prints every 20 ms wakes it, so that its times are those of its rules;
//! - the programs live 0.2 s at least: of one that dies at once it sometimes thinks that it was up;
//! - of an EXITED or a BACKOFF that it leaves in the same turn it still tells, while the status of
//!   supervise is written when the turn is over: both lists are compared without those.
//!
//! Neither supervisord nor this test is punctual on a machine that is busy. A difference in times,
//! or any difference where this test itself was not woken in time to see each state, is tried again;
//! a difference in states or in the number of starts of an observation without gaps is not.

use crate::support;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::service::Service;
use support::{Running, eventually, output, peer, stdout};

/// How far the times between two starts may be apart.
const AGREEMENT: f64 = 0.25;

/// A state lasts 200 ms at least: looking as often as this sees all of them.
const ALL_IS_SEEN: Duration = Duration::from_millis(150);

/// A program, its options by Supervisor's names, and what is done to it.
struct Scenario {
    name: &'static str,
    options: &'static [(&'static str, &'static str)],
    /// What it does, after it has written down when it was started; its traps are set before.
    body: &'static str,
    traps: &'static str,
    /// In that state, `stop` or `start`; one after the other.
    steps: &'static [(&'static str, &'static str)],
    /// How it ends: so many starts, and that state.
    end: (usize, &'static str),
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "gives-up",
        options: &[("startsecs", "1"), ("startretries", "2")],
        body: "sleep 0.2; exit 3",
        traps: "",
        steps: &[],
        end: (3, "FATAL"),
    },
    Scenario {
        name: "exits-0-too-early",
        options: &[
            ("startsecs", "1"),
            ("startretries", "1"),
            ("exitcodes", "0"),
        ],
        body: "sleep 0.2; exit 0",
        traps: "",
        steps: &[],
        end: (2, "FATAL"),
    },
    Scenario {
        name: "recovers",
        options: &[("startsecs", "1"), ("startretries", "3")],
        body: "[ $n -gt 2 ] && exec sleep 1000; sleep 0.2; exit 1",
        traps: "",
        steps: &[],
        end: (3, "RUNNING"),
    },
    Scenario {
        name: "tried-again-when-asked",
        options: &[("startsecs", "1"), ("startretries", "0")],
        body: "sleep 0.2; exit 1",
        traps: "",
        steps: &[("FATAL", "start")],
        end: (2, "FATAL"),
    },
    Scenario {
        name: "expected-end",
        options: &[
            ("startsecs", "1"),
            ("autorestart", "unexpected"),
            ("exitcodes", "0,7"),
        ],
        body: "sleep 1.5; exit 7",
        traps: "",
        steps: &[],
        end: (1, "EXITED"),
    },
    Scenario {
        name: "unexpected-end",
        options: &[
            ("startsecs", "1"),
            ("autorestart", "unexpected"),
            ("exitcodes", "0"),
        ],
        body: "sleep 1.5; [ $n -gt 1 ] && exit 0; exit 3",
        traps: "",
        steps: &[],
        end: (2, "EXITED"),
    },
    Scenario {
        name: "killed-by-a-signal",
        options: &[
            ("startsecs", "1"),
            ("autorestart", "unexpected"),
            ("exitcodes", "0"),
        ],
        body: "[ $n -gt 1 ] && exec sleep 1000; sleep 1.5; kill -KILL $$",
        traps: "",
        steps: &[],
        end: (2, "RUNNING"),
    },
    Scenario {
        name: "always",
        options: &[("startsecs", "1"), ("autorestart", "true")],
        body: "[ $n -gt 2 ] && exec sleep 1000; sleep 1.5; exit 0",
        traps: "",
        steps: &[],
        end: (3, "RUNNING"),
    },
    Scenario {
        name: "never",
        options: &[("startsecs", "1"), ("autorestart", "false")],
        body: "sleep 1.5; exit 3",
        traps: "",
        steps: &[],
        end: (1, "EXITED"),
    },
    Scenario {
        name: "stopped-by-a-signal-of-its-own",
        options: &[("startsecs", "1"), ("stopsignal", "INT")],
        body: "while :; do sleep 0.05; done",
        traps: "trap 'sleep 0.3; exit 0' INT; trap '' TERM;",
        steps: &[("RUNNING", "stop"), ("STOPPED", "start")],
        end: (2, "RUNNING"),
    },
    Scenario {
        name: "stopped-by-force",
        options: &[("startsecs", "1"), ("stopwaitsecs", "1")],
        body: "while :; do sleep 0.05; done",
        traps: "trap '' TERM;",
        steps: &[("RUNNING", "stop")],
        end: (1, "STOPPED"),
    },
    Scenario {
        name: "stopped-while-it-starts",
        options: &[("startsecs", "1000")],
        body: "while :; do sleep 0.05; done",
        traps: "trap 'sleep 0.3; exit 0' TERM;",
        steps: &[("STARTING", "stop")],
        end: (1, "STOPPED"),
    },
    Scenario {
        name: "stopped-in-backoff",
        options: &[("startsecs", "1"), ("startretries", "5")],
        body: "sleep 0.2; exit 1",
        traps: "",
        steps: &[("BACKOFF", "stop")],
        end: (1, "STOPPED"),
    },
];

/// What one of the two did with a scenario.
#[derive(Clone, Default, Debug)]
struct Seen {
    states: Vec<String>,
    /// When the program was started, in seconds.
    starts: Vec<f64>,
    /// How many steps were taken, and how many states there were then.
    steps: (usize, usize),
}

impl Seen {
    /// The step that is to be taken now.
    fn step(&mut self, scenario: &Scenario) -> Option<&'static str> {
        let (state, step) = scenario.steps.get(self.steps.0)?;
        if self.starts.is_empty() || self.states.last().is_none_or(|last| last != state) {
            return None;
        }
        self.steps = (self.steps.0 + 1, self.states.len());
        Some(step)
    }

    fn is_over(&self, scenario: &Scenario) -> bool {
        let (starts, state) = scenario.end;
        self.steps.0 == scenario.steps.len()
            && self.states.len() > self.steps.1
            && self.starts.len() >= starts
            && self.states.last().is_some_and(|last| last == state)
    }

    /// The states without those that were left in the turn in which they were entered.
    fn lasting(&self) -> Vec<&str> {
        let next = self.states.iter().skip(1).map(String::as_str).chain([""]);
        let states = self.states.iter().map(String::as_str).zip(next);
        let passing = [("EXITED", "STARTING"), ("BACKOFF", "FATAL")];
        states
            .filter(|pair| !passing.contains(pair))
            .map(|(state, _)| state)
            .collect()
    }

    fn gaps(&self) -> Vec<f64> {
        self.starts
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect()
    }

    fn read_starts(&mut self, dir: &Path) {
        let text = std::fs::read_to_string(dir.join("starts")).unwrap_or_default();
        // A line that is being written does not count yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        self.starts = whole.lines().map(|line| line.parse().unwrap()).collect();
    }
}

/// The program of a scenario: says when it was started, on the clock of /proc/uptime.
fn run(scenario: &Scenario) -> String {
    let Scenario { traps, body, .. } = scenario;
    format!("{traps}\nread now idle </proc/uptime; echo $now >>starts; n=$(wc -l <starts); {body}")
}

/// One supervisord with all scenarios.
struct Supervisord {
    service: Service,
    _running: Running,
    seen: Vec<Seen>,
}

impl Supervisord {
    fn start() -> Self {
        let mut service = Service::new("supervisord")
            .script("tick", "while :; do echo; sleep 0.02; done")
            .file("listen.py", LISTENER);
        let dir = service.dir();
        let folder = dir.display();
        let mut config = format!(
            "[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n\
             [unix_http_server]\nfile={folder}/socket\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [eventlistener:listener]\ncommand={python} {folder}/listen.py {folder}/events\nevents=PROCESS_STATE\n\
             buffer_size=10000\nstartsecs=0\n\
             [program:tick]\ncommand={folder}/tick\nstdout_logfile=NONE\n",
            python = peer("python3").display(),
        );
        for scenario in SCENARIOS {
            let name = scenario.name;
            service = service.script(&format!("{name}/run"), &run(scenario));
            write!(
                config,
                "[program:{name}]\ncommand={folder}/{name}/run\ndirectory={folder}/{name}\nstdout_logfile=NONE\n"
            )
            .unwrap();
            for (option, value) in scenario.options {
                writeln!(config, "{option}={value}").unwrap();
            }
        }
        let service = service.file("conf", &config);
        let mut command = service.command(&supervisord());
        let running = Running::start(command.arg("-c").arg(dir.join("conf")));
        Self {
            service,
            _running: running,
            seen: vec![Seen::default(); SCENARIOS.len()],
        }
    }

    /// Looks, and takes the steps that are due.
    fn turn(&mut self) {
        let events = self.service.lines("events");
        for (scenario, seen) in SCENARIOS.iter().zip(&mut self.seen) {
            let states = events.iter().filter_map(|line| {
                let (name, state) = line.split_once(' ')?;
                (name == scenario.name).then(|| state.to_owned())
            });
            seen.states = states.collect();
            seen.read_starts(&self.service.dir().join(scenario.name));
            if let Some(step) = seen.step(scenario) {
                let method = format!("{step}Process");
                call(&self.service.dir().join("socket"), &method, scenario.name);
            }
        }
    }
}

/// A supervise with its scenario.
struct Ours {
    service: Service,
    _running: Running,
    seen: Seen,
}

impl Ours {
    fn start(scenario: &Scenario) -> Self {
        let mut service = Service::new(scenario.name)
            .script("run", &run(scenario))
            .file("options/backoff", "linear 1s");
        for (option, value) in scenario.options {
            service = service.file(&format!("options/{option}"), &value.replace(',', " "));
        }
        let running = service.supervise();
        Self {
            service,
            _running: running,
            seen: Seen::default(),
        }
    }

    /// Looks, and takes the step that is due.
    fn turn(&mut self, scenario: &Scenario) {
        self.seen.read_starts(&self.service.dir());
        let Some(status) = self.service.status() else {
            return;
        };
        let state = status.record.unwrap().state.name();
        let is_new = self.seen.states.last().is_none_or(|last| last != state);
        if is_new && !(self.seen.states.is_empty() && state == "STOPPED") {
            self.seen.states.push(state.to_owned());
        }
        match self.seen.step(scenario) {
            Some("stop") => self.service.send("d"),
            Some(_) => self.service.send("u"),
            None => {}
        }
    }
}

/// Writes down each change of state: `NAME STATE`.
const LISTENER: &str = r#"
import sys
with open(sys.argv[1], "a", buffering=1) as events:
    while True:
        print("READY", flush=True)
        header = dict(word.split(":") for word in sys.stdin.readline().split())
        payload = sys.stdin.read(int(header["len"]))
        name = dict(word.split(":", 1) for word in payload.split())["processname"]
        events.write(name + " " + header["eventname"].rsplit("_", 1)[1] + "\n")
        print("RESULT 2\nOK", end="", flush=True)
"#;

/// Where the shell finds it: PyPI's programs are where Python's scripts are.
fn supervisord() -> PathBuf {
    let found = output(&peer("sh"), ["-c", "command -v supervisord"]);
    let path = PathBuf::from(stdout(&found).trim());
    assert!(
        path.is_absolute(),
        "supervisord is not installed: see tests/run"
    );
    path
}

/// Calls a method of supervisord's XML-RPC that takes a name, and does not wait for the outcome.
fn call(socket: &Path, method: &str, name: &str) {
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>supervisor.{method}</methodName><params>\
         <param><value><string>{name}</string></value></param>\
         <param><value><boolean>0</boolean></value></param></params></methodCall>"
    );
    let mut stream = eventually("supervisord's socket", || UnixStream::connect(socket));
    let length = body.len();
    write!(
        stream,
        "POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains("<boolean>1</boolean>"),
        "{method} {name}: {answer}"
    );
}

/// What both have done, and whether this test was looking all the while.
struct Observation {
    theirs: Vec<Seen>,
    ours: Vec<Seen>,
    longest_gap: Duration,
}

fn observe() -> Observation {
    let mut theirs = Supervisord::start();
    let mut ours: Vec<Ours> = Vec::new();
    let mut looked = Instant::now();
    let mut longest_gap = Duration::ZERO;
    for scenario in SCENARIOS {
        ours.push(Ours::start(scenario));
        // The first states pass while the others are started.
        longest_gap = longest_gap.max(looked.elapsed());
        looked = Instant::now();
        for (ours, scenario) in ours.iter_mut().zip(SCENARIOS) {
            ours.turn(scenario);
        }
    }
    eventually("the ends of all scenarios", || {
        longest_gap = longest_gap.max(looked.elapsed());
        looked = Instant::now();
        for (ours, scenario) in ours.iter_mut().zip(SCENARIOS) {
            ours.turn(scenario);
        }
        theirs.turn();
        let of_both = ours.iter().map(|ours| &ours.seen).zip(&theirs.seen);
        let open: Vec<_> = SCENARIOS
            .iter()
            .zip(of_both)
            .filter(|(scenario, (ours, theirs))| {
                !ours.is_over(scenario) || !theirs.is_over(scenario)
            })
            .map(|(scenario, (ours, theirs))| (scenario.name, ours.clone(), theirs.clone()))
            .collect();
        if open.is_empty() { Ok(()) } else { Err(open) }
    });
    Observation {
        theirs: theirs.seen.clone(),
        ours: ours.iter().map(|ours| ours.seen.clone()).collect(),
        longest_gap,
    }
}

/// What differs, in words: states and starts, and times.
fn differences(observation: &Observation) -> (String, String) {
    let (mut states, mut times) = (String::new(), String::new());
    let both = observation.theirs.iter().zip(&observation.ours);
    for (scenario, (theirs, ours)) in SCENARIOS.iter().zip(both) {
        let name = scenario.name;
        let (their_count, our_count) = (theirs.starts.len(), ours.starts.len());
        if their_count != our_count || our_count != scenario.end.0 {
            writeln!(states, "{name}: {their_count} starts, ours {our_count}").unwrap();
        }
        if theirs.lasting() != ours.lasting() {
            let (theirs, ours) = (theirs.lasting(), ours.lasting());
            writeln!(states, "{name}: {theirs:?}, ours {ours:?}").unwrap();
        }
        let (theirs, ours) = (theirs.gaps(), ours.gaps());
        let near = |(theirs, ours): (&f64, &f64)| (theirs - ours).abs() <= AGREEMENT;
        if !theirs.iter().zip(&ours).all(near) {
            writeln!(times, "{name}: {theirs:.2?}, ours {ours:.2?}").unwrap();
        }
    }
    (states, times)
}

#[test]
fn the_states_are_supervisors() {
    let mut told = String::new();
    for attempt in 1..=3 {
        let observation = observe();
        let (states, times) = differences(&observation);
        let whole = observation.longest_gap < ALL_IS_SEEN;
        if states.is_empty() && times.is_empty() {
            return;
        }
        let gap = observation.longest_gap;
        write!(
            told,
            "attempt {attempt}, looked every {gap:?}:\n{states}{times}"
        )
        .unwrap();
        assert!(!whole || states.is_empty(), "{told}");
    }
    panic!("{told}");
}
