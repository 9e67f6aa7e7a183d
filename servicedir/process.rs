//! Which process a pid means: the pid with its start time names one process of this boot for ever.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags};

/// A process, named so that a reused pid is not mistaken for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// The process id.
    pub pid: Pid,
    /// When it started: field 22 of `/proc/PID/stat`, in clock ticks since the boot (proc(5)) as the
    /// initial time namespace counts them. 0 if
    /// that could not be read; such an identity matches no process.
    pub start: u64,
}

impl Identity {
    /// The identity of the process that has this pid now.
    #[must_use]
    pub fn of(pid: Pid) -> Self {
        Self {
            pid,
            start: start_time(pid).unwrap_or(0),
        }
    }

    /// As [`Identity::of`], and says why where the start time cannot be read.
    ///
    /// # Errors
    /// `ENOENT`: there is no such process, or /proc is not mounted. Otherwise as open(2).
    pub fn read(pid: Pid) -> io::Result<Self> {
        start_time(pid).map(|start| Self { pid, start })
    }

    /// A descriptor of the process, if it still is the one that is meant; a zombie is.
    ///
    /// # Errors
    /// `ESRCH`: it is gone, or its pid belongs to another process now. Otherwise as pidfd_open(2)
    /// (Linux 5.3) and open(2): it may be there.
    pub fn open(self) -> rustix::io::Result<OwnedFd> {
        let descriptor = match rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) {
            // The number is that of another process's thread now (EINVAL before Linux 6.15).
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {
                return Err(rustix::io::Errno::SRCH);
            }
            opened => opened?,
        };
        // Only now is the start time asked for: if it is the right one, the process that existed
        // since then is the one that was opened.
        match start_time(self.pid) {
            Ok(start) if start == self.start && start != 0 => Ok(descriptor),
            Ok(_) => Err(rustix::io::Errno::SRCH),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(rustix::io::Errno::SRCH),
            // Not known to be gone: no descriptor is left to look, say.
            Err(error) => {
                Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::SRCH))
            }
        }
    }

    /// How long ago it started, by a clock that is never set; `None` where it does not live any more.
    #[must_use]
    pub fn age(self) -> Option<Duration> {
        let now = Instant::now();
        let lives = start_time(self.pid).is_ok_and(|start| start == self.start);
        lives.then(|| now.saturating_duration_since(self.started(now)))
    }

    /// When it started, on the monotonic clock, of which `now` is the time now.
    #[must_use]
    pub fn started(self, now: Instant) -> Instant {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let millis = self.start.saturating_mul(1000) / ticks;
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // The clock is that of this time namespace, and the start time is that of the initial one.
        let ahead = boot_time_offset().unwrap_or_default();
        let uptime = Duration::try_from(boot).unwrap_or_default();
        let uptime = if ahead < 0 {
            uptime.saturating_add(Duration::from_secs(ahead.unsigned_abs()))
        } else {
            uptime.saturating_sub(Duration::from_secs(ahead.unsigned_abs()))
        };
        now.checked_sub(uptime.saturating_sub(Duration::from_millis(millis)))
            .unwrap_or(now)
    }
}

impl Identity {
    /// The wait status of the process while it is a zombie: field 52 of `/proc/PID/stat`. `None` once
    /// it is reaped, without the right to know (the field is 0 then), and, since that looks the same,
    /// for exit code 0.
    #[must_use]
    pub fn zombie_status(self) -> Option<i32> {
        let mut buffer = [0; 1024];
        let stat = read_small(
            &format!("/proc/{}/stat", self.pid.as_raw_nonzero()),
            &mut buffer,
        )
        .ok()?;
        let is_this = start_in(stat).ok()? == Some(self.start) && field(stat, 3) == Some("Z");
        field(stat, 52)?
            .parse()
            .ok()
            .filter(|status| is_this && *status != 0)
    }
}

/// A process and where it belongs, as `/proc/PID/stat` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which process it is.
    pub identity: Identity,
    /// Its parent (field 4); none for the first of a pid namespace.
    pub parent: Option<Pid>,
    /// Its process group (field 5); none if that is of another pid namespace.
    pub group: Option<Pid>,
    /// Its session (field 6); none if that is of another pid namespace.
    pub session: Option<Pid>,
    /// It has ended, and was not reaped yet: field 3, which tells of the first thread, and field 20, the
    /// number of threads.
    pub zombie: bool,
}

