//! The status record: what supervise writes to `status`, and everybody reads.
//!
//! Bytes 0 to 17 are as daemontools 0.76 writes them, 18 and 19 as runit 2.1.2 does; from 20 on
//! follows this suite's own record, whose offsets stand in [`Record`] and in servicedir(5). Readers of
//! the older suites take the first 18 or 20 bytes and stop.
//!
//! The record is append-only: a new field goes to the end of the fixed part and makes it longer; the
//! length of the fixed part stands in it, so that old readers find the texts behind it and new readers
//! know which fields an old writer had. Another version byte means another layout: a reader that does
//! not know it shows the first 20 bytes.

use std::fmt;
use std::time::Duration;

use rustix::process::Pid;

use crate::process::World;
use crate::signal::Signal;
use crate::tai64n::Tai64n;

/// What the service should be (byte 17).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Want {
    /// `u`: up.
    Up,
    /// `d`: down.
    Down,
    /// 0: whatever it is; it is not started again.
    Once,
}

/// What the pid is (byte 19, as runit has it).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// 0: there is no process.
    Down,
    /// 1: `run`.
    Run,
    /// 2: `finish`.
    Finish,
}

/// The states of a service, with Supervisor's names and numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Down, because it was asked to be, or was never started.
    Stopped = 0,
    /// Started, and not yet long enough up, or not yet ready.
    Starting = 10,
    /// Up.
    Running = 20,
    /// The start failed; the next try is due.
    Backoff = 30,
    /// Asked to stop.
    Stopping = 40,
    /// Ended by itself after it had been up.
    Exited = 100,
    /// Given up; the reason stands in the record.
    Fatal = 200,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::Backoff,
        Self::Stopping,
        Self::Exited,
        Self::Fatal,
    ];

    /// Supervisor's number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The state of a number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Supervisor's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// By itself, with this exit code.
    Exited(u8),
    /// By a signal.
    Killed {
        /// Which.
        signal: Signal,
        /// It left a core file.
        core: bool,
    },
    /// It could not be started: the errno.
    NotStarted(i32),
    /// While no supervise was there to see it, on a kernel that does not tell.
    Unknown,
}

impl End {
    /// The end that a wait status (wait(2)) tells; `None` for one that is no end.
    #[must_use]
    pub fn from_wait_status(status: i32) -> Option<Self> {
        if libc::WIFEXITED(status) {
            return u8::try_from(libc::WEXITSTATUS(status))
                .ok()
                .map(Self::Exited);
        }
        if libc::WIFSIGNALED(status) {
            let signal = Signal::from_number(libc::WTERMSIG(status))?;
            return Some(Self::Killed {
                signal,
                core: libc::WCOREDUMP(status),
            });
        }
        None
    }

    /// The arguments that runit gives to `finish`: the exit code, or -1 when killed by a signal, and
    /// the low byte of the wait status. As runit, 111 and 0 for a run that could not be started.
    /// An end that nobody saw is -1 and 0.
    #[must_use]
    pub fn finish_arguments(self) -> (i32, u8) {
        match self {
            Self::Exited(code) => (i32::from(code), 0),
            Self::Killed { signal, core } => {
                let low = u8::try_from(signal.number()).unwrap_or(0);
                (-1, if core { low | 0x80 } else { low })
            }
            Self::NotStarted(_) => (111, 0),
            Self::Unknown => (-1, 0),
        }
    }

    /// The exit code that a shell would show: 128 + N for signal N, 111 where nothing ran.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed { signal, .. } => u8::try_from(128 + signal.number()).unwrap_or(u8::MAX),
            Self::NotStarted(_) | Self::Unknown => 111,
        }
    }
}

impl fmt::Display for End {
    /// As it stands in `svstat`'s line: `exited 3`, `killed by SIGSEGV`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(out, "exited {code}"),
            Self::Killed {
                signal,
                core: false,
            } => write!(out, "killed by {signal}"),
            Self::Killed { signal, core: true } => write!(out, "killed by {signal} (core dumped)"),
            Self::NotStarted(errno) => write!(out, "not started: {}", crate::report::Why(*errno)),
            Self::Unknown => out.write_str("ended, how is unknown"),
        }
    }
}

