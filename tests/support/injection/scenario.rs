//! The lives of a program that calls fail in.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use servicedir::status::{State, Status};

use super::super::{Running, Scratch, alive, kill};
use super::{Scenario, Under, plain};

/// All scenarios.
pub const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "supervise: start, restart, stop",
        run: supervise_life,
    },
    Scenario {
        name: "supervise: adoption and stop",
        run: supervise_adoption,
    },
    Scenario {
        name: "svscan: start and end",
        run: svscan_life,
    },
    Scenario {
        name: "svscan: takeover and end",
        run: svscan_takeover,
    },
    Scenario {
        name: "svlogd: rotation, end of input",
        run: svlogd_rotation,
    },
    Scenario {
        name: "svlogd: processor, TERM",
        run: svlogd_processor,
    },
];

/// How long a thing may take that comes at once without an injection. A retry each second is counted in.
const LIMIT: Duration = Duration::from_secs(20);

/// The lines that a log scenario writes.
const LINES: usize = 200;

/// A service that counts its starts, and holds a lock that a second instance would not get.
const RUN: &str = "exec 9>>lock; flock -n 9 || { echo second >>faults; exit 1; }
echo $$ >>starts; exec sleep 1000";

/// The same with numbered lines as its output.
const COUNTING: &str = "exec 9>>lock; flock -n 9 || { echo second >>faults; exit 1; }
echo $$ >>starts; i=0
trap 'echo $i >last; exit 0' TERM
while :; do i=$((i+1)); echo $i; sleep 0.01; done";

/// Waits until a condition holds; an error where it does not in time.
fn within(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        if Instant::now() > deadline {
            return Err(format!("never: {what}"));
        }
        pause();
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the step of a wait for a condition, never a wait itself"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// The service `web`, in the scratch folder.
struct Web<'a> {
    scratch: &'a Scratch,
}

impl<'a> Web<'a> {
    fn new(scratch: &'a Scratch, run: &str) -> Self {
        scratch.script("web/run", run);
        scratch.script("web/finish", "echo finished >>finishes");
        scratch.file("web/options/startsecs", "0");
        scratch.file("web/options/backoff", "constant 10ms");
        scratch.file("web/options/stopwaitsecs", "10s");
        Self { scratch }
    }

    fn status(&self) -> Option<Status> {
        let bytes = fs::read(self.scratch.path().join("web/supervise/status")).ok()?;
        Status::unpack(&bytes).ok()
    }

    fn state(&self) -> Option<State> {
        self.status()?.record.map(|record| record.state)
    }

    /// The pid of a run that has come so far that it is the service.
    fn running(&self) -> Option<i32> {
        let pid = self.status()?.pid?.as_raw_nonzero().get();
        let starts = self.scratch.read("web/starts");
        let is_run = starts.lines().last() == Some(&pid.to_string());
        (self.state() == Some(State::Running) && is_run && alive(pid)).then_some(pid)
    }

    fn send(&self, bytes: &str) -> bool {
        let path = self.scratch.path().join("web/supervise/control");
        servicedir::control::open_for_writing(&path)
            .map(fs::File::from)
            .is_ok_and(|mut fifo| fifo.write_all(bytes.as_bytes()).is_ok())
    }

    fn faultless(&self) -> Result<(), String> {
        match self.scratch.read("web/faults").as_str() {
            "" => Ok(()),
            faults => Err(format!("a second instance: {faults}")),
        }
    }

    /// A child that was forked and not let go ends by itself; none may be left.
    fn nothing_left(&self) -> Result<(), String> {
        let starts = self.scratch.read("web/starts");
        let pids: Vec<i32> = starts.lines().filter_map(|pid| pid.parse().ok()).collect();
        within("the end of every run", || {
            pids.iter().all(|pid| !alive(*pid))
        })
    }
}

impl Drop for Web<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            if cwd.starts_with(self.scratch.path()) && pid > 1 {
                kill(pid, libc::SIGKILL);
            }
        }
    }
}

/// A supervisor that may give up, with a message, and is then started again, without an injection.
struct Keeper<'a> {
    scratch: &'a Scratch,
    name: &'static str,
    argument: &'static str,
    /// Whether memory is refused: the C library and the allocator then end the process with a signal.
    without_memory: bool,
    running: Running,
}

