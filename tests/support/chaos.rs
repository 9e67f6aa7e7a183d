//! A storm of SIGKILLs over a whole suite at work, and what must be left when it is over.
//!
//! Each service holds a lock, and writes numbered lines to a svlogd. The process that raises the storm
//! is the subreaper of all of it: what is orphaned comes to it, and nothing else may reap here.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};
use servicedir::kin;

use crate::support::scanning::Scanning;
use crate::support::{alive, eventually, output, program, stdout, until};

/// The service: a line of eleven bytes as often as the machine bears it, and a mark for all that must
/// not happen. `select` gives way for the time in milliseconds that stands in `pace`.
pub const WRITER: &str = r#"#!/usr/bin/perl
use strict; use warnings; use Fcntl ':flock';
sub mark { open(my $file, '>>', $_[0]); syswrite $file, "$_[1]\n"; }
open(my $lock, '>>', 'alone');
flock($lock, LOCK_EX | LOCK_NB) or do { mark('second', $$); select(undef, undef, undef, 0.2); exit 1; };
my ($number, $stop) = (0, 0);
$SIG{TERM} = sub { $stop = 1 };
$SIG{PIPE} = sub { mark('faults', 'nobody reads the pipe') };
open(my $file, '<', 'pace'); my $pace = <$file> / 1000;
mark('starts', $$);
until ($stop) {
    $number++;
    my $done = syswrite STDOUT, sprintf("%010d\n", $number);
    if (!defined $done && $!{EINTR}) { $number--; next; }
    mark('faults', "wrote " . ($done // $!)) if ($done // 0) != 11;
    select(undef, undef, undef, $pace);
}
mark('last', $number);
"#;
/// How long a line of it is, in bytes.
const LINE: usize = 11;
/// What a svlogd holds in memory at most: one read, of a whole pipe.
const ONE_READ: usize = 64 * 1024 / LINE + 1;

/// What a storm is made of.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long it lasts.
    pub time: Duration,
    /// How many services there are.
    pub services: usize,
    /// The longest time between two kills.
    pub gap: Duration,
    /// What the kills are chosen by.
    pub seed: u64,
    /// How long a service waits after each line, in milliseconds.
    pub pace: u32,
    /// The kills begin with the first svscan, before anything is up.
    pub early: bool,
}

/// What was done and what was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Toll {
    /// Kills of svscan, of supervises of services, of supervises of logs, and of svlogds.
    pub svscan: usize,
    pub supervise: usize,
    pub log_supervise: usize,
    pub svlogd: usize,
    /// Lines that left the services, and that never came to a log.
    pub written: usize,
    pub lost: usize,
    /// The most that went in one place.
    pub largest_loss: usize,
}

impl Toll {
    pub fn kills(&self) -> usize {
        self.svscan + self.supervise + self.log_supervise + self.svlogd
    }
}

/// A generator of numbers that anyone can repeat (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from((value ^ (value >> 31)) % limit).unwrap()
    }
}

/// A kind of process of the suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Svscan,
    Supervise,
    LogSupervise,
    Svlogd,
}

/// A suite at work, and the process that started it.
pub struct Storm {
    scan: Scanning,
    names: Vec<String>,
    svscan: Option<i32>,
    /// Children that have ended, and how.
    ended: BTreeMap<i32, WaitStatus>,
    /// How many svlogds of each service were killed.
    loggers_killed: Vec<usize>,
    /// Who was killed, and may not have ended yet.
    dying: Vec<OwnedFd>,
    toll: Toll,
}

/// Descriptors that are not pidfds, by process.
type Descriptors = BTreeMap<String, usize>;

/// Raises a storm and returns its toll; what must hold and does not is a panic.
pub fn storm(weather: Weather) -> Toll {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mut storm = Storm::prepare(weather);
    storm.start_svscan();
    if weather.early {
        storm.rage(weather);
    }
    storm.settle();
    let pids = storm.only_pids();
    if !weather.early {
        let before = storm.descriptors();
        storm.rage(weather);
        storm.settle();
        assert_eq!(storm.only_pids(), pids, "{}", storm.said());
        storm.no_descriptor_is_left(&before);
    }
    storm.svstat_is_right(&pids);
    storm.stop_services();
    storm.stop_svscan();
    storm.count_lines();
    storm.toll
}

