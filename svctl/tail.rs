//! `tail`, `maintail`, `fg`, `clear`: the logs.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::Duration;

use servicedir::control;
use servicedir::layout::{CONTROL, Layout};
use servicedir::report::print_bytes;
use servicedir::status::State;
use servicedir::supervisor::fault::Code;
use servicedir::supervisor::logs::{self, Channel};
use servicedir::supervisor::names;
use servicedir::supervisor::process::{Process, ProcessState};
use servicedir::supervisor::scan;

use crate::controller::{Controller, eventually, exit};
use crate::follow::{self, End};

/// How much of a log is shown where nobody says, in bytes.
const SHOWN: i64 = 1600;

/// How long a logger may take to put its file aside.
const ROTATION: Duration = Duration::from_secs(5);

const CTRL_C: &str = "==> Press Ctrl-C to exit <==";

/// What stands behind the minus of a `-N` or `-f`.
enum Amount {
    Bytes(i64),
    Follow,
}

fn amount(modifier: &str) -> Option<Amount> {
    match modifier {
        "f" => Some(Amount::Follow),
        bytes => bytes.trim().parse().ok().map(Amount::Bytes),
    }
}

/// `tail [-N|-f] NAME [stdout|stderr]`.
pub(crate) fn tail(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    let mut words: Vec<&str> = arguments.split_whitespace().collect();
    match words.len() {
        0 => return controller.wrong("Error: too few arguments", "tail"),
        1..=3 => {}
        _ => return controller.wrong("Error: too many arguments", "tail"),
    }
    let modifier = words
        .first()
        .copied()
        .and_then(|word| word.strip_prefix('-'));
    if modifier.is_some() {
        words.remove(0);
    }
    let (name, channel) = match words.as_slice() {
        [name] => (*name, Some(Channel::Stdout)),
        [name, .., channel] => (*name, channel_of(channel)),
        [] => {
            controller.say("Error: tail requires process name");
            controller.exit = exit::GENERIC;
            return;
        }
    };
    let Some(channel) = channel else {
        let bad = words.last().copied().unwrap_or_default().to_lowercase();
        controller.say(&format!("Error: bad channel '{bad}'"));
        controller.exit = exit::GENERIC;
        return;
    };
    let amount = match modifier.map(amount) {
        None => Amount::Bytes(SHOWN),
        Some(Some(amount)) => amount,
        Some(None) => {
            let bad = modifier.unwrap_or_default();
            controller.say(&format!("Error: bad argument -{bad}"));
            controller.exit = exit::GENERIC;
            return;
        }
    };
    if matches!(amount, Amount::Follow) {
        controller.say(CTRL_C);
    }
    let Some(process) = controller.find(name) else {
        controller.say(&format!("{name}: ERROR (no such process name)"));
        controller.exit = exit::GENERIC;
        return;
    };
    let log = process_log(&process, channel);
    show(controller, name, log.as_deref(), &amount);
}

fn channel_of(word: &str) -> Option<Channel> {
    match word.to_lowercase().as_str() {
        "stdout" => Some(Channel::Stdout),
        "stderr" => Some(Channel::Stderr),
        _ => None,
    }
}

/// The log of a channel; none of stderr where that goes with stdout.
fn process_log(process: &Process, channel: Channel) -> Option<PathBuf> {
    let together =
        servicedir::options::read(&process.layout.dir).is_ok_and(|options| options.redirect_stderr);
    match channel {
        Channel::Stderr if together => None,
        Channel::Stderr | Channel::Stdout => logs::file(&process.layout, channel),
    }
}

fn show(controller: &mut Controller, name: &str, log: Option<&Path>, amount: &Amount) {
    let Some(log) = log else {
        controller.say(&format!("{name}: ERROR (no log file)"));
        controller.exit = exit::GENERIC;
        return;
    };
    match amount {
        Amount::Follow => {
            if follow::follow(&[log], None) == End::Interrupted {
                controller.say("");
            }
        }
        Amount::Bytes(bytes) => {
            let read = logs::read(log, |size| {
                let piece = logs::read_piece(size, bytes.saturating_neg(), 0);
                (piece.unwrap_or((0, 0)), ())
            });
            match read {
                Ok((mut text, ())) => {
                    text.push(b'\n');
                    print_bytes(&text).unwrap_or_default();
                }
                Err(_) => {
                    controller.say(&format!("{name}: ERROR (unknown error reading log)"));
                    controller.exit = exit::GENERIC;
                }
            }
        }
    }
}

