//! How far commands have come that were written to a control FIFO. No I/O and no clock.

use rustix::process::Pid;

use crate::status::{Record, Status};

/// What was there before the commands were sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Before {
    /// The status. A supervise that has just begun has not written its own yet: this is then its
    /// predecessor's.
    pub status: Option<Status>,
    /// The supervise that is there, as far as that can be told.
    pub supervise: Option<Pid>,
    /// Bytes in the control FIFO that it had not read yet.
    pub unread: u32,
}

/// How far the commands have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// They wait in the FIFO, or have just been read from it.
    Unread,
    /// They have been acted on, so that the status speaks of what came after them.
    Acted,
    /// The FIFO is empty, and the supervise that is there now has not counted them. That may be
    /// because it has just read them; if it stays so, another one did, and died.
    Lost,
}

/// How far the commands have come.
///
/// A supervise of this suite counts the bytes that it acted on, from 0 when it begins, and announces
/// the count. Another suite's has read them when the FIFO is empty.
///
/// `sent` bytes were written; the FIFO is `drained` when no byte is in it. Look at the FIFO first, then
/// read the `status`: a byte that has been read was acted on before that was announced.
#[must_use]
pub fn progress(sent: u32, before: &Before, drained: bool, status: Option<&Status>) -> Progress {
    if sent == 0 {
        return Progress::Acted;
    }
    match (record(before.status.as_ref()), record(status)) {
        (Some(then), Some(new)) if then.supervise == new.supervise => {
            let advanced = new.commands.wrapping_sub(then.commands);
            let needed = before.unread.saturating_add(sent);
            if (needed..=i32::MAX as u32).contains(&advanced) {
                Progress::Acted
            } else {
                Progress::Unread
            }
        }
        (_, Some(_) | None) if !drained => Progress::Unread,
        (_, Some(new)) if new.commands < sent => Progress::Lost,
        (_, Some(_) | None) => Progress::Acted,
    }
}

fn record(status: Option<&Status>) -> Option<&Record> {
    status.and_then(|status| status.record.as_ref())
}