impl<'a> Keeper<'a> {
    fn start(
        scratch: &'a Scratch,
        under: &Under,
        name: &'static str,
        argument: &'static str,
    ) -> Self {
        let running = Running::start(under.command(scratch, name).arg(argument));
        Self {
            scratch,
            name,
            argument,
            without_memory: under.refuses_memory(),
            running,
        }
    }

    /// Starts it again where it has ended.
    fn keep(&mut self) -> Result<(), String> {
        let Some(ended) = self.running.child().try_wait().unwrap() else {
            return Ok(());
        };
        if !self.without_memory {
            self.gave_up_in_order(ended)?;
        }
        self.running = plain(self.scratch, self.name, &[self.argument]);
        Ok(())
    }

    fn gave_up_in_order(&self, ended: ExitStatus) -> Result<(), String> {
        if ended.code() != Some(111) {
            return Err(format!("{} ended: {ended}", self.name));
        }
        if !self.scratch.read("stderr").contains(self.name) {
            return Err(format!("{} ended without a message", self.name));
        }
        Ok(())
    }

    /// Waits for a condition, and starts the program again where it gives up meanwhile.
    fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
        let mut given_up = Ok(());
        within(what, || {
            given_up = self.keep();
            given_up.is_err() || holds()
        })?;
        given_up
    }
}

fn supervise_life(scratch: &Scratch, under: &Under) -> Result<(), String> {
    let web = Web::new(scratch, RUN);
    let mut supervise = Keeper::start(scratch, under, "supervise", "web");
    supervise.until("a run", || web.running().is_some())?;
    restart_and_stop(&web, &mut supervise)
}

fn supervise_adoption(scratch: &Scratch, under: &Under) -> Result<(), String> {
    let web = Web::new(scratch, RUN);
    let mut first = plain(scratch, "supervise", &["web"]);
    within("a run", || web.running().is_some())?;
    let pid = web.running();
    first.signal(libc::SIGKILL);
    first.ended();
    let mut supervise = Keeper::start(scratch, under, "supervise", "web");
    let adopted = || {
        let record = web.status().and_then(|status| status.record);
        let by = record.and_then(|record| record.supervise);
        by.is_some_and(|by| by.as_raw_nonzero().get() != first.pid())
    };
    supervise.until("an adoption", adopted)?;
    if web.running() != pid {
        return Err("the service that ran was not adopted".to_owned());
    }
    restart_and_stop(&web, &mut supervise)
}

/// The rest of each life of a supervise.
fn restart_and_stop(web: &Web<'_>, supervise: &mut Keeper<'_>) -> Result<(), String> {
    let old = web.running();
    let mut sent = false;
    supervise.until("a restart", || {
        sent = sent || web.send("r");
        sent && web.running().is_some_and(|pid| Some(pid) != old)
    })?;
    web.faultless()?;
    supervise.until("the stop", || {
        web.send("d") && web.state() == Some(State::Stopped)
    })?;
    web.nothing_left()?;
    within("the exit", || {
        web.send("x");
        supervise.running.child().try_wait().unwrap().is_some()
    })?;
    web.faultless()
}

/// A scan directory with `web`, which writes numbered lines, and its log.
fn scan_directory(scratch: &Scratch) -> Web<'_> {
    let web = Web::new(scratch, COUNTING);
    scratch.script("web/log/run", "exec cat >>../../out");
    fs::create_dir(scratch.path().join("scan")).unwrap();
    std::os::unix::fs::symlink("../web", scratch.path().join("scan/web")).unwrap();
    web
}

fn svscan_life(scratch: &Scratch, under: &Under) -> Result<(), String> {
    let web = scan_directory(scratch);
    let mut svscan = Keeper::start(scratch, under, "svscan", "scan");
    svscan.until("lines in the log", || lines(scratch) > 3)?;
    end_of_svscan(&web, &mut svscan)
}

fn svscan_takeover(scratch: &Scratch, under: &Under) -> Result<(), String> {
    let web = scan_directory(scratch);
    let mut first = plain(scratch, "svscan", &["scan"]);
    within("lines in the log", || lines(scratch) > 3)?;
    first.signal(libc::SIGKILL);
    first.ended();
    let pid = web.running();
    let mut svscan = Keeper::start(scratch, under, "svscan", "scan");
    let now = lines(scratch);
    svscan.until("more lines in the log", || lines(scratch) > now + 3)?;
    if web.running() != pid {
        return Err("the service was started again".to_owned());
    }
    end_of_svscan(&web, &mut svscan)
}

