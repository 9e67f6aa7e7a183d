//! A storm of SIGKILLs: services that write numbered lines to their logs and can be only once, a killer
//! of everything but them, and the account afterwards. Run by tests/chaos.rs and benches/chaos.rs.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Writes a numbered line as often as it can without filling two processors; a second instance, which
/// cannot have the lock, leaves a mark. At TERM it tells the number of its last line.
const RUN: &str = r"#!/usr/bin/perl
use Fcntl ':flock';
open(my $lock, '>>', 'one') or die;
unless (flock($lock, LOCK_EX | LOCK_NB)) { open(my $mark, '>>', 'doubled'); exit 1 }
open(my $starts, '>>', 'starts') or die;
syswrite($starts, qq($$\n));
my ($n, $stop) = (0, 0);
$SIG{TERM} = sub { $stop = 1 };
until ($stop) { $n++; syswrite(STDOUT, qq($n\n)); select(undef, undef, undef, 0.003) }
open(my $last, '>', 'last.new') or die;
print $last $n;
close($last);
rename('last.new', 'last');
";

/// How long a thing that is sure to come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the built programs are.
pub struct Programs {
    pub folder: PathBuf,
}

/// What a storm has done.
#[derive(Debug, Default)]
pub struct Account {
    pub kills: usize,
    pub logger_kills: usize,
    pub lines: u64,
    /// Lines that left a service and are in no log: what a svlogd had read when it was killed.
    pub lost: u64,
    /// How many gaps they make.
    pub gaps: usize,
}

/// A scan directory with logged services, and svscan on it.
pub struct Storm {
    dir: tempfile::TempDir,
    names: Vec<String>,
    programs: Programs,
    scanner: Option<std::process::Child>,
    random: u64,
}

impl Storm {
    /// So many services, up and writing.
    pub fn new(programs: Programs, services: usize, seed: u64) -> Self {
        // What a killed svscan leaves behind comes to us, and is reaped by us.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        let dir = tempfile::Builder::new()
            .prefix("servicedir-chaos-")
            .tempdir()
            .unwrap();
        fs::create_dir(dir.path().join("scan")).unwrap();
        let names: Vec<String> = (0..services)
            .map(|number| format!("w{number:02}"))
            .collect();
        let mut storm = Self {
            dir,
            names,
            programs,
            scanner: None,
            random: seed | 1,
        };
        for name in &storm.names {
            storm.make(name);
        }
        storm.scan();
        for name in storm.names.clone() {
            storm.until(&format!("{name} to write"), |storm| {
                !storm.read(&name, "log/main/current").is_empty()
            });
        }
        storm
    }

    fn make(&self, name: &str) {
        let service = self.dir.path().join("sv").join(name);
        fs::create_dir_all(service.join("log/main")).unwrap();
        script(&service.join("run"), RUN);
        script(&service.join("log/run"), "#!/bin/sh\nexec svlogd ./main\n");
        // Nothing is deleted, and a rotation now and then is part of the storm.
        fs::write(service.join("log/main/config"), "s20000\nn0\n").unwrap();
        symlink(&service, self.dir.path().join("scan").join(name)).unwrap();
    }

    fn scan(&mut self) {
        let path = format!(
            "{}:/usr/sbin:/usr/bin:/sbin:/bin",
            self.programs.folder.display()
        );
        let child = Command::new(self.programs.folder.join("svscan"))
            .arg(self.dir.path().join("scan"))
            .env("PATH", path)
            .stdin(Stdio::null())
            .stderr(
                fs::File::options()
                    .create(true)
                    .append(true)
                    .open(self.dir.path().join("stderr"))
                    .unwrap(),
            )
            .current_dir(self.dir.path())
            .spawn();
        self.scanner = Some(child.unwrap());
    }

