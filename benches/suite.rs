//! The main job, side by side with the older suites: starting many services, memory, wake-ups,
//! restarts, the pick-up of a new link, and `svstat`.
//!
//! `cargo bench --bench suite -- [SERVICES [ROUNDS]]` (990 and 3; daemontools and runit
//! stop at 1000). The suites take turns in every
//! round, and each round begins with another one; the table shows medians and, in parentheses, the
//! ratio to ours. Needs Debian's `daemontools`, `runit` and `s6`; one that is missing is said and left
//! out.
//!
//! All is made under `TMPDIR`, and nothing is removed before the end: for minutes, ext4 passes over
//! each inode that was freed when it looks for a new one (`recently_deleted` in its ialloc.c), so that
//! what one round removes would be paid by the next. Remove nothing else there meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for a person who measures: what fails ends it"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One suite: how its scanner is started.
struct Suite {
    name: &'static str,
    scanner: PathBuf,
    arguments: &'static [&'static str],
    svstat: Option<PathBuf>,
    /// It looks at its directory only when it is told to.
    rescan: Option<&'static str>,
}

fn suites() -> Vec<Suite> {
    let suite = |name, scanner: &str| Suite {
        name,
        scanner: Path::new("/usr/bin").join(scanner),
        arguments: &[],
        svstat: None,
        rescan: None,
    };
    let all = [
        Suite {
            scanner: env!("CARGO_BIN_EXE_svscan").into(),
            svstat: Some(env!("CARGO_BIN_EXE_svstat").into()),
            ..suite("servicedir", "")
        },
        Suite {
            svstat: Some("/usr/bin/svstat".into()),
            ..suite("daemontools", "svscan")
        },
        suite("runit", "runsvdir"),
        Suite {
            arguments: &["-c", "10000"],
            rescan: Some("s6-svscanctl"),
            ..suite("s6", "s6-svscan")
        },
    ];
    let (there, missing): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|suite| suite.scanner.exists());
    for suite in missing {
        println!("{} is not installed, and left out", suite.name);
    }
    there
}

/// A scan directory and the scanner that runs on it; all its processes end with it.
struct Scene {
    dir: PathBuf,
    /// Each service writes its pid here when it starts.
    started: BufReader<File>,
    scanner: Option<Child>,
}

impl Scene {
    fn new(dir: PathBuf) -> Self {
        fs::create_dir(&dir).unwrap();
        let fifo = dir.join("started");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
        let both = OpenOptions::new().read(true).write(true).open(&fifo);
        fs::create_dir(dir.join("scan")).unwrap();
        fs::create_dir(dir.join("sv")).unwrap();
        Self {
            started: BufReader::new(both.unwrap()),
            dir,
            scanner: None,
        }
    }

    fn scan(&self) -> PathBuf {
        self.dir.join("scan")
    }

    /// A service that tells its pid and then sleeps.
    fn add(&self, name: &str) -> PathBuf {
        let service = self.dir.join("sv").join(name);
        fs::create_dir(&service).unwrap();
        let run = service.join("run");
        let fifo = self.dir.join("started");
        let script = format!(
            "#!/bin/sh\necho $$ >{}\nexec sleep 100000\n",
            fifo.display()
        );
        fs::write(&run, script).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
        service
    }

    fn launch(&mut self, suite: &Suite) {
        let child = Command::new(&suite.scanner)
            .args(suite.arguments)
            .arg(self.scan())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        self.scanner = Some(child.unwrap());
    }

    /// Waits for the next start, and tells its pid.
    fn next_start(&mut self) -> i32 {
        let mut line = String::new();
        self.started.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }

    fn scanner(&self) -> i32 {
        self.scanner
            .as_ref()
            .map_or(0, |child| child.id().cast_signed())
    }

    fn processes(&self) -> Vec<i32> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                let cwd = fs::read_link(format!("/proc/{pid}/cwd"));
                cwd.is_ok_and(|cwd| cwd.starts_with(&self.dir)) || *pid == self.scanner()
            })
            .collect()
    }

    /// The processes that are no services.
    fn supervision(&self) -> Vec<i32> {
        let is_service = |pid: &i32| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            ["sleep", "sh", "run"].contains(&comm.trim())
        };
        let all = self.processes().into_iter();
        all.filter(|pid| !is_service(pid)).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The scanner first, so that it starts nothing again; then whatever there is.
        if let Some(mut scanner) = self.scanner.take() {
            scanner.kill().ok();
            scanner.wait().ok();
        }
        while let pids @ [_, ..] = self.processes().as_slice() {
            pids.iter().for_each(|pid| kill(*pid));
            sleep(Duration::from_millis(5));
        }
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
}

