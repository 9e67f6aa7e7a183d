//! What a service finds itself in: its limits, nice value, umask, directory, user and environment.
//!
//! [`enter`] runs in the forked child, which has one thread, default signal dispositions, and the
//! service directory as working directory. Each step that fails refuses the start: a service never
//! runs with more rights than its options give it.

use std::ffi::{OsStr, OsString};

use nix::unistd::{Gid, Uid};
use rustix::fs::Mode;
use rustix::process::Rlimit;

use servicedir::layout::Layout;
use servicedir::options::{Hard, Limit, Options};

use super::account::{self, Credentials};
use super::refused::Refused;

/// What of another's notification protocol is never handed on to a service that did not ask.
const NOT_INHERITED: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Makes this process what the options say, in the order that the steps need: whoever looks up names
/// still has all its memory and descriptors, and the rights to do all the rest are given up last.
///
/// With `directory` set the working directory is no longer the service directory: the program is to
/// be executed by a path that does not depend on it.
///
/// # Errors
/// The first step that failed; the ones before it have been done.
pub(crate) fn enter(options: &Options) -> Result<(), Refused> {
    let credentials = options.user.as_ref().map(account::look_up).transpose()?;
    for limit in &options.limits {
        set_limit(limit)?;
    }
    if let Some(nice) = options.nice {
        rustix::process::nice(nice)
            .map_err(|errno| Refused::system(format!("unable to change nice by {nice}"), errno))?;
    }
    if let Some(mask) = options.umask {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    if let Some(directory) = &options.directory {
        rustix::process::chdir(directory).map_err(|errno| {
            Refused::system(
                format!("unable to change to directory {}", directory.display()),
                errno,
            )
        })?;
    }
    match (&options.user, credentials) {
        (Some(user), Some(credentials)) => become_user(&credentials).map_err(|refused| Refused {
            what: format!("unable to run as {user}: {}", refused.what),
            ..refused
        }),
        (Some(_) | None, _) => Ok(()),
    }
}

/// Sets one limit: its soft end, and its hard end where that is given.
fn set_limit(limit: &Limit) -> Result<(), Refused> {
    let what = || format!("unable to set {} to {}", limit.name, limit.range);
    let maximum = match limit.range.hard {
        Hard::Set(hard) => hard,
        Hard::Stays => rustix::process::getrlimit(limit.resource).maximum,
    };
    match (limit.range.soft, maximum) {
        // The kernel would call it an invalid argument.
        (Some(soft), Some(hard)) if soft > hard => {
            return Err(Refused::words(
                what(),
                format!("the hard limit is {hard}"),
                libc::EPERM,
            ));
        }
        (_, _) => {}
    }
    let new = Rlimit {
        current: limit.range.soft,
        maximum,
    };
    rustix::process::setrlimit(limit.resource, new).map_err(|errno| Refused::system(what(), errno))
}

/// Takes on the user and groups, and makes sure that there is no way back.
fn become_user(wanted: &Credentials) -> Result<(), Refused> {
    let refused = |what: &'static str| move |errno: nix::errno::Errno| Refused::system(what, errno);
    let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    set_groups(wanted)?;
    nix::unistd::setresgid(gid, gid, gid).map_err(refused("unable to set the group"))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(refused("unable to set the user"))?;
    let users = nix::unistd::getresuid().map_err(refused("unable to read the user"))?;
    let groups = nix::unistd::getresgid().map_err(refused("unable to read the group"))?;
    let taken = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3];
    // Whoever may become root again (by a capability that survives the change, say) has given up nothing.
    if !taken || (!uid.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok()) {
        return Err(Refused::words(
            "unable to give up rights",
            "they are still there",
            libc::EPERM,
        ));
    }
    Ok(())
}

/// Sets the supplementary groups. Who may not set them may only have none beside the wanted ones.
fn set_groups(wanted: &Credentials) -> Result<(), Refused> {
    let groups: Vec<Gid> = wanted.groups.iter().copied().map(Gid::from_raw).collect();
    let Err(errno) = nix::unistd::setgroups(&groups) else {
        return Ok(());
    };
    match nix::unistd::getgroups() {
        Ok(have) if have.iter().all(|group| groups.contains(group)) => Ok(()),
        Ok(_) | Err(_) => Err(Refused::system(
            "unable to set the supplementary groups",
            errno,
        )),
    }
}

