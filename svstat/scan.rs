//! The services of the scan directory, for when none is named.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use servicedir::layout::{self, ERRLOG, LOG, RUN};
use servicedir::report::Failure;

/// The paths of all services in `$SVDIR`, each followed by its log services, in the order of their names.
pub(crate) fn all_services() -> Result<Vec<OsString>, Failure> {
    let scan = layout::scan_directory();
    let failed = |error| Failure::system(format_args!("unable to read {}", scan.display()), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(&scan).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    let mut services = Vec::with_capacity(names.len());
    for name in names {
        let dir = scan.join(name);
        let logs = [dir.join(LOG), dir.join(ERRLOG)];
        services.extend(
            [dir]
                .into_iter()
                .chain(logs)
                .filter(|dir| is_service(dir))
                .map(PathBuf::into_os_string),
        );
    }
    Ok(services)
}

/// What svscan takes for a service: a directory with a `run`.
fn is_service(dir: &Path) -> bool {
    dir.join(RUN).exists()
}
