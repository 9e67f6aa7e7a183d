//! Where the main log is: what svscan and the supervises say.

use std::path::{Path, PathBuf};

use servicedir::supervisor::logs;

/// The name of the log service in a scan directory that has none of its own (contract of svscan(8)).
const MAIN_LOG: &str = ".log";

/// The main log's service directory.
pub(crate) fn main_service(scan: &Path) -> PathBuf {
    scan.join(MAIN_LOG)
}

/// The newest file of the main log; `None` where the scan directory has none.
pub(crate) fn main(scan: &Path) -> Option<PathBuf> {
    logs::newest(&main_service(scan))
}