impl Place {
    /// The process that has this pid now, and its place; `None` if there is none.
    #[must_use]
    pub fn of(pid: Pid) -> Option<Self> {
        let mut buffer = [0; 1024];
        let stat = read_small(&format!("/proc/{}/stat", pid.as_raw_nonzero()), &mut buffer).ok()?;
        Self::parse(pid, stat)
    }

    /// The place that a line of `/proc/PID/stat` tells.
    fn parse(pid: Pid, stat: &str) -> Option<Self> {
        let number = |index| field(stat, index)?.parse().ok();
        Some(Self {
            identity: Identity {
                pid,
                start: start_in(stat).ok()??,
            },
            parent: number(4).and_then(Pid::from_raw),
            group: number(5).and_then(Pid::from_raw),
            session: number(6).and_then(Pid::from_raw),
            zombie: matches!(field(stat, 3)?, "Z" | "X") && matches!(field(stat, 20)?, "0" | "1"),
        })
    }
}

/// The real user of the process that has this pid now: `Uid` of `/proc/PID/status`. The owner of
/// `/proc/PID` would be root for a process that has changed its user.
#[must_use]
pub fn user(pid: Pid) -> Option<u32> {
    let mut buffer = [0; 2048];
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = read_small(&path, &mut buffer).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
}

/// Field 22 of `/proc/PID/stat`, as the initial time namespace has it.
fn start_time(pid: Pid) -> io::Result<u64> {
    // Room for more than the fields before it.
    let mut buffer = [0; 512];
    let stat = read_small(&format!("/proc/{}/stat", pid.as_raw_nonzero()), &mut buffer)?;
    start_in(stat)?.ok_or(io::ErrorKind::InvalidData.into())
}

/// The start time that a line of `/proc/PID/stat` has, as the initial time namespace has it.
fn start_in(stat: &str) -> io::Result<Option<u64>> {
    let Some(start) = field(stat, 22).and_then(|text| text.parse::<u64>().ok()) else {
        return Ok(None);
    };
    let ticks = i64::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100);
    let offset = boot_time_offset()?.saturating_mul(ticks);
    Ok(Some(start.saturating_add_signed(-offset)))
}

/// The inode of the initial time namespace (`PROC_TIME_INIT_INO` of linux/proc_ns.h).
const INITIAL_TIME_NAMESPACE: u64 = 0xEFFF_FFFA;

/// By how many seconds the boot-time clock of this time namespace is ahead of the initial one: the
/// kernel adds it to the start times that it shows here, and a supervise of another time namespace
/// has recorded other ones.
fn boot_time_offset() -> io::Result<i64> {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    if let Some(offset) = OFFSET.get() {
        return Ok(*offset);
    }
    let inode = retry_on_intr(|| rustix::fs::stat("/proc/self/ns/time")).map(|stat| stat.st_ino);
    let offset = match inode {
        // Without time namespaces (before Linux 5.6), or without /proc.
        Err(rustix::io::Errno::NOENT) | Ok(INITIAL_TIME_NAMESPACE) => 0,
        Err(errno) => return Err(errno.into()),
        Ok(_) => {
            let mut buffer = [0; 256];
            let text = read_small("/proc/self/timens_offsets", &mut buffer)?;
            parse_boot_time_offset(text).ok_or(io::ErrorKind::InvalidData)?
        }
    };
    Ok(*OFFSET.get_or_init(|| offset))
}

/// The seconds in the line `boottime` of `/proc/PID/timens_offsets` (time_namespaces(7)).
fn parse_boot_time_offset(text: &str) -> Option<i64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("boottime"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The text of a small file of /proc, read at once: it is made anew for every read.
fn read_small<'a>(path: &str, buffer: &'a mut [u8]) -> io::Result<&'a str> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    let count = retry_on_intr(|| rustix::io::read(&file, &mut *buffer))?;
    let bytes = buffer.get(..count).unwrap_or_default();
    // A command's name may be cut within a character; nothing that is looked for here is affected.
    Ok(bytes
        .utf8_chunks()
        .last()
        .map(|chunk| chunk.valid())
        .unwrap_or_default())
}

/// A field of `/proc/PID/stat` by its number in proc(5), from 3 on: the second, the command's name in
/// parentheses, may itself hold blanks and parentheses.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

