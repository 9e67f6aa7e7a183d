//! The command lines of daemontools' six loaders: **pure**.

use std::ffi::CString;

use rustix::process::Resource;

use crate::letters;
use crate::limit::{Limit, MEMORY, Soft};
use crate::message::Failure;
use crate::name::Name;
use crate::plan::{Account, Directories, EnvDir, Lock, Plan};

/// Reads the arguments of the loader of that name.
///
/// # Errors
/// The usage is wrong.
pub(crate) fn read(name: Name, arguments: &[CString]) -> Result<Plan, Failure> {
    match name {
        Name::Setuidgid => with_first(arguments, |account, plan| {
            plan.user = Some(Account::Name(account));
        }),
        Name::Envuidgid => with_first(arguments, |account, plan| {
            plan.env_user = Some(Account::Name(account));
        }),
        Name::Envdir => with_first(arguments, |path, plan| {
            plan.env_dir = Some(EnvDir {
                path,
                directories: Directories::Refused,
            });
        }),
        Name::Softlimit => softlimit(arguments),
        Name::Setlock => setlock(arguments),
        Name::Pgrphack | Name::Chpst => Ok(Plan {
            session: true,
            ..runs(arguments)?
        }),
    }
}

/// The first argument is the loader's, the others are the program's.
fn with_first(
    arguments: &[CString],
    take: impl FnOnce(CString, &mut Plan),
) -> Result<Plan, Failure> {
    let [first, program @ ..] = arguments else {
        return Err(Failure::Usage);
    };
    let mut plan = runs(program)?;
    take(first.clone(), &mut plan);
    Ok(plan)
}

/// A plan that only runs the program.
fn runs(program: &[CString]) -> Result<Plan, Failure> {
    if program.is_empty() {
        return Err(Failure::Usage);
    }
    Ok(Plan {
        program: program.to_vec(),
        ..Plan::default()
    })
}

fn softlimit(arguments: &[CString]) -> Result<Plan, Failure> {
    let (options, program) = letters::split("a:c:d:f:l:m:o:p:r:s:t:", arguments)?;
    let mut limits = Vec::new();
    for (letter, value) in options {
        let soft = Soft::number_or_equals(value)?;
        let mut add = |resource| limits.push(Limit { resource, soft });
        match letter {
            b'm' => MEMORY.into_iter().for_each(add),
            b'a' => add(Resource::As),
            b'c' => add(Resource::Core),
            b'd' => add(Resource::Data),
            b'f' => add(Resource::Fsize),
            b'l' => add(Resource::Memlock),
            b'o' => add(Resource::Nofile),
            b'p' => add(Resource::Nproc),
            b'r' => add(Resource::Rss),
            b's' => add(Resource::Stack),
            _ => add(Resource::Cpu),
        }
    }
    Ok(Plan {
        limits,
        ..runs(program)?
    })
}

fn setlock(arguments: &[CString]) -> Result<Plan, Failure> {
    let (options, rest) = letters::split("nNxX", arguments)?;
    let last = |one: u8, other: u8| {
        options
            .iter()
            .rev()
            .map(|(letter, _)| *letter)
            .find(|letter| [one, other].contains(letter))
    };
    let waits = last(b'n', b'N') != Some(b'n');
    let silent = last(b'x', b'X') == Some(b'x');
    with_first(rest, |path, plan| {
        plan.lock = Some(Lock {
            path,
            waits,
            silent,
        });
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(name: Name, line: &str) -> Result<Plan, Failure> {
        let arguments: Vec<CString> = line
            .split_whitespace()
            .map(|word| CString::new(word).unwrap())
            .collect();
        read(name, &arguments)
    }

    fn text(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    #[test]
    fn a_loader_takes_its_argument_and_leaves_the_programs_options_alone() {
        let of = |name| plan(name, "-x prog -y").unwrap();
        for name in [Name::Setuidgid, Name::Envuidgid, Name::Envdir] {
            assert_eq!(of(name).program, [text("prog"), text("-y")]);
        }
        assert_eq!(of(Name::Setuidgid).user, Some(Account::Name(text("-x"))));
        assert_eq!(
            of(Name::Envuidgid).env_user,
            Some(Account::Name(text("-x")))
        );
        let env_dir = of(Name::Envdir).env_dir.unwrap();
        assert_eq!(env_dir.path, text("-x"));
        assert_eq!(env_dir.directories, Directories::Refused);
        assert_eq!(of(Name::Pgrphack).program.len(), 3);
        assert!(of(Name::Pgrphack).session);
    }

    #[test]
    fn the_last_of_setlocks_letters_counts() {
        let lock = |line| plan(Name::Setlock, line).unwrap().lock.unwrap();
        for (line, waits, silent) in [
            ("f prog", true, false),
            ("-n f prog", false, false),
            ("-nN f prog", true, false),
            ("-xn f prog", false, true),
            ("-x -NX f prog", true, false),
        ] {
            let lock = lock(line);
            assert_eq!((lock.waits, lock.silent), (waits, silent), "{line}");
        }
    }

    #[test]
    fn softlimits_come_in_the_order_of_the_command_line() {
        let limits = plan(Name::Softlimit, "-o 5 -m = -o6 prog").unwrap().limits;
        let resources: Vec<Resource> = limits.iter().map(|limit| limit.resource).collect();
        let [data, stack, locked, all] = MEMORY;
        let files = Resource::Nofile;
        assert_eq!(resources, [files, data, stack, locked, all, files]);
        assert_eq!(limits[1].soft, Soft::Hard);
        assert_eq!(limits[5].soft, Soft::Number(6));
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for (name, line) in [
            (Name::Setuidgid, ""),
            (Name::Setuidgid, "web"),
            (Name::Envuidgid, "web"),
            (Name::Envdir, "env"),
            (Name::Pgrphack, ""),
            (Name::Softlimit, "-o 5"),
            (Name::Softlimit, "-o x prog"),
            (Name::Softlimit, "-o == prog"),
            (Name::Setlock, "-n f"),
        ] {
            assert_eq!(plan(name, line), Err(Failure::Usage), "{name:?} {line}");
        }
        assert_eq!(
            plan(Name::Setlock, "-z f prog"),
            Err(Failure::IllegalOption(b'z'))
        );
    }

    proptest! {
        #[test]
        fn any_command_line_is_read_or_refused(
            name in proptest::sample::select(Name::ALL.to_vec()),
            line in "(-[a-zA-Z]{1,3} ?[-+=0-9a-z]{0,5} ){0,6}",
        ) {
            if let Ok(plan) = plan(name.1, &line) {
                prop_assert!(!plan.program.is_empty());
            }
        }
    }
}
