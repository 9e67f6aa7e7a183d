//! The words of daemontools for an errno: its `svstat` and `svok` print them, and scripts read them.

use rustix::io::Errno;
use servicedir::error_words::ErrorWords;
use servicedir::trust::Refused;

/// Why a file was not opened or read; what daemontools never asks about, in this suite's words.
pub(crate) fn refused(refused: Refused) -> String {
    match refused.errno() {
        Some(errno) => words(errno),
        None => refused.to_string(),
    }
}

/// An errno in daemontools' words.
pub(crate) fn words(errno: Errno) -> String {
    ErrorWords::from(errno).to_string()
}