impl Storm {
    fn prepare(weather: Weather) -> Self {
        let scan = Scanning::new();
        let names: Vec<String> = (0..weather.services).map(|at| format!("s{at}")).collect();
        for name in &names {
            let run = scan.scratch.script(&format!("sv/{name}/run"), "");
            fs::write(run, WRITER).unwrap();
            let file = |path: &str, text: String| {
                scan.scratch.file(&format!("sv/{name}/{path}"), text);
            };
            file("pace", weather.pace.to_string());
            file("log/main/config", "s100000\nn0\n".to_owned());
            let logger = format!("exec {} ./main", program("svlogd").display());
            scan.scratch.script(&format!("sv/{name}/log/run"), &logger);
            scan.link(name);
        }
        Self {
            scan,
            loggers_killed: vec![0; names.len()],
            dying: Vec::new(),
            names,
            svscan: None,
            ended: BTreeMap::new(),
            toll: Toll::default(),
        }
    }

    /// What was said but for the kills themselves, and who is there.
    fn said(&self) -> String {
        let said = self.scan.stderr();
        let said = said
            .lines()
            .filter(|line| !line.contains("killed by SIGKILL"));
        let said: Vec<&str> = said.collect();
        let there = self.scan.processes().into_iter().map(|pid| {
            let of =
                |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = of("cmdline").replace('\0', " ");
            format!("{pid} {line}in {} ({})", of("wchan"), of("syscall").trim())
        });
        let there: Vec<String> = there.collect();
        let tail = &said[said.len().saturating_sub(50)..];
        format!(
            "svscan {:?}\n{}\n{}",
            self.svscan,
            tail.join("\n"),
            there.join("\n")
        )
    }

    /// Starts a process that is reaped with all others.
    fn spawn(&mut self, command: &mut Command) -> i32 {
        let pid = i32::try_from(command.spawn().unwrap().id()).unwrap();
        // What had this pid before is not what ended.
        self.ended.remove(&pid);
        pid
    }

    fn start_svscan(&mut self) {
        let mut command = self.scan.command(&[]);
        self.svscan = Some(self.spawn(&mut command));
    }

    /// Reaps whoever has ended; false: there is no child any more.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get();
                    if self.svscan == Some(pid) {
                        self.svscan = None;
                    }
                    self.ended.insert(pid, status);
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Runs a command to its end, reaping what ends meanwhile; returns its exit code.
    fn run(&mut self, command: &mut Command) -> Option<i32> {
        let pid = self.spawn(command);
        until("the end of a command", || {
            self.reap();
            self.ended.contains_key(&pid)
        });
        self.ended[&pid].exit_status()
    }