/// svscan ends when it gets TERM, and takes all with it; every line is in the log.
fn end_of_svscan(web: &Web<'_>, svscan: &mut Keeper<'_>) -> Result<(), String> {
    let mut asked = 0;
    svscan.running.signal(libc::SIGTERM);
    within("the end of svscan", || {
        match svscan.running.child().try_wait().unwrap() {
            Some(ended) if ended.success() => true,
            // It gave up, or got TERM before it caught signals: the next one is asked.
            Some(_) => {
                asked += 1;
                svscan.running = plain(svscan.scratch, "svscan", &["scan"]);
                asked > 5
            }
            None => {
                svscan.running.signal(libc::SIGTERM);
                false
            }
        }
    })?;
    web.nothing_left()?;
    web.faultless()?;
    whole(web.scratch)
}

fn lines(scratch: &Scratch) -> usize {
    scratch.read("out").lines().count()
}

/// The log holds 1, 2, 3 and so on, up to the last line that the service wrote, once for each run.
fn whole(scratch: &Scratch) -> Result<(), String> {
    let out = scratch.read("out");
    let mut expected = 1;
    for line in out.lines() {
        expected = match line.parse::<usize>() {
            Ok(number) if number == expected => number + 1,
            Ok(1) => 2,
            _ => return Err(format!("in the log {line} where {expected} was due")),
        };
    }
    let last = scratch.read("web/last").trim().parse().unwrap_or(0);
    if expected <= last {
        return Err(format!("lines {expected} to {last} are not in the log"));
    }
    Ok(())
}

fn svlogd_rotation(scratch: &Scratch, under: &Under) -> Result<(), String> {
    log_directory(scratch, "s200\nn0\n");
    let mut logger = start_logger(scratch, under);
    write_lines(&mut logger);
    drop(logger.child().stdin.take());
    within("the end of svlogd", || {
        logger.child().try_wait().unwrap().is_some()
    })?;
    all_lines(scratch)
}

fn svlogd_processor(scratch: &Scratch, under: &Under) -> Result<(), String> {
    log_directory(scratch, "s400\nn0\n!cat\n");
    let mut logger = start_logger(scratch, under);
    write_lines(&mut logger);
    within("the lines on the disk", || {
        logged(scratch).lines().count() >= LINES || logger.child().try_wait().unwrap().is_some()
    })?;
    logger.signal(libc::SIGTERM);
    within("the end of svlogd", || {
        logger.child().try_wait().unwrap().is_some()
    })?;
    all_lines(scratch)
}

fn log_directory(scratch: &Scratch, config: &str) {
    fs::create_dir(scratch.path().join("web")).unwrap();
    scratch.file("main/config", config);
}

fn start_logger(scratch: &Scratch, under: &Under) -> Running {
    let mut command = under.command(scratch, "svlogd");
    Running::start(command.arg("main").stdin(Stdio::piped()))
}

/// One write a line, so that svlogd reads several times.
fn write_lines(logger: &mut Running) {
    let mut stdin = logger.child().stdin.take().unwrap();
    for number in 1..=LINES {
        // A svlogd that gave up is found by its exit and by the lines.
        drop(writeln!(stdin, "line number {number}"));
    }
    logger.child().stdin = Some(stdin);
}

/// What the log directory holds, the oldest first.
fn logged(scratch: &Scratch) -> String {
    let folder = scratch.path().join("main");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with('@') && !name.ends_with('t'))
        .collect();
    names.sort();
    names.push("current".to_owned());
    let read =
        |name: &String| fs::read_to_string(Path::new(&folder).join(name)).unwrap_or_default();
    names.iter().map(read).collect()
}

/// Every line is there, once and in order; or svlogd gave up before it read any, with a message.
fn all_lines(scratch: &Scratch) -> Result<(), String> {
    let expected: String = (1..=LINES)
        .map(|number| format!("line number {number}\n"))
        .collect();
    let seen = logged(scratch);
    let gave_up = seen.is_empty() && scratch.read("stderr").contains("svlogd: fatal");
    if seen == expected || gave_up {
        return Ok(());
    }
    let (seen, all) = (seen.lines().count(), LINES);
    Err(format!(
        "{seen} of {all} lines are in the log, or not in order"
    ))
}