/// `maintail [-N|-f]`: the log of svscan, where the scan directory has a `.log`.
pub(crate) fn main_log(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let wanted = match words.as_slice() {
        [] => Some(Amount::Bytes(SHOWN)),
        [word] => word.strip_prefix('-').and_then(amount),
        _ => return controller.wrong("Error: too many arguments", "maintail"),
    };
    let Some(wanted) = wanted else {
        let bad = words.first().copied().unwrap_or_default();
        controller.say(&format!("Error: bad argument {bad}"));
        controller.exit = exit::GENERIC;
        return;
    };
    if matches!(wanted, Amount::Follow) {
        controller.say(CTRL_C);
    }
    let log = logs::newest(&controller.scan.join(".log"));
    show(controller, "supervisord", log.as_deref(), &wanted);
}

/// `fg NAME`: both logs, and lines for the service's stdin where it has a FIFO of that name.
pub(crate) fn foreground(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let name = match words.as_slice() {
        [] => return controller.wrong("ERROR: no process name supplied", "fg"),
        [name] => name,
        _ => {
            controller.say("ERROR: too many process names supplied");
            controller.exit = exit::GENERIC;
            return;
        }
    };
    let Some(process) = controller.find(name) else {
        controller.say("ERROR: bad process name supplied");
        controller.exit = exit::GENERIC;
        return;
    };
    if process.look().state != ProcessState::Known(State::Running) {
        controller.say("ERROR: process not running");
        controller.exit = exit::GENERIC;
        return;
    }
    controller.say(CTRL_C);
    let logs: Vec<PathBuf> = [Channel::Stdout, Channel::Stderr]
        .into_iter()
        .filter_map(|channel| process_log(&process, channel))
        .collect();
    let logs: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
    while follow::follow(&logs, Some(&process)) == End::Line {
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        if let Err(fault) = send_line(&process, &line) {
            controller.say(&fault);
            break;
        }
    }
    if process.look().state != ProcessState::Known(State::Running) {
        controller.say("Process got killed");
    }
    controller.say("Exiting foreground");
}

/// Writes a line into the FIFO `stdin` of the service directory, which its `run` reads.
fn send_line(process: &Process, line: &str) -> Result<(), String> {
    let fifo = control::open_for_writing(&process.layout.dir.join("stdin"));
    let none = || format!("ERROR: <Fault 20: 'NO_FILE: {}'>", process.name);
    let fifo = fifo.map_err(|_| none())?;
    rustix::io::write(fifo, line.as_bytes()).map_err(|_| none())?;
    Ok(())
}

/// `clear NAME...|all`.
pub(crate) fn clear(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    let words: Vec<&str> = arguments.split_whitespace().collect();
    if words.is_empty() {
        return controller.wrong("Error: clear requires a process name", "clear");
    }
    if words.contains(&"all") {
        let mut all = controller.processes();
        scan::by_priority(&mut all);
        for process in all {
            let shown = process.namespec();
            clear_one(controller, &shown, Some(&process));
        }
        return;
    }
    for word in words {
        let spec = names::split(word);
        // supervisorctl shows a missing name as Python does.
        let shown = names::join(spec.group, spec.process.unwrap_or("None"));
        let process = controller.find(word);
        clear_one(controller, &shown, process.as_ref());
    }
}

fn clear_one(controller: &mut Controller, shown: &str, process: Option<&Process>) {
    let Some(process) = process else {
        controller.say(&format!("{shown}: ERROR (no such process)"));
        return controller.count(Code::BadName, None);
    };
    let cleared = [Channel::Stdout, Channel::Stderr]
        .into_iter()
        .all(|channel| clear_log(process, channel));
    if cleared {
        controller.say(&format!("{shown}: cleared"));
    } else {
        controller.say(&format!("{shown}: ERROR (failed)"));
        controller.count(Code::Failed, None);
    }
}

/// Has the logger put its file aside, and removes all that was put aside. The file that is written to is never
/// touched: another program's truncation would leave a hole, or half a line.
fn clear_log(process: &Process, channel: Channel) -> bool {
    let Some(logger) = logs::service(&process.layout, channel) else {
        return true;
    };
    let Some(current) = logs::newest(&logger) else {
        return true;
    };
    let size = || std::fs::metadata(&current).map_or(0, |meta| meta.len());
    if size() > 0 && !rotate(&logger, &current) {
        return false;
    }
    // svlogd brings an old file to the disk under one name, and gives it another one then.
    eventually(ROTATION, || {
        let old = logs::old_files(&current);
        for file in &old {
            std::fs::remove_file(file).unwrap_or_default();
        }
        old.is_empty()
    })
}

/// Sends ALRM to the logger, and waits for a new `current`; of a logger that is down, the file itself goes.
fn rotate(logger: &Path, current: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = || std::fs::metadata(current).map(|meta| meta.ino()).ok();
    let before = inode();
    let told = Layout::of(logger)
        .and_then(|layout| control::open_for_writing(&layout.state_file(CONTROL)))
        .is_ok_and(|fifo| rustix::io::write(fifo, b"a").is_ok());
    if told {
        eventually(ROTATION, || inode() != before)
    } else {
        std::fs::remove_file(current).is_ok()
    }
}