    fn units(&self) -> impl Iterator<Item = String> + '_ {
        self.names
            .iter()
            .flat_map(|name| [name.clone(), format!("{name}/log")])
    }

    /// Waits until everything is up, and has a supervise.
    fn settle(&mut self) {
        let units: Vec<String> = self.units().collect();
        for unit in units {
            eventually(&format!("{unit} is up"), || {
                self.reap();
                // The last kill may have been that of svscan, and may show only now.
                if self.svscan.is_none() {
                    self.start_svscan();
                }
                let supervised = self.scan.supervise(&unit).is_some_and(|pid| {
                    fs::read_to_string(format!("/proc/{pid}/comm"))
                        .is_ok_and(|name| name == "supervise\n")
                });
                match self.scan.pid(&unit) {
                    Some(_) if supervised => Ok(()),
                    pid => Err((pid, supervised, self.said())),
                }
            });
        }
        // Whoever has just been started has read its state by then, and whoever comes second is gone.
        for at in 0..self.names.len() {
            let starts = format!("sv/s{at}/starts");
            until("its start", || {
                self.scan.scratch.read(&starts).contains('\n')
            });
            self.log_grows(at);
        }
    }

    fn only_pids(&self) -> Vec<i32> {
        (0..self.names.len()).map(|at| self.only_pid(at)).collect()
    }

    /// The service was started once, and lives.
    fn only_pid(&self, at: usize) -> i32 {
        let read = |file: &str| self.scan.scratch.read(&format!("sv/s{at}/{file}"));
        assert_eq!(read("second"), "", "s{at}: {}", self.said());
        assert_eq!(read("faults"), "", "s{at}: {}", self.said());
        let pid: i32 = read("starts").trim().parse().unwrap();
        assert!(alive(pid), "s{at}: {}", self.said());
        pid
    }

    fn log_grows(&mut self, at: usize) {
        let size = |storm: &Self| {
            let current = storm.scan.dir(&format!("s{at}/log/main/current"));
            fs::metadata(current).map_or(0, |file| file.len())
        };
        let first = size(self);
        eventually(&format!("the log of s{at} goes on"), || {
            self.reap();
            let now = size(self);
            if now == first {
                Err((first, self.said()))
            } else {
                Ok(())
            }
        });
    }

    /// Kills, until the time is over.
    fn rage(&mut self, weather: Weather) {
        let mut dice = Dice(weather.seed);
        let end = Instant::now() + weather.time;
        let most = usize::try_from(weather.gap.as_micros()).unwrap();
        let mut calm = None;
        while Instant::now() < end {
            match dice.below(100) {
                0..8 => self.kill(Kind::Svscan, 0),
                8..10 => {
                    self.kill(Kind::Svscan, 0);
                    let at = dice.below(self.names.len());
                    for kind in [Kind::Supervise, Kind::LogSupervise, Kind::Svlogd] {
                        self.kill(kind, at);
                    }
                }
                10..40 => self.kill(Kind::Supervise, dice.below(weather.services)),
                40..70 => self.kill(Kind::LogSupervise, dice.below(weather.services)),
                _ => self.kill(Kind::Svlogd, dice.below(weather.services)),
            }
            pause(Duration::from_micros(dice.below(most).try_into().unwrap()));
            self.reap();
            if self.svscan.is_none() {
                let now = Instant::now();
                // Sometimes at once, sometimes when more has died.
                let wait = Duration::from_millis([0, 0, 20, 200][dice.below(4)]);
                if *calm.get_or_insert(now + wait) <= now {
                    self.start_svscan();
                    calm = None;
                }
            }
        }
        // Whoever is still dying would be taken for one that is up.
        let dying = std::mem::take(&mut self.dying);
        until("the end of all that was killed", || {
            self.reap();
            dying.iter().all(kin::has_ended)
        });
    }

    fn kill(&mut self, kind: Kind, at: usize) {
        let name = &self.names[at];
        let log = format!("{name}/log");
        let pid = match kind {
            Kind::Svscan => self.svscan,
            Kind::Supervise => self.scan.supervise(name),
            Kind::LogSupervise => self.scan.supervise(&log),
            Kind::Svlogd => self.scan.pid(&log),
        };
        let Some(pid) = pid else { return };
        // The pidfd first: what is then looked at is what is killed.
        let pid = Pid::from_raw(pid).unwrap();
        let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if kind != Kind::Svscan && !works_in(pid, self.scan.scratch.path()) {
            return;
        }
        if rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).is_err() {
            return;
        }
        self.dying.retain(|pidfd| !kin::has_ended(pidfd));
        self.dying.push(pidfd);
        match kind {
            Kind::Svscan => self.toll.svscan += 1,
            Kind::Supervise => self.toll.supervise += 1,
            Kind::LogSupervise => self.toll.log_supervise += 1,
            Kind::Svlogd => {
                self.toll.svlogd += 1;
                self.loggers_killed[at] += 1;
            }
        }
    }

    /// svstat names the process that runs, for services and logs.
    fn svstat_is_right(&mut self, pids: &[i32]) {
        let units: Vec<String> = self.units().collect();
        let dirs: Vec<PathBuf> = units.iter().map(|unit| self.scan.dir(unit)).collect();
        let seen = stdout(&output(program("svstat"), &dirs));
        assert_eq!(seen.lines().count(), units.len(), "{seen}");
        for ((line, unit), dir) in seen.lines().zip(&units).zip(&dirs) {
            let head = format!("{}: up (pid ", dir.display());
            let (pid, rest) = line.strip_prefix(&head).unwrap().split_once(") ").unwrap();
            let pid: i32 = pid.parse().unwrap();
            assert!(rest.ends_with(" seconds"), "{line}");
            assert!(alive(pid), "{line}");
            if let Some(at) = self.names.iter().position(|name| name == unit) {
                assert_eq!(pid, pids[at], "{line}");
            }
        }
    }

    fn descriptors(&self) -> Descriptors {
        let svscan = ("svscan".to_owned(), descriptors_of(self.svscan.unwrap()));
        let supervises = self.units().map(|unit| {
            let pid = self.scan.supervise(&unit).unwrap();
            (unit, descriptors_of(pid))
        });
        let all = supervises.chain([svscan]);
        all.map(|(unit, (others, pidfds))| {
            let most = if unit == "svscan" {
                2 * self.names.len()
            } else {
                1
            };
            assert!(pidfds <= most, "{unit}: {pidfds} pidfds");
            (unit, others)
        })
        .collect()
    }

    fn no_descriptor_is_left(&mut self, before: &Descriptors) {
        eventually("no leaked descriptor", || {
            let now = self.descriptors();
            let more: Vec<_> = now
                .iter()
                .filter(|(unit, count)| before[*unit] != **count)
                .map(|(unit, count)| (unit.clone(), before[unit], *count))
                .collect();
            if more.is_empty() { Ok(()) } else { Err(more) }
        });
    }

    fn stop_services(&mut self) {
        let mut svc = Command::new(program("svc"));
        svc.args(["-d", "-w", "-T", "60s"]);
        svc.args(self.names.iter().map(|name| self.scan.dir(name)));
        assert_eq!(self.run(&mut svc), Some(0), "{}", self.said());
        for name in &self.names {
            assert_eq!(self.scan.pid(name), None, "{name}");
        }
    }

    fn stop_svscan(&mut self) {
        let svscan = self.svscan.unwrap();
        crate::support::kill(svscan, libc::SIGTERM);
        // What was orphaned while there was no svscan is this process's child.
        until("the last child is gone", || !self.reap());
        assert_eq!(
            self.ended[&svscan].exit_status(),
            Some(0),
            "{}",
            self.said()
        );
        assert_eq!(self.scan.processes(), []);
        let said = self.scan.stderr();
        assert!(!said.contains("svscan: fatal"), "{}", self.said());
    }

    /// Every line that left a service is in its log once and in order, but for what one svlogd had
    /// read when it was killed: at most one read for each that was.
    fn count_lines(&mut self) {
        for (at, name) in self.names.iter().enumerate() {
            let last = self.scan.scratch.read(&format!("sv/{name}/last"));
            let last: usize = last.trim().parse().unwrap();
            let gaps = gaps(&log_of(&self.scan.dir(&format!("{name}/log/main"))), last);
            assert!(
                gaps.len() <= self.loggers_killed[at],
                "{name}: {gaps:?}, but {} svlogds were killed",
                self.loggers_killed[at]
            );
            let largest = gaps.iter().copied().max().unwrap_or(0);
            assert!(largest <= ONE_READ, "{name}: {gaps:?}");
            self.toll.written += last;
            self.toll.lost += gaps.iter().sum::<usize>();
            self.toll.largest_loss = self.toll.largest_loss.max(largest);
        }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        if let Some(svscan) = self.svscan {
            crate::support::kill(svscan, libc::SIGKILL);
        }
        self.reap();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time between two kills; nothing is waited for"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn works_in(pid: Pid, folder: &Path) -> bool {
    let folder = fs::canonicalize(folder).unwrap();
    let cwd = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
    cwd.is_ok_and(|cwd| cwd.starts_with(folder))
}