/// A status file's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Bytes 0 to 11: when the service was last started or stopped. `finish` keeps its run's start.
    pub stamp: Tai64n,
    /// Bytes 12 to 15, little-endian: the process that `phase` names; none is 0.
    pub pid: Option<Pid>,
    /// Byte 16: stopped by SIGSTOP.
    pub paused: bool,
    /// Byte 17.
    pub want: Want,
    /// Byte 18: TERM was sent to the process.
    pub term_sent: bool,
    /// Byte 19.
    pub phase: Phase,
    /// From byte 20 on; `None` in the file of another suite, or of another version.
    pub record: Option<Record>,
}

/// This suite's own record. The number before a field is its offset in the file; integers are
/// little-endian, labels as TAI64N writes them, all zero for none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// 21: the state's number.
    pub state: State,
    /// 22, bit 0: the service is ready.
    pub ready: bool,
    /// 22, bit 1: it has a readiness source other than `startsecs`.
    pub tells_ready: bool,
    /// 22, bit 2: supervise exits when the service is down.
    pub exiting: bool,
    /// 22, bit 3: supervise exited because it was told to; there is nothing to resume.
    pub left: bool,
    /// 22, bit 4: `reason` tells a fault of the option files, and the last good ones serve.
    pub options_fault: bool,
    /// 22, bit 5: the restart that was asked for follows the stop that goes on.
    pub restarting: bool,
    /// 23: how the last run ended: 0 not at all, 1 exited, 2 killed, 3 killed with a core file,
    /// 4 not started, 5 unknown; and 24 to 27: the code, the signal, the errno.
    pub last_end: Option<End>,
    /// 28 to 39: since when it is ready, or not ready.
    pub ready_stamp: Tai64n,
    /// 40 to 47: the start time of the pid, see [`crate::process::Identity`].
    pub pid_start: u64,
    /// 48 to 63: the boot; 64 to 71: the pid namespace.
    pub world: World,
    /// 72 to 75: failed starts in a row.
    pub failed_starts: u32,
    /// 76 to 79: how many retries are allowed; all ones for no limit.
    pub start_retries: Option<u32>,
    /// 80 to 87: starts since the supervise was first started.
    pub total_starts: u64,
    /// 88 to 99: when the next start is due.
    pub next_start: Option<Tai64n>,
    /// 100 to 103: how many bytes of the control FIFO have been acted on, modulo 2^32.
    pub commands: u32,
    /// 104 to 107: the process group of the last run; 0 for none.
    pub group: Option<Pid>,
    /// 108 to 119: when `state` was entered.
    pub state_stamp: Tai64n,
    /// 120 to 123: the pid of the supervise that wrote this.
    pub supervise: Option<Pid>,
    /// 130 to 137, behind the lengths of the fixed part and of the texts (124 to 129): the interval in
    /// which the service promised to feed its watchdog, in microseconds; 0 for none.
    pub watchdog: Option<Duration>,
    /// 138 to 149: when `run` was last started.
    pub run_started: Option<Tai64n>,
    /// 150 to 161: when `run` last ended, or could not be started.
    pub run_ended: Option<Tai64n>,
    /// 162 to 169: the number of the last line of the journal, written or not; see [`crate::journal`].
    pub journal: u64,
    /// Behind the fixed part: the reason for FATAL, or the fault in the options.
    pub reason: String,
    /// Behind the reason: what the service says of itself (`STATUS=` of sd_notify).
    pub message: String,
}

/// The version of [`Record`] that stands in byte 20.
pub const VERSION: u8 = 1;

/// Where the fixed part of version 1 ends and the texts begin.
const FIXED: usize = 170;

/// Where it ended before the journal and its two times were added.
const FIXED_WITHOUT_JOURNAL: usize = 138;

/// Where it ended before `watchdog` was added.
const FIXED_WITHOUT_WATCHDOG: usize = 130;

/// Where the three lengths stand that tell where a record ends.
const LENGTHS: usize = 124;

/// Texts are cut to this length, so that a record is at most one page of a file system.
const TEXT_MAX: usize = 1000;

/// A status file that is not one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadStatus {
    /// It has this many bytes, and at least 18 are needed.
    Short(usize),
    /// Byte 17 is none of `u`, `d` and 0.
    Want(u8),
    /// Bytes 12 to 15 are no pid.
    Pid(u32),
    /// The checksum at the end is wrong: the file was read while it was written, or is damaged.
    Checksum,
}

impl fmt::Display for BadStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(length) => write!(out, "{length} bytes, expected at least 18"),
            Self::Want(byte) => write!(out, "byte 17 is {byte:#04x}, expected u, d or 0"),
            Self::Pid(number) => write!(out, "bytes 12 to 15 are {number}, expected a pid"),
            Self::Checksum => out.write_str("wrong checksum"),
        }
    }
}

