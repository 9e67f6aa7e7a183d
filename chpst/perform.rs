//! Doing what a plan says, in runit's order, and becoming the program.

use std::ffi::CString;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::envdir;
use crate::environment::Environment;
use crate::identity;
use crate::limit;
use crate::message::{Failure, Step};
use crate::plan::{Lock, Plan};
use crate::program::Program;

/// Makes the changes and runs the program; comes back only with the reason why that failed.
///
/// All that needs memory comes before the limits.
pub(crate) fn perform(plan: &Plan, inherited: Vec<CString>) -> Failure {
    match change(plan, inherited) {
        Err(failure) => failure,
        Ok(program) => match plan.limits.iter().try_for_each(|it| limit::set(*it)) {
            Err(failure) => failure,
            Ok(()) => Failure::system(Step::Run(program.shown()), program.run()),
        },
    }
}

/// Makes every change but the limits, and gets the program ready.
fn change(plan: &Plan, inherited: Vec<CString>) -> Result<Program, Failure> {
    let mut environment = Environment::new(inherited.into_iter().map(CString::into_bytes));
    let path = environment.get(b"PATH").map(<[u8]>::to_vec);
    if plan.session {
        // The leader of a process group cannot have a session of its own; both suites leave it there.
        rustix::process::setsid().ok();
    }
    if let Some(env_dir) = &plan.env_dir {
        envdir::apply(env_dir, &mut environment)?;
    }
    change_place(plan)?;
    if let Some(account) = &plan.env_user {
        let found = identity::find(account)?;
        environment.change(b"GID", Some(found.gid.to_string().as_bytes()));
        environment.change(b"UID", Some(found.uid.to_string().as_bytes()));
    }
    if let Some(account) = &plan.user {
        identity::become_it(&identity::find(account)?)?;
    }
    if let Some(lock) = &plan.lock {
        take(lock)?;
    }
    close(plan.closed)?;
    let argv0 = plan.argv0.clone();
    Ok(Program::new(
        &plan.program,
        argv0,
        path.as_deref(),
        environment,
    ))
}

/// The root directory, the working directory and the nice value.
fn change_place(plan: &Plan) -> Result<(), Failure> {
    if let Some(root) = &plan.root {
        change_directory(root)?;
        rustix::process::chroot(c".").map_err(|errno| Failure::system(Step::ChangeRoot, errno))?;
    }
    if let Some(directory) = &plan.directory {
        change_directory(directory)?;
    }
    if let Some(increment) = plan.nice {
        rustix::process::nice(increment).map_err(|errno| {
            // The kernel tells a missing right from another user's process, nice(2) does not.
            let errno = if errno == Errno::ACCESS {
                Errno::PERM
            } else {
                errno
            };
            Failure::system(Step::SetNice, errno)
        })?;
    }
    Ok(())
}

fn change_directory(path: &CString) -> Result<(), Failure> {
    rustix::process::chdir(path)
        .map_err(|errno| Failure::system(Step::ChangeDirectory(path.clone()), errno))
}

/// Opens and locks a file. The program inherits the descriptor, and the lock with it.
fn take(lock: &Lock) -> Result<(), Failure> {
    let failed = |step: Step| {
        move |errno: Errno| match lock.silent {
            true => Failure::Silent,
            false => Failure::system(step, errno),
        }
    };
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::APPEND | OFlags::CREATE;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::open(&lock.path, flags, mode)
        .map_err(failed(Step::OpenLock(lock.path.clone())))?;
    let operation = if lock.waits {
        FlockOperation::LockExclusive
    } else {
        FlockOperation::NonBlockingLockExclusive
    };
    rustix::fs::flock(&file, operation).map_err(failed(Step::Lock(lock.path.clone())))?;
    // It stays open in the program.
    std::mem::forget(file);
    Ok(())
}

/// Closes the standard descriptors that are marked; one that is not open is an error.
fn close(closed: [bool; 3]) -> Result<(), Failure> {
    for (number, _) in closed.into_iter().enumerate().filter(|(_, is)| *is) {
        let raw = i32::try_from(number).unwrap_or_default();
        nix::unistd::close(raw).map_err(|errno| Failure::system(Step::Close(number), errno))?;
    }
    Ok(())
}