/// The world in which a pid means something: a boot, and a pid namespace of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct World {
    /// `/proc/sys/kernel/random/boot_id`, as 16 bytes; zeros if it cannot be read.
    pub boot: [u8; 16],
    /// The inode of `/proc/self/ns/pid`; 0 if it cannot be read.
    pub pid_namespace: u64,
}

impl World {
    /// This process's world.
    #[must_use]
    pub fn here() -> Self {
        Self::read().unwrap_or_default()
    }

    /// As [`World::here`], and says why where it cannot be told. A part that does not exist (/proc is not
    /// mounted) is not known, which is no error.
    ///
    /// # Errors
    /// The system failed (`EMFILE`, `ENOMEM`, `EIO` …), or a file has another form than the kernel's.
    pub fn read() -> io::Result<Self> {
        let known = |error: io::Error| {
            if error.kind() == io::ErrorKind::NotFound {
                Ok(Self::default())
            } else {
                Err(error)
            }
        };
        let mut buffer = [0; 64];
        let boot = match read_small("/proc/sys/kernel/random/boot_id", &mut buffer) {
            Ok(text) => parse_uuid(text.trim()).ok_or(io::ErrorKind::InvalidData)?,
            Err(error) => return known(error),
        };
        let pid_namespace = match retry_on_intr(|| rustix::fs::stat("/proc/self/ns/pid")) {
            Ok(stat) => stat.st_ino,
            Err(errno) => return known(errno.into()),
        };
        boot_time_offset()?;
        Ok(Self {
            boot,
            pid_namespace,
        })
    }

    /// Whether pids recorded in `other` mean the same processes here. Never so where the world is
    /// not known.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self == other && self.boot != [0; 16] && self.pid_namespace != 0
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let mut bytes = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_identity() {
        let identity = Identity::of(rustix::process::getpid());
        assert!(identity.start > 0);
        identity.open().unwrap();
    }

    #[test]
    fn this_process_has_a_place_and_a_user() {
        let pid = rustix::process::getpid();
        let place = Place::of(pid).unwrap();
        assert_eq!(place.identity, Identity::of(pid));
        assert_eq!(place.parent, rustix::process::getppid());
        let known = |pid: nix::Result<nix::unistd::Pid>| Pid::from_raw(pid.unwrap().as_raw());
        assert_eq!(place.group, known(nix::unistd::getpgid(None)));
        assert_eq!(place.session, known(nix::unistd::getsid(None)));
        assert!(!place.zombie);
        assert_eq!(user(pid), Some(rustix::process::getuid().as_raw()));
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_parent() {
        let stat = "4 (a) S 9) Z 3 4 4 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let place = Place::parse(Pid::INIT, stat).unwrap();
        assert_eq!((place.parent, place.zombie), (Pid::from_raw(3), true));
        assert_eq!(place.identity.start, 4711);
        assert_eq!(Place::parse(Pid::INIT, "4 (a"), None);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_lives_on_with_the_others() {
        let stat = "4 (a) Z 3 4 4 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 2 0 4711 0 0";
        assert!(!Place::parse(Pid::INIT, stat).unwrap().zombie);
    }

    #[test]
    fn another_start_time_is_another_process() {
        let identity = Identity::of(rustix::process::getpid());
        let forged = Identity {
            start: identity.start + 1,
            ..identity
        };
        assert_eq!(forged.open().unwrap_err(), rustix::io::Errno::SRCH);
        let unknown = Identity {
            start: 0,
            ..identity
        };
        assert_eq!(unknown.open().unwrap_err(), rustix::io::Errno::SRCH);
    }

    #[test]
    fn a_command_name_cannot_shift_the_fields() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(field(stat, 3), Some("S"));
        assert_eq!(field(stat, 22), Some("4711"));
    }

    #[test]
    fn an_unknown_world_is_no_world() {
        assert!(World::here().is(&World::here()));
        assert!(!World::default().is(&World::default()));
        assert!(!World::here().is(&World {
            boot: [1; 16],
            ..World::here()
        }));
    }

    #[test]
    fn the_offset_of_a_time_namespace_is_read() {
        let text = "monotonic      -86400         0\nboottime        604800         5\n";
        assert_eq!(parse_boot_time_offset(text), Some(604_800));
        assert_eq!(parse_boot_time_offset("monotonic 0 0\n"), None);
    }
}
