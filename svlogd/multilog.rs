//! `multilog`: svlogd's engine under the script language of daemontools.

pub(crate) mod script;
pub(crate) mod tap;

use std::ffi::OsString;
use std::time::Instant;

use rustix::fs::Mode;
use servicedir::report::{Failure, Reporter, Why, print_help, print_version};

use crate::directory::Directory;
use crate::event_loop::EventLoop;
use crate::input::Waiter;
use crate::message::Message;
use crate::settings::Settings;
use crate::stamp::{Form, LENGTH, Stamper};
use script::Script;
use tap::Taps;

/// The messages of the program.
pub(crate) const REPORT: Reporter = Reporter::new("multilog");

const HELP: &str = "\
usage: multilog ACTION...

Carries out the actions in order for each line that it reads from stdin.

  t            as the first action: a TAI64N label before each line
  -PATTERN     deselect lines that match; * is any text without the next character
  +PATTERN     select lines that match
  e            write the first 200 bytes of selected lines to stderr
  =FILE        keep the first 1000 bytes of the last selected line in FILE
  sSIZE        the largest size of a file, 4096 to 16777215 bytes (99999)
  nNUM         the number of files, at least 2 (10)
  !COMMAND     feed each full file through COMMAND; nothing after the ! ends that
  DIR          append selected lines to a log directory; begins with . or /

s, n and ! hold for the DIRs after them. As the only argument, -h or --help
prints this text, --version the version.
Exit codes: 0 the input has ended, or TERM came; 111 a system call failed.
";

/// A newline within this distance of a file's size, in bytes, ends the file.
const SLACK: usize = 2000;
/// The mode of a log directory that is made, less the umask.
const DIR_MODE: u32 = 0o700;
/// The umask that multilog sets.
const UMASK: u32 = 0o022;

/// Runs the script.
pub(crate) fn run(arguments: &[OsString]) -> Result<u8, Failure> {
    match arguments {
        // Of a script they would be the whole, a pattern that selects for nothing.
        [only] if only == "-h" || only == "--help" => return print_help(HELP),
        [only] if only == "--version" => return print_version(REPORT.program()),
        _ => {}
    }
    rustix::process::umask(Mode::from(UMASK));
    let script = Script::parse(arguments);
    for argument in script.unknown {
        let argument = argument.to_string_lossy().into_owned();
        REPORT.warning(Message::UnknownAction(argument));
    }
    let waiter = Waiter::new().map_err(|error| Message::UnableToCatchSignals(Why::from(error)))?;
    let settings = Settings {
        len: tap::LINE,
        slack: SLACK,
        stamp: if script.stamped { LENGTH } else { 0 },
        patterns_see_stamps: true,
        dir_mode: DIR_MODE,
        verbose: false,
        report: REPORT,
    };
    let mut directories = Vec::with_capacity(script.directories.len());
    for (path, config) in script.directories {
        let mut directory = Directory::new(path, settings, Some(config));
        let opened = crate::open_unless_held(&mut directory, &waiter, Instant::now());
        opened.map_err(Message::Unable)?;
        directories.push(directory);
    }
    let taps = Taps::open(script.taps, REPORT).map_err(Message::Unable)?;
    let stamper = script.stamped.then(|| Stamper::new(Form::Label));
    EventLoop::new(settings, waiter, directories, stamper, None)
        .with_taps(taps)
        .run()
}
