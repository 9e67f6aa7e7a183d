//! svlogd beside runit's svlogd, multilog, s6-log and `cat >file`: throughput, processor time,
//! memory, and system calls for a trickle.
//!
//! `cargo bench --bench svlogd -- [MEBIBYTES [ROUNDS]]` (256 and 3). The loggers take turns in every
//! round, so that all meet the same machine; throughput is how fast the writer gets rid of its input,
//! processor time includes the end of the logger, when svlogd brings its files to the disk; the table
//! shows medians, and the ratio of throughput to that of `cat`, which only copies. A second table has
//! the memory of idle loggers. Needs Debian's `runit`, `daemontools`, `s6` and
//! `strace`; one that is missing is said and left out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a program for a person who measures: what fails ends it"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a logger is asked to do with each line.
#[derive(Clone, Copy, PartialEq)]
struct Job {
    name: &'static str,
    /// svlogd's option.
    stamp: &'static str,
    patterns: bool,
    size: u32,
}

const JOBS: &[Job] = &[
    Job {
        name: "plain",
        stamp: "",
        patterns: false,
        size: 1_000_000,
    },
    Job {
        name: "plain",
        stamp: "",
        patterns: false,
        size: 16_000_000,
    },
    Job {
        name: "-t",
        stamp: "-t",
        patterns: false,
        size: 1_000_000,
    },
    Job {
        name: "-t",
        stamp: "-t",
        patterns: false,
        size: 16_000_000,
    },
    Job {
        name: "-tt",
        stamp: "-tt",
        patterns: false,
        size: 1_000_000,
    },
    Job {
        name: "-ttt",
        stamp: "-ttt",
        patterns: false,
        size: 1_000_000,
    },
    Job {
        name: "patterns",
        stamp: "",
        patterns: true,
        size: 1_000_000,
    },
];

const LOGGERS: &[&str] = &["ours", "runit", "multilog", "s6-log", "cat"];

/// The command of a logger for a job, in a directory of its own; `None` where it cannot do that.
fn command(logger: &str, job: Job, dir: &Path) -> Option<Command> {
    let size = job.size;
    let program = |name: &str| {
        let path = PathBuf::from("/usr/bin").join(name);
        path.exists().then(|| Command::new(path))
    };
    let patterns = ["-debug *", "+*x*"];
    match logger {
        "ours" | "runit" => {
            let mut config = format!("s{size}\nn10\n");
            if job.patterns {
                config += &format!("{}\n", patterns.join("\n"));
            }
            fs::write(dir.join("config"), config).unwrap();
            let mut command = if logger == "ours" {
                Command::new(env!("CARGO_BIN_EXE_svlogd"))
            } else {
                program("svlogd")?
            };
            if !job.stamp.is_empty() {
                command.arg(job.stamp);
            }
            command.arg(dir);
            Some(command)
        }
        "multilog" | "s6-log" => {
            let mut command = program(logger)?;
            if logger == "s6-log" {
                command.arg("--");
            }
            // multilog has one form of stamp and takes no size beyond 16777215.
            match (logger, job.stamp) {
                (_, "") => {}
                ("s6-log", "-ttt") => drop(command.arg("T")),
                (_, "-t") => drop(command.arg("t")),
                _ => return None,
            }
            if job.patterns {
                command.args(if logger == "multilog" {
                    ["-debug *", "+*x*"]
                } else {
                    ["-^debug ", "+x"]
                });
            }
            command.args([format!("s{size}"), "n10".to_owned()]);
            command.arg(dir);
            Some(command)
        }
        _ => {
            let mut command = Command::new("cat");
            command.stdout(File::create(dir.join("out")).unwrap());
            Some(command)
        }
    }
}

struct Figures {
    rate: f64,
    cpu_per_gb: f64,
    private_kib: f64,
}

/// CPU time of all children that have ended, in seconds.
fn children_cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    micros as f64 / 1e6
}

/// A field of `/proc/PID/smaps_rollup`, in KiB: `Private_Dirty:` are the pages that are a process's own,
/// without its program's text; `Pss:` has its share of the others, too.
fn memory_kib(child: &Child, name: &str) -> f64 {
    let rollup =
        fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0.0)
}

