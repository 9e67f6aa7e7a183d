//! chpst's own command line: **pure**.

use std::ffi::{CStr, CString};

use rustix::process::Resource;

use crate::environment::until_nul;
use crate::letters;
use crate::limit::{Limit, MEMORY, Soft};
use crate::message::Failure;
use crate::number;
use crate::plan::{Account, Directories, EnvDir, Lock, Plan};

/// chpst's letters. `-C` is runit 2.2.0's; `-r` stands in none of its pages, and works.
const LETTERS: &str = "u:U:b:e:m:d:o:p:f:c:r:t:/:C:n:l:L:vP012V";

/// The order in which runit sets limits, whatever the order of the options.
const ORDER: [Resource; 10] = [
    Resource::Data,
    Resource::Stack,
    Resource::Memlock,
    Resource::As,
    Resource::Nofile,
    Resource::Nproc,
    Resource::Fsize,
    Resource::Core,
    Resource::Rss,
    Resource::Cpu,
];

/// Reads chpst's arguments.
///
/// # Errors
/// The usage is wrong.
pub(crate) fn read(arguments: &[CString]) -> Result<Plan, Failure> {
    let (options, program) = letters::split(LETTERS, arguments)?;
    let mut plan = Plan {
        program: program.to_vec(),
        ..Plan::default()
    };
    let mut limits = Vec::new();
    let mut verbose = false;
    for (letter, value) in options {
        match letter {
            b'v' => verbose = true,
            b'V' => return Err(Failure::Version),
            b'm' | b'd' | b'o' | b'p' | b'f' | b'c' | b'r' | b't' => {
                limit(&mut limits, letter, value)?;
            }
            other => option(&mut plan, other, value)?,
        }
    }
    if plan.program.is_empty() {
        return Err(Failure::Usage);
    }
    plan.limits = in_order(&limits);
    if let (Some(env_dir), true) = (&mut plan.env_dir, verbose) {
        env_dir.directories = Directories::Warned;
    }
    Ok(plan)
}

fn option(plan: &mut Plan, letter: u8, value: &[u8]) -> Result<(), Failure> {
    let text = until_nul(value.to_vec());
    match letter {
        b'u' => plan.user = Some(Account::WithGroups(text)),
        b'U' => plan.env_user = Some(Account::WithGroups(text)),
        b'b' => plan.argv0 = Some(text),
        b'e' => {
            plan.env_dir = Some(EnvDir {
                path: text,
                directories: Directories::Skipped,
            });
        }
        b'/' => plan.root = Some(text),
        b'C' => plan.directory = Some(text),
        b'n' => plan.nice = Some(number::signed(value).ok_or(Failure::Usage)?),
        b'l' | b'L' => lock(plan, &text, letter == b'l')?,
        b'P' => plan.session = true,
        b'0'..=b'2' => {
            if let Some(closed) = plan.closed.get_mut(usize::from(letter - b'0')) {
                *closed = true;
            }
        }
        other => return Err(Failure::IllegalOption(other)),
    }
    Ok(())
}

/// Only one lock can be asked for.
fn lock(plan: &mut Plan, path: &CStr, waits: bool) -> Result<(), Failure> {
    if plan.lock.is_some() {
        return Err(Failure::Usage);
    }
    plan.lock = Some(Lock {
        path: path.to_owned(),
        waits,
        silent: false,
    });
    Ok(())
}

fn limit(limits: &mut Vec<Limit>, letter: u8, value: &[u8]) -> Result<(), Failure> {
    let soft = Soft::number(value)?;
    let mut add = |resource| limits.push(Limit { resource, soft });
    match letter {
        b'm' => MEMORY.into_iter().for_each(add),
        b'd' => add(Resource::Data),
        b'o' => add(Resource::Nofile),
        b'p' => add(Resource::Nproc),
        b'f' => add(Resource::Fsize),
        b'c' => add(Resource::Core),
        b'r' => add(Resource::Rss),
        _ => add(Resource::Cpu),
    }
    Ok(())
}

/// One limit a resource, the last one that was given.
fn in_order(limits: &[Limit]) -> Vec<Limit> {
    ORDER
        .iter()
        .filter_map(|resource| limits.iter().rfind(|limit| limit.resource == *resource))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(line: &str) -> Result<Plan, Failure> {
        let arguments: Vec<CString> = line
            .split_whitespace()
            .map(|word| CString::new(word).unwrap())
            .collect();
        read(&arguments)
    }

    fn text(text: &str) -> CString {
        CString::new(text).unwrap()
    }

    #[test]
    fn every_option_has_its_place_in_the_plan() {
        let line =
            "-u web:log -U :1:2 -b name -e env -/ root -C dir -n -5 -L lock -P -0 -2 prog -x";
        assert_eq!(
            plan(line),
            Ok(Plan {
                session: true,
                env_dir: Some(EnvDir {
                    path: text("env"),
                    directories: Directories::Skipped
                }),
                root: Some(text("root")),
                directory: Some(text("dir")),
                nice: Some(-5),
                env_user: Some(Account::WithGroups(text(":1:2"))),
                user: Some(Account::WithGroups(text("web:log"))),
                lock: Some(Lock {
                    path: text("lock"),
                    waits: false,
                    silent: false
                }),
                closed: [true, false, true],
                limits: vec![],
                argv0: Some(text("name")),
                program: vec![text("prog"), text("-x")],
            })
        );
    }

    #[test]
    fn limits_come_in_runits_order_and_the_last_value_of_each_counts() {
        let limits = plan("-t 9 -m 100 -o 5 -d 7 -o 6 prog").unwrap().limits;
        let shown: Vec<_> = limits
            .iter()
            .map(|limit| (limit.resource, limit.soft))
            .collect();
        assert_eq!(
            shown,
            [
                (Resource::Data, Soft::Number(7)),
                (Resource::Stack, Soft::Number(100)),
                (Resource::Memlock, Soft::Number(100)),
                (Resource::As, Soft::Number(100)),
                (Resource::Nofile, Soft::Number(6)),
                (Resource::Cpu, Soft::Number(9)),
            ]
        );
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for line in [
            "",
            "-v",
            "-n x prog",
            "-n 5",
            "-o 5",
            "-o -5 prog",
            "-m = prog",
            "-l a -L b prog",
            "-l a -l b prog",
        ] {
            assert_eq!(plan(line), Err(Failure::Usage), "{line}");
        }
        assert_eq!(plan("-x prog"), Err(Failure::IllegalOption(b'x')));
        assert_eq!(plan("-V prog"), Err(Failure::Version));
    }

    #[test]
    fn v_warns_of_directories_whatever_the_order() {
        for line in ["-v -e env prog", "-e env -v prog"] {
            let directories = plan(line).unwrap().env_dir.unwrap().directories;
            assert_eq!(directories, Directories::Warned, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_command_line_is_read_or_refused(line in "(-[a-zA-Z0-2/]{1,3} ?[-+:0-9a-z]{0,5} ){0,6}") {
            if let Ok(plan) = plan(&line) {
                prop_assert!(!plan.program.is_empty());
            }
        }
    }
}
