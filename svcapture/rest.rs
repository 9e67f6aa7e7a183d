//! What was read and not written when svcapture ends: kept in a file, for the next svcapture.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use servicedir::trust;

use crate::message::Message;

/// The file in the spool.
const REST: &str = "rest";

/// The longest file that is read, in bytes: a capture, a pipe's content, and what was read at once.
const REST_MAX: usize = 8 * 1024 * 1024;

/// Takes what another svcapture left. The file stays until [`forget`].
pub(crate) fn take(spool: &Path) -> Vec<u8> {
    trust::read(&file(spool), REST_MAX).unwrap_or_default()
}

/// What was left has been written.
pub(crate) fn forget(spool: &Path) {
    fs::remove_file(file(spool)).ok();
}

/// Keeps the bytes.
pub(crate) fn keep(spool: &Path, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if let Err(error) = write(spool, bytes) {
        Message::RestLost {
            path: file(spool),
            bytes: bytes.len(),
            why: error.into(),
        }
        .warn();
    }
}

fn write(spool: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = spool.join(".rest.new");
    fs::create_dir_all(spool)?;
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&new)?;
    file.write_all(bytes)?;
    fs::rename(new, self::file(spool))
}

fn file(spool: &Path) -> PathBuf {
    spool.join(REST)
}
