//! Offering events: items of the spool, with the service's pid.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use servicedir::layout::Layout;
use servicedir::reading::status_of;
use servicedir::spool::{Item, Kind, Spool};
use servicedir::status::Phase;
use servicedir::tai64n::Tai64n;

use crate::message::Message;

/// The spool, and whose output it takes.
#[derive(Debug)]
pub(crate) struct Offer {
    folder: PathBuf,
    spool: Option<Spool>,
    service: Option<Layout>,
    /// The last item could not be written, and a warning has told so.
    failing: bool,
}

impl Offer {
    /// Opens the spool. Where that fails, it is tried again with the first event.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            spool: Spool::open(folder).ok(),
            folder: folder.to_path_buf(),
            service: main_service(),
            failing: false,
        }
    }

    /// Adds an item; what cannot be written is lost, and the log goes on.
    pub(crate) fn put(&mut self, kind: Kind, data: &[u8]) {
        let item = Item {
            kind,
            stamp: Tai64n::now(),
            pid: self.pid(),
            data: data.to_vec(),
        };
        let put = match &mut self.spool {
            Some(spool) => spool.put(&item),
            None => Spool::open(&self.folder).and_then(|mut spool| {
                let put = spool.put(&item);
                self.spool = Some(spool);
                put
            }),
        };
        if let Err(error) = &put
            && !self.failing
        {
            let (path, why) = (self.folder.clone(), error.into());
            Message::NotOffered { path, why }.warn();
        }
        self.failing = put.is_err();
        if self.failing {
            // It may have been removed: it is made again.
            self.spool = None;
        }
    }

    /// The pid of the service that writes; 0 where it does not run any more.
    fn pid(&self) -> u32 {
        let reading = self.service.as_ref().and_then(|at| status_of(at).ok());
        let status = reading.map(|reading| reading.status);
        let run = status.filter(|status| status.phase == Phase::Run);
        run.and_then(|status| status.pid)
            .and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
            .unwrap_or(0)
    }
}

/// The service whose log this is: the directory above the log service's, and its instance.
fn main_service() -> Option<Layout> {
    let mut layout = Layout::of(Path::new("..")).ok()?;
    let instance = std::env::var_os("INSTANCE").filter(|instance| !instance.is_empty());
    if let (Some(instance), None) = (instance, &layout.instance) {
        let mut state = layout.state.into_os_string();
        state.push(OsStr::new("@"));
        state.push(instance);
        if Path::new(&state).is_dir() {
            layout.state = PathBuf::from(state);
        } else {
            layout = Layout::of(Path::new("..")).ok()?;
        }
    }
    Some(layout)
}