impl Status {
    /// The bytes of the file.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(384);
        bytes.extend(self.stamp.0);
        bytes.extend(pid_number(self.pid).to_le_bytes());
        bytes.push(u8::from(self.paused));
        bytes.push(match self.want {
            Want::Up => b'u',
            Want::Down => b'd',
            Want::Once => 0,
        });
        bytes.push(u8::from(self.term_sent));
        bytes.push(match self.phase {
            Phase::Down => 0,
            Phase::Run => 1,
            Phase::Finish => 2,
        });
        if let Some(record) = &self.record {
            record.pack(&mut bytes);
        }
        bytes
    }

    /// Reads a status file of this suite, daemontools, daemontools-encore or runit.
    ///
    /// A damaged record behind sound first bytes is an error here; [`Status::unpack_prefix`] reads
    /// around it.
    ///
    /// # Errors
    /// See [`BadStatus`].
    pub fn unpack(bytes: &[u8]) -> Result<Self, BadStatus> {
        let mut status = Self::unpack_prefix(bytes)?;
        if bytes.get(20) == Some(&VERSION) {
            status.record = Some(Record::unpack(bytes).ok_or(BadStatus::Checksum)?);
        }
        Ok(status)
    }

    /// Reads the first 20 bytes only, which every suite writes alike (18 in daemontools' case).
    ///
    /// # Errors
    /// See [`BadStatus`].
    pub fn unpack_prefix(bytes: &[u8]) -> Result<Self, BadStatus> {
        let mut fields = Fields(bytes);
        let short = BadStatus::Short(bytes.len());
        let stamp = Tai64n(fields.take().ok_or(short)?);
        let number = u32::from_le_bytes(fields.take().ok_or(short)?);
        let [paused] = fields.take().ok_or(short)?;
        let [want] = fields.take().ok_or(short)?;
        let [term_sent, phase] = fields.take().unwrap_or_default();
        let pid = match i32::try_from(number) {
            Ok(number) => Pid::from_raw(number),
            Err(_) => return Err(BadStatus::Pid(number)),
        };
        Ok(Self {
            stamp,
            pid,
            paused: paused != 0 && pid.is_some(),
            want: match want {
                b'u' => Want::Up,
                b'd' => Want::Down,
                0 => Want::Once,
                other => return Err(BadStatus::Want(other)),
            },
            term_sent: term_sent == 1,
            phase: match (phase, pid) {
                (_, None) => Phase::Down,
                (2, Some(_)) => Phase::Finish,
                (_, Some(_)) => Phase::Run,
            },
            record: None,
        })
    }
}

impl Record {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let reason = cut(&self.reason);
        let message = cut(&self.message);
        let (kind, value) = pack_end(self.last_end);
        bytes.extend([VERSION, self.state.number(), self.flags(), kind]);
        bytes.extend(value.to_le_bytes());
        bytes.extend(self.ready_stamp.0);
        bytes.extend(self.pid_start.to_le_bytes());
        bytes.extend(self.world.boot);
        bytes.extend(self.world.pid_namespace.to_le_bytes());
        bytes.extend(self.failed_starts.to_le_bytes());
        bytes.extend(self.start_retries.unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(self.total_starts.to_le_bytes());
        bytes.extend(self.next_start.unwrap_or_default().0);
        bytes.extend(self.commands.to_le_bytes());
        bytes.extend(pid_number(self.group).to_le_bytes());
        bytes.extend(self.state_stamp.0);
        bytes.extend(pid_number(self.supervise).to_le_bytes());
        for length in [FIXED, reason.len(), message.len()] {
            bytes.extend(u16::try_from(length).unwrap_or(0).to_le_bytes());
        }
        bytes.extend(microseconds(self.watchdog).to_le_bytes());
        bytes.extend(self.run_started.unwrap_or_default().0);
        bytes.extend(self.run_ended.unwrap_or_default().0);
        bytes.extend(self.journal.to_le_bytes());
        bytes.extend(reason.as_bytes());
        bytes.extend(message.as_bytes());
        bytes.extend(checksum(bytes).to_le_bytes());
    }

