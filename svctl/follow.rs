//! Following log files as they grow: over rotations, without polling, until Ctrl-C.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use servicedir::report::print_bytes;
use servicedir::signal::{Signal, WakePipe};
use servicedir::supervisor::process::Process;

/// How much of the file's end is shown first, in bytes; as supervisord's /logtail.
const FIRST: u64 = 1024;

/// Why the following ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Ctrl-C.
    Interrupted,
    /// stdin has a line, or its end.
    Line,
    /// The process is not running any more, or nothing can be watched.
    Over,
}

/// A file under a name that rotations give to another one.
struct Followed {
    path: PathBuf,
    file: Option<File>,
}

impl Followed {
    fn open(path: &Path) -> Self {
        let mut file = File::open(path).ok();
        if let Some(file) = &mut file {
            let size = file.metadata().map_or(0, |meta| meta.len());
            file.seek(SeekFrom::Start(size.saturating_sub(FIRST)))
                .unwrap_or_default();
        }
        Self {
            path: path.to_path_buf(),
            file,
        }
    }

    /// Prints what has come; the rest of a file that was rotated away comes before the new one's begin.
    fn drain(&mut self) {
        self.copy();
        let there = std::fs::metadata(&self.path).map(|meta| meta.ino()).ok();
        let open = self.file.as_ref().and_then(|file| file.metadata().ok());
        if there.is_some() && there != open.map(|meta| meta.ino()) {
            self.copy();
            self.file = File::open(&self.path).ok();
            self.copy();
        }
    }

    fn copy(&mut self) {
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut bytes).unwrap_or_default();
        }
        if !bytes.is_empty() {
            print_bytes(&bytes).unwrap_or_default();
        }
    }
}

/// Follows the files. With a process, it ends when that does not run any more, and when stdin has a line.
pub(crate) fn follow(paths: &[&Path], process: Option<&Process>) -> End {
    let Ok(interrupt) = WakePipe::catching(&[Signal::INT]) else {
        return End::Over;
    };
    let Ok(watch) = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) else {
        return End::Over;
    };
    let events =
        WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM;
    let folders = paths.iter().filter_map(|path| path.parent());
    let state = process.map(|process| process.layout.state.as_path());
    for folder in folders.chain(state) {
        inotify::add_watch(&watch, folder, events).ok();
    }
    let mut files: Vec<Followed> = paths.iter().map(|path| Followed::open(path)).collect();
    let stdin = rustix::stdio::stdin();
    loop {
        for file in &mut files {
            file.drain();
        }
        if process.is_some_and(|process| process.look().pid == 0) {
            return End::Over;
        }
        let mut polled = [
            PollFd::new(&interrupt, PollFlags::IN),
            PollFd::new(&watch, PollFlags::IN),
            PollFd::new(&stdin, PollFlags::IN),
        ];
        let count = if process.is_some() { 3 } else { 2 };
        let Some(watched) = polled.get_mut(..count) else {
            return End::Over;
        };
        match poll(watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return End::Over,
        }
        let ready = |index: usize| polled.get(index).is_some_and(|fd| !fd.revents().is_empty());
        if ready(0) && interrupt.drain() {
            return End::Interrupted;
        }
        if ready(1) {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(&watch, &mut buffer);
            while reader.next().is_ok() {}
        }
        if process.is_some() && ready(2) {
            return End::Line;
        }
    }
}
