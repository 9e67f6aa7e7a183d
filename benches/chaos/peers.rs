//! What a SIGKILL of its supervisor does to a running service, suite by suite.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::chaos::WRITER;
use crate::support::scanning::Scanning;
use crate::support::{Running, alive, kill, program, until};

/// How long a suite has to put things right, or to make them worse.
const AFTERMATH: Duration = Duration::from_secs(8);

/// A suite on its feet, with one service `s` and its log.
struct Suite {
    name: &'static str,
    /// What is killed.
    supervisor: &'static str,
    scanner: PathBuf,
    /// What comes before the scan directory.
    arguments: &'static [&'static str],
    /// What stops the service, before its directory.
    stop: (PathBuf, &'static [&'static str]),
}

fn suites() -> [Suite; 4] {
    let debian = |name: &str| Path::new("/usr/bin").join(name);
    [
        Suite {
            name: "servicedir",
            supervisor: "supervise",
            scanner: program("svscan").to_owned(),
            arguments: &[],
            stop: (program("svc").to_owned(), &["-d"]),
        },
        Suite {
            name: "daemontools",
            supervisor: "supervise",
            scanner: debian("svscan"),
            arguments: &[],
            stop: (debian("svc"), &["-d"]),
        },
        Suite {
            name: "runit",
            supervisor: "runsv",
            scanner: debian("runsvdir"),
            arguments: &[],
            stop: (debian("sv"), &["-w", "5", "down"]),
        },
        Suite {
            name: "s6",
            supervisor: "s6-supervise",
            scanner: debian("s6-svscan"),
            arguments: &[],
            stop: (debian("s6-svc"), &["-d"]),
        },
    ]
}

/// Prints the table.
pub(crate) fn table() {
    println!(
        "| suite | killed | service lives on | second instance started | its log goes on | a stop reaches it |"
    );
    println!("|---|---|---|---|---|---|");
    for suite in suites() {
        if suite.scanner.exists() {
            row(suite.name, suite.supervisor, &measure(&suite));
        } else {
            println!("| {} | not installed | | | | |", suite.name);
        }
    }
    row(
        "Supervisor",
        "supervisord, started again",
        &measure_supervisord(),
    );
}

fn row(name: &str, killed: &str, found: &[String; 4]) {
    println!("| {name} | `{killed}` | {} |", found.join(" | "));
}

fn scene() -> Scanning {
    let scan = Scanning::new();
    let run = scan.scratch.script("sv/s/run", "");
    fs::write(run, WRITER).unwrap();
    scan.scratch.file("sv/s/pace", "20");
    scan.scratch.script("sv/s/log/run", "exec cat >>out");
    scan
}

fn first_pid(scan: &Scanning) -> i32 {
    until("a start, and a line in the log", || {
        scan.scratch.read("sv/s/starts").contains('\n')
            && scan.scratch.read("sv/s/log/out").contains('\n')
    });
    scan.scratch.read("sv/s/starts").trim().parse().unwrap()
}

fn measure(suite: &Suite) -> [String; 4] {
    let scan = scene();
    scan.link("s");
    let mut command = Command::new(&suite.scanner);
    command.args(suite.arguments).arg(scan.scan_dir());
    scan.prepare(&mut command);
    let scanner = Running::start(&mut command);
    let pid = first_pid(&scan);
    kill(parent_of(pid), libc::SIGKILL);
    let found = aftermath(&scan, pid, || {
        Command::new(&suite.stop.0)
            .args(suite.stop.1)
            .arg(scan.dir("s"))
            .stdout(File::create(scan.scratch.path().join("client")).unwrap())
            .status()
            .ok();
    });
    scanner.signal(libc::SIGKILL);
    found
}

fn measure_supervisord() -> [String; 4] {
    let scan = scene();
    let (dir, folder) = (scan.dir("s"), scan.scratch.path().to_owned());
    let text = format!(
        "[unix_http_server]\nfile={0}/sock\n[supervisord]\nlogfile={0}/log\npidfile={0}/pid\nnodaemon=true\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{0}/sock\n\
         [program:s]\ndirectory={1}\ncommand={1}/run\nstartsecs=0\nredirect_stderr=true\nstdout_logfile={1}/log/out\n",
        folder.display(),
        dir.display()
    );
    let conf = scan.scratch.file("conf", text);
    let start = || {
        let mut command = Command::new("supervisord");
        command.arg("-n").arg("-c").arg(&conf);
        scan.prepare(&mut command);
        Running::start(&mut command)
    };
    let supervisord = start();
    let pid = first_pid(&scan);
    kill(parent_of(pid), libc::SIGKILL);
    drop(supervisord);
    let again = start();
    let found = aftermath(&scan, pid, || {
        let mut stop = Command::new("supervisorctl");
        stop.arg("-c").arg(&conf).args(["stop", "s"]);
        stop.stdout(File::create(folder.join("client")).unwrap());
        stop.status().ok();
    });
    drop(again);
    found
}

/// What is seen when the suite has had its time, and what a stop does then.
fn aftermath(scan: &Scanning, pid: i32, stop: impl FnOnce()) -> [String; 4] {
    let lines = || scan.scratch.read("sv/s/log/out").lines().count();
    let read = |name: &str| scan.scratch.read(name).lines().count();
    sleep(AFTERMATH / 2);
    let before = lines();
    sleep(AFTERMATH / 2);
    let lives = alive(pid);
    let logged = lines() > before && lives;
    let seconds = read("sv/s/second") + read("sv/s/starts") - 1;
    let second = match seconds {
        0 => "no".to_owned(),
        many => format!("**yes**, {many} in {} s", AFTERMATH.as_secs()),
    };
    stop();
    let deadline = Instant::now() + AFTERMATH;
    while alive(pid) && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
    let stopped = lives && !alive(pid);
    let word = |yes: bool| if yes { "yes" } else { "**no**" }.to_owned();
    [word(lives), second, word(logged), word(stopped)]
}

fn parent_of(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}