    /// Kills at random for that long, and starts svscan again whenever it is gone.
    pub fn rage(&mut self, time: Duration) -> Account {
        let mut account = Account::default();
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.reap();
            if self.scanner.is_none() {
                self.scan();
            }
            let suite = self.suite();
            if let Some((pid, comm)) = suite.get(self.below(suite.len().max(1))) {
                account.kills += 1;
                account.logger_kills += usize::from(comm == "svlogd");
                self.kill(*pid);
            }
            let millis = self.below(40);
            pause(Duration::from_millis(u64::try_from(millis).unwrap()));
        }
        account
    }

    /// Waits for calm, stops the services one way or the other, and compares the logs with what was
    /// written.
    pub fn settle(&mut self, account: &mut Account) {
        self.reap();
        if self.scanner.is_none() {
            self.scan();
        }
        for name in self.names.clone() {
            self.until(&format!("the supervises of {name}"), |storm| {
                ["", "/log"].iter().all(|log| {
                    storm
                        .run("svok", &[&format!("{name}{log}")])
                        .status
                        .success()
                })
            });
            let pid = self.read(&name, "starts");
            assert_eq!(pid.lines().count(), 1, "{name} was started again: {pid:?}");
            let up = format!("{name}: up (pid {}) ", pid.trim());
            self.until(&format!("svstat to know {up:?}"), |storm| {
                String::from_utf8_lossy(&storm.run("svstat", &[&name]).stdout).starts_with(&up)
            });
            assert!(
                !self.service(&name).join("doubled").exists(),
                "a second {name} was started"
            );
        }
        self.check_descriptors();
        let mut arguments = vec!["-d", "-w", "-T", "60s"];
        arguments.extend(self.names.iter().map(String::as_str));
        let stopped = self.run("svc", &arguments);
        assert!(
            stopped.status.success(),
            "{}",
            String::from_utf8_lossy(&stopped.stderr)
        );
        for name in self.names.clone() {
            let last: u64 = self.read(&name, "last").parse().unwrap();
            self.until(&format!("the last line of {name} in its log"), |storm| {
                storm.numbers(&name).last() == Some(&last)
            });
            self.compare(&name, last, account);
        }
        assert!(
            account.gaps <= account.logger_kills,
            "more gaps than killed loggers: {account:?}"
        );
    }

    fn compare(&self, name: &str, last: u64, account: &mut Account) {
        let mut before = 0;
        for number in self.numbers(name) {
            assert!(number > before, "{name}: line {number} after line {before}");
            account.gaps += usize::from(number > before + 1);
            account.lost += number - before - 1;
            before = number;
        }
        account.lines += last;
    }

    /// All that is in the log, oldest first.
    fn numbers(&self, name: &str) -> Vec<u64> {
        let folder = self.service(name).join("log/main");
        let entries = fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"))
            })
            .collect();
        files.sort();
        files.push(folder.join("current"));
        let texts = files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap_or_default());
        let lines: Vec<String> = texts
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines
            .iter()
            .map(|line| line.parse().unwrap_or_else(|_| panic!("{name}: {line:?}")))
            .collect()
    }

    /// A supervise that has adopted its service holds a few descriptors, however many came before it.
    fn check_descriptors(&self) {
        for (pid, comm) in self.suite() {
            let count = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
            let most = if comm == "svscan" {
                30 + 5 * self.names.len()
            } else {
                30
            };
            assert!(count <= most, "{comm} {pid} has {count} descriptors open");
        }
    }

    /// Ends svscan in order: nothing may be left.
    pub fn end(mut self) {
        let scanner = self.scanner.take().unwrap();
        let pid = i32::try_from(scanner.id()).unwrap();
        let scanner_pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(scanner_pid, rustix::process::Signal::TERM).unwrap();
        let mut scanner = Some(scanner);
        self.until("svscan to end", |_| {
            scanner
                .as_mut()
                .is_some_and(|child| child.try_wait().unwrap().is_some())
        });
        self.until("every process to be gone", |storm| {
            storm.reap();
            storm.processes().is_empty()
        });
    }

    fn service(&self, name: &str) -> PathBuf {
        self.dir.path().join("sv").join(name)
    }

    fn read(&self, name: &str, file: &str) -> String {
        fs::read_to_string(self.service(name).join(file)).unwrap_or_default()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let scan = self.dir.path().join("scan");
        Command::new(self.programs.folder.join(program))
            .args(arguments)
            .current_dir(scan)
            .output()
            .unwrap()
    }

    /// The processes of the suite, by name.
    fn suite(&self) -> Vec<(i32, String)> {
        let suite: HashSet<&str> = ["svscan", "supervise", "svlogd"].into();
        let processes = self.processes().into_iter();
        processes
            .filter(|(_, comm)| suite.contains(comm.as_str()))
            .collect()
    }

    /// All processes that work below the scene's folder, zombies included in none.
    fn processes(&self) -> Vec<(i32, String)> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| self.is_ours(*pid))
            // A child that is not yet what it is to be is called as its parent is: its command line
            // is the same too, and to kill it is part of the storm.
            .map(|pid: i32| {
                (
                    pid,
                    fs::read_to_string(format!("/proc/{pid}/comm"))
                        .unwrap_or_default()
                        .trim()
                        .to_owned(),
                )
            })
            .collect()
    }

    /// Kills a process of ours, and none that has got its pid meanwhile.
    fn kill(&self, pid: i32) {
        let process = rustix::process::Pid::from_raw(pid).and_then(|pid| {
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
        });
        if let Some(process) = process.filter(|_| self.is_ours(pid)) {
            rustix::process::pidfd_send_signal(process, rustix::process::Signal::KILL).ok();
        }
    }

    fn is_ours(&self, pid: i32) -> bool {
        fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(self.dir.path()))
    }

    fn reap(&mut self) {
        if let Some(scanner) = &mut self.scanner
            && scanner.try_wait().unwrap().is_some()
        {
            self.scanner = None;
        }
        // Orphans of a killed svscan; the scanner itself was looked at before.
        let scanner = self.scanner.as_ref().map(std::process::Child::id);
        let stat = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let own = std::process::id().to_string();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let line = stat(pid);
            let mut fields = line
                .rsplit_once(") ")
                .map(|(_, rest)| rest.split(' '))
                .into_iter()
                .flatten();
            let zombie_of_ours = fields.next() == Some("Z") && fields.next() == Some(own.as_str());
            if zombie_of_ours && scanner != u32::try_from(pid).ok() {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
            }
        }
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            if Instant::now() > deadline {
                let said = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(10).collect();
                panic!("{what}: not in {PATIENCE:?}; last said: {tail:#?}");
            }
            self.reap();
            pause(Duration::from_millis(10));
        }
    }

    /// xorshift64 (Marsaglia): any numbers will do, as long as a seed gives the same again.
    fn below(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 16).unwrap() % limit
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        if let Some(mut scanner) = self.scanner.take() {
            scanner.kill().ok();
            scanner.wait().ok();
        }
        let end = Instant::now() + PATIENCE;
        while !self.processes().is_empty() && Instant::now() < end {
            self.processes().iter().for_each(|(pid, _)| self.kill(*pid));
            self.reap();
            pause(Duration::from_millis(5));
        }
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pace of the storm, and the step of a wait for a condition"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