/// How many descriptors a process has: others, and pidfds (an adopted process has one, a child none).
fn descriptors_of(pid: i32) -> (usize, usize) {
    let links = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let links = links.flatten().map(|entry| fs::read_link(entry.path()));
    let (pidfds, others): (Vec<_>, Vec<_>) = links
        .flatten()
        .partition(|link| link.to_string_lossy().contains("[pidfd]"));
    (others.len(), pidfds.len())
}

/// All that a svlogd wrote, in its order: the labels of the old files' names sort by time.
fn log_of(dir: &Path) -> Vec<u8> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('@'))
        .collect();
    files.sort();
    files.push(dir.join("current"));
    files
        .iter()
        .flat_map(|path| fs::read(path).unwrap())
        .collect()
}

/// The lines that are missing between others, place by place, in a log of the lines 1 to `last`. A
/// line that was cut in two by a loss counts as lost; one that comes twice or too late is a panic.
pub fn gaps(log: &[u8], last: usize) -> Vec<usize> {
    let (mut gaps, mut due) = (Vec::new(), 1);
    let mut torn = Vec::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(line).unwrap();
        let number = text
            .strip_suffix('\n')
            .filter(|text| text.len() + 1 == LINE);
        let Some(number) = number.and_then(|text| text.parse::<usize>().ok()) else {
            torn.push(text.to_owned());
            continue;
        };
        assert!(number >= due, "{number} came where {due} was due: doubled");
        if number > due {
            gaps.push(number - due);
        }
        assert!(
            torn.is_empty() || number > due,
            "{torn:?} before {number}, and nothing lost"
        );
        torn.clear();
        due = number + 1;
    }
    assert!(
        due <= last + 1,
        "{due}: more than the {last} that were written"
    );
    if due <= last {
        gaps.push(last + 1 - due);
    }
    gaps
}