/// The variables that are the same for all programs of a service, whatever supervise was started with:
/// its names, as Supervisor gives them, and nothing of what was meant for supervise alone.
pub(crate) fn names(layout: &Layout) -> impl Iterator<Item = (OsString, Option<OsString>)> {
    let set = |name: &str, value: &OsStr| (name.into(), Some(value.to_os_string()));
    let removed = NOT_INHERITED.map(|name| (name.into(), None));
    let names = [
        set("SUPERVISOR_ENABLED", OsStr::new("1")),
        set("SUPERVISOR_PROCESS_NAME", &layout.name),
        set("SUPERVISOR_GROUP_NAME", layout.group()),
    ];
    let instance = layout.instance.as_deref();
    removed
        .into_iter()
        .chain(names)
        .chain(instance.map(|instance| set("INSTANCE", instance)))
}

/// The variables that a program has beside those: the group of `options/group`, what `env/` says, then
/// `granted` (its notification socket, say). Without a value one is removed.
pub(crate) fn variables(
    options: &Options,
    granted: &[(&str, OsString)],
) -> impl Iterator<Item = (OsString, Option<OsString>)> {
    let granted = granted
        .iter()
        .map(|(name, value)| ((*name).into(), Some(value.clone())));
    let group = options
        .group
        .as_ref()
        .map(|group| ("SUPERVISOR_GROUP_NAME".into(), Some(group.into())));
    group
        .into_iter()
        .chain(options.env.iter().cloned())
        .chain(granted)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use servicedir::options::Range;

    use super::*;

    fn layout(name: &str, instance: Option<&str>) -> Layout {
        Layout {
            dir: PathBuf::from(name),
            name: name.into(),
            instance: instance.map(OsString::from),
            state: PathBuf::from("supervise"),
        }
    }

    /// `NAME=value` for what is set, `NAME` for what is removed.
    fn shown(variables: impl Iterator<Item = (OsString, Option<OsString>)>) -> Vec<String> {
        let text = |it: OsString| it.into_string().unwrap();
        variables
            .map(|(name, value)| match value {
                Some(value) => format!("{}={}", text(name), text(value)),
                None => text(name),
            })
            .collect()
    }

    #[test]
    fn a_service_is_told_its_names_and_no_socket_of_another() {
        let [socket, timeout, pid] = NOT_INHERITED;
        assert_eq!(
            shown(names(&layout("web", None))),
            [
                socket,
                timeout,
                pid,
                "SUPERVISOR_ENABLED=1",
                "SUPERVISOR_PROCESS_NAME=web",
                "SUPERVISOR_GROUP_NAME=web",
            ]
        );
        assert_eq!(
            shown(names(&layout("worker@2", Some("2"))).skip(4)),
            [
                "SUPERVISOR_PROCESS_NAME=worker@2",
                "SUPERVISOR_GROUP_NAME=worker",
                "INSTANCE=2",
            ]
        );
    }

    #[test]
    fn files_set_and_remove_variables_and_what_is_granted_comes_last() {
        let options = Options {
            env: vec![("A".into(), Some("new".into())), ("B".into(), None)],
            ..Options::default()
        };
        assert_eq!(
            shown(variables(&options, &[("NOTIFY_SOCKET", "@b".into())])),
            ["A=new", "B", "NOTIFY_SOCKET=@b"]
        );
    }

    #[test]
    fn a_limit_above_the_hard_one_is_refused_and_nothing_set() {
        let resource = rustix::process::Resource::Nofile;
        let before = rustix::process::getrlimit(resource);
        let hard = before.maximum.unwrap();
        let range = Range {
            soft: Some(hard + 1),
            hard: Hard::Stays,
        };
        let refused = set_limit(&Limit {
            name: "limit-nofile",
            resource,
            range,
        })
        .unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!(
                "unable to set limit-nofile to {}: the hard limit is {hard}",
                hard + 1
            )
        );
        assert_eq!(refused.errno, libc::EPERM);
        assert_eq!(rustix::process::getrlimit(resource), before);
    }

    #[test]
    fn a_directory_that_is_missing_is_refused() {
        let options = Options {
            directory: Some(PathBuf::from("/nonexistent")),
            ..Options::default()
        };
        let refused = enter(&options).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unable to change to directory /nonexistent: no such file or directory"
        );
        assert_eq!(refused.errno, libc::ENOENT);
    }

    #[test]
    fn options_that_say_nothing_change_nothing() {
        assert_eq!(enter(&Options::default()), Ok(()));
    }
}