/// Runs a logger on `input`, repeated until `bytes` are written.
fn measure(logger: &str, job: Job, input: &[u8], bytes: usize, folder: &Path) -> Option<Figures> {
    let dir = folder.join("log");
    drop(fs::remove_dir_all(&dir));
    fs::create_dir(&dir).unwrap();
    let mut command = command(logger, job, &dir)?;
    let before = children_cpu();
    let start = Instant::now();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut written = 0;
    while written < bytes {
        if stdin.write_all(input).is_err() {
            // A logger that does not know its arguments has ended.
            child.wait().unwrap();
            return None;
        }
        written += input.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    let private_kib = memory_kib(&child, "Private_Dirty:");
    drop(stdin);
    child.wait().unwrap();
    drop(fs::remove_dir_all(&dir));
    Some(Figures {
        rate: written as f64 / 1e6 / seconds,
        cpu_per_gb: (children_cpu() - before) / (written as f64 / 1e9),
        private_kib,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// About a megabyte of whole lines: of 20 bytes, or of 100 to 200.
fn lines(long: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let mut number = 1_u32;
    while text.len() < 1_000_000 {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = if long { 99 + number as usize % 101 } else { 19 };
        let line = format!("{number:010} request served in ax ms ");
        text.extend(line.bytes().cycle().take(length));
        text.push(b'\n');
    }
    text
}

fn floods(bytes: usize, rounds: usize, folder: &Path) {
    println!("| lines | job | rotate | logger | MB/s | of cat | CPU s/GB | private dirty KiB |");
    println!("|---|---|---|---|---|---|---|---|");
    for (kind, input, bytes) in [
        ("150 bytes", lines(true), bytes),
        ("20 bytes", lines(false), bytes / 4),
    ] {
        for job in JOBS {
            let mut all: Vec<Vec<Figures>> = LOGGERS.iter().map(|_| Vec::new()).collect();
            for _ in 0..rounds {
                for (logger, figures) in LOGGERS.iter().zip(&mut all) {
                    figures.extend(measure(logger, *job, &input, bytes, folder));
                }
            }
            let rate = |figures: &[Figures]| median(figures.iter().map(|one| one.rate).collect());
            let cat = all.last().map_or(1.0, |figures| rate(figures));
            for (logger, figures) in LOGGERS.iter().zip(&all) {
                if figures.is_empty() {
                    continue;
                }
                let cpu = median(figures.iter().map(|one| one.cpu_per_gb).collect());
                let memory = median(figures.iter().map(|one| one.private_kib).collect());
                let (mbs, name, size) = (rate(figures), job.name, job.size);
                println!(
                    "| {kind} | {name} | {size} | {logger} | {mbs:.0} | {:.2} | {cpu:.2} | {memory:.0} |",
                    mbs / cat
                );
            }
        }
    }
}

/// Memory of an idle logger with one directory, that has written one line: the mean of several, since
/// they share the pages of their program.
fn idle(folder: &Path) {
    const COUNT: usize = 20;
    println!("\n| idle | PSS KiB | private dirty KiB |\n|---|---|---|");
    let job = JOBS[0];
    for logger in &LOGGERS[..4] {
        let mut children = Vec::new();
        for number in 0..COUNT {
            let dir = folder.join(format!("idle{number}"));
            drop(fs::remove_dir_all(&dir));
            fs::create_dir(&dir).unwrap();
            let Some(mut command) = command(logger, job, &dir) else {
                break;
            };
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
            while fs::metadata(dir.join("current")).map_or(0, |file| file.len()) == 0 {
                // multilog writes when it reads again: at once.
                sleep(Duration::from_millis(1));
            }
            children.push(child);
        }
        let mean = |field: &str| {
            children
                .iter()
                .map(|child| memory_kib(child, field))
                .sum::<f64>()
                / COUNT as f64
        };
        if !children.is_empty() {
            let (pss, private) = (mean("Pss:"), mean("Private_Dirty:"));
            println!("| {logger} | {pss:.0} | {private:.0} |");
        }
        for mut child in children {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}

/// System calls for each line of a trickle of one line a millisecond.
fn trickles(folder: &Path) {
    const LINES: usize = 500;
    println!("\n| trickle | system calls a line |\n|---|---|");
    let job = Job {
        name: "-t",
        stamp: "-t",
        patterns: false,
        size: 1_000_000,
    };
    for logger in &LOGGERS[..4] {
        let dir = folder.join("log");
        drop(fs::remove_dir_all(&dir));
        fs::create_dir(&dir).unwrap();
        let Some(plain) = command(logger, job, &dir) else {
            continue;
        };
        let trace = folder.join("trace");
        let mut command = Command::new("strace");
        command
            .arg("-f")
            .arg("-o")
            .arg(&trace)
            .arg(plain.get_program())
            .args(plain.get_args());
        let Ok(mut child) = command.stdin(Stdio::piped()).spawn() else {
            println!("strace is missing");
            return;
        };
        let mut stdin = child.stdin.take().unwrap();
        sleep(Duration::from_millis(500));
        for number in 0..LINES {
            stdin
                .write_all(format!("line {number}\n").as_bytes())
                .unwrap();
            sleep(Duration::from_millis(1));
        }
        drop(stdin);
        child.wait().unwrap();
        let text = fs::read_to_string(&trace).unwrap();
        let calls = text
            .lines()
            .skip_while(|line| !line.contains("\"line 0"))
            .count();
        println!("| {logger} | {:.2} |", calls as f64 / LINES as f64);
    }
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let bytes = numbers.next().unwrap_or(256) << 20;
    let rounds = numbers.next().unwrap_or(3);
    let folder = tempfile::tempdir().unwrap();
    for logger in ["svlogd", "multilog", "s6-log"] {
        if !Path::new("/usr/bin").join(logger).exists() {
            println!("{logger} is missing and left out");
        }
    }
    floods(bytes, rounds, folder.path());
    idle(folder.path());
    trickles(folder.path());
}