/// Seconds on a processor, exactly (/proc/PID/schedstat).
fn cpu(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// The number behind a key of /proc/PID/FILE.
fn number(pid: i32, file: &str, key: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split_ascii_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// What one round with one suite gives, metric by metric.
fn round(suite: &Suite, dir: PathBuf, services: usize) -> Vec<(&'static str, f64)> {
    let mut scene = Scene::new(dir);
    for number in 0..services {
        let name = format!("s{number:05}");
        symlink(scene.add(&name), scene.scan().join(&name)).unwrap();
    }
    rustix::fs::sync();
    let begin = Instant::now();
    scene.launch(suite);
    let pids: Vec<i32> = (0..services).map(|_| scene.next_start()).collect();
    let started = begin.elapsed().as_secs_f64();
    sleep(Duration::from_millis(1500));

    let supervision = scene.supervision();
    let dirty = |pid: &i32| number(*pid, "smaps_rollup", "Private_Dirty:");
    let each = supervision.iter().filter(|pid| **pid != scene.scanner());
    let mut results = vec![
        ("start all: wall s", started),
        (
            "start all: supervision CPU s",
            supervision.iter().map(|pid| cpu(*pid)).sum(),
        ),
        (
            "one supervise: private dirty KiB",
            median(each.map(dirty).collect()),
        ),
        ("the scanner: private dirty KiB", dirty(&scene.scanner())),
        ("all idle: wake-ups in 10 s", wake_ups(&supervision)),
    ];
    let restarts = pids.iter().take(20).map(|pid| restart(&mut scene, *pid));
    results.push(("SIGKILL to running again ms", median(restarts.collect())));
    if let Some(svstat) = &suite.svstat {
        let times = (0..5).map(|_| status(&scene, svstat));
        results.push(("svstat of all ms", median(times.collect())));
    }
    let times = (0..3).map(|turn| pick_up(&mut scene, suite, turn));
    results.push(("link to run ms", median(times.collect())));
    results
}

fn wake_ups(supervision: &[i32]) -> f64 {
    let one = |pid: &i32| number(*pid, "status", "voluntary_ctxt_switches:");
    let before: f64 = supervision.iter().map(one).sum();
    sleep(Duration::from_secs(10));
    supervision.iter().map(one).sum::<f64>() - before
}

fn restart(scene: &mut Scene, pid: i32) -> f64 {
    let begin = Instant::now();
    kill(pid);
    scene.next_start();
    millis(begin)
}

fn status(scene: &Scene, svstat: &Path) -> f64 {
    let mut command = Command::new(svstat);
    let entries = fs::read_dir(scene.scan()).unwrap().flatten();
    command
        .args(entries.map(|entry| entry.path()))
        .stdout(Stdio::null());
    let begin = Instant::now();
    command.status().unwrap();
    millis(begin)
}

fn pick_up(scene: &mut Scene, suite: &Suite, turn: usize) -> f64 {
    let name = format!("new{turn}");
    let service = scene.add(&name);
    let begin = Instant::now();
    symlink(service, scene.scan().join(&name)).unwrap();
    if let Some(rescan) = suite.rescan {
        Command::new(rescan)
            .arg("-a")
            .arg(scene.scan())
            .status()
            .unwrap();
    }
    scene.next_start();
    millis(begin)
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let (services, rounds) = (numbers.next().unwrap_or(990), numbers.next().unwrap_or(3));
    println!("{services} services, {rounds} rounds: medians (ratios to ours)");
    let suites = suites();
    let mut all: Vec<Vec<(&str, f64)>> = suites.iter().map(|_| Vec::new()).collect();
    let dir = tempfile::tempdir().unwrap();
    for turn in 0..rounds {
        for place in 0..suites.len() {
            let which = (turn + place) % suites.len();
            let scene = dir.path().join(format!("{turn}-{which}"));
            all[which].extend(round(&suites[which], scene, services));
        }
    }
    print!("{:34}", "");
    suites.iter().for_each(|suite| print!("{:>22}", suite.name));
    println!();
    let metrics = all[0].len() / rounds;
    for metric in all[0][..metrics].iter().map(|(name, _)| *name) {
        print!("{metric:34}");
        let of = |results: &[(&str, f64)]| {
            let values = results.iter().filter(|(name, _)| *name == metric);
            median(values.map(|(_, value)| *value).collect())
        };
        let ours = of(&all[0]);
        for value in all.iter().map(|results| of(results)) {
            if value.is_nan() {
                print!("{:>22}", "-");
            } else {
                print!("{value:>13.2} ({:>6.2})", value / ours);
            }
        }
        println!();
    }
}