    /// `None` if the checksum is wrong or a field has no meaning.
    fn unpack(bytes: &[u8]) -> Option<Self> {
        // Not from the file's end: one that was written over (a full disk) may still be followed by
        // what was left of a longer one.
        let mut lengths = Fields(bytes.get(LENGTHS..)?);
        let lengths = [lengths.u16()?, lengths.u16()?, lengths.u16()?];
        let end = lengths.into_iter().map(usize::from).sum();
        let (content, rest) = bytes.split_at_checked(end)?;
        let (sum, _) = rest.split_first_chunk::<4>()?;
        if checksum(content) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut fields = Fields(content.get(21..)?);
        let [state, flags, kind] = fields.take()?;
        let flag = |bit: u8| flags & 1 << bit != 0;
        let mut record = Self {
            state: State::from_number(state)?,
            ready: flag(0),
            tells_ready: flag(1),
            exiting: flag(2),
            left: flag(3),
            options_fault: flag(4),
            restarting: flag(5),
            last_end: unpack_end(kind, fields.i32()?)?,
            ready_stamp: Tai64n(fields.take()?),
            pid_start: fields.u64()?,
            world: World {
                boot: fields.take()?,
                pid_namespace: fields.u64()?,
            },
            failed_starts: fields.u32()?,
            start_retries: Some(fields.u32()?).filter(|retries| *retries != u32::MAX),
            total_starts: fields.u64()?,
            next_start: fields.stamp()?,
            commands: fields.u32()?,
            group: fields.pid()?,
            state_stamp: Tai64n(fields.take()?),
            supervise: fields.pid()?,
            watchdog: None,
            run_started: None,
            run_ended: None,
            journal: 0,
            reason: String::new(),
            message: String::new(),
        };
        let (texts, reason, message) = (fields.u16()?, fields.u16()?, fields.u16()?);
        if usize::from(texts) > FIXED_WITHOUT_WATCHDOG {
            record.watchdog = Some(fields.u64()?)
                .filter(|interval| *interval != 0)
                .map(Duration::from_micros);
        }
        if usize::from(texts) > FIXED_WITHOUT_JOURNAL {
            record.run_started = fields.stamp()?;
            record.run_ended = fields.stamp()?;
            record.journal = fields.u64()?;
        }
        let mut texts = Fields(content.get(usize::from(texts)..)?);
        record.reason = texts.text(reason)?;
        record.message = texts.text(message)?;
        Some(record)
    }

    fn flags(&self) -> u8 {
        let flags = [
            self.ready,
            self.tells_ready,
            self.exiting,
            self.left,
            self.options_fault,
            self.restarting,
        ];
        flags
            .iter()
            .rev()
            .fold(0, |byte, flag| byte << 1 | u8::from(*flag))
    }
}

/// The rest of a record, taken field by field from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn pid(&mut self) -> Option<Option<Pid>> {
        i32::try_from(self.u32()?).ok().map(Pid::from_raw)
    }

    fn stamp(&mut self) -> Option<Option<Tai64n>> {
        let stamp = Tai64n(self.take()?);
        Some(Some(stamp).filter(|stamp| *stamp != Tai64n::default()))
    }

    fn text(&mut self, length: u16) -> Option<String> {
        let (text, rest): (&'a [u8], _) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

fn pid_number(pid: Option<Pid>) -> u32 {
    pid.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
        .unwrap_or(0)
}

fn microseconds(interval: Option<Duration>) -> u64 {
    interval.map_or(0, |interval| {
        interval.as_micros().try_into().unwrap_or(u64::MAX)
    })
}

fn pack_end(end: Option<End>) -> (u8, i32) {
    match end {
        None => (0, 0),
        Some(End::Exited(code)) => (1, i32::from(code)),
        Some(End::Killed {
            signal,
            core: false,
        }) => (2, signal.number()),
        Some(End::Killed { signal, core: true }) => (3, signal.number()),
        Some(End::NotStarted(errno)) => (4, errno),
        Some(End::Unknown) => (5, 0),
    }
}

fn unpack_end(kind: u8, value: i32) -> Option<Option<End>> {
    Some(Some(match kind {
        0 => return Some(None),
        1 => End::Exited(u8::try_from(value).ok()?),
        2 | 3 => End::Killed {
            signal: Signal::from_number(value)?,
            core: kind == 3,
        },
        4 => End::NotStarted(value),
        5 => End::Unknown,
        _ => return None,
    }))
}

/// The text, cut between two characters where it is too long.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX))
        .unwrap_or(text)
}

/// FNV-1a, 32 bits (Fowler, Noll, Vo): it tells a torn record from a whole one; it is no protection
/// against somebody who forges one.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
