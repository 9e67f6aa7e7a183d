//! Reading a small file that somebody else may have put there: a FIFO does not hang the reader, a device
//! is not opened for use, and a file without an end does not fill the memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// The longest file that is read, in bytes: what `options/` and `supervise/` hold is far shorter.
const LONGEST: u64 = 128 * 1024;

/// The whole of the regular file at `path`.
///
/// # Errors
/// `InvalidInput`: it is not a regular file, or longer than 128 KiB. Otherwise as open(2) and read(2).
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    let mut bytes = Vec::new();
    let read = File::from(file).take(LONGEST + 1).read_to_end(&mut bytes)?;
    if kind != FileType::RegularFile || read as u64 > LONGEST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(bytes)
}
